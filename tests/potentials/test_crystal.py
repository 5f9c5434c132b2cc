"""A potential in a crystal: the energy of an asymmetric unit among its copies."""

from __future__ import annotations

import equinox as eqx
import gemmi
import numpy as np
import pytest

from consilience.core.conformance import check_term
from consilience.core.params import Block, Model
from consilience.frames.frames import Frames
from consilience.frames.molecules import in_company
from consilience.neighbours import neighbour_matrix
from consilience.potentials.build import Architecture, build
from consilience.potentials.crystal import Crystal, crystal
from consilience.potentials.energy_term import PotentialEnergy, molecules
from consilience.potentials.potential import Potential
from consilience.potentials.weights import cast
from consilience.units import BOLTZMANN

NONE = np.zeros(0, int)
CELL = gemmi.UnitCell(4.6, 5.1, 5.7, 90, 104, 90)
WATER = np.array([[1.3, 1.1, 2.0], [2.27, 1.2, 2.0], [1.0, 2.0, 2.1]])
Z = np.array([8, 1, 1])


@pytest.fixture(scope="module")
def potential() -> Potential:
    return cast(build(Architecture("equivariant", (1, 8), 4.0, 4, 1, 1, 4), [-13.6, -2041.0], 1.5), np.float64)


def energy_of(made: Crystal, x: np.ndarray) -> float:
    return float(made(x, made.lists(x, 4.0)))


def test_an_asymmetric_unit_has_its_share_of_the_cell(potential: Potential) -> None:
    made = crystal(potential, Z, CELL, gemmi.SpaceGroup("P 21"))
    x = np.asarray(made.copies(WATER))
    alone = crystal(potential, np.tile(Z, 2), CELL, gemmi.SpaceGroup("P 1"))
    assert energy_of(made, WATER) == pytest.approx(energy_of(alone, x) / 2, rel=1e-12)
    free = molecules(potential, Z, np.zeros(3))
    assert abs(energy_of(made, WATER) - float(free(WATER, neighbour_matrix(WATER, 4.0)))) > 1e-3  # it sees the others


def test_where_the_origin_may_lie(potential: Potential) -> None:
    made = crystal(potential, Z, CELL, gemmi.SpaceGroup("P 21"))
    here = energy_of(made, WATER)
    assert energy_of(made, WATER + np.array([0, 17.3, 0])) == pytest.approx(here, rel=1e-12)  # along the screw axis
    assert abs(energy_of(made, WATER + np.array([0.4, 0, 0])) - here) > 1e-6


@pytest.mark.slow
def test_conformance(potential: Potential) -> None:
    made = crystal(potential, Z, CELL, gemmi.SpaceGroup("P 21"))
    kt, order = np.asarray(BOLTZMANN * 300), np.arange(3)
    term = PotentialEnergy(made, made.lists(WATER, 4.0), order, NONE, order, kt, np.asarray(0.0))
    report = check_term(term, Model.of(xyz=Block.of(WATER), occ=Block.of(np.ones(3))))
    assert report.passed, report.failures


def test_lists_keep_their_room(potential: Potential) -> None:
    made = crystal(potential, Z, CELL, gemmi.SpaceGroup("P 21"))
    first = made.lists(WATER, 4.0)
    assert made.lists(WATER + 0.1, 4.0, first.capacity).capacity == first.capacity
    assert eqx.tree_equal(made.lists(WATER, 4.0, first.capacity), first)


def test_frames_in_company() -> None:
    two = np.concatenate([WATER, WATER + np.array([3.0, 0, 0])])
    pair, single = Frames(np.tile(np.tile(Z, 2), (2, 1)), np.stack([two, two])), Frames(Z[None], WATER[None])
    assert in_company(pair) and not in_company(single)
    box = np.eye(3)[None] * 9
    assert in_company(Frames(Z[None], WATER[None], cell=box, pbc=np.ones((1, 3), bool)))
    broken = WATER.copy()
    broken[1] += [3.0, 0, 0]  # a hydrogen that left, in one frame of three
    assert not in_company(Frames(np.tile(Z, (3, 1)), np.stack([broken, WATER, WATER])))
