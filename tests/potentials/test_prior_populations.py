"""Populations in the fit of a prior: features, independent frames, and wells whose depth forces do not know."""

import equinox as eqx
import numpy as np
import pytest

from consilience.coarse.beads import Beads
from consilience.jobs.train_beads.populations import match_populations
from consilience.neighbours import all_pairs
from consilience.potentials.bead_energy import bead_energy
from consilience.potentials.beads import cos_angles
from consilience.potentials.prior_fit import FittedPrior
from consilience.potentials.prior_normal import coefficients, flat, normal
from consilience.potentials.prior_populations import features, local_coefficients, populations
from consilience.units import KCAL_MOL

from .. import tiny_beads as tiny


@pytest.fixture(scope="module")
def known():
    """A prior, frames of its dynamics at 300 K in four trajectories, and their forces."""
    prior = tiny.known_prior()
    energy = bead_energy(tiny.chains(), prior)
    x = np.concatenate([tiny.sampled(energy, 250, seed=k) for k in range(4)])
    return prior, x, tiny.forces(energy, x)


def beads(x: np.ndarray, f: np.ndarray) -> Beads:
    n = len(tiny.SEQUENCE)
    return Beads("tiny", tiny.SEQUENCE, np.zeros(n, int), np.arange(n), x, f, np.full(len(x), 300.0),
                 np.repeat(np.arange(4), len(x) // 4))  # fmt: skip


def test_energies_are_features_times_coefficients(known):
    prior, x, _ = known
    phi, c = features(prior, tiny.chains(), x[:5]), np.asarray(flat(coefficients(prior)))[local_coefficients(prior)]
    energy = bead_energy(tiny.chains(), prior)
    for row, frame in zip(phi, x, strict=False):
        terms = energy.terms(frame, all_pairs(len(frame)))
        wall = float(np.sum(prior.walls(cos_angles(frame))))
        assert np.isclose(row @ c, float(terms["angle"] + terms["dihedral"]) - wall, atol=1e-12)


def test_independent_frames():
    rng = np.random.default_rng(0)
    parts = np.split(np.arange(2000), 5)
    each = populations(rng.normal(size=(2000, 40)), parts, 0.025)
    assert 1000 < each.count <= 2000
    stuck = populations(np.repeat(rng.normal(size=(5, 40)), 400, 0), parts, 0.025)
    assert np.isclose(stuck.count, 4.0)  # five trajectories that never move: their mean is one of the five
    slow = populations(np.repeat(rng.normal(size=(200, 40)), 10, 0), parts, 0.025)
    assert 100 < slow.count < 330


def test_wells_get_their_depth_from_populations(known):
    prior, x, f = known
    data = beads(x, f)
    bad = coefficients(prior)
    shared = np.asarray(bad["dihedral"].shared).copy()
    shared[0] += 2.0 * KCAL_MOL  # cos(phi): one well far deeper than it is
    wrong = eqx.tree_at(lambda p: p.dihedral.shared, prior, shared)
    found = FittedPrior(wrong, 1.0, {}, None)
    few = normal(prior, tiny.chains(), x[:1], f[:1])  # a single frame of forces knows next to nothing
    done = match_populations(wrong, found, few, [data], steps=4000, rounds=6, seed=1)
    assert done.populations["independent_frames"]["tiny"] > 3

    def off(p):
        own = tiny.sampled(bead_energy(tiny.chains(), p), 1000, seed=9)
        return np.linalg.norm(features(p, tiny.chains(), own).mean(0) - features(p, tiny.chains(), x).mean(0))

    assert off(done.prior) < 0.5 * off(wrong)
    local = local_coefficients(prior)
    moved = np.asarray(flat(coefficients(done.prior)))
    assert np.allclose(moved[~local], np.asarray(flat(coefficients(wrong)))[~local], atol=0)


def test_dynamics_that_fail_leave_the_prior_of_forces(known):
    prior, x, f = known
    broken = x.copy()
    broken[:, 3] = broken[:, 1] + 0.05
    found = FittedPrior(prior, 1.0, {}, None)
    few = normal(prior, tiny.chains(), x[:20], f[:20])
    done = match_populations(prior, found, few, [beads(broken, f)], steps=400, rounds=1)
    assert done.prior is prior and "tiny" in done.populations["failed"]
