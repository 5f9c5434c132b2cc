"""Populations in the fit of a prior: features, independent frames, and wells whose depth forces do not know."""

import equinox as eqx
import numpy as np
import pytest

from consilience.coarse.beads import Beads
from consilience.jobs.train_beads.populations import match_populations
from consilience.neighbours import all_pairs
from consilience.potentials.beads.chains import cos_angles
from consilience.potentials.beads.energy import bead_energy
from consilience.potentials.beads.prior import empty_prior, walls
from consilience.potentials.beads.prior_fit import FittedPrior, fit_prior
from consilience.potentials.beads.prior_normal import coefficients, flat, normal
from consilience.potentials.beads.prior_populations import (
    LONGEST,
    Populations,
    corrected,
    features,
    local_coefficients,
    populations,
)
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


@pytest.mark.slow
def test_wells_get_their_depth_from_populations(known):
    prior, x, f = known
    data = beads(x, f)
    bad = coefficients(prior)
    shared = np.asarray(bad["dihedral"].shared).copy()
    shared[0] += 2.0 * KCAL_MOL  # cos(phi): one well far deeper than it is
    wrong = eqx.tree_at(lambda p: p.dihedral.shared, prior, shared)
    found = FittedPrior(wrong, 1.0, {}, None, uncertainty=1.0)
    few = normal(prior, tiny.chains(), x[:1], f[:1])  # a single frame of forces knows next to nothing
    done = match_populations(wrong, found, few, [data], steps=4000, rounds=10, seed=1)
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


def test_populations_take_from_forces_what_they_may(known):
    """Populations that no angle can have pull without end: forces keep what the floor says, and the weight tells."""
    prior, x, f = known
    work = normal(prior, tiny.chains(), x, f)
    c = np.asarray(flat(coefficients(prior)))
    phi = features(prior, tiny.chains(), x)
    away = Populations(phi.mean(0) + 3.0 * phi.std(0), np.cov(phi.T), KCAL_MOL, 1e3)
    floor = work.explained(c) - 0.002
    free = corrected(prior, c, work, x.size, 1.0, [(away, phi)])
    held = corrected(prior, c, work, x.size, 1.0, [(away, phi)], floor)
    assert free.share == 1.0 and work.explained(free.coefficients) < floor
    assert held.share < 1.0 and work.explained(held.coefficients) >= floor
    assert np.abs(held.coefficients - c).max() > 1e-6


def test_a_step_into_what_dynamics_never_saw_is_bounded(known):
    """All frames of the model alike, those of the data not: the energy of the data changes by no more than LONGEST."""
    prior, x, f = known
    few = normal(prior, tiny.chains(), x[:1], f[:1])
    c = np.asarray(flat(coefficients(prior)))
    phi = features(prior, tiny.chains(), x)
    stuck = np.repeat(phi[:1], 50, 0)
    data = populations(phi, np.split(np.arange(len(x)), 4), KCAL_MOL)
    step = corrected(prior, c, few, x.size, 1.0, [(data, stuck)])
    change = (step.coefficients - c)[local_coefficients(prior)]
    assert np.std(phi @ change) / KCAL_MOL < np.sqrt(2.0) * LONGEST * 1.01


def test_what_is_left_out_tells_how_sure_the_explained_variance_is(known):
    _, x, f = known
    sites = tuple(int(t) for t in tiny.chains().types)
    prior = empty_prior(walls(np.radians(155), np.radians(78)), sites=sites, pair=False)
    noisy = f + np.random.default_rng(5).normal(size=f.shape) * np.repeat([0.0, 0.1, 0.2, 0.4], 250)[:, None, None]

    def fitted(parts):
        made = [normal(prior, tiny.chains(), x[rows], noisy[rows]) for rows in parts]
        return fit_prior(prior, made, steps=2), made

    quarters = np.split(np.arange(len(x)), 4)
    found, parts = fitted(quarters)
    whole = np.asarray(flat(coefficients(found.prior)))
    each = [part.explained(whole) for part in parts]
    assert np.isclose(found.uncertainty, np.std(each, ddof=1) / 2, rtol=0.1) and found.uncertainty > 0.02
    alike, _ = fitted([np.arange(k, len(x), 4) for k in range(4)])
    assert alike.uncertainty < 0.2 * found.uncertainty
    alone, _ = fitted(quarters[:1])
    assert alone.uncertainty == 0.0
