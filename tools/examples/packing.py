"""Packs one rigid molecule into a crystal of given space group and volume, and finds places for solvent."""

from __future__ import annotations

from collections.abc import Callable

import gemmi
import numpy as np
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

_NEAR = 4.0  # Å; heavy atoms of neighbouring molecules closer than this are pushed apart


def hexagonal_cell(a: float, volume: float) -> gemmi.UnitCell:
    """Hexagonal cell of the given a (Å) and volume (Å^3)."""
    return gemmi.UnitCell(a, a, volume / (a * a * np.sqrt(0.75)), 90, 90, 120)


def _overlap_energy(
    points: np.ndarray, near: float, sg: gemmi.SpaceGroup, volume: float
) -> Callable[[np.ndarray], float]:
    """Energy of a rigid molecule (points (n, 3), centred) by rotation vector, fractional centre and ln a."""
    ops = [(np.array(op.rot) / op.DEN, np.array(op.tran) / op.DEN) for op in sg.operations()]
    lattice = np.array([(i // 9 - 1, i // 3 % 3 - 1, i % 3 - 1) for i in range(27)], float)
    radius = np.linalg.norm(points, axis=1).max()

    def energy(p: np.ndarray) -> float:
        cell = hexagonal_cell(float(np.exp(p[6])), volume)
        orth, frac = np.array(cell.orth.mat.tolist()), np.array(cell.frac.mat.tolist())
        x = Rotation.from_rotvec(p[:3]).apply(points)
        centre = p[3:6]
        total = 0.0
        for k, (rot, tran) in enumerate(ops):
            apart = rot @ centre + tran - centre
            turned = x @ (orth @ rot @ frac).T
            for shift in (apart - np.round(apart) + lattice) @ orth.T:
                if shift @ shift > (2 * radius + near) ** 2 or (k == 0 and not shift.any()):
                    continue
                y = turned + shift
                y = y[np.all((y > x.min(0) - near) & (y < x.max(0) + near), axis=1)]
                if len(y):
                    d2 = ((x[:, None] - y[None]) ** 2).sum(-1)
                    total += float(np.sum(np.maximum(near - np.sqrt(d2), 0.0) ** 2))
        return total

    return energy


def pack(
    xyz: np.ndarray, coarse: np.ndarray, sg: gemmi.SpaceGroup, volume: float, seed: int, trials: int
) -> tuple[np.ndarray, float, float]:
    """Orientation and cell of least overlap: ((n, 3) Å coordinates in the crystal frame, a in Å, energy).

    `xyz` (n, 3): heavy atoms; `coarse` (m, 3): a few points per residue, used to screen random trials.
    """
    rng = np.random.default_rng(seed)
    origin = xyz.mean(0)
    screen = _overlap_energy(coarse - origin, 6.0, sg, volume)
    full = _overlap_energy(xyz - origin, _NEAR, sg, volume)
    a0 = np.log((volume / np.sqrt(0.75)) ** (1 / 3))
    starts = []
    for _ in range(trials):
        p = np.concatenate([Rotation.random(rng=rng).as_rotvec(), rng.random(3), [a0 + rng.uniform(-0.25, 0.25)]])
        starts.append((screen(p), p))
    starts.sort(key=lambda s: s[0])
    scale = np.array([0.2, 0.2, 0.2, 0.05, 0.05, 0.05, 0.04])
    best, best_energy = starts[0][1], np.inf
    for _, p in starts[:10]:
        q = p
        for energy, steps in ((screen, 150), (full, 250)):
            simplex = np.vstack([q, q + np.diag(scale)])
            out = minimize(energy, q, method="Nelder-Mead", options={"maxfev": steps, "initial_simplex": simplex})
            q = out.x
        if out.fun < best_energy:
            best, best_energy = q, float(out.fun)
    a = float(np.exp(best[6]))
    orth = np.array(hexagonal_cell(a, volume).orth.mat.tolist())
    return Rotation.from_rotvec(best[:3]).apply(xyz - origin) + orth @ best[3:6], a, best_energy
