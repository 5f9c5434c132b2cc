"""Atoms on special positions, against gemmi's count of images and direct summation over the operators."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from consilience.core.params import Block, Composed, PositiveDefinite, Projected
from consilience.structure.special import special_positions

from .random_crystals import random_cell, special_position

GROUPS = ["P 1 2 1", "C 1 2 1", "P 21 21 2", "P 4 2 2", "P 3 2 1", "P 6 2 2", "I 2 3", "F 4 3 2", "R 3 2"]


def images(cell: gemmi.UnitCell, sg: gemmi.SpaceGroup, xyz: np.ndarray) -> int:
    st = gemmi.Structure()
    st.cell, st.spacegroup_hm = cell, sg.xhm()
    st.setup_cell_images()
    return 1 + st.cell.is_special_position(gemmi.Position(*xyz), 0.01)


@pytest.mark.parametrize("name", GROUPS)
def test_shaken_atom_returns_and_what_is_left_free_keeps_it_special(name: str) -> None:
    sg = gemmi.SpaceGroup(name)
    rng = np.random.default_rng(3)
    cell = random_cell(sg, rng)
    orth = np.array(cell.orth.mat.tolist())
    place = orth @ special_position(sg, rng)
    order = images(cell, sg, place)
    shaken = place + rng.uniform(-0.1, 0.1, 3)
    far = orth @ np.array([0.137, 0.211, 0.391])
    found = special_positions(np.array([shaken, far]), cell, sg, np.zeros(2, bool))
    assert order > 1
    assert list(found.order) == [images(cell, sg, found.xyz[0]), 1]
    assert found.order[0] >= order
    assert np.linalg.norm(found.xyz[0] - place) < 0.8
    assert np.array_equal(found.xyz[1], far)
    block = Block.of(found.xyz, Projected(found.along, found.xyz))
    moved = np.asarray(block.bijector.forward(found.xyz + rng.uniform(-0.3, 0.3, (2, 3))))
    assert images(cell, sg, moved[0]) == found.order[0]
    bonded = special_positions(np.array([np.add(place, [0.23, -0.11, 0.37]), far]), cell, sg, np.ones(2, bool))
    assert list(bonded.order) == [1, 1]


@pytest.mark.parametrize("name", GROUPS)
def test_tensors_keep_the_site_symmetry_and_stay_definite(name: str) -> None:
    sg = gemmi.SpaceGroup(name)
    rng = np.random.default_rng(7)
    cell = random_cell(sg, rng)
    frac, orth = np.array(cell.frac.mat.tolist()), np.array(cell.orth.mat.tolist())
    x = special_position(sg, rng)
    site = special_positions(np.array([orth @ x]), cell, sg, np.ones(1, bool))
    bijector = Composed(PositiveDefinite(), Projected(site.tensor, np.zeros((1, 6))))
    u = np.asarray(bijector.forward(rng.uniform(-1, 1, (1, 6))))[0]
    again = np.asarray(bijector.forward(bijector.inverse(u[None])))[0]
    assert np.allclose(again, u, rtol=1e-10)
    tensor = u[[[0, 3, 4], [3, 1, 5], [4, 5, 2]]]
    assert np.linalg.eigvalsh(tensor).min() > 0
    turned = 0
    for op in sg.operations():
        y = np.array(op.apply_to_xyz(x.tolist())) - x
        if np.abs(y - np.rint(y)).max() < 1e-6:
            r = orth @ (np.array(op.rot) / op.DEN) @ frac
            assert np.allclose(r @ tensor @ r.T, tensor, atol=1e-10)
            turned += 1
    assert turned == site.order[0] > 1


def test_whole_atoms_and_shares_of_atoms_scatter_alike() -> None:
    """An atom given whole on a two-fold axis counts once in the cell, not twice; a half stays a half."""
    sg, cell = gemmi.SpaceGroup("P 1 2 1"), gemmi.UnitCell(20, 21, 22, 90, 100, 90)
    site = special_positions(np.array([[0.0, 3.0, 0.0]] * 2 + [[5.0, 3.0, 2.0]]), cell, sg, np.zeros(3, bool))
    assert list(site.order) == [2, 2, 1]
    assert list(site.share(np.array([1.0, 0.5, 1.0])) * [1.0, 0.5, 1.0]) == [0.5, 0.5, 1.0]
