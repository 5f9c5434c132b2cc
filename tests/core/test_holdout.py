"""Hold-out sets: reproducible, whole groups, folds of equal size."""

from __future__ import annotations

import numpy as np
import pytest

from consilience.core.holdout import folds, group_split, random_split


def test_splits() -> None:
    free = random_split(10_000, 0.05, seed=3)
    assert 0.04 < free.mean() < 0.06
    np.testing.assert_array_equal(free, random_split(10_000, 0.05, seed=3))
    assert np.bincount(folds(103, 5)).tolist() == [21, 21, 21, 20, 20]
    proteins = np.array(["a", "b", "a", "c"])
    np.testing.assert_array_equal(group_split(proteins, ["a"]), [True, False, True, False])
    with pytest.raises(ValueError, match="no observations of q"):
        group_split(proteins, ["q"])
