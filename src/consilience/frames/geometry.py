"""Distances within frames, and pairs of near frames of the same molecule laid on one another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from consilience.frames.elements import COVALENT

_FAR = 1e9
MAX_FRAMES = 400  # of one molecule, looked at for pairs
_CLOSE = 6  # nearest frames of each


def distances(x: np.ndarray, real: np.ndarray, cell: np.ndarray | None, pbc: np.ndarray | None) -> np.ndarray:
    """(f, n, n) Å: all distances in frames (f, n, 3), nearest image where periodic; 1e9 on the diagonal and padding.

    The nearest image is right for distances up to half the shortest height of the cell.
    """
    d = x[:, None] - x[:, :, None]
    if cell is not None and pbc is not None and pbc.any():
        d = minimum_image(d, cell, pbc)
    r = np.sqrt((d * d).sum(-1))
    r[:, np.arange(x.shape[1]), np.arange(x.shape[1])] = _FAR
    return np.where(real[:, :, None] & real[:, None, :], r, _FAR)


def minimum_image(d: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """Vectors d (f, ..., 3) moved by whole cell vectors (f, 3, 3) to the nearest image; cells without volume: as is."""
    volume = np.abs(np.linalg.det(cell))
    good = (volume > 1e-6) & pbc.any(1)
    safe = np.where(good[:, None, None], cell, np.eye(3))
    shape = (len(d), -1, 3)
    flat = d.reshape(shape)
    steps = np.round(np.einsum("fkc,fcd->fkd", flat, np.linalg.inv(safe))) * (pbc & good[:, None])[:, None]
    return (flat - np.einsum("fkc,fcd->fkd", steps, safe)).reshape(d.shape)


def blocks(f: int, n: int, most: int = 3_000_000) -> list[slice]:
    """Slices of frames so that (frames, n, n) stays below `most` numbers."""
    step = max(1, most // max(1, n * n))
    return [slice(i, i + step) for i in range(0, f, step)]


def bonded(r: np.ndarray, numbers: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """(f, n, n) bool: distances r (times `scale`) below 1.3 times the sum of covalent radii."""
    return r * scale < 1.3 * (COVALENT[numbers][:, :, None] + COVALENT[numbers][:, None, :])


@dataclass(frozen=True)
class Pairs:
    """Near frames a and b (k,) of one molecule: `moved` (k, n, 3) is b - a and `force` (k, n, 3) the mean of both
    forces, in the frame of a (b is turned onto a where nothing is periodic); `rmsd` (k,). `bend` (k,) >= 0: difference
    of the work by the forces of a and by those of b, the scale of what the mean of both may miss."""

    a: np.ndarray
    b: np.ndarray
    moved: np.ndarray
    force: np.ndarray
    rmsd: np.ndarray
    bend: np.ndarray


def near_pairs(
    numbers: np.ndarray,
    x: np.ndarray,
    forces: np.ndarray,
    usable: np.ndarray,
    cell: np.ndarray | None,
    pbc: np.ndarray | None,
    seed: int = 0,
) -> list[Pairs]:
    """For each molecule (frames of one row of numbers, 400 at most), pairs of each frame and its nearest."""
    rng = np.random.default_rng(seed)
    pbc = None if cell is None else pbc
    rows = np.flatnonzero(usable)
    if len(rows) < 2:
        return []
    _, kind = np.unique(numbers[rows], axis=0, return_inverse=True)
    kind = kind.ravel()
    out = []
    for k in np.argsort(-np.bincount(kind), kind="stable")[:8]:
        members = rows[kind == k]
        if len(members) < 2:
            continue
        if len(members) > MAX_FRAMES:
            members = np.sort(rng.choice(members, MAX_FRAMES, replace=False))
        n = int((numbers[members[0]] > 0).sum())
        pairs = _pairs(members, x[:, :n], forces[:, :n], cell, pbc, rng)
        if pairs is not None:
            out.append(pairs)
    return out


def _pairs(members, x, forces, cell, pbc, rng: np.random.Generator) -> Pairs | None:
    periodic = pbc is not None and bool(pbc[members].any())
    n = x.shape[1]
    if periodic:
        assert cell is not None and pbc is not None
        if np.ptp(cell[members], axis=0).max() > 1e-6:
            return None
        descriptor = x[members].reshape(len(members), -1)
    else:
        i, j = np.triu_indices(n, 1)
        if len(i) > 400:
            keep = rng.choice(len(i), 400, replace=False)
            i, j = i[keep], j[keep]
        descriptor = np.linalg.norm(x[members][:, i] - x[members][:, j], axis=-1)
    if descriptor.shape[1] == 0:
        return None
    square = (descriptor**2).sum(1)
    d2 = square[:, None] + square - 2 * descriptor @ descriptor.T
    np.fill_diagonal(d2, np.inf)
    close = min(_CLOSE, len(members) - 1)
    near = np.argpartition(d2, close - 1, axis=1)[:, :close]
    first = np.repeat(np.arange(len(members)), close)
    lo, hi = np.minimum(first, near.ravel()), np.maximum(first, near.ravel())
    lo, hi = np.unique(np.stack([lo, hi]), axis=1)
    a, b = members[lo], members[hi]
    xa, xb, fa, fb = x[a], x[b], forces[a], forces[b]
    if periodic:
        assert cell is not None and pbc is not None
        moved = minimum_image(xb - xa, cell[a], pbc[a])
    else:
        ca, cb = xa - xa.mean(1, keepdims=True), xb - xb.mean(1, keepdims=True)
        turn = superpose(cb, ca)
        moved = cb @ turn - ca
        fb = fb @ turn
    bend = np.abs(((fa - fb) * moved).sum((1, 2)))
    return Pairs(a, b, moved, (fa + fb) / 2, np.sqrt((moved**2).sum(-1).mean(-1)), bend)


def superpose(x: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """(k, 3, 3) rotations R with x @ R nearest to `onto` (k, n, 3), both centred (Kabsch 1976)."""
    u, _, vt = np.linalg.svd(np.swapaxes(x, 1, 2) @ onto)
    sign = np.linalg.det(u @ vt)
    u[:, :, 2] *= np.where(sign < 0, -1.0, 1.0)[:, None]
    return u @ vt
