"""Amplitudes from measured intensities with Wilson's prior (French & Wilson, Acta Cryst. A34 (1978) 517)."""

from __future__ import annotations

import numpy as np

from consilience.xray.reflections import Reflections

POINTS = 128


def amplitudes(reflections: Reflections, per_shell: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Amplitudes and sigmas (m,): the observations themselves, or posterior mean and deviation for intensities.

    The mean intensity of Wilson's prior comes from the work reflections alone, smooth in resolution.
    """
    if reflections.kind == "amplitude":
        return np.asarray(reflections.value, float), np.asarray(reflections.sigma, float)
    ops = reflections.spacegroup.operations()
    centric = np.asarray(ops.centric_flag_array(reflections.hkl))
    epsilon = np.asarray(ops.epsilon_factor_array(reflections.hkl), float)
    work = ~reflections.free
    mean = _mean_intensity(reflections.value / epsilon, reflections.inv_d2, work, per_shell) * epsilon
    return posterior(reflections.value, reflections.sigma, mean, centric)


def _mean_intensity(value: np.ndarray, inv_d2: np.ndarray, use: np.ndarray, per_shell: int) -> np.ndarray:
    count = int(np.clip(use.sum() // per_shell, 2, 40))
    order = np.flatnonzero(use)[np.argsort(inv_d2[use], kind="stable")]
    parts = np.array_split(order, count)
    centre = np.array([inv_d2[p].mean() for p in parts])
    overall = max(float(value[use].mean()), 1e-9)
    level = np.array([max(float(value[p].mean()), 1e-3 * overall) for p in parts])
    return np.exp(np.interp(inv_d2, centre, np.log(level)))


def posterior(intensity, sigma, mean, centric) -> tuple[np.ndarray, np.ndarray]:
    """E[F] and its standard deviation for true intensities J = F^2 >= 0 with prior exp(-J / mean) (acentric) or
    exp(-J / 2 mean) / sqrt(J) (centric), by quadrature in F; all arguments (m,).
    """
    top = np.sqrt(np.maximum(intensity, 0.0) + 6 * sigma)[:, None]
    bottom = np.sqrt(np.maximum(intensity - 6 * sigma, 0.0))[:, None]
    f = bottom + (top - bottom) * (np.arange(POINTS) + 0.5) / POINTS
    j = f * f
    rate = np.where(centric, 0.5, 1.0) / mean
    log_p = -0.5 * ((intensity[:, None] - j) / sigma[:, None]) ** 2 - rate[:, None] * j
    log_p = log_p + np.where(centric[:, None], 0.0, np.log(f))  # dJ = 2 F dF; the centric prior has 1 / F
    p = np.exp(log_p - log_p.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    first = (p * f).sum(1)
    second = (p * j).sum(1)
    return first, np.sqrt(np.maximum(second - first**2, 1e-12 * second))
