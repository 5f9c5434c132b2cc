"""The likelihood of intensities against adaptive quadrature, from negative to strong, and its gradient."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import i0e

from consilience.xray.likelihood import intensity_nll

CASES = list(itertools.product((-3.0, 0.0, 1.0, 5.0, 50.0), (0.01, 1.0, 30.0), (0.0, 0.3, 2.0, 8.0), (False, True)))


def expected(i_obs: float, sigma: float, fc: float, s: float, centric: bool) -> float:
    """-log of the integral, its integrand divided by its own peak on a fine grid."""

    def log_integrand(f):
        if centric:
            prior = 0.5 * np.log(2 / (np.pi * s)) - (f * f + fc * fc) / (2 * s) + np.logaddexp(f * fc / s, -f * fc / s)
            prior -= np.log(2)
        else:
            x = 2 * f * fc / s
            prior = np.log(2 * f / s) - (f * f + fc * fc) / s + np.log(i0e(x)) + x
        return prior - 0.5 * ((i_obs - f * f) / sigma) ** 2 - 0.5 * np.log(2 * np.pi * sigma**2)

    grid = np.linspace(1e-9, 3 * (np.sqrt(abs(i_obs)) + fc + np.sqrt(s)) + 3 * np.sqrt(sigma), 200_001)
    values = log_integrand(grid)
    peak = values.max()
    near = grid[values > peak - 60]
    total, _ = quad(lambda f: np.exp(log_integrand(f) - peak), near[0], near[-1], epsabs=0, epsrel=1e-11, limit=400)
    return -(peak + np.log(total))


@pytest.mark.parametrize("s", [0.01, 1.0, 20.0])
def test_against_adaptive_quadrature(s: float) -> None:
    i_sigma, sigma, fc, centric = (np.array(v) for v in zip(*CASES, strict=True))
    found = np.asarray(intensity_nll(i_sigma * sigma, sigma, fc, 1.0, np.full(len(fc), s), centric))
    true = [expected(i * q, q, f, s, c) for i, q, f, c in CASES]
    np.testing.assert_allclose(found, true, rtol=1e-7, atol=1e-7)


def test_the_gradient_is_that_of_the_integral() -> None:
    i_sigma, sigma, fc, centric = (np.array(v) for v in zip(*CASES, strict=True))
    fc = fc + 0.05

    def total(f):
        return intensity_nll(i_sigma * sigma, sigma, f, 1.0, jnp.ones(len(fc)), centric)

    h = 1e-5
    numerical = (np.asarray(total(fc + h)) - np.asarray(total(fc - h))) / (2 * h)
    found = np.asarray(jax.grad(lambda f: total(f).sum())(jnp.asarray(fc)))
    np.testing.assert_allclose(found, numerical, rtol=1e-5, atol=1e-6)
