"""The molecules of a frame: how many, and some of them that lie together."""

from __future__ import annotations

import numpy as np
from scipy.sparse.csgraph import breadth_first_order, connected_components

from consilience.frames.frames import Frames
from consilience.frames.geometry import MAX_FRAMES, bonded, distances, minimum_image

STRETCHED = 0.8  # of a distance: bonds of hot molecules are bonds
DROPLET = 24  # atoms


def pieces(frames: Frames, row: int) -> int:
    """How many molecules a frame without a cell has: atoms that chains of bonds join."""
    real = frames.mask[row]
    z, x = frames.numbers[None, row, real], frames.positions[None, row, real]
    joined = bonded(distances(x, z > 0, None, None), z, STRETCHED)[0]
    return int(connected_components(joined, directed=False, return_labels=False))


def usual_pieces(frames: Frames) -> int:
    """Of the median frame without a cell; 400 at most are looked at."""
    return int(np.median([pieces(frames, i) for i in range(min(len(frames), MAX_FRAMES))]))


def in_company(frames: Frames) -> bool:
    """Whether frames have cells, or most of them several molecules."""
    return frames.is_periodic or usual_pieces(frames) > 1


def droplet(
    numbers: np.ndarray, positions: np.ndarray, cell: np.ndarray | None = None, pbc: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Whole molecules that lie together, without their images: rows (m,) of a frame and their positions (m, 3), Å.

    The largest molecule, then nearest ones until they have some DROPLET atoms or no more are left. numbers (n,),
    positions (n, 3) Å, cell (3, 3) Å and pbc (3,) where periodic. A network without end is no molecule: the whole
    frame as it is.
    """
    whole = np.arange(len(positions)), positions
    away = positions[None] - positions[:, None]  # from row to column
    if cell is not None and pbc is not None and pbc.any():
        away = minimum_image(away[None], cell[None], pbc[None])[0]
    r = np.linalg.norm(away, axis=-1)
    np.fill_diagonal(r, np.inf)
    joined = bonded(r[None], numbers[None], STRETCHED)[0]
    _, label = connected_components(joined, directed=False)
    at = np.array(positions, float)
    rows = np.zeros(0, int)
    first = int(np.argmax(np.bincount(label)[label]))
    while True:
        more = _joined(first, joined, away, at)
        if more is None:
            return whole
        rows = np.sort(np.concatenate([rows, more]))
        rest = np.setdiff1d(whole[0], rows)
        if len(rows) >= DROPLET or not len(rest):
            return rows, at[rows]
        near = r[np.ix_(rows, rest)]
        i, j = np.unravel_index(np.argmin(near), near.shape)
        first = int(rest[j])
        at[first] = at[rows[i]] + away[rows[i], first]


def _joined(first: int, joined: np.ndarray, away: np.ndarray, at: np.ndarray) -> np.ndarray | None:
    """Rows of the molecule of atom `first`, put into `at` bond by bond; None where it meets its own image."""
    order, before = breadth_first_order(joined, first, directed=False)
    for k in order[1:]:
        at[k] = at[before[k]] + away[before[k], k]
    a, b = (order[i] for i in np.nonzero(joined[np.ix_(order, order)]))
    return order if np.allclose(at[b] - at[a], away[a, b], atol=1e-3) else None
