"""What follows from series along a trajectory: correlation times, errors, slow modes, free energies, heat capacity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from consilience.core.errors import InputError
from consilience.md.conservation import correlation_factor
from consilience.units import BOLTZMANN


def autocorrelation(x: np.ndarray, lags: int | None = None) -> np.ndarray:
    """Normalised autocorrelation (lags,) of x (F,) about its mean, each lag over the pairs there are; 1 at lag 0.

    A series that does not vary is 1 at lag 0 and 0 beyond.
    """
    x = np.asarray(x, float) - np.mean(x)
    n = len(x)
    lags = n if lags is None else min(lags, n)
    c = np.fft.irfft(np.abs(np.fft.rfft(x, 2 * n)) ** 2)[:lags] / (n - np.arange(lags))
    return c / c[0] if c[0] > 0 else np.eye(1, lags)[0]


def integrated_time(x: np.ndarray, dt: float) -> float:
    """Integrated correlation time of x (F,), frames dt apart, in the unit of dt: dt/2 for independent frames.

    Sum of the autocorrelation up to its first non-positive pair (Geyer 1992, Statist. Sci. 7, 473).
    """
    return 0.5 * dt * correlation_factor(np.asarray(x, float))


@dataclass(frozen=True)
class Estimate:
    """A value and its standard error."""

    value: float
    error: float


def mean_of(x: np.ndarray) -> Estimate:
    """Mean of a correlated series x (F,), its error by blocks (Flyvbjerg & Petersen 1989, J. Chem. Phys. 91, 461).

    The error is the largest that blocks of twice the length give, down to 16 blocks; nan for fewer than 2 frames.
    """
    x = np.asarray(x, float)
    value, best = float(np.mean(x)), float(np.std(x, ddof=1) / np.sqrt(len(x))) if len(x) > 1 else np.nan
    while len(x) >= 32:
        x = x[: len(x) // 2 * 2].reshape(-1, 2).mean(1)
        best = max(best, float(np.std(x, ddof=1) / np.sqrt(len(x))))
    return Estimate(value, best)


@dataclass(frozen=True)
class SlowMode:
    """Slow linear combinations: times (m,) in units of the lag's dt, weights (d, m), the modes along the run (F, m)."""

    times: np.ndarray
    weights: np.ndarray
    modes: np.ndarray


def slow_modes(features: np.ndarray, lag: int, dt: float = 1.0, *, modes: int = 1, keep: float = 1e-6) -> SlowMode:
    """Time-lagged independent components of features (F, d), such as distances (Perez-Hernandez et al. 2013).

    Generalised eigenproblem of the symmetrised covariance at `lag` frames against that at zero, in the space of the
    principal components with a variance over `keep` of the largest. times: -lag dt / ln(eigenvalue), 0 where that is
    not positive. Raises InputError for fewer frames than two lags or features that do not vary.
    """
    x = np.asarray(features, float)
    if x.ndim != 2 or lag < 1 or len(x) < 2 * lag + 2:
        raise InputError("too few frames for slow modes", found=f"{len(x)} frames, lag {lag}", fix="take a shorter lag")
    a, b = x[:-lag], x[lag:]
    centre = 0.5 * (a.mean(0) + b.mean(0))
    a, b = a - centre, b - centre
    c0 = (a.T @ a + b.T @ b) / (2 * len(a))
    ct = (a.T @ b + b.T @ a) / (2 * len(a))
    size, v = np.linalg.eigh(c0)
    good = size > keep * size[-1]
    if not size[-1] > 0:
        raise InputError("features that do not vary have no slow modes", found=f"{x.shape[1]} features")
    white = v[:, good] / np.sqrt(size[good])
    slow, u = np.linalg.eigh(white.T @ ct @ white)
    slow, weights = slow[::-1][:modes], (white @ u)[:, ::-1][:, :modes]
    inside = (slow > 0) & (slow < 1)
    times = np.where(inside, -lag * dt / np.log(np.where(inside, slow, 0.5)), np.where(slow >= 1, np.inf, 0.0))
    return SlowMode(times, weights, (x - centre) @ weights)


def free_energy_profile(x: np.ndarray, temperature: float, bins: np.ndarray, weights: np.ndarray | None = None):
    """Free energy (b,) in eV along a coordinate x (F,) from its histogram in bins (b + 1,); 0 at its least, inf empty.

    weights (F,): of frames from biased runs (None: equal). Of the coordinate's density: no Jacobian is divided out.
    """
    h, edges = np.histogram(np.asarray(x, float), bins, weights=weights)
    p = h / np.diff(edges)
    with np.errstate(divide="ignore"):
        f = -BOLTZMANN * temperature * np.log(p)
    return f - np.min(f[np.isfinite(f)]) if np.isfinite(f).any() else f


def folding_free_energy(x: np.ndarray, threshold: float, temperature: float, *, above: bool = True) -> Estimate:
    """G(folded) - G(unfolded), eV, from the fractions of x (F,) on either side of a threshold; negative: folded.

    above: folded frames have x > threshold (Q; False for an RMSD). The error comes from that of the fraction; a state
    that was never seen gives an infinite value and error.
    """
    x = np.asarray(x, float)
    p = mean_of((x > threshold if above else x < threshold).astype(float))
    kt = BOLTZMANN * temperature
    if not 0 < p.value < 1:
        return Estimate(float(np.inf if p.value == 0 else -np.inf), float(np.inf))
    return Estimate(float(-kt * np.log(p.value / (1 - p.value))), float(kt * p.error / (p.value * (1 - p.value))))


def heat_capacity(energy: np.ndarray, temperature: float) -> Estimate:
    """var(E) / (k T²), eV/K, from total or potential energies (F,) eV at constant temperature, with a block error."""
    e = np.asarray(energy, float)
    scale = 1.0 / (BOLTZMANN * temperature**2)
    square = mean_of((e - e.mean()) ** 2)
    return Estimate(square.value * scale, square.error * scale)


def temperature_test(kinetic: np.ndarray, dof: int, temperature: float) -> float:
    """Probability of so large a distance between the kinetic energies (F,) eV and their canonical distribution.

    Kolmogorov-Smirnov against a gamma distribution of shape dof/2 and scale kT, with the number of independent frames
    that the correlation time leaves. Small: the thermostat or the number of degrees of freedom is wrong.
    """
    from scipy.stats import gamma, kstwobign

    k = np.sort(np.asarray(kinetic, float))
    cdf = gamma.cdf(k, dof / 2, scale=BOLTZMANN * temperature)
    n = len(k)
    distance = max(np.max(np.arange(1, n + 1) / n - cdf), np.max(cdf - np.arange(n) / n))
    independent = max(1.0, n / correlation_factor(np.asarray(kinetic, float)))
    root = np.sqrt(independent)
    return float(kstwobign.sf((root + 0.12 + 0.11 / root) * distance))
