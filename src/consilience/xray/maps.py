"""Map coefficients 2mFo-DFc and mFo-DFc, and the maps themselves."""

from __future__ import annotations

import gemmi
import numpy as np

from consilience.xray.experiment import Crystal, Fitted


def map_coefficients(crystal: Crystal, fitted: Fitted) -> tuple[np.ndarray, np.ndarray]:
    """(2mFo-DFc, mFo-DFc), complex (m,), on the scale of the data (Read, Acta Cryst. A42 (1986) 140).

    Centric reflections have mFo and mFo-DFc. Free reflections get DFc and 0, so that the maps cannot leak them.
    """
    phase = np.exp(1j * np.angle(fitted.f_model))
    calc = fitted.d * np.abs(fitted.f_model)
    best = fitted.fom * crystal.amplitude
    double = np.where(crystal.centric, best, 2 * best - calc)
    difference = best - calc
    free = crystal.reflections.free
    return np.where(free, calc, double) * phase, np.where(free, 0.0, difference) * phase


def fourier_map(coefficients: np.ndarray, crystal: Crystal, rate: float = 2.0) -> gemmi.FloatGrid:
    """The map of coefficients (m,) in units of its own standard deviation."""
    r = crystal.reflections
    data = gemmi.ComplexAsuData(r.cell, r.spacegroup, r.hkl.astype(np.int32), coefficients.astype(np.complex64))
    grid = data.transform_f_phi_to_map(sample_rate=2 * rate)
    grid.normalize()
    return grid
