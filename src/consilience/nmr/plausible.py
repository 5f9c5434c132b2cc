"""Rates of a rigid amide that tumbles isotropically: the yardstick for relaxation data before any fit."""

from __future__ import annotations

import math

import numpy as np

from consilience.nmr.amide_constants import CSA, R_NH
from consilience.nmr.constants import SETS

_CONSTANTS = SETS["codata2022"]
_DIPOLAR = (1e9 * _CONSTANTS.dipolar / R_NH**3) ** 2 / 4.0  # d^2 / 4, rad^2/s^2


def _larmor(field: float) -> tuple[float, float, float]:
    """wH, wN (rad/s) and the CSA constant c^2 (rad^2/s^2) at a field in MHz of 1H (600 where it is none)."""
    h = 2e6 * math.pi * (field if 200.0 <= field <= 1300.0 else 600.0)
    n = h * _CONSTANTS.ratio
    return h, n, (n * 1e-6 * CSA) ** 2 / 3.0


def noe_limit(field: float) -> float:
    """NOE of a rigid amide that tumbles slowly (J as 1/w^2), the largest that there is; field in MHz of 1H.

    Dipolar and CSA relaxation with r 1.02 Å, CSA -172 ppm: 0.83 at 500 and 0.91 at 1200 MHz.
    """
    h, n, c2 = _larmor(field)
    difference, total, single = 1.0 / (h - n) ** 2, 1.0 / (h + n) ** 2, 1.0 / n**2
    r1 = _DIPOLAR * (difference + 3.0 * single + 6.0 * total) + c2 * single
    return 1.0 + _DIPOLAR / _CONSTANTS.ratio * (6.0 * total - difference) / r1


def rigid_rates(field: float, tau: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """R1 and R2 (n,) in s^-1 of a rigid amide; tau (n,): correlation times in ns, field in MHz of 1H."""
    h, n, c2 = _larmor(field)

    def j(w: float) -> np.ndarray:
        return 0.4e-9 * tau / (1.0 + (w * tau * 1e-9) ** 2)

    r1 = _DIPOLAR * (j(h - n) + 3.0 * j(n) + 6.0 * j(h + n)) + c2 * j(n)
    high = j(h - n) + 3.0 * j(n) + 6.0 * j(h) + 6.0 * j(h + n)
    return r1, 0.5 * _DIPOLAR * (4.0 * j(0.0) + high) + c2 / 6.0 * (4.0 * j(0.0) + 3.0 * j(n))


def apparent_order(field: float, r1: float, r2: float) -> tuple[float, float]:
    """S^2 and tau_c (ns) of a protein with these R1 and R2 (s^-1), from their ratio: S^2 is 0.5 to 1 where they fit.

    Outside 0.05 to 200 ns the nearest is taken.
    """
    tau = np.geomspace(0.05, 200.0, 600)
    rigid1, rigid2 = rigid_rates(field, tau)
    best = int(np.argmin(np.abs(np.log(rigid2 / rigid1) - math.log(r2 / r1))))
    return r1 / float(rigid1[best]), float(tau[best])
