"""A potential as a term: E / kT, gradient from forces, molecules that do not see one another, beads at CA atoms."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from consilience.core.conformance import check_term
from consilience.core.params import Block, Model
from consilience.potentials.beads.energy import bead_energy
from consilience.potentials.build import Architecture, build
from consilience.potentials.energy_term import PotentialEnergy, lists_of, molecules
from consilience.potentials.weights import cast
from consilience.units import BOLTZMANN

from .. import tiny_beads as beads

NONE = np.zeros(0, int)
WATER = np.array([[0.0, 0, 0], [0.97, 0.1, 0], [-0.3, 0.9, 0]])


def term_of(energy: Any, x: np.ndarray, group: np.ndarray, cutoff: float, hydrogens: np.ndarray = NONE) -> tuple:
    """Atoms of x (n, 3); those numbered in `hydrogens` ride on the first atom of their group."""
    heavy = np.setdiff1d(np.arange(len(x)), hydrogens)
    first = np.array([np.flatnonzero(heavy == np.flatnonzero(group == group[h])[0])[0] for h in hydrogens], int)
    order = np.argsort(np.r_[heavy, hydrogens])
    blocks = {"xyz": Block.of(x[heavy]), "occ": Block.of(np.ones(len(heavy)))}
    if len(hydrogens):
        blocks["hydrogens"] = Block.of(x[hydrogens] - x[heavy][first])
    kt = np.asarray(BOLTZMANN * 300)
    lists = lists_of(x, group, cutoff)
    return PotentialEnergy(energy, lists, np.arange(len(heavy)), first, order, kt, np.asarray(0.0)), Model.of(**blocks)


def waters(shift: float) -> tuple:
    """Two waters, the second `shift` Å away, with hydrogens that ride."""
    potential = build(Architecture("equivariant", (1, 8), 4.0, 4, 1, 1, 4), [-13.6, -2041.0], 1.5)
    potential = cast(potential, np.float64)
    x, group = np.concatenate([WATER, WATER + np.array([shift, 0.3, 0])]), np.repeat([0, 1], 3)
    energy = molecules(potential, np.tile([8, 1, 1], 2), group)
    return term_of(energy, x, group, 4.0, np.array([2, 5]))


@pytest.mark.slow
def test_conformance_of_molecules() -> None:
    report = check_term(*waters(3.0))
    assert report.passed, report.failures
    assert {g.block for g in report.gradients} == {"xyz", "hydrogens"}


@pytest.mark.slow
def test_conformance_of_beads() -> None:
    energy = bead_energy(beads.chains(), beads.known_prior())
    x = beads.helix(6) + 0.2 * np.random.default_rng(0).normal(size=(6, 3))
    report = check_term(*term_of(energy, x, np.zeros(6, int), energy.cutoff))
    assert report.passed, report.failures


def test_molecules_do_not_see_one_another() -> None:
    near, far = (float(t(m).value) for t, m in (waters(2.2), waters(40.0)))
    assert near == pytest.approx(far, abs=1e-9)
    alone, model = waters(40.0)
    moved = model.with_values(xyz=np.asarray(model["xyz"]) + np.repeat([[0, 0, 0.1], [0, 0, 0]], 2, axis=0))
    assert float(alone(moved).value) == pytest.approx(far, abs=1e-7)  # hydrogens ride along


def test_temperature_and_lists() -> None:
    term, model = waters(3.0)
    import equinox as eqx

    hot = eqx.tree_at(lambda t: t.kt, term, 2 * term.kt)
    assert float(hot(model).value) == pytest.approx(0.5 * float(term(model).value))
    index, mask = np.asarray(term.neighbours.index), np.asarray(term.neighbours.mask)
    assert np.all((index // 3 == np.arange(6)[:, None] // 3)[mask])
    grad = jax.grad(lambda raw: term(model.with_raw({"hydrogens": raw})).value)(model.raw(["hydrogens"])["hydrogens"])
    h = term.curvature(model)["hydrogens"]
    assert h.shape == (6, 6) and np.linalg.eigvalsh(h.toarray()).min() > 0 and np.all(np.isfinite(grad))
