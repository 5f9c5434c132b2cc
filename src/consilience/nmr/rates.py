"""Relaxation rates of an amide 15N from spectral densities: R1, R2, NOE and dipole-CSA cross-correlated rates.

Abragam's equations with the signed Larmor frequency of 15N (wN < 0), so that J(wH + wN) lies at |wH| - |wN|; eta as
the element of the relaxation matrix d<N+>/dt = -R2 <N+> - eta_xy <2HzN+>, positive for amides (Goldman, J. Magn. Reson.
60 (1984) 437; Kroenke et al., J. Am. Chem. Soc. 120 (1998) 7905).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from consilience.nmr.constants import Constants


class Rates(NamedTuple):
    """Arrays (n, f): s^-1, NOE dimensionless."""

    R1: Any
    R2: Any
    NOE: Any
    etaxy: Any
    etaz: Any


def rates(dipole, csa_density, cross, omega, r6_inverse, csa, rex, constants: Constants) -> Rates:
    """Rates from densities (..., f, 5) in ns at `omega` (f, 5) rad/ns as `frequencies` orders them.

    `r6_inverse` Å^-6, `csa` ppm (broadcast against (..., f)), `rex` s^-1 at each field (..., f).
    """
    j0, jn, jminus, jh, jplus = (dipole[..., k] for k in range(5))
    c0, cn = csa_density[..., 0], csa_density[..., 1]
    x0, xn = cross[..., 0], cross[..., 1]
    d = constants.dipolar
    d2 = 1e9 * d * d * r6_inverse  # s^-1 ns^-1
    shift = omega[:, 1] * csa  # wN times the anisotropy, rad/ns ppm
    c2 = 1e-3 * shift * shift / 3.0
    dc = 1e3 * d * r6_inverse**0.5 * shift
    r1 = d2 / 4 * (jminus + 3 * jn + 6 * jplus) + c2 * cn
    r2 = d2 / 8 * (4 * j0 + jminus + 3 * jn + 6 * jh + 6 * jplus) + c2 / 6 * (4 * c0 + 3 * cn) + rex
    cross_relaxation = d2 / 4 * (6 * jplus - jminus)
    noe = 1.0 + cross_relaxation / constants.ratio / r1
    return Rates(r1, r2, noe, dc / 6 * (4 * x0 + 3 * xn), dc * xn)
