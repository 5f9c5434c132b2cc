"""Spectra of trajectories: power spectrum of velocities and infrared spectrum of dipoles, by Wiener-Khinchin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from consilience.core.errors import InputError
from consilience.units import BOLTZMANN, CM1, FS, KM_MOL, LIGHT, QUANTUM

WIDTH = 1.36  # a sharp line at half height, times the longest lag (Harris 1978, table 1: 2.72 bins)
Correction = Literal["harmonic", "standard", "schofield", "none"]


@dataclass(frozen=True)
class Spectrum:
    """cm1 (m,), intensity (m,) in `unit`, its standard error over replicas (None for one), and peaks.

    resolution_cm1: full width at half height of a sharp line. correction: the quantum correction that was used.
    """

    cm1: np.ndarray
    intensity: np.ndarray
    error: np.ndarray | None
    unit: str
    peaks_cm1: np.ndarray
    resolution_cm1: float
    correction: str = ""

    @property
    def integral(self) -> float:
        """The integral over all wavenumbers, in `unit` times cm^-1 (the first point, 0, counts half)."""
        return float((self.cm1[1] - self.cm1[0]) * (self.intensity.sum() - 0.5 * self.intensity[0]))


def power_spectrum(
    velocities: Any, masses: Any, frame_fs: float, *, resolution: float = 4.0, dt: float | None = None
) -> Spectrum:
    """Kinetic energy per wavenumber, eV cm, of velocities (R, F, n, 3) or (F, n, 3), Å/fs; masses (n,) amu.

    Its integral is the mean kinetic energy: kT/2 for every degree of freedom. frame_fs: time between frames;
    resolution: cm^-1, see `Spectrum`. dt: the time step (fs) of velocity Verlet or BAOAB, which raise a frequency w to
    2/dt asin(w dt/2); the axis is corrected for it.
    """
    v = _replicas(velocities, 4)
    weights = np.asarray(masses, float)[:, None] / 2
    signals = (v / FS * np.sqrt(weights)).reshape(*v.shape[:2], -1)
    cm1, each, width = _densities(signals, frame_fs, resolution)
    cm1, each = _axis(cm1, each, dt)
    return _averaged(cm1, each, "eV cm", width)


def infrared_spectrum(
    dipoles: Any,
    frame_fs: float,
    temperature: float,
    *,
    correction: Correction = "harmonic",
    resolution: float = 4.0,
    dt: float | None = None,
) -> Spectrum:
    """Infrared absorption, km/mol per cm^-1, from dipoles (R, F, 3) or (F, 3), e Å, at a temperature, K.

    The spectrum S of dipole derivatives gives alpha = S / kT times Q (1 - exp(-u)) / u, u = h c nu / kT, with Q the
    quantum correction of the classical correlation function (Ramirez et al. 2004, J. Chem. Phys. 121, 3973):
    harmonic u / (1 - exp(-u)), with which a band integrates to its double harmonic intensity; standard
    2 / (1 + exp(-u)); schofield exp(u / 2); none 1. frame_fs, resolution, dt: as in `power_spectrum`.
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise InputError("an infrared spectrum needs a temperature above zero", found=f"{temperature} K")
    mu = _replicas(dipoles, 3)
    interval = frame_fs * FS
    rate = np.diff(mu, axis=1) / interval
    cm1, each, width = _densities(rate, frame_fs, resolution)
    half = 0.5 * cm1 / CM1 * interval  # a difference over an interval lowers an amplitude to sin(half) / half
    each = each / np.sinc(half / np.pi) ** 2
    cm1, each = _axis(cm1, each, dt)
    if dt is not None:  # amplitudes of positions are right (BAOAB: exact), rates were those of higher frequencies
        angle = np.maximum(0.5 * dt * FS * cm1 / CM1, 1e-12)
        each = each * (angle / np.arcsin(angle)) ** 2
    u = np.maximum(QUANTUM * cm1 / (BOLTZMANN * temperature), 1e-12)
    quantum = {
        "harmonic": u / -np.expm1(-u),
        "standard": 2 / (1 + np.exp(-u)),
        "schofield": np.exp(u / 2),
        "none": np.ones_like(u),
    }
    if correction not in quantum:
        raise InputError("no such quantum correction", found=correction, expected=", ".join(quantum))
    factor = KM_MOL / (BOLTZMANN * temperature) * quantum[correction] * -np.expm1(-u) / u
    return _averaged(cm1, each * factor, "km/mol cm", width, correction)


