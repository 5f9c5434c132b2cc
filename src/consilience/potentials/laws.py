"""The laws of `invariants` and `charge_invariants` with their tolerances, and the proof that a potential keeps them.

In float64 on a copy of the potential, and the symmetries in float32 too.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from consilience.core.checks import Check
from consilience.potentials.charge_invariants import charge_errors, coulomb_errors, reach_errors
from consilience.potentials.invariants import (
    batch_errors,
    conservation_errors,
    curvature_error,
    cutoff_jumps,
    force_error,
    force_jump,
    size_errors,
    stress_error,
    symmetry_errors,
    wall_slope,
)
from consilience.potentials.potential import Potential
from consilience.potentials.probe import Molecule
from consilience.potentials.weights import cast


def _symmetries(potential: Potential, molecule: Molecule) -> list[Check]:
    short = symmetry_errors(cast(potential, np.float32), molecule)
    return [
        *_checks(symmetry_errors(potential, molecule), 1e-10),
        *(Check(f"{k} (float32)", v, 1e-5) for k, v in short.items()),
    ]


def _cutoffs(potential: Potential, molecule: Molecule) -> list[Check]:
    cutoffs = {"cutoff": potential.cutoff}
    if potential.coulomb is not None:
        cutoffs["Coulomb cutoff"] = potential.coulomb.cutoff
    out = []
    for name, cutoff in cutoffs.items():
        jumps = cutoff_jumps(potential, cutoff)
        for what, tolerance in (("energy", 1e-8), ("force", 1e-7), ("slope", 1e-4)):
            out.append(Check(f"jump of the {what} at the {name}", jumps[what], tolerance))
    return out


def _checks(errors: dict[str, float], tolerance: float, about: str = "") -> list[Check]:
    return [Check(k, v, tolerance, about) for k, v in errors.items()]


Law = Callable[[Potential, Molecule], list[Check]]
LAWS: dict[str, Law] = {
    "forces": lambda p, m: [
        Check("forces = -dE/dx", force_error(p, m), 1e-7, "central differences, relative to the largest")
    ],
    "curvature": lambda p, m: [
        Check("Hessian = -dF/dx", curvature_error(p, m), 1e-6, "differences of forces, relative")
    ],
    "conservation": lambda p, m: _checks(conservation_errors(p, m), 1e-11),
    "symmetries": _symmetries,
    "batches": lambda p, m: _checks(batch_errors(p, m), 1e-10),
    "size": lambda p, m: _checks(size_errors(p, m), 1e-9, "eV"),
    "charges": lambda p, m: _checks(charge_errors(p, m), 1e-9),
    "electrostatics": lambda p, m: _checks(coulomb_errors(p, m), 1e-12),
    "sites": lambda p, m: _checks(reach_errors(p, m), 1.0 + 1e-12),
    "cutoffs": _cutoffs,
    "stress": lambda p, m: [Check("stress = dE/d strain", stress_error(p, m), 1e-7, "relative to the largest")],
    "wall": lambda p, m: [
        Check("slope of the short-range wall", wall_slope(p), -1e-3, "eV/Å, any pair; repulsive: negative")
    ],
    "force jumps": lambda p, m: [Check("force jump for 0.05 Å", force_jump(p, m), 18.0, "eV/Å")],
}


def prove(potential: Potential, molecule: Molecule, tell: Callable[[str], None] = lambda law: None) -> list[Check]:
    """All laws on one molecule; `tell` hears each one's name first. Float64 must be enabled (`jax.enable_x64`)."""
    double = cast(potential, np.float64)
    out = []
    for name, law in LAWS.items():
        tell(name)
        out += law(double, molecule)
    return out
