"""How many molecules a frame has."""

from __future__ import annotations

import numpy as np
from scipy.sparse.csgraph import connected_components

from consilience.frames.frames import Frames
from consilience.frames.geometry import MAX_FRAMES, bonded, distances

STRETCHED = 0.8  # of a distance: bonds of hot molecules are bonds


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
