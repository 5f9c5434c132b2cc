"""Reading and writing models: every class of defect is named, and no bytes do more than raise InputError."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consilience.core.errors import InputError
from consilience.structure.read import read_structure
from consilience.structure.write import write_mmcif, write_pdb

BACKBONE = {"N": (0.0, 0.0, 0.0), "CA": (1.46, 0.0, 0.0), "C": (2.0, 1.42, 0.0), "O": (1.25, 2.39, 0.0)}
CRYST1 = "CRYST1   24.000   28.000   32.000  90.00  90.00  90.00 P 21 21 21    4\n"


def atom(serial: int, name: str, seqid: int, xyz: tuple[float, ...], **other: object) -> str:
    f = {"alt": " ", "res": "ALA", "chain": "A", "occ": 1.0, "b": 15.0, "element": name[0], **other}
    x, y, z = xyz
    return (
        f"ATOM  {serial:5d}  {name:<3s}{f['alt']}{f['res']} {f['chain']}{seqid:4d}    {x:8.3f}{y:8.3f}{z:8.3f}"
        f"{f['occ']:6.2f}{f['b']:6.2f}          {f['element']:>2s}\n"
    )


def peptide(cell: str = CRYST1, **change: dict[str, object]) -> str:
    """Four alanines; `change` {"CA3": {...}} alters fields of one atom, None leaves it out."""
    lines = []
    for i in range(1, 5):
        for name, (x, y, z) in BACKBONE.items():
            other = change.get(f"{name}{i}", {})
            if other is not None:
                xyz = (
                    other.pop("xyz", (x + 3.3 * i, y + 5.0, z + 1.1 * i))
                    if other
                    else (x + 3.3 * i, y + 5.0, z + 1.1 * i)
                )
                lines.append(atom(len(lines) + 1, name, i, xyz, **other))
    return "TITLE     TOY\n" + cell + "".join(lines) + "END\n"


def put(folder: Path, text: str | bytes, name: str = "model.pdb") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def levels(path: Path) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {"note": [], "warn": [], "error": []}
    for f in read_structure(path, strict=False).findings:
        out[f.level].append(str(f))
    return out


def test_clean_model_has_nothing_to_say(tmp_path: Path) -> None:
    model = read_structure(put(tmp_path, peptide()))
    assert len(model) == 16
    assert model.spacegroup is not None and model.spacegroup.xhm() == "P 21 21 21"
    assert model.findings == () or all("CB" in f.what for f in model.findings)


@pytest.mark.parametrize(
    ("change", "level", "words"),
    [
        ({"CA3": {"occ": -0.5}}, "error", ["negative occupancy", "CA of ALA A 3", "line"]),
        ({"CA3": {"occ": 1.5}}, "warn", ["occupancy over 1", "CA of ALA A 3"]),
        ({"CA3": {"b": -9.0}}, "warn", ["negative B", "CA of ALA A 3"]),
        ({"O2": None, "C2": None}, "warn", ["missing main-chain", "ALA A 2 lacks C O"]),
        ({"O2": {"element": "QQ"}}, "error", ["unknown element", "O of ALA A 2"]),
        ({"O2": {"xyz": (6.6 + 1.46, 5.0, 2.2)}}, "error", ["same position"]),
        ({"CA2": {"element": "CD"}}, "warn", ["contradicts the atom name"]),
    ],
)
def test_defects_are_named(tmp_path: Path, change: dict, level: str, words: list[str]) -> None:
    found = levels(put(tmp_path, peptide(**change)))[level]
    assert any(all(w in f for w in words) for f in found), found


@pytest.mark.parametrize("bad", ["     nan", "********", "   1.2.3", "        ", "     inf"])
def test_damaged_coordinates_name_atom_and_line(tmp_path: Path, bad: str) -> None:
    lines = peptide().split("\n")
    lines[7] = lines[7][:38] + bad + lines[7][46:]
    with pytest.raises(InputError, match="y coordinate") as err:
        read_structure(put(tmp_path, "\n".join(lines)))
    assert "line 8" in str(err.value) and "ALA A 2" in str(err.value)


def test_duplicate_atom_and_altlocs(tmp_path: Path) -> None:
    text = peptide()
    line = text.split("\n")[4]
    with pytest.raises(InputError, match="duplicate"):
        read_structure(put(tmp_path, text.replace(line, line + "\n" + line)))
    a, b = line[:16] + "A" + line[17:], line[:16] + "B" + line[17:54] + "  0.70" + line[60:]
    two = text.replace(line, a.replace("  1.00 15", "  0.80 15") + "\n" + b)
    found = levels(put(tmp_path, two))
    assert any("1.50" in f and "ALA A 1" in f for f in found["warn"])
    legal = text.replace(line, a.replace("  1.00 15", "  0.30 15") + "\n" + b)
    assert levels(put(tmp_path, legal))["warn"] == []


@pytest.mark.parametrize(("factor", "unit"), [(0.1, "nm"), (1.8897, "bohr")])
def test_wrong_units_of_length(tmp_path: Path, factor: float, unit: str) -> None:
    change = {
        f"{n}{i}": {"xyz": tuple(factor * v for v in (x + 3.3 * i, y, z + 1.1 * i))}
        for i in range(1, 5)
        for n, (x, y, z) in BACKBONE.items()
    }
    with pytest.raises(InputError, match=f"probably in {unit}"):
        read_structure(put(tmp_path, peptide(**change)))


@pytest.mark.parametrize(
    ("cell", "level", "word"),
    [
        ("", "note", "no unit cell"),
        ("CRYST1    1.000    1.000    1.000  90.00  90.00  90.00 P 1           1\n", "note", "no unit cell"),
        (CRYST1.replace("P 21 21 21", "P 99 21 21"), "error", "unknown space group"),
        (CRYST1.replace("  90.00  90.00  90.00", "  90.00 190.00  90.00"), "error", "impossible"),
        (CRYST1.replace("  90.00  90.00  90.00", "  90.00 100.00  90.00"), "error", "contradicts"),
        (CRYST1.replace("24.000   28", " 2.400    2"), "warn", "too small"),
        (CRYST1 + "SCALE1      0.051667  0.010000  0.000000        0.00000\n"
         "SCALE2      0.000000  0.035714  0.000000        0.00000\n"
         "SCALE3      0.000000  0.000000  0.031250        0.00000\n", "warn", "SCALE"),
    ],
)  # fmt: skip
def test_cells(tmp_path: Path, cell: str, level: str, word: str) -> None:
    assert any(word in f for f in levels(put(tmp_path, peptide(cell)))[level])


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b" \n \n", "empty"),
        (b"REMARK nothing\nREMARK here\n", "no atoms"),
        (b"<html>404</html>", "no atoms"),
        (peptide().encode()[:700] + b"\0" * 40, "NUL"),
        (peptide().encode()[:460], "cut short"),
        (gzip.compress(peptide().encode())[:150], "truncated"),
        (gzip.compress(b"REMARK\n" + bytes(20_000_000)), "ratio"),
    ],
)
def test_files_that_are_no_models(tmp_path: Path, content: bytes, word: str) -> None:
    with pytest.raises(InputError, match=word):
        read_structure(put(tmp_path, content))


def test_missing_file_and_folder(tmp_path: Path) -> None:
    put(tmp_path, peptide(), "modelA.pdb")
    with pytest.raises(InputError, match=r"did you mean .*modelA\.pdb"):
        read_structure(tmp_path / "modela.pdb")
    with pytest.raises(InputError, match="folder"):
        read_structure(tmp_path)


def test_line_ends_marks_and_encodings_do_not_matter(tmp_path: Path) -> None:
    plain = read_structure(put(tmp_path, peptide()))
    for data in (
        peptide().replace("\n", "\r\n").encode(),
        b"\xef\xbb\xbf" + peptide().encode(),
        peptide().replace("TOY", "T\xd6Y").encode("latin-1"),
        peptide().replace("TOY", "\x1b[2J\x07").encode(),
        gzip.compress(peptide().encode()),
    ):
        other = read_structure(put(tmp_path, data, "other.pdb"))
        assert np.array_equal(other.xyz, plain.xyz)
        assert "\x1b" not in other.hierarchy.make_pdb_headers()


def test_first_of_several_models(tmp_path: Path) -> None:
    body = peptide(cell="").removeprefix("TITLE     TOY\n").removesuffix("END\n")
    text = CRYST1 + "".join(f"MODEL     {k:4d}\n{body}ENDMDL\n" for k in (1, 2)) + "END\n"
    model = read_structure(put(tmp_path, text))
    assert len(model) == 16 and any("2 models" in f.what for f in model.findings)


def test_truncated_mmcif_names_the_line(tmp_path: Path) -> None:
    whole = tmp_path / "whole.cif"
    write_mmcif(read_structure(put(tmp_path, peptide())), whole)
    text = whole.read_text()
    cut = text[: text.index("ALA", text.index("ATOM 9 "))]
    with pytest.raises(InputError, match="line") as err:
        read_structure(put(tmp_path, cut, "cut.cif"))
    assert "truncated" in str(err.value) and "_atom_site" in str(err.value)
    with pytest.raises(InputError, match="no atoms"):
        read_structure(put(tmp_path, "data_x\n_cell.length_a 3\n", "x.cif"))
    with pytest.raises(InputError, match="not finite"):
        read_structure(put(tmp_path, text.replace(" 15 ", " ? ", 1).replace(" 5 ", " ? ", 1), "q.cif"))


@pytest.mark.parametrize("write", [write_pdb, write_mmcif])
def test_round_trip_keeps_atoms_and_statistics(tmp_path: Path, write: object) -> None:
    model = read_structure(put(tmp_path, peptide(CA3={"occ": 0.4, "b": 33.25})))
    out = tmp_path / ("out.pdb" if write is write_pdb else "out.cif")
    shells = [{"d_min": 2.0, "d_max": 2.2, "n": 90, "r_work": 0.3, "r_free": None}]
    statistics = {"r_work": 0.21, "r_free": 0.25, "n_work": 900, "n_free": 100, "d_min": 2.0, "d_max": 20.0,
                  "rmsd_bond": 0.012, "rmsd_angle": 1.6, "k_sol": 0.35, "b_sol": 46.0, "shells": shells}  # fmt: skip
    write(model, out, statistics)  # type: ignore[operator]
    again = read_structure(out)
    assert np.array_equal(again.xyz, model.xyz) and np.array_equal(again.b_iso, model.b_iso)
    assert np.array_equal(again.occ, model.occ)
    assert again.hierarchy.meta.refinement[0].r_free == pytest.approx(0.25)
    assert list(tmp_path.glob(".*")) == []
    text = out.read_text()
    assert ("REMARK   3" in text) if write is write_pdb else all(k in text for k in ("_refine_ls_shell.", "_software."))


def mutations() -> st.SearchStrategy[list[tuple[int, int, bytes]]]:
    edit = st.tuples(st.integers(0, 10**6), st.integers(0, 90), st.binary(max_size=12))
    return st.lists(edit, min_size=1, max_size=6)


def mutate(data: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    for start, length, new in edits:
        i = start % (len(data) + 1)
        data = data[:i] + new + data[i + length :]
    return data


@settings(max_examples=60)
@given(edits=mutations(), cif=st.booleans())
def test_mutated_files_only_raise_input_errors(
    edits: list[tuple[int, int, bytes]], cif: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    path = put(folder, peptide())
    if cif:
        path, source = folder / "m.cif", path
        write_mmcif(read_structure(source), path)
    path.write_bytes(mutate(path.read_bytes(), edits))
    try:
        model = read_structure(path)
    except InputError:
        return
    assert np.isfinite(model.xyz).all() and (model.b_iso > 0).all() and (model.occ >= 0).all()
