"""Errors of model-free parameters: Laplace's approximation at the solution, and Monte Carlo refits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from consilience.core.bounded import held
from consilience.nmr.modelfree import PARAMETERS
from consilience.nmr.residuefit import (
    Experiment,
    Measured,
    Method,
    Tumbling,
    back_calculate,
    jacobians,
    refine,
)

SINGULAR = 1e-12  # relative eigenvalue of the scaled J'J below which a direction is not determined by the data


class Spread(NamedTuple):
    """Standard errors (n, 9) of the eight PARAMETERS and of S2; 0 where a parameter is held, NaN where unknown.

    `correlation` (n, 8, 8) of the parameters; NaN rows for those that are held.
    """

    sigma: np.ndarray
    correlation: np.ndarray


def laplace(x, lower, upper, tumbling: Tumbling, residues: Measured, experiment: Experiment, method: Method) -> Spread:
    """From the inverse of J'J over the parameters (n, 8) that are not at a bound."""
    count = len(PARAMETERS)
    sigma, correlation = np.zeros((len(x), count + 1)), np.full((len(x), count, count), np.nan)
    if not method.active:
        return Spread(sigma, correlation)
    r, jac = (np.asarray(a) for a in jacobians(x, tumbling, residues, experiment, method))
    active = np.array(method.active)
    pinned = held(x[:, active], np.einsum("nmk,nm->nk", jac, r), lower[:, active], upper[:, active])
    for i in range(len(x)):
        free = np.flatnonzero(~pinned[i])
        if not len(free):
            continue
        j = jac[i][:, free]
        covariance, known = _inverse(j.T @ j)
        own = active[free]
        spread = np.sqrt(np.where(known, np.diag(covariance), np.nan))
        sigma[i, own] = spread
        with np.errstate(invalid="ignore"):
            correlation[i][np.ix_(own, own)] = covariance / np.outer(spread, spread)
        slope = np.zeros(count)
        slope[0], slope[1] = x[i, 1], x[i, 0]
        slope = slope[own]
        sigma[i, -1] = np.nan if np.any(slope[~known]) else np.sqrt(max(slope @ covariance @ slope, 0.0))
    return Spread(sigma, correlation)


def _inverse(normal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pseudo-inverse of J'J (k, k), and (k,) bool: parameters that have no part in a direction left undetermined."""
    size = np.sqrt(np.diag(normal))
    scale = np.where(size > 0, size, 1.0)
    value, vector = np.linalg.eigh(normal / np.outer(scale, scale))
    determined = value > SINGULAR * value[-1]
    known = ~np.any(np.abs(vector[:, ~determined]) > 1e-4, axis=1)
    inverse = np.where(determined, 1.0 / np.where(determined, value, 1.0), 0.0)
    return (vector * inverse) @ vector.T / np.outer(scale, scale), known


def monte_carlo(
    x, lower, upper, tumbling, residues, experiment, method, *, samples: int, seed: int, chunk: int = 50_000
) -> np.ndarray:
    """Refitted parameters (samples, n, 8): noise of the data's own errors on the back-calculated values."""
    rng, tumbling = np.random.default_rng(seed), tumbling.merged()
    n, m = residues.y.shape
    centre = np.asarray(back_calculate(x, tumbling, residues, experiment, method))
    sigma = np.where(residues.w > 0, 1 / np.where(residues.w > 0, residues.w, 1.0), 0.0)
    at_once = max(1, min(samples, chunk // max(n, 1)))
    out = []
    for first in range(0, samples, at_once):
        noise = rng.standard_normal((at_once, n, m))[: samples - first]
        y = (centre + sigma * noise).reshape(-1, m)
        s = len(noise)
        if s < at_once:  # keep the shape, so that the last part needs no program of its own
            y = np.concatenate([y, np.tile(y[-n:], (at_once - s, 1))])

        def repeat(a):
            return np.tile(a, (at_once, *([1] * (a.ndim - 1))))

        many = Measured(y, repeat(residues.w), repeat(residues.nh), repeat(residues.tilt))
        start = (repeat(x), repeat(lower), repeat(upper))
        found, _ = refine(*start, tumbling, many, experiment, method, steps=6, damping=1e-4)
        out.append(found.reshape(at_once, n, -1)[:s])
    return np.concatenate(out)


def monte_carlo_sigma(samples: np.ndarray) -> np.ndarray:
    """Standard deviations (n, 9) of the PARAMETERS and of S2 over samples (s, n, 8)."""
    s2 = samples[..., 0] * samples[..., 1]
    return np.concatenate([samples, s2[..., None]], -1).std(axis=0, ddof=1)
