"""A bead model as LAMMPS has it: its types and lists, and its prior as forms with numbers in kcal/mol and Å."""

from __future__ import annotations

from typing import Any

import numpy as np

from consilience.engines.lammps.forms import Form
from consilience.engines.lammps.terms import BeadSystem, DihedralGroup, Group, PairGroup, Terms
from consilience.jobs.common.bead_start import BeadStart
from consilience.potentials.beads import prior_basis as basis
from consilience.potentials.beads.chains import NEAR, residue_type
from consilience.potentials.beads.energy import BeadEnergy
from consilience.potentials.beads.prior import PreparedPrior
from consilience.residues import RESIDUES
from consilience.units import KCAL_MOL

BOND = Form(
    "bond", "r", ("slope", "stiffness"),
    f"slope * (r - {basis.BOND}) + 0.5 * stiffness * power<2>(r - {basis.BOND})",
)  # fmt: skip
ANGLE = Form(
    "angle",
    "c",
    (*(f"a{k + 1}" for k in range(basis.ANGLES)), "wide", "low", "narrow", "high"),
    " + ".join(f"a{k + 1} * multiple<{k + 1}>(c)" for k in range(basis.ANGLES))
    + " + wide * power<3>(positive(low - c)) + narrow * power<3>(positive(c - high))",
)


def _switch(reach: float) -> str:
    return f"power<3>(positive(1.0 - r * r / {reach**2}))"


def _core(name: str, exponent: int) -> Form:
    return Form(
        name, "r", ("strength",), f"strength * power<{exponent}>({basis.SIGMA} / r) * {_switch(basis.CORE_REACH)}"
    )


SOFT, HARD = _core("soft", basis.SOFT), _core("hard", basis.HARD)
BUMPS = Form(
    "bumps",
    "r",
    tuple(f"h{i + 1}" for i in range(len(basis.CENTRES))),
    "(" + " + ".join(
        f"h{i + 1} * exp(0.0 - power<2>((r - {m}) / {basis.WIDTH}))" for i, m in enumerate(basis.CENTRES)
    ) + f") * {_switch(basis.REACH)}",
)  # fmt: skip


def bead_system(start: BeadStart) -> BeadSystem:
    """The start with a type for each kind of residue in it (and mass, where beads of one kind differ)."""
    names = [RESIDUES[residue_type(r)] for r in start.residues]
    kinds = sorted({(n, float(m)) for n, m in zip(names, start.masses, strict=True)})
    types = np.array([kinds.index((n, float(m))) for n, m in zip(names, start.masses, strict=True)])
    masses = np.array([m for _, m in kinds])
    return BeadSystem(
        tuple(n for n, _ in kinds), masses, types, np.asarray(start.chain), np.asarray(start.number), start.positions,
        start.cell,
    )  # fmt: skip


def classical_terms(energy: BeadEnergy, system: BeadSystem) -> Terms:
    """The prior of an energy as terms of LAMMPS; no terms where it has none."""
    prior = energy.prior
    if prior is None:
        return Terms(far=NEAR + 1)
    two, three, four = (np.flatnonzero(np.asarray(energy.chains.linked(k))) for k in (2, 3, 4))
    wall = prior.prior.walls
    walls = np.array([float(wall.strength_low) / KCAL_MOL, float(wall.low),
                      float(wall.strength_high) / KCAL_MOL, float(wall.high)])  # fmt: skip
    bond = np.stack([np.asarray(prior.bond)[two, 0], np.asarray(prior.stiffness)[two]], 1) / KCAL_MOL
    angle = np.asarray(prior.angle)[three] / KCAL_MOL
    dihedral = np.asarray(prior.dihedral)[four] / KCAL_MOL
    none = np.zeros((len(four), 1))
    k = basis.DIHEDRALS
    return Terms(
        (Group(BOND, two[:, None] + np.arange(2), bond),),
        (Group(ANGLE, three[:, None] + np.arange(3), np.concatenate([angle, np.tile(walls, (len(three), 1))], 1)),),
        (DihedralGroup(four[:, None] + np.arange(4), np.concatenate([none, dihedral[:, :k]], 1),
                       np.concatenate([none, dihedral[:, k:]], 1), 2),),
        tuple(_pairs(prior, system)),
        NEAR + 1,
    )  # fmt: skip


def _pairs(prior: PreparedPrior, system: BeadSystem) -> list[PairGroup]:
    """Excluded volume from separation 2 on, and Gaussians where there are any."""
    count = len(system.names)
    types = np.array([(a, b) for a in range(count) for b in range(a, count)])
    ours = np.array([RESIDUES.index(n) for n in system.names])[types]
    strength = np.asarray(prior.prior.excluded_volume, float) / KCAL_MOL
    out = []
    for separation in range(2, NEAR + 2):
        form = HARD if separation > NEAR else SOFT
        value = np.full((len(types), 1), strength[separation - 2])
        out.append(PairGroup(form, types, separation, value, basis.CORE_REACH))
        if prior.prior.pair is not None:
            bumps = np.asarray(prior.prior.pair(ours[:, 0], ours[:, 1], np.full(len(types), separation)), float)
            if np.any(bumps):
                out.append(PairGroup(BUMPS, types, separation, bumps / KCAL_MOL, basis.REACH))
    return out


def network_names() -> tuple[str, ...]:
    """Names of the types that networks know, in their order."""
    return RESIDUES


def far_of_network() -> int:
    """The separation that networks are told for beads of different chains."""
    from consilience.potentials.beads.chains import FAR

    return FAR


def own_energy(energy: BeadEnergy, cell: np.ndarray | None) -> Any:
    """The evaluation of our own code for the self-test: x (n, 3) Å -> energy (kcal/mol) and forces (kcal/mol/Å)."""
    from consilience.engines.source import Source

    source = Source(energy, cutoff=energy.cutoff)
    pbc = cell is not None

    def evaluate(x: np.ndarray) -> tuple[float, np.ndarray]:
        found = source(x, cell, pbc)
        return found.energy / KCAL_MOL, found.forces / KCAL_MOL

    return evaluate
