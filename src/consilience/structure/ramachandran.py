"""Ramachandran plot: how usual a pair of backbone torsions phi, psi is, for general residues, Gly, Pro and pre-Pro.

Each kind has a density made of a few wrapped Gaussians on the torus, set by us to follow the published distributions of
well-ordered residues (Lovell et al., Proteins 50 (2003) 437-450). A pair is favoured inside the contour that holds
98 % of the density, allowed inside that of 99.95 % (general) or 99.8 % (the other kinds), as in that paper.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np

Kind = Literal["general", "Gly", "Pro", "pre-Pro"]
Region = Literal["favoured", "allowed", "outlier"]

# phi, psi, sigma(phi), sigma(psi) in degrees, correlation, weight
_GENERAL = (
    (-63.0, -42.0, 8.0, 8.0, -0.5, 0.360),
    (-72.0, -32.0, 17.0, 17.0, -0.6, 0.110),
    (-95.0, -3.0, 17.0, 17.0, -0.6, 0.060),
    (-68.0, 143.0, 12.0, 14.0, -0.1, 0.150),
    (-112.0, 130.0, 21.0, 16.0, 0.2, 0.170),
    (-143.0, 154.0, 17.0, 14.0, 0.2, 0.070),
    (-95.0, 160.0, 28.0, 18.0, 0.0, 0.030),
    (-95.0, 75.0, 22.0, 30.0, 0.0, 0.016),
    (-130.0, 70.0, 20.0, 30.0, 0.0, 0.006),
    (-120.0, 15.0, 20.0, 22.0, -0.3, 0.012),
    (-115.0, -45.0, 25.0, 22.0, 0.0, 0.003),
    (57.0, 42.0, 7.0, 11.0, -0.5, 0.017),
    (64.0, 24.0, 11.0, 20.0, -0.5, 0.005),
    (75.0, -58.0, 6.0, 9.0, 0.0, 0.0003),
    (58.0, -140.0, 7.0, 14.0, 0.0, 0.0006),
)
_GLY_HALF = (  # the other half is its mirror image through the origin: glycine has no hand
    (63.0, 41.0, 9.0, 9.0, -0.5, 0.18),
    (82.0, 12.0, 15.0, 17.0, -0.6, 0.24),
    (72.0, -160.0, 14.0, 20.0, -0.2, 0.20),
    (95.0, 178.0, 28.0, 20.0, 0.0, 0.17),
    (155.0, -175.0, 28.0, 20.0, 0.2, 0.14),
    (82.0, -65.0, 12.0, 16.0, 0.0, 0.012),
    (120.0, -20.0, 25.0, 25.0, -0.3, 0.03),
    (75.0, -125.0, 25.0, 30.0, 0.0, 0.03),
)
_PRO = (
    (-60.0, -30.0, 8.0, 11.0, -0.5, 0.30),
    (-72.0, -12.0, 11.0, 14.0, -0.5, 0.10),
    (-66.0, 147.0, 9.0, 10.0, 0.0, 0.42),
    (-77.0, 160.0, 11.0, 12.0, 0.0, 0.15),
    (-82.0, 68.0, 7.0, 12.0, 0.0, 0.015),
    (-75.0, 120.0, 12.0, 22.0, 0.0, 0.015),
)
_PRE_PRO = (
    (-66.0, 142.0, 12.0, 13.0, -0.1, 0.40),
    (-85.0, 125.0, 17.0, 25.0, 0.0, 0.10),
    (-120.0, 115.0, 20.0, 25.0, 0.2, 0.13),
    (-145.0, 150.0, 16.0, 20.0, 0.0, 0.06),
    (-138.0, 78.0, 13.0, 10.0, -0.2, 0.07),
    (-61.0, -44.0, 7.0, 9.0, -0.3, 0.13),
    (-75.0, -30.0, 18.0, 18.0, -0.4, 0.05),
    (-118.0, 25.0, 15.0, 18.0, 0.0, 0.008),
    (57.0, 50.0, 7.0, 10.0, -0.4, 0.03),
)
_COMPONENTS = {
    "general": _GENERAL,
    "Gly": _GLY_HALF + tuple((-a, -b, c, d, e, f) for a, b, c, d, e, f in _GLY_HALF),
    "Pro": _PRO,
    "pre-Pro": _PRE_PRO,
}
_FAVOURED = 0.98
_ALLOWED = {"general": 0.9995, "Gly": 0.998, "Pro": 0.998, "pre-Pro": 0.998}


def residue_kind(name: str, following: str | None) -> Kind:
    """Which plot a residue belongs to, by its name and that of the residue after it (None at an end)."""
    if name == "GLY":
        return "Gly"
    if name == "PRO":
        return "Pro"
    return "pre-Pro" if following == "PRO" else "general"


def density(phi: np.ndarray, psi: np.ndarray, kind: Kind) -> np.ndarray:
    """Density per square degree, same shape as `phi` and `psi` (degrees); periodic in both, positive everywhere."""
    total, norm = np.zeros(np.broadcast(phi, psi).shape), 0.0
    for phi0, psi0, s_phi, s_psi, rho, weight in _COMPONENTS[kind]:
        u = (np.asarray(phi) - phi0 + 180.0) % 360.0 - 180.0
        v = (np.asarray(psi) - psi0 + 180.0) % 360.0 - 180.0
        for shift_u in (-360.0, 0.0, 360.0):
            for shift_v in (-360.0, 0.0, 360.0):
                x, y = (u + shift_u) / s_phi, (v + shift_v) / s_psi
                q = (x * x - 2.0 * rho * x * y + y * y) / (1.0 - rho * rho)
                total = total + weight * np.exp(-q / 2.0) / (2.0 * np.pi * s_phi * s_psi * np.sqrt(1.0 - rho * rho))
        norm += weight
    return total / norm


@cache
def levels(kind: Kind) -> tuple[float, float]:
    """Densities on the favoured and on the allowed contour."""
    grid = np.arange(-180.0, 180.0, 2.0)
    values = np.sort(density(grid[:, None], grid[None, :], kind).ravel())[::-1]
    share = np.cumsum(values) / np.sum(values)
    favoured, allowed = (float(values[np.searchsorted(share, p)]) for p in (_FAVOURED, _ALLOWED[kind]))
    return favoured, allowed


def region(phi: float, psi: float, kind: Kind) -> Region:
    """Where a pair of torsions (degrees) lies."""
    favoured, allowed = levels(kind)
    value = float(density(np.asarray(phi), np.asarray(psi), kind))
    return "favoured" if value >= favoured else "allowed" if value >= allowed else "outlier"
