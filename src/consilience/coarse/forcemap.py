"""Linear force maps: slice, basic and optimal, valid under constraints; the optimal one has the least variance.

A map F_I = sum_a W_Ia f_a has the mean force of the beads at every bead configuration where (1) sum_a W_Ia C_Ja is 1
for I = J and 0 otherwise, C being the map of positions, and (2) all atoms of a group that constraints hold rigid have
one weight (Ciccotti, Kapral & Vanden-Eijnden 2005; Noid et al. 2008): moving every atom a by W_Ia then moves bead I
alone and breaks no constraint, so no constraint force does work. Among the valid maps the optimal one minimises
<|F_I|²>, of which only the noise depends on W (Kraemer et al. 2023, J. Phys. Chem. Lett. 14, 3970).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from consilience.coarse.beadmap import BeadMap
from consilience.core.errors import InputError

Kind = Literal["slice", "basic", "optimal", "shared"]
RIDGES = tuple(10.0**k for k in (-6, -5, -4, -3, -2.5, -2, -1.5, -1, -0.5, 0))  # of the mean variance of a force
MOST_FOLDS = 5


@dataclass(frozen=True)
class ForceMap:
    """Weights (b, n) of the forces on n atoms; `ridge`: relative, as chosen by cross-validation (None: not fitted).

    `validated`: {ridge: mean square force on frames left out}, eV²/Å².
    """

    kind: Kind
    weights: np.ndarray
    ridge: float | None = None
    validated: dict[float, float] | None = None

    def __call__(self, forces: np.ndarray) -> np.ndarray:
        """Bead forces (f, b, 3) of atom forces (f, n, 3), float64."""
        out = np.empty((len(forces), len(self.weights), 3))
        for rows in _slices(forces):
            out[rows] = np.einsum("bn,fnk->fbk", self.weights, forces[rows].astype(float), optimize=True)
        return out


def slice_map(beads: BeadMap) -> ForceMap:
    """The bare force on the atoms of each bead: least squares weights of the position map (1 on CA for a CA map).

    Not valid where constraints act on these atoms; kept to compare with.
    """
    c = beads.weights
    return ForceMap("slice", np.linalg.solve(c @ c.T, c))


def basic_map(beads: BeadMap, groups: np.ndarray) -> ForceMap:
    """The valid map that involves the fewest atoms: those of each bead and all that is rigidly tied to them."""
    c = _grouped(beads.weights, groups)
    gram = c @ c.T
    _check_solvable(gram, beads)
    return ForceMap("basic", np.linalg.solve(gram, c)[:, groups])


def optimal_map(
    group_forces: np.ndarray,
    beads: BeadMap,
    groups: np.ndarray,
    temperature: np.ndarray,
    trajectory: np.ndarray,
    ridge: float | None = None,
) -> ForceMap:
    """The valid map of least variance, its ridge chosen by leaving out trajectories (or blocks of the only one).

    group_forces (f, g, 3): sums over rigid groups, any unit. Frames are weighted by 1/T.
    W = (C A^-1 C^T)^-1 C A^-1 with A the covariance of the forces on the groups plus the ridge.
    Raises InputError where constraints tie atoms of two beads together.
    """
    c = _grouped(beads.weights, groups)
    _check_solvable(c @ c.T, beads)
    parts = folds(trajectory)
    moments = [_moment(group_forces[p], temperature[p]) for p in parts]
    counts = np.array([len(p) for p in parts], float)
    total = sum(moments)
    assert isinstance(total, np.ndarray)
    scores: dict[float, float] | None = None
    if ridge is None:
        sums = dict.fromkeys(RIDGES, 0.0)
        for k, left_out in enumerate(moments):
            solve = _Ridge((total - left_out) / max(counts.sum() - counts[k], 1.0), c)
            for r in RIDGES:
                w = solve(r)
                sums[r] += float(np.einsum("bg,gh,bh->", w, left_out, w, optimize=True))
        scores = {r: v / (counts.sum() * len(c) * 3) for r, v in sums.items()}
        ridge = min(scores, key=scores.__getitem__)
    weights = _Ridge(total / counts.sum(), c)(ridge)
    return ForceMap("optimal", weights[:, groups], ridge, scores)


def check_valid(weights: np.ndarray, beads: BeadMap, groups: np.ndarray) -> float:
    """The largest deviation of a force map (b, n) from the two conditions of validity, 0 for a valid one."""
    identity = weights @ beads.weights.T - np.eye(len(weights))
    count = np.bincount(groups)
    mean = np.stack([np.bincount(groups, w) / count for w in weights])
    return float(max(np.abs(identity).max(), np.abs(weights - mean[:, groups]).max()))


def folds(trajectory: np.ndarray) -> list[np.ndarray]:
    """Indices of frames in 2 to 5 parts for cross-validation: whole trajectories, or blocks in time of a single one."""
    names, inverse = np.unique(trajectory, return_inverse=True)
    if len(names) == 1:
        return [p for p in np.array_split(np.arange(len(trajectory)), MOST_FOLDS) if len(p)]
    size = np.bincount(inverse)
    fold, load = np.zeros(len(names), int), np.zeros(min(MOST_FOLDS, len(names)))
    for k in np.argsort(-size, kind="stable"):
        fold[k] = int(np.argmin(load))
        load[fold[k]] += size[k]
    return [np.flatnonzero(fold[inverse] == k) for k in range(len(load))]


class _Ridge:
    """Solutions for many ridges from one eigendecomposition of the covariance."""

    def __init__(self, covariance: np.ndarray, c: np.ndarray):
        self.values, self.vectors = np.linalg.eigh(covariance)
        self.scale = max(float(self.values.mean()), 1e-300)
        self.c = c @ self.vectors

    def __call__(self, ridge: float) -> np.ndarray:
        inverse = 1.0 / (np.maximum(self.values, 0.0) + ridge * self.scale)
        top = self.c * inverse
        return np.linalg.solve(top @ self.c.T, top) @ self.vectors.T


def _moment(forces: np.ndarray, temperature: np.ndarray) -> np.ndarray:
    """(g, g): sum over frames of f f^T (300 K / T)."""
    g = forces.shape[1]
    out = np.zeros((g, g))
    for rows in _slices(forces):
        x = forces[rows] * np.sqrt(300.0 / temperature[rows])[:, None, None]
        flat = np.ascontiguousarray(x.transpose(0, 2, 1)).reshape(-1, g).astype(np.float32)
        out += flat.T @ flat
    return out


def _slices(x: np.ndarray) -> list[slice]:
    step = max(1, 4_000_000 // max(1, x.shape[1] * 3))
    return [slice(i, i + step) for i in range(0, len(x), step)]


def _grouped(weights: np.ndarray, groups: np.ndarray) -> np.ndarray:
    return np.stack([np.bincount(groups, w, groups.max() + 1) for w in weights])


def _check_solvable(gram: np.ndarray, beads: BeadMap) -> None:
    scale = np.sqrt(np.outer(np.diag(gram), np.diag(gram)))
    overlap = np.abs(gram / np.where(scale > 0, scale, 1.0)) - np.eye(len(gram))
    if np.diag(gram).min() > 0 and np.linalg.cond(gram) < 1e8:
        return
    i, j = np.unravel_index(int(overlap.argmax()), overlap.shape)
    found = f"beads {min(i, j)} ({beads.names[min(i, j)]}) and {max(i, j)} ({beads.names[max(i, j)]})"
    fix = "simulate with constraints on bonds to hydrogen only, or merge the beads"
    raise InputError("constraints tie the atoms of two beads together: there is no valid force map", "", found, fix=fix)
