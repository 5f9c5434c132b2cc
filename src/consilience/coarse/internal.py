"""Internal coordinates of beads over frames: distances, angles, dihedrals, gyration, RMSD after superposition."""

from __future__ import annotations

import numpy as np


def lengths(x: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """(f, m) Å: distances of pairs (m, 2) in x (f, n, 3)."""
    return np.linalg.norm(x[:, pairs[:, 1]] - x[:, pairs[:, 0]], axis=-1)


def angles(x: np.ndarray, triples: np.ndarray) -> np.ndarray:
    """(f, m) rad in [0, pi]: angles at the middle one of triples (m, 3)."""
    a = x[:, triples[:, 0]] - x[:, triples[:, 1]]
    b = x[:, triples[:, 2]] - x[:, triples[:, 1]]
    return np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), np.einsum("fmk,fmk->fm", a, b))


def dihedrals(x: np.ndarray, fours: np.ndarray) -> np.ndarray:
    """(f, m) rad in (-pi, pi]: dihedral angles of fours (m, 4), 0 for cis, positive clockwise (IUPAC)."""
    i, j, k, l = (x[:, fours[:, c]] for c in range(4))
    b1, b2, b3 = j - i, k - j, l - k
    n1, n2 = np.cross(b1, b2), np.cross(b2, b3)
    y = np.einsum("fmk,fmk->fm", np.cross(n1, n2), b2) / np.maximum(np.linalg.norm(b2, axis=-1), 1e-12)
    return np.arctan2(y, np.einsum("fmk,fmk->fm", n1, n2))


def gyration(x: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """(f,) Å: radius of gyration, sqrt(sum m |r - r_cm|² / sum m)."""
    w = masses / masses.sum()
    d = x - np.einsum("n,fnk->fk", w, x)[:, None]
    return np.sqrt(np.einsum("n,fnk,fnk->f", w, d, d))


def rmsd(x: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """(f,) Å: smallest root mean square deviation from reference (n, 3) over rotations and translations.

    By the singular values of the covariance (Kabsch 1976): no rotation is made.
    """
    a, b = x - x.mean(1, keepdims=True), reference - reference.mean(0)
    covariance = np.einsum("fnk,nl->fkl", a, b)
    values = np.linalg.svd(covariance, compute_uv=False)
    values[:, 2] *= np.sign(np.linalg.det(covariance))
    square = (a**2).sum((1, 2)) + (b**2).sum() - 2 * values.sum(1)
    return np.sqrt(np.maximum(square, 0.0) / len(b))
