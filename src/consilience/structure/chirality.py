"""Ideal chiral volumes and their standard deviations, from the ideal bonds and angles around a centre."""

from __future__ import annotations

import numpy as np

SIGMA_MIN, SIGMA_MAX = 0.02, 0.2  # Å^3


def ideal_chiral_volume(bonds: np.ndarray, angles: np.ndarray) -> tuple[float, float]:
    """|V| and its sigma in Å^3, for three bonds a, b, c and the angles bc, ac, ab between them.

    bonds, angles (3, 2): ideal value and esd, Å and radians. V = abc sqrt(1 - sum cos^2 + 2 prod cos), the determinant
    of the three bond vectors (International Tables B, 1.1.3); the esds are propagated to first order, as independent.
    """
    (a, b, c), cosine, sine = bonds[:, 0], np.cos(angles[:, 0]), np.sin(angles[:, 0])
    square = max(1.0 - cosine @ cosine + 2.0 * np.prod(cosine), 1e-6)
    volume = a * b * c * np.sqrt(square)
    by_bond = volume / bonds[:, 0]
    others = cosine[[1, 0, 0]] * cosine[[2, 2, 1]]
    by_angle = volume / square * sine * (cosine - others)
    variance = np.sum((by_bond * bonds[:, 1]) ** 2) + np.sum((by_angle * angles[:, 1]) ** 2)
    return float(volume), float(np.clip(np.sqrt(variance), SIGMA_MIN, SIGMA_MAX))
