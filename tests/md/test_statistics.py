"""Statistics of series against processes whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from consilience.core.errors import InputError
from consilience.md import statistics as st
from consilience.units import BOLTZMANN

KT = BOLTZMANN * 300.0


def process(rho: float, n: int = 100_000, seed: int = 0) -> np.ndarray:
    """An autoregressive series of variance 1 whose autocorrelation is rho^lag."""
    rng = np.random.default_rng(seed)
    x, noise = np.empty(n), rng.normal(size=n) * np.sqrt(1 - rho**2)
    x[0] = rng.normal()
    for i in range(1, n):
        x[i] = rho * x[i - 1] + noise[i]
    return x


def test_correlation_times_and_errors_of_an_autoregressive_series() -> None:
    x = process(0.9)
    np.testing.assert_allclose(st.autocorrelation(x, 5), 0.9 ** np.arange(5), atol=0.02)
    factor = (1 + 0.9) / (1 - 0.9)
    assert st.integrated_time(x, 2.0) == pytest.approx(factor, rel=0.1)
    assert st.mean_of(x).error == pytest.approx(np.sqrt(factor / len(x)), rel=0.25)
    assert st.mean_of(process(0.0)).error == pytest.approx(1 / np.sqrt(len(x)), rel=0.25)
    assert st.autocorrelation(np.ones(4)).tolist() == [1, 0, 0, 0]


def test_the_slow_mode_is_found_in_a_mixture() -> None:
    slow, fast = process(0.99), process(0.3, seed=1)
    mixed = np.stack([slow + 3 * fast, 2 * slow - fast, slow], 1)  # the third is redundant: two dimensions in three
    found = st.slow_modes(mixed, 10, dt=2.0, modes=2)
    assert found.times[0] == pytest.approx(-2.0 / np.log(0.99), rel=0.15)
    assert found.times[1] < 5
    assert abs(np.corrcoef(found.modes[:, 0], slow)[0, 1]) > 0.999
    with pytest.raises(InputError, match="too few frames"):
        st.slow_modes(mixed[:10], 10)
    with pytest.raises(InputError, match="do not vary"):
        st.slow_modes(np.ones((100, 2)), 3)


def test_profile_and_folding_of_known_densities() -> None:
    x = np.random.default_rng(0).normal(0, 0.5, 200_000)
    bins = np.linspace(-1, 1, 21)
    middle = 0.5 * (bins[1:] + bins[:-1])
    exact = 0.5 * KT * (middle / 0.5) ** 2
    np.testing.assert_allclose(st.free_energy_profile(x, 300.0, bins), exact - exact.min(), atol=0.05 * KT)
    weighted = st.free_energy_profile(
        np.linspace(-1, 1, 100_001), 300.0, bins, np.exp(-np.linspace(-1, 1, 100_001) * 2)
    )
    np.testing.assert_allclose(np.diff(weighted), 0.2 * KT, rtol=0.02)
    g = st.folding_free_energy(x + 0.5, 0.0, 300.0)
    p = 0.841345
    assert g.value == pytest.approx(-KT * np.log(p / (1 - p)), abs=4 * g.error)
    assert st.folding_free_energy(x + 0.5, 0.0, 300.0, above=False).value == pytest.approx(-g.value)
    assert st.folding_free_energy(x, 9.0, 300.0).value == np.inf


def test_heat_capacity_of_harmonic_degrees_of_freedom() -> None:
    e = np.random.default_rng(0).gamma(15, KT, 100_000)  # 30 quadratic terms
    c = st.heat_capacity(e, 300.0)
    assert c.value == pytest.approx(15 * BOLTZMANN, abs=4 * c.error)
    assert c.error < 0.02 * c.value


def test_temperatures_are_judged() -> None:
    k = np.random.default_rng(0).gamma(15, KT, 20_000)
    assert st.temperature_test(k, 30, 300.0) > 0.01
    assert st.temperature_test(1.02 * k, 30, 300.0) < 1e-3
    assert st.temperature_test(k, 27, 300.0) < 1e-3
    assert st.temperature_test(np.repeat(k[:400], 50), 30, 300.0) > 0.01  # 400 frames each seen 50 times
