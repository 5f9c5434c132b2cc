"""An energy function as a force of OpenMM (a PythonForce, OpenMM 8.4 or later), and a system of atoms that feel it."""

from __future__ import annotations

from typing import Any

import numpy as np
import openmm

from consilience.core.errors import InputError
from consilience.engines.source import Source
from consilience.units import KJ_MOL

NM = 10.0  # Å


def python_force(
    energy: Any, *, cell: Any = None, pbc: Any = False, cutoff: float | None = None, skin: float = 1.0
) -> Any:
    """A PythonForce that gives OpenMM the energy and forces of energy(positions, neighbours), Å and eV.

    cell (3, 3) Å and pbc: as fixed at the start, or, where all three directions are periodic, followed from the
    context. Its evaluation is float64 on any platform; the "Reference" platform also integrates in float64.
    Raises InputError where this OpenMM has no PythonForce.
    """
    if not hasattr(openmm, "PythonForce"):
        raise InputError("this OpenMM has no PythonForce", found=openmm.__version__, fix="install OpenMM 8.4 or later")
    source = Source(energy, cutoff=cutoff, skin=skin)
    pbc = np.broadcast_to(np.asarray(pbc, bool), 3)

    def compute(state: Any) -> tuple[float, np.ndarray]:
        x = state.getPositions(asNumpy=True)._value * NM
        box = state.getPeriodicBoxVectors(asNumpy=True)._value * NM if pbc.all() else cell
        found = source(x, box if pbc.any() else None, pbc)
        return found.energy / KJ_MOL, found.forces * (NM / KJ_MOL)

    force = openmm.PythonForce(compute)
    force.setUsesPeriodicBoundaryConditions(bool(pbc.all()))
    return force


def system_of(masses: Any, force: Any, *, cell: Any = None, pbc: Any = False) -> Any:
    """An OpenMM system of atoms of `masses` (n,) amu that feel one force; the cell (3, 3) Å where it is periodic.

    Raises InputError for a cell that OpenMM cannot take: it wants lower-triangular, reduced vectors.
    """
    system = openmm.System()
    for mass in np.asarray(masses, float):
        system.addParticle(float(mass))
    if np.all(pbc):
        rows = np.asarray(cell, float) / NM
        if np.abs(np.triu(rows, 1)).max() > 1e-9:
            fix = "turn cell and atoms so that the vectors are (a, 0, 0), (b, b, 0), (c, c, c)"
            raise InputError("OpenMM cannot take this cell: its vectors are not lower-triangular", fix=fix)
        system.setDefaultPeriodicBoxVectors(*(openmm.Vec3(*row) for row in rows))
    system.addForce(force)
    return system


def context_of(system: Any, integrator: Any, platform: str = "Reference") -> Any:
    """A context on a platform by name; "Reference" is in float64."""
    return openmm.Context(system, integrator, openmm.Platform.getPlatformByName(platform))
