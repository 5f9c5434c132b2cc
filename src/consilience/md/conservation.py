"""How well a simulation keeps its energy: drift by a straight line, with an honest standard error, and fluctuation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Conservation:
    """Drift and its standard error, meV/atom/ps; rms about the mean, meV/atom; averages over replicas."""

    drift: float
    drift_err: float
    rms: float


def conservation(time_fs: np.ndarray, total: np.ndarray, n_atoms: int) -> Conservation | None:
    """Measures of total energies (R, F), eV, at times (F,) fs; None for fewer than 4 frames.

    The error of a slope takes into account that the residuals are correlated in time (their integrated correlation
    time multiplies the variance); with several replicas it is that of the mean of their slopes.
    """
    t, e = np.asarray(time_fs, float) * 1e-3, np.atleast_2d(total) * 1e3 / n_atoms
    if len(t) < 4 or not np.isfinite(e).all():
        return None
    centred = t - t.mean()
    spread = centred @ centred
    slopes, errors = [], []
    for row in e:
        slope = centred @ row / spread
        residual = row - row.mean() - slope * centred
        variance = residual @ residual / (len(t) - 2) * correlation_factor(residual)
        slopes.append(slope)
        errors.append(np.sqrt(variance / spread))
    rms = float(np.sqrt(np.mean(np.var(e, axis=1))))
    return Conservation(float(np.mean(slopes)), float(np.sqrt(np.sum(np.square(errors))) / len(e)), rms)


def correlation_factor(x: np.ndarray) -> float:
    """1 + 2 sum of the autocorrelation of x (F,) up to its first non-positive pair sum (Geyer 1992), at least 1."""
    x = np.asarray(x, float) - np.mean(x)
    n = len(x)
    power = np.abs(np.fft.rfft(x, 2 * n)) ** 2
    c = np.fft.irfft(power)[:n]
    if not c[0] > 0:
        return 1.0
    rho = c / c[0]
    pairs = rho[0 : n - 1 : 2] + rho[1:n:2]
    stop = np.flatnonzero(pairs <= 0)
    kept = pairs[: stop[0]] if len(stop) else pairs
    return float(max(1.0, 2 * kept.sum() - 1))
