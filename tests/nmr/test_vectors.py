"""N-H directions: hydrogens found or placed, residues matched, and everything that does not fit named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from consilience.nmr.data import Residue
from consilience.nmr.vectors import AmideVectors, amide_vectors
from consilience.structure.read import read_structure

from .relaxation_files import NAMES, SEQUENCE, peptide

DATA = [Residue(n, name) for n, name in NAMES.items()]


def vectors(folder: Path, text: str, residues: list[Residue] | None = None) -> AmideVectors:
    path = folder / "m.pdb"
    path.write_text(text)
    return amide_vectors(read_structure(path, strict=False), DATA if residues is None else residues)


def said(found: AmideVectors) -> str:
    return "\n".join(f"{f.level}: {f}" for f in found.findings)


def test_hydrogens_of_the_model(tmp_path: Path) -> None:
    found = vectors(tmp_path, peptide())
    assert found.findings == () and found.matched.all() and not found.placed.any() and found.chains == ("A",)
    assert np.allclose(np.linalg.norm(found.vectors, axis=1), 1.0)


@pytest.mark.parametrize("name", ["H  ", "HN ", "D  "])
def test_placed_hydrogens_point_where_the_real_ones_do(tmp_path: Path, name: str) -> None:
    text = peptide().replace("  H   ", f"  {name} ")
    real, placed = vectors(tmp_path, text), vectors(tmp_path, peptide(hydrogens=False))
    assert placed.placed.all() and placed.findings[0].level == "note" and "hydrogen" in placed.findings[0].what
    assert np.all(np.sum(real.vectors * placed.vectors, axis=1) > np.cos(np.radians(5.0)))


def test_residues_that_do_not_fit(tmp_path: Path) -> None:
    residues = [*DATA, Residue(1, "ALA"), Residue(7, "PRO"), Residue(57, "VAL")]
    found = vectors(tmp_path, peptide(), residues)
    assert [bool(x) for x in found.matched[-3:]] == [False] * 3 and "57" in said(found)
    found = vectors(tmp_path, peptide(), [*DATA, Residue(7)])
    assert "proline" in said(found) and "PRO A 7" in said(found)
    found = vectors(tmp_path, peptide(), [r._replace(name="TRP") if r.number == 4 else r for r in DATA])
    assert said(found).startswith("warn") and "data say TRP 4, model says LEU 4" in said(found) and found.matched.all()
    found = vectors(tmp_path, peptide(), [Residue(n + 500) for n in NAMES])
    assert said(found).startswith("error: none of the residues")


@pytest.mark.parametrize("shift", [1, -1, 30])
def test_shifted_numbers_are_detected(tmp_path: Path, shift: int) -> None:
    found = vectors(tmp_path, peptide(), [r._replace(number=r.number + shift) for r in DATA])
    assert [f.level for f in found.findings if "offset" in f.what] == ["error"]
    assert f"{-shift:+d}" in said(found)


def test_impossible_bonds(tmp_path: Path) -> None:
    found = vectors(tmp_path, peptide(move_h="5:0.0 8:3.5"))
    assert sorted(f.level for f in found.findings) == ["error", "warn"]
    assert "N and H of LYS A 5 (0.00 Å)" in said(found) and "ALA A 8 (3.50 Å)" in said(found)
    assert found.matched.sum() == len(DATA) - 2 and not np.isinf(found.vectors).any()


def test_chains(tmp_path: Path) -> None:
    found = vectors(tmp_path, peptide(chains="AB"))
    assert found.chains == ("A",) and [f.level for f in found.findings] == ["note"]
    found = vectors(tmp_path, peptide(chains="AB"), [r._replace(chain="B") for r in DATA])
    assert found.chains == ("B",) and found.findings == ()
    found = vectors(tmp_path, peptide(), [r._replace(chain="X") for r in DATA])
    assert found.chains == ("A",) and "no chain X" in said(found)
    other = peptide(names=("GLY",) * 12).replace("END", "") + peptide(chains="B").replace(" A ", " B ")
    assert vectors(tmp_path, other).chains == ("B",)


def test_altlocs_insertions_and_odd_names(tmp_path: Path) -> None:
    text = peptide()
    lines = []
    for line in text.split("\n"):
        if line[13:15] == "H " and " LYS A   5" in line:
            second = line[:16] + "B" + line[17:30] + "  99.000  99.000  99.000".rjust(24) + line[54:]
            lines += [line[:16] + "A" + line[17:], second]
        else:
            lines.append(line)
    found = vectors(tmp_path, "\n".join(lines))
    assert np.allclose(found.vectors, vectors(tmp_path, text).vectors)
    found = vectors(
        tmp_path, text.replace("VAL", "MSE"), [r._replace(name="MET") if r.number == 6 else r for r in DATA]
    )
    assert found.findings == ()
    bare = "\n".join(x for x in text.split("\n") if x[13:15] in ("N ", "H ") or x[:3] in ("TER", "END"))
    found = vectors(tmp_path, bare)
    assert found.matched.all() and found.findings == () and len(SEQUENCE) == 12


def test_real_models(data_dir: Path) -> None:
    root = data_dir / "nmr"
    structure = read_structure(root / "synth_relax" / "sphere" / "uniform.pdb", strict=False)
    found = amide_vectors(structure, [Residue(n) for n in range(1, 31)])
    assert found.matched.all() and found.findings == ()
    assert np.allclose(found.vectors[0], [0, 0, -1]) and np.allclose(found.vectors[1], [0.745, 0, -0.667], atol=1e-3)
    ubq = read_structure(root / "ubiquitin" / "1ubq_H.pdb", strict=False)
    numbers = [r.seqid.num for r in ubq.hierarchy[0][0] if r.name != "PRO"][1:76]
    with_h = amide_vectors(ubq, [Residue(int(n or 0)) for n in numbers])
    placed = amide_vectors(ubq.without_hydrogens(), [Residue(int(n or 0)) for n in numbers])
    both = with_h.matched & placed.matched
    cosine = np.sum(with_h.vectors * placed.vectors, axis=1)[both]
    assert both.sum() >= 68 and np.degrees(np.arccos(np.clip(np.median(cosine), -1, 1))) < 3.0
