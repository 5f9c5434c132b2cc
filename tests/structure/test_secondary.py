"""Helices and strands from backbone torsions and CA distances: a helix hairpin, and ubiquitin's sheet."""

from __future__ import annotations

from pathlib import Path

from consilience.examples import example_path
from consilience.structure.read import read_structure
from consilience.structure.secondary import secondary_structure


def runs(kinds: dict[tuple[str, int], str], kind: str) -> list[tuple[int, int]]:
    numbers = [n for (_, n), k in kinds.items() if k == kind]
    starts = [n for n in numbers if n - 1 not in numbers]
    ends = [n for n in numbers if n + 1 not in numbers]
    return list(zip(starts, ends, strict=True))


def test_two_helices_and_their_loop():
    kinds = secondary_structure(read_structure(example_path("crystal/true.pdb")))
    assert {c for c, _ in kinds} == {"A"} and "strand" not in kinds.values()
    (a, b), (c, d) = runs(kinds, "helix")
    assert a <= 4 and 14 <= b <= 18 and 20 <= c <= 24 and d >= 35


def test_ubiquitin(data_dir: Path):
    """PDB 1UBQ: strands 1-7, 10-17, 40-45, 48-49, 66-72, helices 23-34 and 56-59 (Vijay-Kumar et al. 1987)."""
    kinds = secondary_structure(read_structure(data_dir / "nmr" / "ubiquitin" / "1ubq_H.pdb"))
    (helix, _) = runs(kinds, "helix")
    assert abs(helix[0] - 23) <= 1 and abs(helix[1] - 34) <= 1
    strands = runs(kinds, "strand")
    assert len(strands) == 5
    for found, known in zip(strands, ((1, 7), (10, 17), (40, 45), (48, 51), (66, 72)), strict=True):
        assert abs(found[0] - known[0]) <= 2 and abs(found[1] - known[1]) <= 2, (found, known)
