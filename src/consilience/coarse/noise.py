"""Noise of bead forces: what no function of the bonded geometry explains on trajectories that were left out.

The mean square of F - f(R), with f a site-specific sum of polynomials of bond lengths and angles and Fourier terms of
dihedrals (linear least squares on forces, cross-validated over trajectories), bounds the noise <|F - <F|R>|²> from
above; the bonded terms hold nearly all that beads can explain, so the bound is close.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve

from consilience.coarse.beads import Beads, runs
from consilience.coarse.forcemap import folds

WINDOW = 40  # beads that are fitted together; longer chains are looked at in windows
_POWERS, _WAVES = 4, 3
_RIDGES = (1e-6, 1e-4, 1e-2)
_CHUNK = 30_000  # rows of the design


def residual_noise(beads: Beads, most_frames: int = 3000) -> float | None:
    """Root mean square residual, eV/Å, over frames left out; None where there are too few frames to say.

    Frames of one temperature (the most frequent), at most `most_frames` evenly chosen.
    """
    if beads.forces is None or len(beads.residues) < 3:
        return None
    values, counts = np.unique(np.round(beads.temperature), return_counts=True)
    rows = np.flatnonzero(np.abs(beads.temperature - values[np.argmax(counts)]) < 0.51)
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), most_frames)).astype(int))]
    n = len(beads.residues)
    starts = [0] if n <= WINDOW else sorted({0, (n - WINDOW) // 2, n - WINDOW})
    total, count = 0.0, 0
    for start in starts:
        square, size = _window(beads.select(rows), np.arange(start, min(n, start + WINDOW)), n)
        total, count = total + square, count + size
    return float(np.sqrt(total / count)) if count else None


def _window(beads: Beads, chosen: np.ndarray, n: int) -> tuple[float, int]:
    """Sum of squared residuals and their number for the inner beads of a window."""
    assert beads.forces is not None
    inner = np.ones(len(chosen), bool)
    if chosen[0] > 0:
        inner[:3] = False
    if chosen[-1] < n - 1:
        inner[-3:] = False
    x, f = beads.positions[:, chosen], beads.forces[:, chosen][:, inner]
    chain, number = beads.chain[chosen], beads.number[chosen]
    design = _Design(x, chain, number)
    if design.columns == 0 or len(x) * f.shape[1] * 3 < 4 * design.columns:
        return 0.0, 0
    parts = folds(beads.trajectory)
    moments = []
    for rows in parts:
        a, b, c = np.zeros((design.columns, design.columns)), np.zeros(design.columns), 0.0
        step = max(1, _CHUNK // (3 * len(chosen)))
        for k in range(0, len(rows), step):
            some = rows[k : k + step]
            m = design(x[some])[:, inner].reshape(-1, design.columns)
            y = f[some].reshape(-1)
            a, b, c = a + m.T @ m, b + m.T @ y, c + float(y @ y)
        moments.append((a, b, c))
    if len(moments) < 2:
        return 0.0, 0
    total_a, total_b = sum(m[0] for m in moments), sum(m[1] for m in moments)
    squares = []
    for ridge in _RIDGES:
        square = 0.0
        for a, b, c in moments:
            diagonal = np.maximum(np.diag(total_a - a), 1e-30)
            theta = solve(total_a - a + np.diag(ridge * diagonal), total_b - b, assume_a="pos", check_finite=False)
            square += c - 2 * float(b @ theta) + float(theta @ a @ theta)
        squares.append(square)
    return min(squares), len(x) * f.shape[1] * 3


class _Design:
    """Forces of every basis function: -d phi / d x, (f, n, 3, columns)."""

    def __init__(self, x: np.ndarray, chain: np.ndarray, number: np.ndarray):
        self.pairs, self.triples, self.fours = (runs(chain, number, k) for k in (2, 3, 4))
        self.columns = _POWERS * (len(self.pairs) + len(self.triples)) + 2 * _WAVES * len(self.fours)
        self.bond = np.linalg.norm(x[:, self.pairs[:, 1]] - x[:, self.pairs[:, 0]], axis=-1).mean(0)
        self.cosine = _angle(x, self.triples)[0].mean(0)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        out = np.zeros((*x.shape, self.columns))
        at = 0
        d = x[:, self.pairs[:, 1]] - x[:, self.pairs[:, 0]]
        r = np.linalg.norm(d, axis=-1)
        pull = d / r[..., None]
        at = self._put(out, at, r - self.bond, self.pairs, (-pull, pull))
        cosine, gradients = _angle(x, self.triples)
        at = self._put(out, at, cosine - self.cosine, self.triples, gradients)
        phi, gradients = _dihedral(x, self.fours)
        for m, four in enumerate(self.fours):
            for k in range(1, _WAVES + 1):
                for slope in (-k * np.sin(k * phi[:, m]), k * np.cos(k * phi[:, m])):
                    for atom, g in zip(four, gradients, strict=True):
                        out[:, atom, :, at] -= slope[:, None] * g[:, m]
                    at += 1
        return out

    def _put(self, out: np.ndarray, at: int, q: np.ndarray, members: np.ndarray, gradients: tuple[np.ndarray, ...]):
        for m, atoms in enumerate(members):
            for k in range(1, _POWERS + 1):
                slope = k * q[:, m] ** (k - 1)
                for atom, g in zip(atoms, gradients, strict=True):
                    out[:, atom, :, at] -= slope[:, None] * g[:, m]
                at += 1
        return at


def _angle(x: np.ndarray, triples: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Cosines (f, m) of angles and their gradients with respect to the three beads."""
    a, b = x[:, triples[:, 0]] - x[:, triples[:, 1]], x[:, triples[:, 2]] - x[:, triples[:, 1]]
    ra, rb = np.linalg.norm(a, axis=-1)[..., None], np.linalg.norm(b, axis=-1)[..., None]
    cosine = np.einsum("fmk,fmk->fm", a, b)[..., None] / (ra * rb)
    ga, gb = b / (ra * rb) - cosine * a / ra**2, a / (ra * rb) - cosine * b / rb**2
    return cosine[..., 0], (ga, -ga - gb, gb)


def _dihedral(x: np.ndarray, fours: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Dihedral angles (f, m) and their gradients with respect to the four beads (Blondel & Karplus 1996)."""
    i, j, k, l = (x[:, fours[:, c]] for c in range(4))
    f, g, h = i - j, j - k, l - k
    a, b = np.cross(f, g), np.cross(h, g)
    length = np.linalg.norm(g, axis=-1)[..., None]
    aa, bb = ((v * v).sum(-1, keepdims=True) + 1e-12 for v in (a, b))
    phi = np.arctan2(np.einsum("fmk,fmk->fm", np.cross(b, a), g) / length[..., 0], np.einsum("fmk,fmk->fm", a, b))
    gi, gl = -length * a / aa, length * b / bb
    s = (f * g).sum(-1, keepdims=True) / (aa * length) * a - (h * g).sum(-1, keepdims=True) / (bb * length) * b
    return phi, (gi, -gi + s, -gl - s, gl)
