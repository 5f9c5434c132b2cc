"""Reading reflections: columns and free flags by content, defects named, observations written back bit for bit."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import gemmi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consilience.core.errors import InputError
from consilience.xray.asu import map_to_asu, phases_from_asu
from consilience.xray.consistency import adopt_cell, compare
from consilience.xray.open import open_reflections
from consilience.xray.read import read_reflections
from consilience.xray.write import write_mtz

CELL = gemmi.UnitCell(24, 28, 32, 90, 90, 90)
GROUP = gemmi.SpaceGroup("P 21 21 21")


def wilson(seed: int = 0) -> dict[str, np.ndarray]:
    """Amplitudes of random acentric structures to 2 Å, 10 % sets of flags (0 free)."""
    rng = np.random.default_rng(seed)
    hkl = gemmi.make_miller_array(CELL, GROUP, 2.0)
    hkl = hkl[~np.asarray(GROUP.operations().systematic_absences(hkl))]
    f = 100 * np.sqrt(rng.exponential(size=len(hkl)))
    return {"hkl": hkl, "F": f, "SIGF": 1 + 0.03 * f, "FREE": rng.permutation(np.arange(len(hkl)) % 10).astype(float)}


TOY = wilson()


def put(folder: Path, columns: list[tuple[str, str, np.ndarray]], name: str = "data.mtz", **other: object) -> Path:
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup = other.get("group", GROUP)
    mtz.set_cell_for_all(other.get("cell", CELL))
    mtz.add_dataset("toy").wavelength = 0.98
    for label, kind, _ in columns:
        mtz.add_column(label, kind)
    hkl = other.get("hkl", TOY["hkl"])
    mtz.set_data(np.column_stack([hkl.astype("f4"), *(np.asarray(v, "f4") for _, _, v in columns)]))
    path = folder / name
    mtz.write_to_file(str(path))
    return path


def toy(**change: np.ndarray) -> list[tuple[str, str, np.ndarray]]:
    v = {**TOY, **change}
    return [("FP", "F", v["F"]), ("SIGFP", "Q", v["SIGF"]), ("FreeR_flag", "I", v["FREE"])]


def said(path: Path, level: str, **options: object) -> str:
    found = read_reflections(path, strict=False, **options).findings  # type: ignore[arg-type]
    return "\n".join(str(f) for f in found if f.level == level)


def test_plain_amplitudes(tmp_path: Path) -> None:
    data = read_reflections(put(tmp_path, toy()))
    assert data.kind == "amplitude" and data.columns == {"value": "FP", "sigma": "SIGFP", "free": "FreeR_flag"}
    assert data.free_value == 0 and np.array_equal(data.free, TOY["FREE"] == 0)
    assert data.wavelength == pytest.approx(0.98) and float(data.d.min()) >= 2.0
    assert not [f for f in data.findings if f.level != "note"]
    cut = read_reflections(put(tmp_path, toy()), d_min=2.5, d_max=10.0)
    assert len(cut) < len(data) and 2.5 <= cut.d.min() and cut.d.max() <= 10.0
    zipped = tmp_path / "data.mtz.gz"
    zipped.write_bytes(gzip.compress((tmp_path / "data.mtz").read_bytes()))
    assert np.array_equal(read_reflections(zipped).value, data.value)


@pytest.mark.parametrize(
    ("flags", "free", "value"),
    [
        ((TOY["FREE"] == 0) * 1.0, TOY["FREE"] == 0, 1.0),
        ((TOY["FREE"] != 0) * 1.0, TOY["FREE"] == 0, 0.0),
        (np.where(TOY["FREE"] == 0, -1.0, 1.0), TOY["FREE"] == 0, -1.0),
        (TOY["FREE"] + 1, TOY["FREE"] == 0, 1.0),
        (TOY["FREE"].astype("i4").view("f4"), TOY["FREE"] == 0, 0.0),
    ],
    ids=["phenix", "ccp4-binary", "shelx", "sets-from-one", "raw-integers"],
)
def test_conventions_of_free_flags(tmp_path: Path, flags: np.ndarray, free: np.ndarray, value: float) -> None:
    columns = [*toy()[:2], ("R-free-flags", "I", flags)]
    data = read_reflections(put(tmp_path, columns))
    assert data.free_value == value and np.array_equal(data.free, free)
    decoded = any("raw integers" in f.what for f in data.findings if f.level == "warn")
    assert decoded == (flags.dtype == np.float32)


def test_free_column_is_found_without_its_name(tmp_path: Path) -> None:
    columns = [*toy()[:2], ("N", "I", np.arange(len(TOY["F"])) % 3 + 1.0), ("XYZ", "I", TOY["FREE"])]
    assert read_reflections(put(tmp_path, columns)).columns["free"] == "XYZ"


def test_integers_of_another_meaning_are_no_free_flags(tmp_path: Path) -> None:
    columns = [*toy()[:2], ("MULTIPLICITY", "I", TOY["FREE"] + 1)]
    with pytest.raises(InputError, match="free"):
        read_reflections(put(tmp_path, columns))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (np.zeros(len(TOY["F"])), ["all free flags are equal", "0: "]),
        (np.ones(len(TOY["F"])), ["all free flags are equal", "1: "]),
        (np.full(len(TOY["F"]), np.nan), ["empty"]),
        (np.arange(len(TOY["F"])) % 2, ["two halves", "--free-value"]),
    ],
)
def test_useless_free_flags_stop(tmp_path: Path, flags: np.ndarray, words: list[str]) -> None:
    path = put(tmp_path, toy(FREE=flags))
    with pytest.raises(InputError) as err:
        read_reflections(path)
    assert all(w in str(err.value) for w in words)
    made = read_reflections(path, make_free=True)
    assert 0.08 < made.free.mean() < 0.12 and made.columns["free"] not in ("", "FreeR_flag")


def test_free_set_on_request(tmp_path: Path) -> None:
    path = put(tmp_path, toy()[:2])
    with pytest.raises(InputError, match="--make-free"):
        read_reflections(path)
    a, b = (read_reflections(path, make_free=True, seed=1) for _ in range(2))
    assert np.array_equal(a.free, b.free) and not np.array_equal(a.free, read_reflections(path, make_free=True).free)
    order = np.random.default_rng(0).permutation(len(TOY["F"]))
    mixed = put(tmp_path, [(n, t, v[order]) for n, t, v in toy()[:2]], hkl=TOY["hkl"][order], name="mixed.mtz")
    c = read_reflections(mixed, make_free=True, seed=1)
    free = {tuple(h) for h in a.hkl[a.free].tolist()}
    assert free == {tuple(h) for h in c.hkl[c.free].tolist()}
    shells = read_reflections(path, make_free="shells")
    ranks = np.argsort(np.argsort(-shells.d, kind="stable"))[shells.free]
    assert 0.05 < shells.free.mean() < 0.15 and (np.diff(np.sort(ranks)) == 1).mean() > 0.8


def change(values: np.ndarray, where: slice, new: object) -> np.ndarray:
    out = values.copy()
    out[where] = new if not callable(new) else new(out[where])
    return out


@pytest.mark.parametrize(
    ("columns", "level", "words"),
    [
        (toy(F=change(TOY["F"], slice(0, None, 10), np.nan)), "note", ["unobserved", "complete"]),
        (toy(SIGF=change(TOY["SIGF"], slice(5, 60), 0.0)), "warn", ["55", "sigma"]),
        (toy(SIGF=change(TOY["SIGF"], slice(5, 30), lambda s: -s)), "warn", ["25", "negative sigma"]),
        (toy(F=change(TOY["F"], slice(5, 15), lambda f: -f)), "warn", ["10 negative amplitudes"]),
        (toy(F=change(TOY["F"], slice(0, None, 8), lambda f: -f)), "error", ["probably intensities"]),
        (toy(F=change(TOY["F"], slice(5, 6), np.inf)), "warn", ["infinite"]),
        (toy(F=np.full_like(TOY["F"], 7.0)), "error", ["all", "same"]),
        (toy(F=TOY["F"] ** 2, SIGF=TOY["SIGF"] * TOY["F"]), "warn", ["distributed like intensities"]),
        ([("FP", "F", TOY["F"]), ("FreeR_flag", "I", TOY["FREE"])], "warn", ["no sigmas"]),
        (toy(FREE=(TOY["FREE"] < 3) * 1.0), "warn", ["unusual free set"]),
    ],
)
def test_defects_of_observations(tmp_path: Path, columns: list, level: str, words: list[str]) -> None:
    text = said(put(tmp_path, columns), level)
    assert all(w in text for w in words), text


def test_outliers_are_judged_by_the_work_set(tmp_path: Path) -> None:
    free, work = (int(np.flatnonzero((TOY["FREE"] == 0) == k)[50]) for k in (True, False))
    plain = read_reflections(put(tmp_path, toy())).findings
    at_free = read_reflections(put(tmp_path, toy(F=change(TOY["F"], slice(free, free + 1), 1e4)))).findings
    assert [f.what for f in at_free] == [f.what for f in plain]
    assert "outlier" in said(put(tmp_path, toy(F=change(TOY["F"], slice(work, work + 1), 1e4))), "warn")


def test_choice_of_columns(tmp_path: Path) -> None:
    i, si = ("IMEAN", "J", TOY["F"] ** 2), ("SIGIMEAN", "Q", TOY["SIGF"] * TOY["F"])
    fc, phase = ("FC", "F", TOY["F"]), ("PHIC", "P", TOY["F"])
    both = put(tmp_path, [fc, phase, i, si, *toy()], name="both.mtz")
    assert read_reflections(both).columns["value"] == "FP"
    chosen = read_reflections(both, labels="IMEAN,SIGIMEAN,FreeR_flag")
    assert chosen.kind == "intensity" and chosen.columns["sigma"] == "SIGIMEAN"
    assert read_reflections(put(tmp_path, [i, si, toy()[2]])).kind == "intensity"
    with pytest.raises(InputError, match="did you mean FP"):
        read_reflections(both, labels="FPP,SIGFP")
    with pytest.raises(InputError, match="no measured"):
        read_reflections(put(tmp_path, [fc, phase, toy()[2]]))
    with pytest.raises(InputError, match="--labels"):
        read_reflections(both, labels="PHIC,SIGFP")


def test_anomalous_pairs_are_merged(tmp_path: Path) -> None:
    plus, minus = TOY["F"] ** 2 * 1.02, TOY["F"] ** 2 * 0.98
    s = TOY["F"] * TOY["SIGF"]
    missing = change(minus, slice(0, 9), np.nan)
    columns = [("I(+)", "K", plus), ("SIGI(+)", "M", s), ("I(-)", "K", missing), ("SIGI(-)", "M", 2 * s), toy()[2]]
    data = read_reflections(put(tmp_path, columns))
    expected = np.where(np.isnan(missing), plus, (plus + minus / 4) / 1.25)
    assert data.kind == "intensity" and np.allclose(data.value, expected, rtol=1e-6)
    assert np.allclose(data.sigma[20:], (s / np.sqrt(1.25))[20:], rtol=1e-6)
    assert "I(+)" in said(put(tmp_path, columns), "note")


def equivalents(rng: np.random.Generator, hkl: np.ndarray, group: gemmi.SpaceGroup) -> np.ndarray:
    ops = list(group.operations().sym_ops)
    moved = np.array([ops[rng.integers(len(ops))].apply_to_hkl(h) for h in hkl.tolist()])
    return moved * np.where(rng.random(len(hkl)) < 0.5, 1, -1)[:, None]


def test_equivalents_come_to_one_place_and_phases_follow(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    plain = read_reflections(put(tmp_path, toy()))
    moved = equivalents(rng, TOY["hkl"], GROUP)
    path = put(tmp_path, toy(), hkl=moved, name="moved.mtz")
    data = read_reflections(path)
    assert np.array_equal(data.hkl, plain.hkl) and np.array_equal(data.value, plain.value)
    phases = rng.uniform(-180, 180, len(data))
    write_mtz(tmp_path / "out.mtz", data, {"PHIC": ("P", phases)})
    out = gemmi.read_mtz_file(str(tmp_path / "out.mtz"))
    out.ensure_asu()
    difference = out.column_with_label("PHIC").array - phases
    assert np.abs((difference + 180) % 360 - 180).max() < 1e-3

    group = gemmi.SpaceGroup("P 61 2 2")
    hkl = rng.integers(-8, 9, (200, 3))
    asu, isym = map_to_asu(hkl, group)
    model = rng.random((7, 3))

    def phase_of(index: np.ndarray) -> np.ndarray:
        atoms = [op.apply_to_xyz(x) for op in group.operations() for x in model.tolist()]
        return np.degrees(np.angle(np.exp(2j * np.pi * (index @ np.array(atoms).T)).sum(1)))

    strong = ~np.asarray(group.operations().systematic_absences(hkl.astype(np.int32)))
    back = phases_from_asu(phase_of(asu), hkl, isym, group)
    assert np.abs((back - phase_of(hkl) + 180) % 360 - 180)[strong].max() < 1e-6


def test_repeated_and_absent_reflections(tmp_path: Path) -> None:
    extra = np.array([[0, 0, 5], [0, 0, 0], TOY["hkl"][7].tolist()])
    columns = [(n, t, np.concatenate([v, [50.0, 50.0, v[7]]])) for n, t, v in toy()]
    path = put(tmp_path, columns, hkl=np.vstack([TOY["hkl"], extra]))
    data = read_reflections(path)
    assert len(data) == len(TOY["F"]) and data.sigma[7] == pytest.approx(TOY["SIGF"][7] / np.sqrt(2))
    notes = said(path, "note")
    assert all(w in notes for w in ("1 systematic absences", "(0, 0, 0)", "1 symmetry-equivalent"))


def test_written_back_bit_for_bit(tmp_path: Path) -> None:
    flags = change(TOY["FREE"], slice(3, 4), np.nan).astype("f4")
    path = put(tmp_path, [*toy(F=change(TOY["F"], slice(0, None, 9), np.nan), FREE=flags), ("FWT", "F", TOY["F"])])
    data = read_reflections(path)
    full = gemmi.make_miller_array(CELL, GROUP, 1.9)
    write_mtz(tmp_path / "out.mtz", data, {"FWT": ("F", np.ones(len(full)))}, hkl=full)
    old, new = (gemmi.read_mtz_file(str(p)) for p in (path, tmp_path / "out.mtz"))
    assert new.column_labels() == old.column_labels() and new.nreflections > old.nreflections
    for label in ("FP", "SIGFP", "FreeR_flag"):
        a, b = (np.array(m.column_with_label(label).array) for m in (old, new))
        assert a.tobytes() == b[: len(a)].tobytes() and np.isnan(b[len(a) :]).all()
    again = read_reflections(tmp_path / "out.mtz")
    assert np.array_equal(again.value, data.value) and np.array_equal(again.free, data.free)
    assert again.wavelength == pytest.approx(0.98)
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize("size", [3, 20, 79, 84, 5000, 0.5, 0.97, 0.997])
def test_truncated_mtz(tmp_path: Path, size: float) -> None:
    data = put(tmp_path, toy()).read_bytes()
    cut = tmp_path / "cut.mtz"
    cut.write_bytes(data[: int(size if size > 1 else size * len(data))])
    with pytest.raises(InputError, match=r"cut\.mtz"):
        read_reflections(cut)


@pytest.mark.parametrize(
    "claim", [b"6   2000000000        0", b"60000000         1615        0", b"6           -5        0"]
)
def test_header_that_claims_too_much(tmp_path: Path, claim: bytes) -> None:
    data = put(tmp_path, toy()).read_bytes()
    i = data.rfind(b"NCOL")
    path = tmp_path / "huge.mtz"
    path.write_bytes(data[:i] + (b"NCOL        " + claim).ljust(80) + data[i + 80 :])
    with pytest.raises(InputError, match="claims more reflections"):
        read_reflections(path)


def test_unmerged_and_foreign_files(tmp_path: Path) -> None:
    path = put(
        tmp_path,
        [
            ("M/ISYM", "Y", TOY["FREE"]),
            ("BATCH", "B", TOY["FREE"] + 1),
            ("I", "J", TOY["F"]),
            ("SIGI", "Q", TOY["SIGF"]),
        ],
    )
    with pytest.raises(InputError, match="merge the data"):
        read_reflections(path)
    for name, text in (("x.HKL", "!FORMAT=XDS_ASCII    MERGE=FALSE\n"), ("y.mtz", "hello\n"), ("z.csv", "a,b\n1,2\n")):
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match=name.replace(".", r"\.")):
            read_reflections(tmp_path / name)


def sf_mmcif(status: list[str], flags: list[str] | None = None, value: str = "F_meas_au") -> str:
    sigma = {"F_meas_au": "F_meas_sigma_au", "intensity_meas": "intensity_sigma"}[value]
    tags = ["index_h", "index_k", "index_l", "status", value, sigma] + (["pdbx_r_free_flag"] if flags else [])
    rows = [
        " ".join(map(str, [*h, s, f"{f:.2f}", f"{q:.2f}"])) + (f" {flags[i]}" if flags else "")
        for i, (h, s, f, q) in enumerate(zip(TOY["hkl"].tolist(), status, TOY["F"], TOY["SIGF"], strict=True))
    ]
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    cell = "".join(f"_cell.{k} {v}\n" for k, v in zip(names, CELL.parameters, strict=True))
    head = f"data_r1xxxsf\n{cell}_symmetry.space_group_name_H-M 'P 21 21 21'\nloop_\n"
    return head + "".join(f"_refln.{t}\n" for t in tags) + "\n".join(rows) + "\n"


def test_structure_factor_mmcif(tmp_path: Path) -> None:
    status = np.where(TOY["FREE"] == 0, "f", "o").tolist()
    path = tmp_path / "r1xxxsf.ent"
    path.write_text(sf_mmcif(status))
    data = read_reflections(path)
    assert np.array_equal(data.free, TOY["FREE"] == 0) and np.allclose(data.value, TOY["F"], atol=0.006)
    path.write_text(sf_mmcif(status, flags=["?"] * len(status)))
    assert np.array_equal(read_reflections(path).free, TOY["FREE"] == 0)
    path.write_text(sf_mmcif(status, flags=[str(int(v)) for v in (TOY["FREE"] == 5)]))
    assert np.array_equal(read_reflections(path).free, TOY["FREE"] == 5)
    status[4] = "x"
    path.write_text(sf_mmcif(status, value="intensity_meas"))
    data = read_reflections(path)
    assert data.kind == "intensity" and len(data) == len(status) - 1
    write_mtz(tmp_path / "out.mtz", data, {"FC": ("F", np.ones(len(data)))})
    assert read_reflections(tmp_path / "out.mtz").kind == "intensity"
    path.write_text(sf_mmcif(["o"] * len(status)))
    with pytest.raises(InputError, match="all free flags are equal"):
        read_reflections(path)
    text = sf_mmcif(status)
    path.write_text(text[: text.rindex(" ")])
    with pytest.raises(InputError, match="truncated"):
        read_reflections(path)


def test_second_block_is_used_where_the_first_has_no_observations(tmp_path: Path) -> None:
    first = (
        "data_a\n_cell.length_a 24\nloop_\n_diffrn_refln.index_h\n_diffrn_refln.index_k\n_diffrn_refln.index_l\n1 0 0\n"
    )
    path = tmp_path / "two.cif"
    path.write_text(first + sf_mmcif(np.where(TOY["FREE"] == 0, "f", "o").tolist()))
    assert len(read_reflections(path)) == len(TOY["F"])
    assert "2 blocks" in said(path, "note")


@pytest.mark.parametrize(
    ("cell", "group", "level", "word"),
    [
        ((24.0, 28.0, 32.0), "P 21 21 21", "", ""),
        ((24.1, 28.0, 32.0), "P 21 21 21", "warn", "differ"),
        ((24.9, 28.0, 33.4), "P 21 21 21", "error", "differ"),
        ((28.0, 24.0, 32.0), "P 21 21 21", "error", "permuted"),
        ((24.0, 28.0, 32.0), "P 21 21 2", "error", "P 21 21 2 (18)"),
        ((1.0, 1.0, 1.0), "", "note", "CRYST1"),
    ],
)
def test_model_against_data(tmp_path: Path, cell: tuple, group: str, level: str, word: str) -> None:
    from consilience.structure.atoms import Structure

    model = gemmi.read_pdb_string("ATOM      1  O   HOH A   1       1.000   2.000   3.000  1.00 10.00           O\n")
    model.cell = gemmi.UnitCell(*cell, 90, 90, 90)
    model.spacegroup_hm = group
    structure = Structure.from_hierarchy(model, "model.pdb")
    data = read_reflections(put(tmp_path, toy()))
    found = compare(structure, data)
    assert [f.level for f in found] == ([level] if level else []) and (not word or word in str(found[0]))
    adopted = adopt_cell(structure, data)
    assert compare(adopted, data) == [] and structure.cell.a == cell[0]


def test_real_data(data_dir: Path) -> None:
    for name in ("1dur", "4xof", "5a3h", "rnase25"):
        info = json.loads((data_dir / "xray" / name / "info.json").read_text())
        data = read_reflections(data_dir / "xray" / name / "data.mtz")
        assert len(data) == info["n_observed"] and data.free_value == info["free_flag_value"]
        assert data.columns["value"] in info["columns"] and data.spacegroup.xhm() == info["spacegroup"]
        assert not [f for f in data.findings if f.level != "note"]


@settings(max_examples=60)
@given(
    edits=st.lists(
        st.tuples(st.integers(0, 10**6), st.booleans(), st.integers(0, 90), st.binary(max_size=8)),
        min_size=1,
        max_size=5,
    )
)
def test_mutated_files_only_raise_input_errors(
    edits: list[tuple[int, bool, int, bytes]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = put(tmp_path_factory.mktemp("fuzz"), toy())
    data = path.read_bytes()
    header = 4 * (int.from_bytes(data[4:8], "little") - 1)
    for start, in_header, length, new in edits:
        i = header + start % (len(data) - header) if in_header else start % len(data)
        data = data[:i] + new + data[i + (length if length > 80 else len(new)) :]
    path.write_bytes(data)
    try:
        open_reflections(path)
        reflections = read_reflections(path)
    except InputError:
        return
    assert np.isfinite(reflections.value).all() and (reflections.sigma > 0).all()
