"""Neighbour lists against a brute force over many images, in open space, narrow cells and skewed ones."""

from __future__ import annotations

from collections import Counter
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from consilience.core.errors import InputError
from consilience.neighbours import (
    Box,
    Neighbours,
    all_pairs,
    heights,
    nearby,
    neighbour_matrix,
    pairs_within,
    periodic_images,
)

in_graph = jax.jit(pairs_within, static_argnums=(1, 2))
SKEW = np.array([[3.0, 0.0, 0.0], [1.1, 2.8, 0.0], [-0.9, 0.7, 3.3]])
CELLS = {
    "open": (None, (False, False, False)),
    "skewed": (SKEW, (True, True, True)),
    "a slab": (SKEW, (True, True, False)),
    "a wire": (SKEW, (False, True, False)),
    "wide": (4.0 * SKEW, (True, True, True)),  # the nearest image is the only one
}
CUTOFF = 4.0  # larger than the cell


def brute(x: np.ndarray, cutoff: float, cell, pbc) -> Counter:
    """All (i, j, vector) with 0 < |vector| < cutoff, by trying images far beyond what is needed."""
    found: Counter = Counter()
    steps = np.array(list(product(*(range(-9, 10) if p else range(1) for p in pbc))))
    shifts = np.zeros((1, 3)) if cell is None else steps @ cell
    for i, j in product(range(len(x)), repeat=2):
        d = x[j] + shifts - x[i]
        near = np.sum(d**2, 1) < cutoff**2
        if i == j:
            near &= steps.any(1)
        found.update((i, j, *np.round(v, 6) + 0.0) for v in d[near])
    return found


def listed(x: np.ndarray, lists: Neighbours) -> Counter:
    d = np.asarray(lists.vectors(jnp.asarray(x)))
    index, mask = np.asarray(lists.index), np.asarray(lists.mask)
    places = zip(*np.nonzero(mask), strict=True)
    return Counter((int(i), int(index[i, k]), *np.round(d[i, k], 6) + 0.0) for i, k in places)


def atoms(cell, n: int = 4, outside: bool = False) -> np.ndarray:
    rng = np.random.default_rng(1)
    if cell is None:
        return 6.0 * rng.uniform(size=(n, 3))
    return (rng.uniform(size=(n, 3)) + (rng.integers(-3, 4, (n, 3)) if outside else 0)) @ cell


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("outside", [False, True])
def test_lists_are_those_of_a_brute_force(name: str, outside: bool) -> None:
    cell, pbc = CELLS[name]
    x = atoms(cell, 12 if name == "wide" else 4, outside and cell is not None)
    if outside and cell is not None:  # atoms are moved in periodic directions only
        whole = np.floor(x @ np.linalg.inv(cell)) * ~np.array(pbc)
        x = x - whole @ cell
    expected = brute(x, CUTOFF, cell, pbc)
    assert max(expected.values()) == 1
    matrix = neighbour_matrix(x, CUTOFF, cell, pbc)
    assert listed(x, matrix) == expected
    assert not matrix.overflow
    box = None if cell is None else Box.of(cell, pbc, CUTOFF)
    slots = matrix.capacity
    graph = jax.jit(lambda y: nearby(y, CUTOFF, slots, box))(jnp.asarray(x))
    assert listed(x, graph) == expected
    assert not graph.overflow
    if not outside:
        images = None if cell is None else periodic_images(cell, pbc, CUTOFF)
        assert listed(x, in_graph(jnp.asarray(x), CUTOFF, slots, images)) == expected
    for lists in (matrix, graph):
        assert np.all(np.asarray(lists.index)[~np.asarray(lists.mask)] == np.nonzero(~np.asarray(lists.mask))[0])
        assert np.isfinite(lists.vectors(jnp.asarray(x))).all()
        assert np.all(np.linalg.norm(lists.vectors(jnp.asarray(x)), axis=-1) > 0)  # no zeros to divide by


@pytest.mark.parametrize("make", ["graph", "host"])
def test_a_list_that_does_not_fit_says_so(make: str) -> None:
    x = atoms(SKEW)
    need = neighbour_matrix(x, CUTOFF, SKEW, (True,) * 3).capacity

    def lists(slots: int) -> Neighbours:
        if make == "host":
            return neighbour_matrix(x, CUTOFF, SKEW, (True,) * 3, slots)
        box = Box.of(SKEW, (True,) * 3, CUTOFF)
        return jax.jit(lambda y: nearby(y, CUTOFF, slots, box))(jnp.asarray(x))

    assert not lists(need).overflow
    assert not lists(need + 3).overflow
    assert lists(need - 1).overflow
    assert lists(need - 1).capacity == need - 1


def test_a_deformed_list_has_the_vectors_of_the_deformed_crystal() -> None:
    x = atoms(SKEW)
    deform = np.eye(3) + 0.05 * np.random.default_rng(2).normal(size=(3, 3))
    lists = neighbour_matrix(x, CUTOFF, SKEW, (True,) * 3)
    mask = np.asarray(lists.mask)
    moved = np.asarray(lists.deformed(deform).vectors(jnp.asarray(x @ deform)))
    np.testing.assert_allclose(moved[mask], (np.asarray(lists.vectors(jnp.asarray(x))) @ deform)[mask], atol=1e-12)
    assert all_pairs(3).deformed(deform).shift is None


def test_images_that_are_needed_are_there() -> None:
    """A skewed cell has images nearer than its vectors are long; heights count, not lengths."""
    cell = np.array([[2.0, 0, 0], [9.0, 2.0, 0], [0, 0, 5.0]])
    assert heights(cell) == pytest.approx([2.0 * 2.0 * 5 / np.linalg.norm(np.cross(cell[1], cell[2])), 2.0, 5.0])
    x = np.array([[0.1, 0.1, 0.1], [10.0, 1.9, 4.9]])
    expected = brute(x, 2.5, cell, (True, True, True))
    assert listed(x, neighbour_matrix(x, 2.5, cell, (True,) * 3)) == expected
    inside = x - np.floor(x @ np.linalg.inv(cell)) @ cell
    images = periodic_images(cell, (True,) * 3, 2.5)
    assert listed(inside, in_graph(jnp.asarray(inside), 2.5, 40, images)) == brute(inside, 2.5, cell, (True,) * 3)
    np.testing.assert_array_equal(images[0], 0.0)


def test_one_atom_and_no_atom_nearby() -> None:
    assert not all_pairs(1).mask.any()
    assert all_pairs(4).mask.all() and set(map(tuple, np.sort(all_pairs(4).index, 1))) == {
        (1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2)
    }  # fmt: skip
    far = np.array([[0.0, 0, 0], [9.0, 0, 0]])
    assert not neighbour_matrix(far, 4.0).mask.any()
    assert not in_graph(jnp.asarray(far), 4.0, 3).mask.any()


FLAT = [np.zeros((3, 3)), np.array([[1.0, 0, 0], [2, 0, 0], [0, 0, 1]]), np.full((3, 3), np.nan)]


@pytest.mark.parametrize("cell", FLAT, ids=["zero", "flat", "nan"])
def test_a_cell_without_volume_is_refused(cell: np.ndarray) -> None:
    with pytest.raises(InputError, match="no volume"):
        neighbour_matrix(np.ones((1, 3)), 3.0, cell, (True,) * 3)
    with pytest.raises(InputError, match="no volume"):
        Box.of(cell, (True,) * 3, 3.0)
