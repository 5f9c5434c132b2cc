"""Edges of molecules, and a batch of molecules as flat arrays: what every engine is given, made outside the timings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Batch:
    """Flat arrays of m structures: z (n,), x (n, 3) Å, edges (2, e) centre and neighbour, frame (n,), sizes (m,)."""

    z: np.ndarray
    x: np.ndarray
    edges: np.ndarray
    frame: np.ndarray
    sizes: np.ndarray


def edges_within(x: np.ndarray, cutoff: float) -> np.ndarray:
    """Both directions of every pair within the cutoff, (2, e), sorted by the centre."""
    distance = np.linalg.norm(x[:, None] - x[None], axis=-1)
    near = (distance < cutoff) & ~np.eye(len(x), dtype=bool)
    return np.stack(np.nonzero(near))


def join(z: np.ndarray, frames: np.ndarray, edges: list[np.ndarray]) -> Batch:
    """Frames (m, n, 3) of one molecule z (n,) with the edges of each as one batch."""
    m, n = frames.shape[:2]
    shifted = np.concatenate([e + n * k for k, e in enumerate(edges)], 1)
    return Batch(np.tile(z, m), frames.reshape(-1, 3), shifted, np.repeat(np.arange(m), n), np.full(m, n))
