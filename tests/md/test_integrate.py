"""Integrators: second order, reversible, and BAOAB's exact positions of a harmonic oscillator."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from consilience.core.compiled import light_jit
from consilience.forces import forces_from
from consilience.md.integrate import State, baoab_step, kinetic, verlet_step
from consilience.md.simulate import simulate
from consilience.md.velocities import degrees_of_freedom, maxwell_boltzmann
from consilience.neighbours import all_pairs
from consilience.units import BOLTZMANN, FS

from . import toys

ARGON_MASS = np.full(9, 39.948)


def test_energy_error_falls_with_the_square_of_the_step() -> None:
    x = toys.cluster(9)
    steps = np.array([1.25, 2.5, 5.0, 10.0])
    spread = [
        simulate(toys.ARGON, x, ARGON_MASS, steps=int(20000 / dt), dt=dt, every=int(20 / dt), temperature=20.0)
        for dt in steps
    ]
    rms = [s.conservation.rms for s in spread if s.conservation]
    assert 1.9 < np.polyfit(np.log(steps), np.log(rms), 1)[0] < 2.1


def test_no_drift() -> None:
    run = simulate(toys.ARGON, toys.cluster(9), ARGON_MASS, steps=40000, dt=5.0, every=20, temperature=20.0)
    c = run.conservation
    assert c is not None
    assert abs(c.drift) < 5 * c.drift_err + 1e-6
    assert c.rms < 1e-3


def test_a_force_that_is_no_gradient_is_seen_in_the_drift_figures() -> None:
    """The measure must be able to fail: a total energy that climbs by a known slope."""
    from consilience.md.conservation import conservation

    t = np.arange(2000) * 10.0
    noise = np.random.default_rng(0).normal(0, 1e-3, (3, 2000))
    c = conservation(t, noise + 2e-5 * t / 1000 * 9, 9)
    assert c is not None
    assert abs(c.drift - 0.02) < 4 * c.drift_err < 0.004
    correlated = np.repeat(noise[:, ::20], 20, axis=1)
    more = conservation(t, correlated, 9)
    assert more is not None
    assert 3 < more.drift_err / c.drift_err < 6  # sqrt(20) = 4.5


def test_time_reversal() -> None:
    x, nb = toys.cluster(9), all_pairs(9)
    v = maxwell_boltzmann(x, ARGON_MASS, 20.0, np.random.default_rng(1))

    @jax.jit
    def run(x, v):
        evaluate = lambda y: forces_from(toys.ARGON)(y, nb)  # noqa: E731
        e, f = evaluate(x)
        start = State(x, v, f, e, np.zeros(2, np.uint32), 0)
        return jax.lax.fori_loop(0, 1000, lambda _, s: verlet_step(s, evaluate, ARGON_MASS, 5 * FS), start)

    there = run(x, v)
    back = run(there.positions, -there.velocities)
    assert np.max(np.abs(np.asarray(there.positions) - x)) > 0.5
    np.testing.assert_allclose(back.positions, x, atol=1e-8)
    np.testing.assert_allclose(back.velocities, -v, atol=1e-8)


def test_baoab_samples_a_harmonic_oscillator_exactly_at_large_steps() -> None:
    """w dt = 1.2: the variance of positions is kT/k all the same; that of velocities is too small."""
    n, k, mass, kelvin = 200, 20.0, 12.0, 300.0
    dt = 1.2 / np.sqrt(k / mass) / FS
    well = toys.Well(k, np.zeros((n, 3)))
    m = np.full(n, mass)
    run = simulate(
        well, np.zeros((n, 3)), m, steps=6000, dt=dt, ensemble="nvt", temperature=kelvin, friction=60.0, every=20,
        cutoff=3.0, lists="all", bounds=toys.NO_BOUNDS,
    )  # fmt: skip
    x2 = (run.trajectory.positions[0, 50:] ** 2).mean((1, 2)) * k / (BOLTZMANN * kelvin)
    err = x2.std(ddof=1) / np.sqrt(len(x2))
    assert abs(x2.mean() - 1) < 4 * err
    assert err < 0.005
    t = run.trajectory.temperature[0, 50:].mean() / kelvin
    assert abs(t - (1 - 1.2**2 / 4)) < 0.02  # kinetic energy at full steps: 1 - (w dt)² / 4


def test_baoab_without_friction_is_verlet() -> None:
    x, nb = toys.cluster(9), all_pairs(9)
    evaluate = lambda y: forces_from(toys.ARGON)(y, nb)  # noqa: E731
    e, f = light_jit(evaluate)(x)
    s = State(x, np.full_like(x, 0.01), f, e, jax.random.PRNGKey(0), 0)
    a = light_jit(lambda s: verlet_step(s, evaluate, ARGON_MASS, 5 * FS))(s)
    b = light_jit(lambda s: baoab_step(s, evaluate, ARGON_MASS, 5 * FS, 0.0, 0.03))(s)
    np.testing.assert_allclose(a.positions, b.positions, atol=1e-13)
    np.testing.assert_allclose(a.velocities, b.velocities, atol=1e-13)


@pytest.mark.parametrize(("remove", "dof"), [("none", 27), ("momentum", 24), ("rotation", 21)])
def test_initial_velocities(remove, dof) -> None:
    x, m = toys.cluster(9), np.linspace(1, 40, 9)
    v = maxwell_boltzmann(x, m, 300.0, np.random.default_rng(0), remove=remove)
    assert degrees_of_freedom(x, remove) == dof
    assert float(kinetic(v, m)) == pytest.approx(0.5 * dof * BOLTZMANN * 300, rel=1e-12)
    p = (m[:, None] * v).sum(0)
    turn = np.cross(x - np.average(x, axis=0, weights=m), m[:, None] * v).sum(0)
    assert (np.abs(p).max() < 1e-12) == (remove != "none")
    assert (np.abs(turn).max() < 1e-12) == (remove == "rotation")
    assert degrees_of_freedom(np.outer(np.arange(3.0), [1, 2, 0.5]), "rotation") == 4  # linear: 9 - 5


def test_initial_velocities_have_the_distribution_of_maxwell() -> None:
    m = np.array([1.0, 16.0])
    rng = np.random.default_rng(0)
    v = np.array([maxwell_boltzmann(np.eye(2, 3), m, 300.0, rng, remove="none", exact=False) for _ in range(4000)])
    t = m * (v**2).mean((0, 2)) / BOLTZMANN
    np.testing.assert_allclose(t, 300, rtol=5 * np.sqrt(2 / 12000))
