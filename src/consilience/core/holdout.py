"""Hold-out: which observations nobody fits (free) and which only decisions see (steer), drawn with a fixed seed."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def random_split(count: int, share: float, seed: int = 0) -> np.ndarray:
    """(count,) bool, True for about `share` of the observations."""
    return np.random.default_rng(seed).random(count) < share


def group_split(groups: np.ndarray, held_out: Iterable) -> np.ndarray:
    """(n,) bool, True for observations whose group (residue, protein, trajectory) is held out as a whole.

    Raises ValueError for a group that does not occur.
    """
    wanted = list(held_out)
    missing = sorted({str(g) for g in wanted} - {str(g) for g in np.unique(groups)})
    if missing:
        raise ValueError(f"no observations of {', '.join(missing)}; there are {sorted({str(g) for g in groups})}")
    return np.isin(groups, wanted)


def folds(count: int, k: int, seed: int = 0) -> np.ndarray:
    """(count,) fold numbers 0..k-1 of equal size, shuffled: cross-validation within work where data are scarce."""
    out = np.arange(count) % k
    return np.random.default_rng(seed).permutation(out)
