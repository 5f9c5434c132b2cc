"""Exchange, metadynamics and umbrella sampling against exact free energies of small systems."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from consilience.core.errors import InputError
from consilience.md.bias import Biased, Grid, Harmonic, coordinate
from consilience.md.exchange import ladder, replica_exchange
from consilience.md.metadynamics import empty_grid, metadynamics, with_hill
from consilience.md.simulate import simulate
from consilience.md.umbrella import mbar, umbrella
from consilience.neighbours import all_pairs
from consilience.units import BOLTZMANN

from . import toys

KT = BOLTZMANN * 300.0
MASS = np.full(1, 40.0)
FAST = {"dt": 20.0, "friction": 2.0, "bounds": toys.NO_BOUNDS}


class DoubleWell(eqx.Module):
    """One particle: a quartic double well along x, tilted, and harmonic in y and z, eV."""

    height: Any
    tilt: Any = 0.01

    def along(self, x):
        return self.height * (x * x - 1) ** 2 + self.tilt * x

    def __call__(self, x, neighbours):
        return self.along(x[0, 0]) + 0.05 * jnp.sum(x[:, 1:] ** 2)


class X(eqx.Module):
    def __call__(self, x):
        return x[0, 0]


def exact(well: DoubleWell, s: np.ndarray) -> np.ndarray:
    return well.along(s)


def right_side(well: DoubleWell, kelvin: float) -> float:
    s = np.linspace(-2.5, 2.5, 5001)
    p = np.exp(-exact(well, s) / (BOLTZMANN * kelvin))
    return p[s > 0].sum() / p.sum()


@pytest.mark.slow
def test_exchange_keeps_each_temperature_canonical_and_crosses_the_barrier() -> None:
    """At 300 K the barrier of 12 kT is not crossed without exchange; populations are the exact ones with it."""
    well = DoubleWell(12 * KT)
    kelvin = ladder(300.0, 2400.0, 5)
    start = np.tile([[[-1.0, 0, 0]]], (5, 1, 1))
    done = replica_exchange(
        well, start, MASS, temperatures=kelvin, steps=400_000, swap_every=100, every=100, seed=1, **FAST
    )
    assert np.all(done.acceptance > 0.2)
    assert done.run.status == "ok"
    x = done.trajectory.positions[:, 200:, 0]
    for r, t in enumerate(kelvin):
        assert np.mean(x[r, :, 0] > 0) == pytest.approx(right_side(well, t), abs=0.08)
        assert 0.05 * np.mean(np.sum(x[r, :, 1:] ** 2, -1)) == pytest.approx(BOLTZMANN * t, rel=0.08)
        assert done.trajectory.temperature[r].mean() == pytest.approx(t, rel=0.05)
    assert {tuple(np.sort(w)) for w in done.walkers} == {(0, 1, 2, 3, 4)}
    assert len(set(done.walkers[:, 0])) == 5
    alone = simulate(well, start[0], MASS, steps=40_000, ensemble="nvt", every=100, seed=1, **FAST)
    assert np.all(alone.trajectory.positions[..., 0] < 0.5)


def test_exchange_repeats_itself_and_refuses_one_temperature() -> None:
    well, start = DoubleWell(KT), np.tile([[[-1.0, 0, 0]]], (5, 1, 1))
    options = {"temperatures": ladder(300.0, 2400.0, 5), "steps": 500, "swap_every": 100, "every": 100, "seed": 3}
    a, b = (replica_exchange(well, start, MASS, **options, **FAST) for _ in range(2))
    assert np.array_equal(a.trajectory.positions, b.trajectory.positions)
    assert a.trajectory.step.tolist() == [0, 100, 200, 300, 400, 500]
    with pytest.raises(InputError, match="two positive temperatures"):
        replica_exchange(well, start, MASS, temperatures=[300.0], steps=10)


@pytest.mark.slow
def test_metadynamics_finds_the_free_energy_of_a_double_well() -> None:
    well = DoubleWell(8 * KT, 0.03)
    bias = empty_grid(X(), -1.6, 1.6, 161)
    done = metadynamics(
        well, np.tile([[[-1.0, 0, 0]]], (4, 1, 1)), MASS, bias, steps=200_000, height=0.3 * KT, width=0.12, factor=8.0,
        pace=100, replicas=4, every=100, seed=2, **FAST,
    )  # fmt: skip
    inside = np.abs(done.grid) < 1.3
    error = (done.free_energy - exact(well, done.grid))[inside]
    assert np.std(error) < 0.5 * KT
    bins = np.linspace(-1.3, 1.3, 14)
    half = len(done.values) // 5
    p = np.histogram(done.values[half:], bins, weights=done.weights[half:])[0]
    middle = 0.5 * (bins[1:] + bins[:-1])
    again = -KT * np.log(p) - exact(well, middle)
    assert np.std(again) < 0.6 * KT
    assert len(done.history) == 10
    with pytest.raises(InputError, match="bias factor over 1"):
        metadynamics(well, np.zeros((1, 3)), MASS, bias, steps=10, height=0.1, width=0.1, factor=1.0)


def test_a_grid_is_the_gaussians_it_was_made_of_and_smooth() -> None:
    bias = with_hill(with_hill(empty_grid(X(), -2.0, 2.0, 201), 0.3, 0.1, 0.2), -0.5, 0.05, 0.2)
    s = jnp.linspace(-1.5, 1.5, 77)
    expected = 0.1 * jnp.exp(-0.5 * ((s - 0.3) / 0.2) ** 2) + 0.05 * jnp.exp(-0.5 * ((s + 0.5) / 0.2) ** 2)
    np.testing.assert_allclose(bias.of(s), expected, atol=1e-6)
    slope = jax.vmap(jax.grad(bias.of))(s)
    h = 1e-5
    np.testing.assert_allclose(slope, (bias.of(s + h) - bias.of(s - h)) / (2 * h), atol=1e-7)
    assert float(jax.grad(bias.of)(2.5)) == pytest.approx(5.0)  # the wall


def test_umbrella_finds_the_free_energy_of_a_double_well() -> None:
    well = DoubleWell(8 * KT, 0.03)
    bins = np.linspace(-1.3, 1.3, 27)
    done = umbrella(
        well, np.array([[-1.0, 0, 0]]), MASS, X(), np.linspace(-1.3, 1.3, 14), 60 * KT, steps=20_000, bins=bins,
        every=20, seed=4, **FAST,
    )  # fmt: skip
    middle = 0.5 * (bins[1:] + bins[:-1])
    error = done.profile.free_energy - exact(well, middle)
    assert np.all(done.overlap > 0.1)
    assert np.std(error) < 0.35 * KT
    assert np.all(done.profile.error < 0.6 * KT)
    low = np.argmin(done.profile.free_energy)  # by definition zero, without error
    pulls = np.delete((error - error[low]) / np.maximum(done.profile.error, 1e-9), low)
    assert np.sqrt(np.mean(pulls**2)) < 4


def test_mbar_of_harmonic_oscillators() -> None:
    """f = ln(k)/2 of Gaussian states, against the exact values."""
    rng = np.random.default_rng(0)
    k, counts = np.array([1.0, 2.0, 6.0, 20.0]), [3000, 2000, 4000, 3000]
    x = np.concatenate([rng.normal(0, 1 / np.sqrt(a), n) for a, n in zip(k, counts, strict=True)])
    f = mbar(0.5 * k[:, None] * x**2, counts)
    np.testing.assert_allclose(f, 0.5 * np.log(k), atol=0.04)
    with pytest.raises(InputError, match="do not fit"):
        mbar(np.ones((2, 10)), [3, 3])


def test_a_bias_is_a_term_with_its_own_force() -> None:
    chain = np.cumsum(np.full((8, 3), 2.2), 0) * [1, 0.4, 0.1]
    inner = toys.Trap(toys.ARGON, 1.0, np.array([0, 3]))
    for name in ("rg", "rmsd"):
        biased = Biased(inner, Harmonic(coordinate(name, reference=chain), 1.0, 2.0))
        x = jnp.asarray(chain + np.random.default_rng(0).normal(0, 0.5, chain.shape))
        parts = biased.terms(x, all_pairs(8))
        assert set(parts) == {"lennard-jones", "wall", "bias"}
        assert float(sum(parts.values())) == pytest.approx(float(biased(x, all_pairs(8))))
    assert isinstance(empty_grid(X(), 0, 1), Grid)
    with pytest.raises(InputError, match="range of the coordinate"):
        empty_grid(X(), 1, 1)
