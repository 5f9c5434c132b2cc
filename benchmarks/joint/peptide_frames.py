"""Quantum chemistry of N-acetyl-(alanine)n-N-methylamide: frames for training, and conformers as truth of crystals.

usage: python benchmarks/joint/peptide_frames.py -o FOLDER [--residues N] [--starts N] [--pool N]
(needs tblite and NumPy only)

GFN2-xTB (Bannwarth et al., J. Chem. Theory Comput. 15 (2019) 1652). Writes frames.npz (R Å, Z, E eV, F eV/Å) from short
Langevin runs at 500 K out of random phi and psi, pool.npz (R, Z, names): snapshots at 100 K near minima, and other.npz
(as frames.npz): nitromethane, the wrong molecule of the same elements.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from peptide import Peptide, built, peptide
from tblite.interface import Calculator

HARTREE, BOHR, KB = 27.211386245981, 0.529177210544, 8.617333262e-5  # eV, Å, eV/K
FEMTOSECOND = 0.0982269  # in Å sqrt(amu/eV)
MASS = {1: 1.008, 6: 12.011, 7: 14.007, 8: 15.999}
BASINS = np.array([[-65.0, -40.0], [-75.0, 150.0], [-120.0, 130.0], [-85.0, 80.0]])  # of alanine, phi and psi


class Level:
    """Energies (eV) and forces (eV/Å), in a cell (3, 3) Å if there is one; what converged last starts the next."""

    def __init__(self, numbers: np.ndarray, method: str = "GFN2-xTB", cell: np.ndarray | None = None) -> None:
        self.numbers, self.method, self.cell = numbers, method, cell
        self.calculator: Calculator | None = None
        self.last = None

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        if self.calculator is None:
            lattice = {} if self.cell is None else {"lattice": self.cell / BOHR, "periodic": np.ones(3, bool)}
            self.calculator = Calculator(self.method, self.numbers, x / BOHR, **lattice)
            self.calculator.set("verbosity", 0)
        self.calculator.update(x / BOHR)
        done = self.last = self.calculator.singlepoint(self.last)
        return float(done.get("energy")) * HARTREE, -np.asarray(done.get("gradient")) * HARTREE / BOHR


def relaxed(level: Level, x: np.ndarray, steps: int) -> np.ndarray:
    """Steepest descent with momentum (FIRE) for some steps, no atom by more than 0.1 Å in one."""
    v, dt, mix = np.zeros_like(x), 0.05, 0.1
    for _ in range(steps):
        f = level(x)[1]
        power = float(np.sum(f * v))
        if power > 0:
            v = (1 - mix) * v + mix * f * np.linalg.norm(v) / np.linalg.norm(f)
            dt, mix = min(dt * 1.1, 0.2), mix * 0.99
        else:
            v, dt, mix = np.zeros_like(x), dt * 0.5, 0.1
        v = v + dt * f
        x = x + np.clip(dt * v, -0.1, 0.1)
    return x


def langevin(level: Level, x: np.ndarray, temperature: float, steps: int, rng: np.random.Generator, every: int):
    """Frames of a Langevin run with steps of 1 fs and friction 0.02 / fs: list of (x, E, F)."""
    h, m = FEMTOSECOND, np.array([MASS[int(z)] for z in level.numbers])[:, None]
    spread = np.sqrt(KB * temperature / m)
    v = spread * rng.normal(size=x.shape)
    keep = np.exp(-0.02)
    energy, f = level(x)
    out = []
    for step in range(1, steps + 1):
        v = v + 0.5 * h * f / m
        x = x + 0.5 * h * v
        v = keep * v + np.sqrt(1 - keep**2) * spread * rng.normal(size=x.shape)
        x = x + 0.5 * h * v
        energy, f = level(x)
        v = v + 0.5 * h * f / m
        if step % every == 0:
            out.append((x.copy(), energy, f.copy()))
    return out


def torsions(n: int, rng: np.random.Generator, wild: float) -> tuple[np.ndarray, np.ndarray]:
    """phi and psi (n,) of basins that alanine visits in proteins, a share of residues anywhere."""
    said = BASINS[rng.integers(len(BASINS), size=n)] + rng.normal(0, 20, (n, 2))
    anywhere = rng.uniform(-180, 180, (n, 2))
    return tuple(np.where(rng.random((n, 1)) < wild, anywhere, said).T)


def clear(molecule: Peptide, rng: np.random.Generator, wild: float) -> np.ndarray:
    """(atoms, 3) Å with random torsions in which heavy atoms of different residues keep 2.6 Å."""
    bonded = np.eye(molecule.heavy)
    for i, j in molecule.bonds:
        if max(i, j) < molecule.heavy:
            bonded[i, j] = bonded[j, i] = 1
    near = np.linalg.matrix_power(bonded, 4) > 0
    while True:
        x = built(molecule, *torsions(molecule.n, rng, wild))
        heavy = x[: molecule.heavy]
        d = np.linalg.norm(heavy[:, None] - heavy[None], axis=-1)
        if np.min(np.where(near, 9.0, d)) > 2.6:
            return x


NITROMETHANE = (
    np.array([6, 7, 8, 8, 1, 1, 1], np.int32),
    np.array([[0, 0, 0], [1.49, 0, 0], [2.05, 1.09, 0], [2.05, -1.09, 0], [-0.36, 0, 1.03], [-0.36, 0.89, -0.52],
              [-0.36, -0.89, -0.52]]),
)  # fmt: skip


def write_frames(path: Path, numbers: np.ndarray, frames: list) -> None:
    """npz with R (Å), Z, E (eV), F (eV/Å)."""
    x, energy, forces = (np.array([f[k] for f in frames]) for k in range(3))
    np.savez(path, R=x, Z=numbers, E=energy, F=forces)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--residues", type=int, default=3)
    parser.add_argument("--starts", type=int, default=80)
    parser.add_argument("--pool", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rng, (numbers, x) = np.random.default_rng(args.seed), NITROMETHANE
    level = Level(numbers)
    write_frames(args.out / "other.npz", numbers, langevin(level, relaxed(level, x, 100), 500.0, 4000, rng, 10))
    molecule = peptide(args.residues)
    level = Level(molecule.numbers)
    pool: list[np.ndarray] = []
    while len(pool) < args.pool:
        x = relaxed(level, clear(molecule, rng, 0.0), 150)
        pool.append(langevin(level, x, 100.0, 100, rng, 100)[-1][0])
    np.savez(args.out / "pool.npz", R=np.array(pool), Z=molecule.numbers, names=np.array(molecule.names))
    frames: list = []
    for _ in range(args.starts):
        x = relaxed(level, clear(molecule, rng, 0.2), 30)
        frames += langevin(level, x, 500.0, 40, rng, 8)
        write_frames(args.out / "frames.npz", molecule.numbers, frames)


if __name__ == "__main__":
    main()
