"""`consil check` and the shell around it: findings per file and across files, unsafe files, exit statuses, options."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import tarfile
import types
import zipfile
from pathlib import Path

import gemmi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consilience.cli import main
from consilience.core.errors import InputError, RunError
from consilience.files import read_bytes
from consilience.jobs.check.job import check
from consilience.jobs.common.config import load_config
from consilience.kinds import recognise
from consilience.structure import ccd

BACKBONE = (("N", 0.0, 0.0), ("CA", 1.46, 0.0), ("C", 2.0, 1.42), ("O", 1.25, 2.39))


def model(folder: Path, *, residue: str = "GLY", title: str = "TOY", name: str = "model.pdb") -> Path:
    lines = [f"TITLE     {title}", "CRYST1   24.000   28.000   32.000  90.00  90.00  90.00 P 21 21 21    4"]
    for i in range(1, 5):
        for k, (atom, x, y) in enumerate(BACKBONE):
            xyz = f"{x + 3.3 * i:8.3f}{y + 5:8.3f}{1.1 * i:8.3f}"
            serial, res = 4 * i + k - 3, residue if i == 4 else "GLY"
            lines.append(f"ATOM  {serial:5d}  {atom:<3s} {res} A{i:4d}    {xyz}  1.00 15.00           {atom[0]}")
    path = folder / name
    path.write_text("\n".join([*lines, "END"]) + "\n")
    return path


def data(folder: Path, *, group: str = "P 21 21 21", free: bool = True, name: str = "data.mtz") -> Path:
    rng = np.random.default_rng(0)
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup = gemmi.SpaceGroup(group)
    mtz.set_cell_for_all(gemmi.UnitCell(24, 28, 32, 90, 90, 90))
    mtz.add_dataset("toy")
    hkl = gemmi.make_miller_array(mtz.cell, mtz.spacegroup, 2.2)
    f = 100 * np.sqrt(rng.exponential(size=len(hkl)))
    columns = [("FP", "F", f), ("SIGFP", "Q", 1 + 0.03 * f), ("FreeR_flag", "I", np.arange(len(hkl)) % 10)]
    columns = columns if free else columns[:2]
    for label, kind, _ in columns:
        mtz.add_column(label, kind)
    mtz.set_data(np.column_stack([hkl, *(c[2] for c in columns)]).astype("f4"))
    mtz.write_to_file(str(folder / name))
    return folder / name


def test_clean_files_pass_without_a_word_of_alarm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(data(tmp_path)), str(model(tmp_path))]) == 0
    out, err = capsys.readouterr()
    assert "warn" not in (out + err).lower() and err == "" and "reflections (MTZ)" in out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data.mtz", "model.pdb"]


def test_findings_across_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ccd, "from_biotite", lambda name: None)  # the CCD, where it is installed, knows XYZ
    assert main(["check", str(model(tmp_path)), str(data(tmp_path, group="P 21 21 2"))]) == 2
    err = capsys.readouterr().err
    assert "error: the space group" in err and "P 21 21 2 (18)" in err and "P 21 21 21 (19)" in err
    ligand = model(tmp_path, residue="XYZ", name="ligand.pdb")
    result = check([ligand, data(tmp_path)])
    text = str(result.files[0].findings)
    assert result.exit_status == 2 and "XYZ" in text and "A 4" in text and "--ligand" in text
    assert check([ligand]).exit_status == 0  # nothing to refine against: the unknown residue is only a warning


def test_result_has_the_keys_of_the_contract(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    command = ["check", str(model(tmp_path)), str(data(tmp_path, free=False)), "--json", "-o", str(out)]
    assert main(command) == 2
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((out / "summary.json").read_text())
    assert printed["schema"] == 1 and printed["verb"] == "check" and printed["status"] == "failed"
    assert [set(f) for f in printed["files"]] == [{"file", "kind", "level", "messages"}] * 2
    assert printed["files"][1]["level"] == "error" and "--make-free" in printed["files"][1]["messages"][0]
    assert main(command) == 2 and "--overwrite" in capsys.readouterr().err
    assert main([*command, "--overwrite", "--make-free", "--quiet"]) == 0


def archive(member: str, kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as z:
            z.writestr(member, b"x")
    else:
        with tarfile.open(fileobj=buffer, mode="w") as t:
            info = tarfile.TarInfo(member)
            if kind == "link":
                info.type, info.linkname = tarfile.SYMTYPE, "elsewhere"
            t.addfile(info, io.BytesIO())
    return buffer.getvalue()


def safetensors(entry: dict) -> bytes:
    header = json.dumps({"w": entry}).encode()
    return struct.pack("<Q", len(header)) + header + np.array([np.nan], "<f4").tobytes()


F32 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("a.pkl", b"\x80\x04\x95", "pickle"),
        ("a.safetensors", b"\x80\x04\x95\x00\x00", "pickle"),
        ("old.pt", b"(dp0\nS'a'\np1\nI1\ns.", "pickle"),
        ("torch.pt", archive("archive/data.pkl", "zip"), "pickle"),
        ("b.safetensors", struct.pack("<Q", 1 << 40) + b"{}", "header"),
        ("c.safetensors", safetensors({**F32, "shape": [1 << 40]}), "shape"),
        ("d.safetensors", safetensors({**F32, "data_offsets": [0, 400]}), "outside the file"),
        ("e.safetensors", safetensors(F32), "not finite"),
        ("up.tar", archive("../x", "tar"), "outside"),
        ("abs.tar", archive("/x", "tar"), "outside"),
        ("link.tar", archive("x", "link"), "link"),
        ("up.zip", archive("a/../../x", "zip"), "outside"),
        ("deep.json", b"[" * 20000 + b"]" * 20000, "nested"),
        ("deep.yaml", b"{a: " * 3000 + b"1" + b"}" * 3000, "nested"),
        ("tag.yaml", b"a: !!python/object/apply:os.mkdir [PWNED]\n", "tag"),
        ("twice.yaml", b"a: 1\na: 2\n", "duplicate key 'a'"),
        ("twice.json", b'{"a": 1, "a": 2}', "duplicate key 'a'"),
        ("laugh.yaml", b"a: &a [1]\n" + b"".join(b"b%d: *a\n" % i for i in range(80)), "aliases"),
        ("bad.json", b'{"a": 1,}', "line 1"),
        ("cut.npz", archive("R.npy", "zip")[:40], "truncated"),
        ("other.yaml", b"a: {b: 1}\n", "not supported yet"),
        ("recipe.yaml", b"model: {a: 1}\n", "unknown key model.a"),
        ("noise.bin", bytes(range(256)) * 4, "unknown"),
        ("x.cif", b"data_x\n_cell_length_a 3\n", "error"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # archives carry the time: no part of a test's name
)
def test_unsafe_and_foreign_files(
    tmp_path: Path,
    name: str,
    content: bytes,
    word: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(content)
    assert main(["check", name]) == 2
    out, err = capsys.readouterr()
    assert word in err and "Traceback" not in out + err
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_recognised_by_content_not_by_name(tmp_path: Path) -> None:
    assert recognise(model(tmp_path, name="a.mtz")) == "pdb"
    assert recognise(data(tmp_path, name="b.pdb")) == "mtz"
    for text, kind in (
        ("data_x\nloop_\n_refln.index_h\n1\n", "sf-mmcif"),
        ("# c\ndata_comp_list\n_chem_comp.id X\ndata_comp_X\nloop_\n_chem_comp_atom.atom_id\nC\n", "dictionary"),
        ("data_1\nsave_a\n_Entry.Sf_category entry_information\nsave_\n", "nmr-star"),
        ("3\nProperties=species:S:1:pos:R:3\nO 0 0 0\nH 1 0 0\nH 0 1 0\n", "extxyz"),
        ("residue,R1,R2\n1,2,3\n2,3,4\n", "csv"),
        ("a: 1\nb: [1, 2]\n", "yaml"),
    ):
        (tmp_path / "x.dat").write_text(text)
        assert recognise(tmp_path / "x.dat") == kind


def test_size_caps(tmp_path: Path) -> None:
    path = model(tmp_path)
    with pytest.raises(InputError, match="too large"):
        read_bytes(path, max_bytes=100)
    (tmp_path / "big.yaml").write_text("a: 1\n" + "# x\n" * 100_000)
    with pytest.raises(InputError, match="too large"):
        load_config(tmp_path / "big.yaml")


def test_configuration_values(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("base: &b {x: 1}\nterms: [{<<: *b, y: 2.5}]\nname: run\n")
    assert load_config(path) == {"base": {"x": 1}, "terms": [{"x": 1, "y": 2.5}], "name": "run"}
    path.write_text("- 1\n")
    with pytest.raises(InputError, match="not a mapping"):
        load_config(path)


def test_terminal_escapes_are_not_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = model(tmp_path, title="\x1b[2J\x1b]0;owned\x07", name="a\x1b[2J.pdb")
    main(["check", str(path), str(tmp_path / "none\x1b[2J.pdb")])
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err


def relaxation(folder: Path, *, name: str = "rates.csv", shift: int = 0, kinds: str = "R1,R2,NOE") -> Path:
    values = {"R1": "2.3,0.05", "R2": "5.4,0.1", "NOE": "0.72,0.03"}
    head = ",".join(f"{k}_600,{k}_600_err" for k in kinds.split(","))
    rows = [f"{n + shift}," + ",".join(values[k] for k in kinds.split(",")) for n in range(2, 5)]
    (folder / name).write_text("\n".join([f"residue,{head}", *rows]) + "\n")
    return folder / name


def test_relaxation_data_with_their_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    atoms = [("N", 0.0), ("H", 1.02)]
    lines = [
        f"ATOM  {2 * n + k:5d}  {name:<3s} GLY A{n:4d}    {5.0 * n:8.3f}{x:8.3f}{0.0:8.3f}  1.00 15.00           {name}"
        for n in range(2, 5)
        for k, (name, x) in enumerate(atoms)
    ]
    place = tmp_path / "directions.pdb"
    place.write_text("\n".join([*lines, "END"]) + "\n")
    assert main(["check", str(place), str(relaxation(tmp_path))]) == 0
    out, err = capsys.readouterr()
    assert "warning" not in (out + err).lower() and "note: missing main-chain atoms" in out
    assert main(["check", str(place), str(relaxation(tmp_path, shift=50))]) == 2
    assert "none of the residues" in capsys.readouterr().err
    assert main(["check", str(relaxation(tmp_path, kinds="R1"))]) == 0
    assert "too few data" in capsys.readouterr().out
    both = [relaxation(tmp_path, name=f"{k}.csv", kinds=k) for k in ("R1", "R2")]
    assert main(["check", *map(str, both), str(relaxation(tmp_path))]) == 0
    assert "the same values stand in two lists" in capsys.readouterr().err


def test_bad_files_of_all_classes(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = data_dir / "bad"
    cases = [
        c
        for c in json.loads((root / "expected.json").read_text())["cases"]
        if c["domain"] in ("xray", "nmr", "security") and c["task"] != "report"
    ]
    failed = []
    for case in cases:
        status = main(["check", *(str(root / f) for f in case["files"])])
        out, err = capsys.readouterr()
        text = (out + err).lower()
        level = {2: "error"}.get(status, "warn" if "warn" in text else "note")
        said = level == "note" or all(any(w.lower() in text for w in group) for group in case["mention"])
        wanted = {case["expect"], *case["also_ok"]}
        if not (level in wanted or (level == "note" and "ok" in wanted)) or not said or "traceback" in text:
            failed.append(case["id"])
    assert len(cases) >= 50 and len(failed) <= 0.05 * len(cases), failed


MAGIC = [
    b"",
    b"MTZ ",
    b"\x1f\x8b\x08",
    b"PK\x03\x04",
    b"\x80\x04",
    b"{",
    b"data_",
    b"ATOM  ",
    b"a: ",
    b"\x08" + bytes(7) + b"{",
]


@settings(max_examples=40)
@given(content=st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)), magic=st.sampled_from(MAGIC))
def test_any_bytes_give_findings(content: bytes, magic: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("any") / "file"
    path.write_bytes(magic + content)
    assert check([path]).exit_status == 2


class Job:
    """Stands in for a job module: remembers how it was called."""

    def __init__(self, outcome: object) -> None:
        self.outcome, self.called = outcome, {}

    def __call__(self, *files: object, **given: object) -> types.SimpleNamespace:
        self.called = {"files": files[0] if files else None, **given}
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return types.SimpleNamespace(summary={"status": self.outcome})


def install(monkeypatch: pytest.MonkeyPatch, outcome: object) -> Job:
    job = Job(outcome)
    module = types.ModuleType("consilience.jobs.refine.job")
    module.refine = job  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "consilience.jobs.refine.job", module)
    return job


@pytest.mark.parametrize(
    ("outcome", "status", "word"),
    [
        ("ok", 0, ""),
        ("checks_failed", 3, ""),
        ("interrupted", 130, ""),
        (InputError("bad thing", "here"), 2, "error: bad thing"),
        (RunError("it broke"), 1, "error: it broke"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ZeroDivisionError("odd"), 1, "ZeroDivisionError: odd"),
    ],
)
def test_exit_statuses(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], outcome: object, status: int, word: str
) -> None:
    install(monkeypatch, outcome)
    assert main(["refine", "a.pdb", "b.mtz"]) == status
    err = capsys.readouterr().err
    assert word in err and "Traceback" not in err
    if isinstance(outcome, Exception):
        assert main(["refine", "a.pdb", "b.mtz", "--debug"]) == status
        assert "Traceback" in capsys.readouterr().err


def test_options_of_refine_arrive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    job = install(monkeypatch, "ok")
    line = "refine a.pdb b.mtz c.cif --labin F,SIGF --d_min 2 --ncycle 7 --adp aniso --no-b --make-free --thin-shells"
    more = "--weight geometry=2,adp=0.5 --ligand l.cif --seed 5 --jellybody --device cpu --occupancy partial -o out"
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    assert main([*line.split(), *more.split()]) == 0
    options, run = job.called["options"], job.called["run"]
    assert job.called["files"] == [Path("a.pdb"), Path("b.mtz"), Path("c.cif")]
    assert run.output == Path("out")
    assert (options.labels, options.d_min, options.cycles, options.adp, options.b) == ("F,SIGF", 2.0, 7, "aniso", False)
    assert options.make_free == "shells" and options.weights == {"geometry": 2.0, "adp": 0.5}
    assert options.ligands == (Path("l.cif"),) and options.jelly_body and options.occupancy == "partial"
    assert run.command[:3] == ("consil", "refine", "a.pdb")
    assert run.seed == 5 and run.device == "cpu" and options.xyz
    assert main(["refine", "--hklin", "b.mtz", "--model", "a.pdb"]) == 0
    assert set(job.called["files"]) == {Path("a.pdb"), Path("b.mtz")} and job.called["options"].weights is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("refin a.pdb", ["refin", "Did you mean refine?"]),
        ("spectra a.pdb", ["No such command", "spectrum"]),
        ("refine a.pdb --cycels 3", ["--cycels", "--cycles"]),
        ("refine a.pdb b.mtz --weight geometry=many", ["--weight", "geometry=many"]),
        ("refine a.pdb b.mtz --d-min 3 --d-max 2", ["--d-min", "3"]),
        ("refine a.pdb b.mtz --adp warm", ["warm", "aniso"]),
        ("refine a.pdb b.mtz --thin-shells", ["--make-free"]),
        ("refine", ["model"]),
        ("check", ["FILES"]),
    ],
)
def test_wrong_usage(line: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and all(w in err for w in words), err


@pytest.mark.parametrize("option", ["--twin", "--ncs", "--source=neutron"])
def test_what_is_not_built_is_refused_by_name(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["refine", str(model(tmp_path)), str(data(tmp_path)), option, "-o", str(tmp_path / "out")]
    assert main(line) == 2
    assert option.split("=")[0] in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_help_and_version_without_jax() -> None:
    code = (
        "import sys; from consilience.cli import main; s = main(['--help']) + main(['refine', '--help']) "
        "+ main(['--version']); print(s, any(m in sys.modules for m in ('jax', 'scipy', 'numpy', 'gemmi')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip().endswith("0 False"), done.stdout + done.stderr
    assert "check" in done.stdout and "--labels" in done.stdout


def test_check_never_imports_jax(tmp_path: Path) -> None:
    code = "import sys; from consilience.cli import main; s = main(sys.argv[1:]); print(s, 'jax' in sys.modules)"
    files = [model(tmp_path), data(tmp_path), relaxation(tmp_path)]
    command = [sys.executable, "-c", code, "check", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip().endswith("0 False"), done.stdout + done.stderr
    module = subprocess.run(
        [sys.executable, "-m", "consilience", "--version"], capture_output=True, text=True, timeout=60
    )
    assert module.returncode == 0 and "consil" in module.stdout


def test_molecular_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from consilience.examples import example_path

    good = example_path("molecule/frames.npz")
    assert main(["check", str(good)]) == 0
    out, err = capsys.readouterr()
    assert err == "" and "warn" not in out.lower() and "arrays (npz)" in out
    with np.load(good) as file:
        arrays = {k: file[k] for k in ("Z", "R", "E", "F")}
    arrays |= {"E": arrays["E"] / 0.0433641, "F": arrays["F"] / 0.0433641, "REF_energy": 0 * arrays["E"]}
    np.savez(tmp_path / "x.npz", **arrays)
    command = ["check", str(tmp_path / "x.npz"), "--energy-key", "E"]
    assert main(command) == 0
    assert "kcal/mol" in capsys.readouterr().err
    assert main([*command, "--units", "kcal/mol"]) == 0
    assert capsys.readouterr().err == ""
    assert main([*command, "--units", "fathom"]) == 2
    assert "unknown unit" in capsys.readouterr().err
    (tmp_path / "beads.npz").write_bytes(good.read_bytes())
    np.savez(tmp_path / "beads.npz", R=arrays["R"], F_opt=arrays["F"], seq=np.array(["ALA"] * 4))
    assert check([tmp_path / "beads.npz"]).files[0].kind_name == "beads (npz)"
