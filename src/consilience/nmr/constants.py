"""Physical constants of 15N relaxation in Å, ns, rad/ns and ppm, where every prefactor is of order one.

SI units are the trap here: r^-3 and r^-6 in metres leave the range of float32, and coordinate gradients with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from consilience.core.errors import InputError

ConstantsName = Literal["codata2022", "relax"]


@dataclass(frozen=True)
class Constants:
    """Magnetogyric ratios (rad s^-1 T^-1; that of 15N is negative), Planck's constant (J s), mu0 (N A^-2)."""

    gamma_h: float
    gamma_n: float
    planck: float
    mu0: float

    @property
    def dipolar(self) -> float:
        """d r^3 = -mu0/(4 pi) hbar gammaH gammaN in rad/ns Å^3; positive."""
        hbar = self.planck / (2 * np.pi)
        return -self.mu0 / (4 * np.pi) * hbar * self.gamma_h * self.gamma_n * 1e30 * 1e-9

    @property
    def ratio(self) -> float:
        """gammaN / gammaH, negative."""
        return self.gamma_n / self.gamma_h


SETS: dict[str, Constants] = {
    "codata2022": Constants(2.6752218708e8, -2.71261804e7, 6.62607015e-34, 1.25663706127e-6),
    "relax": Constants(2.67522212e8, -2.7126e7, 6.62606876e-34, 4e-7 * float(np.pi)),
}


def constants_named(name: str) -> Constants:
    """The set "codata2022" or "relax" (the values of that program). Raises InputError for another name."""
    if name not in SETS:
        raise InputError("unknown set of constants", found=str(name), expected=" or ".join(SETS))
    return SETS[name]


def frequencies(fields, constants: Constants, xp=np):
    """(f, 5) angular frequencies in rad/ns at fields (f,) MHz of 1H: 0, wN, wH - wN, wH, wH + wN; wN is negative."""
    w_h = 2 * np.pi * 1e-3 * xp.asarray(fields)
    w_n = w_h * constants.ratio
    return xp.stack([0 * w_h, w_n, w_h - w_n, w_h, w_h + w_n], -1)
