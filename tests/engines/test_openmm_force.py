"""OpenMM feels a trained potential: energies and forces, in and out of a cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import consilience as con
from consilience.core.errors import InputError
from consilience.examples import example_path
from consilience.units import KJ_MOL

openmm = pytest.importorskip("openmm")

NUMBERS, MASSES = [6, 8, 1, 1], [12.011, 15.999, 1.008, 1.008]


@pytest.mark.parametrize("cell", [None, np.array([[6.0, 0, 0], [0.5, 6, 0], [0.3, -0.4, 6]])], ids=["molecule", "cell"])
def test_energy_and_forces(tiny_model: Path, cell: Any) -> None:
    from consilience.engines.openmm import context_of, system_of

    model = con.load_model(tiny_model)
    x = con.read_frames(example_path("molecule/frames.npz")).positions[4]
    pbc = cell is not None
    force = model.openmm(NUMBERS, cell=cell, pbc=pbc)
    context = context_of(system_of(MASSES, force, cell=cell, pbc=pbc), openmm.VerletIntegrator(1e-3))
    context.setPositions(x / 10)
    state = context.getState(energy=True, forces=True)
    assert state.getPotentialEnergy()._value * KJ_MOL == pytest.approx(model(x, NUMBERS, cell=cell, pbc=pbc), abs=1e-6)
    forces = state.getForces(asNumpy=True)._value * KJ_MOL / 10
    np.testing.assert_allclose(forces, model.forces(x, NUMBERS, cell=cell, pbc=pbc), atol=1e-5)
    if cell is not None:  # a change of the cell in the context is felt
        wider = cell * 1.2
        context.setPeriodicBoxVectors(*(openmm.Vec3(*row) for row in wider / 10))
        energy = context.getState(energy=True).getPotentialEnergy()._value * KJ_MOL
        assert energy == pytest.approx(model(x, NUMBERS, cell=wider, pbc=True), abs=1e-6)


def test_cells_that_openmm_cannot_take(tiny_model: Path) -> None:
    from consilience.engines.openmm import system_of

    cell = 6 * np.eye(3) + 0.1
    force = con.load_model(tiny_model).openmm(NUMBERS, cell=cell)
    with pytest.raises(InputError, match="lower-triangular"):
        system_of(MASSES, force, cell=cell, pbc=True)
