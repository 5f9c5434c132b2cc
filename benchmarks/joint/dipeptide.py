"""Quantum chemistry of N-acetylalanine N-methylamide: frames for training, and conformers for crystals of known truth.

usage: python benchmarks/joint/dipeptide.py -o FOLDER [--starts N] [--pool N]      (needs tblite and NumPy only)

GFN2-xTB (Bannwarth et al., J. Chem. Theory Comput. 15 (2019) 1652). Writes frames.npz (R Å, Z, E eV, F eV/Å) from short
Langevin runs at 500 K out of random phi and psi, and pool.npz (R, Z, names): snapshots at 100 K near minima.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from tblite.interface import Calculator

HARTREE, BOHR, KB = 27.211386245981, 0.529177210544, 8.617333262e-5  # eV, Å, eV/K
FEMTOSECOND = 0.0982269  # in Å sqrt(amu/eV)
# residue, name, element, bonded to, angle to, torsion to, length Å, angle and torsion in degrees
TABLE = [
    ("ACE", "CH3", 6, -1, -1, -1, 0.0, 0.0, 0.0),
    ("ACE", "C", 6, 0, -1, -1, 1.51, 0.0, 0.0),
    ("ACE", "O", 8, 1, 0, -1, 1.23, 121.0, 0.0),
    ("ALA", "N", 7, 1, 0, 2, 1.34, 116.0, 180.0),
    ("ALA", "CA", 6, 3, 1, 0, 1.46, 122.0, 180.0),
    ("ALA", "C", 6, 4, 3, 1, 1.53, 111.0, np.nan),  # phi
    ("ALA", "O", 8, 5, 4, 3, 1.23, 120.5, np.inf),  # psi + 180
    ("ALA", "CB", 6, 4, 3, 5, 1.53, 110.0, -122.0),
    ("NME", "N", 7, 5, 4, 6, 1.34, 116.0, 180.0),
    ("NME", "C", 6, 8, 5, 4, 1.45, 122.0, 180.0),
    ("ACE", "H1", 1, 0, 1, 2, 1.09, 109.5, 0.0),
    ("ACE", "H2", 1, 0, 1, 2, 1.09, 109.5, 120.0),
    ("ACE", "H3", 1, 0, 1, 2, 1.09, 109.5, 240.0),
    ("ALA", "H", 1, 3, 4, 1, 1.01, 118.0, 180.0),
    ("ALA", "HA", 1, 4, 3, 5, 1.09, 108.0, 118.0),
    ("ALA", "HB1", 1, 7, 4, 3, 1.09, 109.5, 60.0),
    ("ALA", "HB2", 1, 7, 4, 3, 1.09, 109.5, 180.0),
    ("ALA", "HB3", 1, 7, 4, 3, 1.09, 109.5, 300.0),
    ("NME", "H", 1, 8, 9, 5, 1.01, 118.0, 180.0),
    ("NME", "H1", 1, 9, 8, 5, 1.09, 109.5, 60.0),
    ("NME", "H2", 1, 9, 8, 5, 1.09, 109.5, 180.0),
    ("NME", "H3", 1, 9, 8, 5, 1.09, 109.5, 300.0),
]
Z = np.array([row[2] for row in TABLE], np.int32)
MASSES = np.array([{1: 1.008, 6: 12.011, 7: 14.007, 8: 15.999}[int(z)] for z in Z])


def built(phi: float, psi: float) -> np.ndarray:
    """(22, 3) Å for torsions in degrees; the L enantiomer."""
    x = np.zeros((len(TABLE), 3))
    for i, (_, _, _, a, b, c, length, angle, torsion) in enumerate(TABLE):
        torsion = phi if np.isnan(torsion) else psi + 180 if np.isinf(torsion) else torsion
        t, w = np.radians(angle), np.radians(torsion)
        if i == 1:
            x[i] = [length, 0, 0]
        elif i == 2:
            x[i] = x[a] + length * np.array([-np.cos(t), np.sin(t), 0])
        elif i > 2:
            back, before = x[a] - x[b], x[b] - x[c]
            back = back / np.linalg.norm(back)
            normal = np.cross(before, back)
            normal /= np.linalg.norm(normal)
            across = np.cross(normal, back)
            x[i] = x[a] + length * (-np.cos(t) * back + np.sin(t) * (np.cos(w) * across + np.sin(w) * normal))
    return x


class Level:
    """Energies (eV) and forces (eV/Å); what converged last starts the next."""

    def __init__(self) -> None:
        self.calculator: Calculator | None = None
        self.last = None

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        if self.calculator is None:
            self.calculator = Calculator("GFN2-xTB", Z, x / BOHR)
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
    h, m = FEMTOSECOND, MASSES[:, None]
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--starts", type=int, default=150)
    parser.add_argument("--pool", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rng, level = np.random.default_rng(args.seed), Level()
    pool = []
    while (
        len(pool) < args.pool
    ):  # basins that alanine visits in proteins: beta, polyproline II, alpha (as C7 in vacuum)
        phi, psi = rng.normal([-85.0, rng.choice([80.0, 150.0])], 20.0)
        x = relaxed(level, built(phi, psi), 120)
        pool.append(langevin(level, x, 100.0, 100, rng, 100)[-1][0])
    names = np.array([f"{row[0]} {row[1]}" for row in TABLE])
    np.savez(args.out / "pool.npz", R=np.array(pool), Z=Z, names=names)
    frames = []
    for _ in range(args.starts):
        x = relaxed(level, built(*rng.uniform(-180, 180, 2)), 30)
        frames += langevin(level, x, 500.0, 40, rng, 4)
        np.savez(
            args.out / "frames.npz",
            R=np.array([f[0] for f in frames]),
            Z=Z,
            E=np.array([f[1] for f in frames]),
            F=np.array([f[2] for f in frames]),
        )


if __name__ == "__main__":
    main()
