"""Start models for refinement benchmarks: no hydrogens, no ANISOU, a Gaussian shake of the coordinates, all B equal."""

from __future__ import annotations

import argparse
from pathlib import Path

import gemmi
import numpy as np


def shake(model: gemmi.Structure, seed: int, rms: float = 0.25, b_iso: float = 30.0) -> gemmi.Structure:
    """A shaken copy: `rms` (Å) is that of the whole displacement, so each coordinate moves by rms / sqrt(3).

    Occupancies above one, which some programs refuse, are set to one.
    """
    start = model.clone()
    start.remove_hydrogens()
    atoms = list(start[0].all())
    steps = np.random.default_rng(seed).standard_normal((len(atoms), 3)) * rms / np.sqrt(3)
    for place, step in zip(atoms, steps, strict=True):
        atom = place.atom
        atom.pos += gemmi.Position(*step)
        atom.b_iso = b_iso
        atom.aniso = gemmi.SMat33f(0, 0, 0, 0, 0, 0)
        atom.occ = min(atom.occ, 1.0)
    return start


def difference(a: gemmi.Structure, b: gemmi.Structure) -> float:
    """Largest difference of a coordinate (Å), B or occupancy of the same atoms in two models."""
    table = [
        np.array([[*p.atom.pos.tolist(), p.atom.b_iso, p.atom.occ] for p in s[0].all()], dtype=float) for s in (a, b)
    ]
    return float(np.abs(table[0] - table[1]).max()) if table[0].shape == table[1].shape else float("inf")


def write_shaken(case: Path, seed: int, out: Path) -> Path:
    """Write the shaken start of a case folder (model.pdb) as a PDB file."""
    shake(gemmi.read_structure(str(case / "model.pdb")), seed).write_pdb(str(out))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", type=Path, help="folder with model.pdb")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args()
    write_shaken(args.case, args.seed, args.out)
    reference = args.case / "start_shaken.pdb"
    if args.seed == 1 and reference.exists():
        largest = difference(gemmi.read_structure(str(args.out)), gemmi.read_structure(str(reference)))
        print(f"largest difference from {reference.name}: {largest:.4f}")


if __name__ == "__main__":
    main()
