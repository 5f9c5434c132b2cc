"""Rates follow the directions of their own N-H, and only those."""

from __future__ import annotations

import numpy as np

from consilience.nmr.data import Column
from consilience.nmr.directions import follow_directions

COLUMNS = (Column("R1", 600.0), Column("R2", 600.0), Column("NOE", 600.0))


def rates(nh: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """R1, R2, NOE whose log(R2/R1) falls with the local diffusion about z by some 30 %."""
    ratio = 6.0 * np.exp(-0.3 * nh[:, 2] ** 2)
    r1 = 1.4 * np.ones(len(nh))
    return np.stack([r1, ratio * r1 * (1 + noise * rng.normal(size=len(nh))), 0.8 * r1], axis=1)


def test_own_directions_and_others() -> None:
    rng = np.random.default_rng(0)
    nh = rng.normal(size=(30, 3))
    nh /= np.linalg.norm(nh, axis=1, keepdims=True)
    value = rates(nh, 0.03, rng)
    seen = np.ones(value.shape, bool)
    own = follow_directions(value, seen, COLUMNS, nh)
    assert own is not None and own <= 0.005
    others = [follow_directions(value[rng.permutation(30)], seen, COLUMNS, nh, k) for k in range(40)]
    assert (
        np.mean([p is not None and p < 0.02 for p in others]) < 0.1 and 0.3 < np.median(np.array(others, float)) < 0.7
    )
    value[3, 1] *= 4.0  # exchange
    assert (again := follow_directions(value, seen, COLUMNS, nh)) is not None and again < 0.01


def test_too_few_residues_or_rates_say_nothing() -> None:
    rng = np.random.default_rng(1)
    nh = np.eye(3)[rng.integers(3, size=20)]
    value = rates(nh, 0.03, rng)
    seen = np.ones(value.shape, bool)
    seen[5:, 1] = False
    assert follow_directions(value, seen, COLUMNS, nh) is None
    assert follow_directions(value[:, 1:], seen[:, 1:], COLUMNS[1:], nh) is None
