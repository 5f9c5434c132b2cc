"""Molecules of a frame: those that lie together, made whole across the faces of a cell."""

from __future__ import annotations

import numpy as np
import pytest

from consilience.frames.molecules import DROPLET, droplet

WATER = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
BOX = 12.4 * np.eye(3)
PERIODIC = np.ones(3, bool)


@pytest.fixture
def liquid() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """64 waters on a lattice, turned at random, every atom put back into the cell on its own."""
    rng = np.random.default_rng(0)
    turns = np.linalg.qr(rng.standard_normal((64, 3, 3)))[0]
    centres = 3.1 * np.stack(np.meshgrid(*3 * [np.arange(4)], indexing="ij"), -1).reshape(-1, 3)
    x = (centres[:, None] + np.einsum("ac,kcd->kad", WATER, turns)).reshape(-1, 3)
    return np.tile([8, 1, 1], 64), x % 12.4, centres


def _whole(rows: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Distances O-H of molecules, whose rows must stand together."""
    assert np.array_equal(rows.reshape(-1, 3), rows[::3, None] + np.arange(3))
    return np.linalg.norm(x.reshape(-1, 3, 3)[:, 1:] - x.reshape(-1, 3, 3)[:, :1], axis=-1)


def test_a_droplet_of_a_liquid_is_whole_and_compact(liquid) -> None:
    """Eight waters of 64, none cut by a face of the cell, all of them neighbours; moved over the faces, the same."""
    numbers, x, _ = liquid
    assert np.abs(np.diff(x.reshape(-1, 3, 3), axis=1)).max() > 6  # some are cut
    rows, at = droplet(numbers, x, BOX, PERIODIC)
    assert len(rows) == DROPLET
    assert _whole(rows, at) == pytest.approx(np.tile(np.linalg.norm(WATER[1:], axis=1), (8, 1)), abs=1e-6)
    oxygens = at[::3]
    apart = np.linalg.norm(oxygens[:, None] - oxygens, axis=-1) + 99 * np.eye(8)
    assert apart.min(1).max() < 4.5
    steps = (at - x[rows]) / 12.4
    assert np.allclose(steps, np.round(steps))  # images of the same atoms
    again, moved = droplet(numbers, (x + 5.0) % 12.4, BOX, PERIODIC)
    assert np.array_equal(again, rows)
    assert moved - moved[0] == pytest.approx(at - at[0], abs=1e-9)


def test_the_largest_molecule_comes_first(liquid) -> None:
    """A solute of more atoms than any other is in the droplet wherever its rows stand."""
    numbers, x, _ = liquid
    far = np.array([[0.0, 0.0, 100.0], [1.2, 0.0, 100.0], [0.0, 1.1, 100.0], [-0.6, -0.9, 100.0]])  # H2CO, roughly
    rows, at = droplet(np.append(numbers, [6, 8, 1, 1]), np.concatenate([x, far]))
    assert set(range(192, 196)) <= set(rows.tolist())
    assert np.array_equal(at[np.searchsorted(rows, 192) :], far)


def test_a_network_without_end_stays_as_it_is() -> None:
    """Every molecule of a covalent crystal is endless: its frame is not cut."""
    basis = np.array([[0, 0, 0], [0, 2, 2], [2, 0, 2], [2, 2, 0], [1, 1, 1], [1, 3, 3], [3, 1, 3], [3, 3, 1]]) / 4
    x = 3.57 * basis
    rows, at = droplet(np.full(8, 6), x, 3.57 * np.eye(3), PERIODIC)
    assert np.array_equal(rows, np.arange(8)) and np.array_equal(at, x)


def test_all_of_few_molecules_are_gathered() -> None:
    """Two waters that a face of the cell parts are put together; nothing is left out."""
    x = np.concatenate([WATER + np.array([0.2, 3, 3]), WATER + np.array([11.0, 3, 3])]) % 12.4
    rows, at = droplet(np.tile([8, 1, 1], 2), x, BOX, PERIODIC)
    assert np.array_equal(rows, np.arange(6))
    assert np.ptp(at[:, 0]) < 4
