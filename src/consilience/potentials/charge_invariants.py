"""What must hold for the charges of a potential and their sites: sums, dipoles, Coulomb energies, reach."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from consilience.core.compiled import brief_filter_jit
from consilience.neighbours import neighbour_matrix
from consilience.potentials.graph import Graph, single
from consilience.potentials.potential import Potential
from consilience.potentials.probe import Molecule, evaluate, largest, replace_lists


def charge_errors(potential: Potential, molecule: Molecule) -> dict[str, float]:
    """Sum of charges against the total charge, e, and change of a neutral dipole when the molecule is moved, e Å."""
    neutral = replace(molecule, charge=0.0)
    here = evaluate(potential, neutral)[2]
    moved = evaluate(potential, replace(neutral, positions=molecule.positions + 7.0))[2]
    charged = evaluate(potential, replace(molecule, charge=1.0))[2]
    return {
        "total charge": largest(abs(here.site_charges.sum()), abs(charged.site_charges.sum() - 1.0),
                                abs(charged.charges.sum() - 1.0)),
        "dipole of a moved molecule": largest(np.abs(here.dipole[0] - moved.dipole[0])),
    }  # fmt: skip


def coulomb_errors(potential: Potential, molecule: Molecule) -> dict[str, float]:
    """Coulomb energy, eV, of sites without charges, and |E(2q) - 4 E(q)| / |E(q)| of random charges."""
    if potential.coulomb is None:
        return {}
    apart = np.array([potential.coulomb.damping + float(np.ptp(molecule.positions[:, 0])), 0.0, 0.0])
    x = np.concatenate([molecule.positions, molecule.positions + apart])  # pairs both within the damping and beyond
    rng = np.random.default_rng(5)
    lists = neighbour_matrix(x, potential.coulomb.cutoff)
    graph = replace_lists(single(np.tile(molecule.numbers, 2)), lists, lists)
    sites = x[:, None] + 0.2 * rng.standard_normal((len(x), 2, 3))
    charges = rng.standard_normal((len(x), 2))
    none, one, two = (np.asarray(_coulomb(x, sites, k * charges, potential.coulomb, graph)).sum() for k in (0, 1, 2))
    return {"Coulomb energy of no charges": float(abs(none)),
            "Coulomb energy of doubled charges": largest(abs(two - 4 * one) / max(abs(one), 1e-8))}  # fmt: skip


@brief_filter_jit
def _coulomb(x, sites, charges, coulomb, graph: Graph):
    return coulomb(x, sites, charges, graph)


def reach_errors(potential: Potential, molecule: Molecule) -> dict[str, float]:
    """Largest distance of a site from its atom over the reach of the model of distributed charges."""
    if potential.charges is None:
        return {}
    found = evaluate(potential, molecule)[2]
    away = np.linalg.norm(found.sites - molecule.positions[:, None], axis=-1)
    return {"displacement of sites over their reach": largest(away / potential.charges.reach)}
