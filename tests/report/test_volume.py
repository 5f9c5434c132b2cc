"""Cropping and quantising of maps: position, error bound, budget, refusals."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from consilience.report.volume import NOTHING, crop_map


def positions(volume) -> np.ndarray:
    index = np.stack(np.meshgrid(*(np.arange(n) for n in volume.codes.shape), indexing="ij"), axis=-1)
    return index @ volume.to_xyz[:, :3].T + volume.to_xyz[:, 3]


@pytest.fixture
def smooth(cell) -> gemmi.FloatGrid:
    """A band-limited random map: five waves per axis at most, in a triclinic cell."""
    rng = np.random.default_rng(2)
    shape = (40, 36, 44)
    terms = np.zeros(shape, complex)
    for _ in range(60):
        terms[tuple(rng.integers(-5, 6, 3))] += rng.normal() + 1j * rng.normal()
    grid = gemmi.FloatGrid(np.fft.ifftn(terms).real.astype(np.float32), cell, gemmi.SpaceGroup("P 1"))
    return grid


def test_block_holds_the_map_at_its_place_within_half_a_step(smooth):
    coords = np.array([[3.0, 2.0, 5.0], [-9.0, 31.0, 8.0]])  # one of them outside the cell
    volume = crop_map(smooth, coords, margin=4.0)
    xyz, density = positions(volume), volume.density()
    distance = np.min(np.linalg.norm(xyz[..., None, :] - coords, axis=-1), axis=-1)
    inside = distance <= 4.0
    assert np.array_equal(inside, np.isfinite(density))
    assert np.all(volume.codes[~inside] == NOTHING)
    expected = np.array([smooth.interpolate_value(gemmi.Position(*p), order=1) for p in xyz[inside]])
    near = np.abs(expected - volume.offset) < 7.9 * volume.sigma
    assert near.mean() > 0.99
    assert np.abs(density[inside] - expected)[near].max() <= volume.step / 2 + 2e-6 * volume.sigma
    assert volume.step == pytest.approx(8 * np.array(smooth.array).std() / 127, rel=1e-6)


def test_array_and_grid_give_the_same(smooth, cell):
    coords = np.array([[3.0, 2.0, 5.0]])
    a, b = crop_map(smooth, coords), crop_map(np.array(smooth.array), coords, cell)
    assert np.array_equal(a.codes, b.codes) and np.array_equal(a.to_xyz, b.to_xyz)


@pytest.mark.parametrize("budget", [20_000, 4_000, 300])
def test_budget_is_kept(smooth, budget):
    coords = np.random.default_rng(3).uniform(0, 20, (40, 3))
    volume = crop_map(smooth, coords, max_bytes=budget)
    assert len(volume.packed()) <= budget
    density = volume.density()
    inside = np.isfinite(density)
    expected = np.array([smooth.interpolate_value(gemmi.Position(*p), order=3) for p in positions(volume)[inside]])
    assert np.corrcoef(density[inside], expected)[0, 1] > 0.95


def test_impossible_budget_is_refused(smooth):
    with pytest.raises(ValueError, match="does not fit"):
        crop_map(smooth, np.random.default_rng(3).uniform(0, 20, (40, 3)), max_bytes=10)


@pytest.mark.parametrize(
    ("values", "coords", "with_cell", "match"),
    [
        (np.full((4, 4, 4), np.nan), np.zeros((1, 3)), True, "finite"),
        (np.zeros((4, 4)), np.zeros((1, 3)), True, "3-D"),
        (np.zeros((4, 4, 4)), np.zeros((0, 3)), True, "at least one"),
        (np.zeros((4, 4, 4)), np.full((1, 3), np.inf), True, "finite"),
        (np.zeros((4, 4, 4)), np.zeros((1, 3)), False, "unit cell"),
    ],
)
def test_bad_maps_are_refused(values, coords, with_cell, match, cell):
    with pytest.raises(ValueError, match=match):
        crop_map(values, coords, cell if with_cell else None)


def test_a_flat_map_stays_flat(cell):
    volume = crop_map(np.full((8, 8, 8), 2.5), np.ones((1, 3)), cell)
    assert np.nanmax(np.abs(volume.density() - 2.5)) == 0.0