def peaks(cm1: np.ndarray, intensity: np.ndarray, prominence: float = 0.01) -> np.ndarray:
    """Positions (cm^-1) of the peaks that stand out by a fraction of the highest, refined by a parabola."""
    from scipy.signal import find_peaks

    if not len(intensity) or not np.max(intensity) > 0:
        return np.zeros(0)
    at, _ = find_peaks(intensity, prominence=prominence * np.max(intensity))
    left, middle, right = intensity[at - 1], intensity[at], intensity[at + 1]
    bend = left - 2 * middle + right
    offset = np.where(bend < 0, 0.5 * (left - right) / np.where(bend < 0, bend, -1.0), 0.0)
    return cm1[at] + offset * (cm1[1] - cm1[0])


def _replicas(a: Any, ndim: int) -> np.ndarray:
    a = np.asarray(a, float)
    a = a[None] if a.ndim == ndim - 1 else a
    if a.ndim != ndim or a.shape[1] < 16:
        raise InputError("too few frames for a spectrum", found=str(a.shape), expected="16 frames at the least")
    if not np.isfinite(a).all():
        raise InputError(
            "the trajectory has values that are not finite", found=f"in {int((~np.isfinite(a)).sum())} places"
        )
    return a


def _densities(signals: np.ndarray, frame_fs: float, resolution: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Spectral densities (R, m) of signals (R, F, k), summed over k, per cm^-1 of positive wavenumbers, and resolution.

    Correlation functions without bias up to a longest lag, times the four-term window of Blackman and Harris (Harris
    1978, Proc. IEEE 66, 51: side lobes below 3e-5); their value at lag 0 is the integral.
    """
    count = signals.shape[1]
    nyquist = 0.5e15 / (frame_fs * LIGHT)
    lags = int(np.clip(round(WIDTH * 2 * nyquist / resolution), 8, count // 2))
    size = 2 ** int(np.ceil(np.log2(2 * count)))
    correlations = []
    for one in signals:
        power = np.zeros(size // 2 + 1)
        for signal in one.T:
            power += np.abs(np.fft.rfft(signal, size)) ** 2
        correlations.append(np.fft.irfft(power, size)[:lags] / (count - np.arange(lags)))
    angle = np.pi * np.arange(lags) / lags
    window = 0.35875 + 0.48829 * np.cos(angle) + 0.14128 * np.cos(2 * angle) + 0.01168 * np.cos(3 * angle)
    points = 2 ** int(np.ceil(np.log2(8 * lags)))
    windowed = np.array(correlations) * window
    both = np.zeros((len(windowed), points))
    both[:, :lags] = windowed
    both[:, points - lags + 1 :] += windowed[:, :0:-1]
    density = np.fft.rfft(both, axis=1).real
    spacing = 2 * nyquist / points
    return spacing * np.arange(density.shape[1]), 2 * density / (points * spacing), WIDTH * 2 * nyquist / lags


def _axis(cm1: np.ndarray, each: np.ndarray, dt: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Densities on an even grid of the true wavenumbers, where steps of dt (fs) have raised those seen."""
    if dt is None:
        return cm1, each
    half = 0.5 * dt * FS
    seen = cm1 / CM1 * half
    inside = seen < 0.95 * np.pi / 2
    true = np.sin(seen[inside]) / half * CM1
    even = cm1[cm1 <= true[-1]]
    slope = np.gradient(true)
    moved = [np.interp(even, true, row[inside] * (cm1[1] - cm1[0]) / slope) for row in each]
    return even, np.array(moved)


def _averaged(cm1: np.ndarray, each: np.ndarray, unit: str, width: float, correction: str = "") -> Spectrum:
    mean = each.mean(0)
    error = each.std(0, ddof=1) / np.sqrt(len(each)) if len(each) > 1 else None
    return Spectrum(cm1, mean, error, unit, peaks(cm1, mean), float(width), correction)
