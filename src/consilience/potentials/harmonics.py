"""Real spherical harmonics up to l = 3 and the Clebsch-Gordan tensors that couple them.

Order and axes are those of e3nn: for l = 1 the components are x, y, z. Harmonics are normalised so that the sum of the
squares of one l is 2 l + 1 on the unit sphere.
"""

from __future__ import annotations

from functools import cache
from math import factorial, sqrt

import jax.numpy as jnp
import numpy as np

L_MAX = 3


def part(l: int) -> slice:
    """Where the 2 l + 1 components of degree l stand among the (l_max + 1)² of a feature."""
    return slice(l * l, (l + 1) * (l + 1))


def spherical_harmonics(u, l_max: int):
    """Harmonics of unit vectors u (..., 3) for l = 0..l_max: (..., (l_max + 1)²)."""
    x, y, z = u[..., 0], u[..., 1], u[..., 2]
    out = [jnp.ones_like(x)]
    if l_max >= 1:
        out += [sqrt(3) * x, sqrt(3) * y, sqrt(3) * z]
    if l_max >= 2:
        x2z2 = x * x + z * z
        out += [
            sqrt(15) * x * z,
            sqrt(15) * x * y,
            sqrt(5) * (y * y - 0.5 * x2z2),
            sqrt(15) * y * z,
            0.5 * sqrt(15) * (z * z - x * x),
        ]
    if l_max >= 3:
        x2z2 = x * x + z * z
        out += [
            0.25 * sqrt(70) * x * (3 * z * z - x * x),
            sqrt(105) * x * y * z,
            0.25 * sqrt(42) * x * (4 * y * y - x2z2),
            0.5 * sqrt(7) * y * (2 * y * y - 3 * x2z2),
            0.25 * sqrt(42) * z * (4 * y * y - x2z2),
            0.5 * sqrt(105) * y * (z * z - x * x),
            0.25 * sqrt(70) * z * (z * z - 3 * x * x),
        ]
    if not 0 <= l_max <= L_MAX:
        raise ValueError(f"l_max is {l_max}; harmonics are there for 0 to {L_MAX}")
    return jnp.stack(out, -1)


@cache
def clebsch_gordan(l1: int, l2: int, l3: int) -> np.ndarray:
    """The tensor (2 l1 + 1, 2 l2 + 1, 2 l3 + 1) that couples l1 and l2 to l3, of Frobenius norm 1.

    From the complex coefficients (Racah's formula) by the change to the real basis. Raises ValueError outside the
    triangle |l1 - l2| <= l3 <= l1 + l2.
    """
    if not abs(l1 - l2) <= l3 <= l1 + l2:
        raise ValueError(f"l = {l1} and {l2} do not couple to {l3}")
    complex_form = np.zeros((2 * l1 + 1, 2 * l2 + 1, 2 * l3 + 1))
    for m1 in range(-l1, l1 + 1):
        for m2 in range(-l2, l2 + 1):
            if abs(m1 + m2) <= l3:
                complex_form[l1 + m1, l2 + m2, l3 + m1 + m2] = _racah(l1, m1, l2, m2, l3, m1 + m2)
    q1, q2, q3 = _real_basis(l1), _real_basis(l2), _real_basis(l3)
    real = np.einsum("ij,kl,mn,ikn->jlm", q1, q2, np.conj(q3.T), complex_form)
    assert np.abs(real.imag).max() < 1e-12
    return real.real / np.linalg.norm(real.real)


def _real_basis(l: int) -> np.ndarray:
    """Columns: real harmonics in terms of the complex ones, with the phase (-i)^l that makes all couplings real."""
    q = np.zeros((2 * l + 1, 2 * l + 1), complex)
    for m in range(-l, 0):
        q[l + m, l + abs(m)] = 1 / sqrt(2)
        q[l + m, l - abs(m)] = -1j / sqrt(2)
    q[l, l] = 1
    for m in range(1, l + 1):
        q[l + m, l + abs(m)] = (-1) ** m / sqrt(2)
        q[l + m, l - abs(m)] = 1j * (-1) ** m / sqrt(2)
    return (-1j) ** l * q


def _racah(j1: int, m1: int, j2: int, m2: int, j3: int, m3: int) -> float:
    low = max(-j1 + j2 + m3, -j1 + m1, 0)
    high = min(j2 + j3 + m1, j3 - j1 + j2, j3 + m3)
    f = factorial
    scale = (2 * j3 + 1) * (
        f(j3 + j1 - j2) * f(j3 - j1 + j2) * f(j1 + j2 - j3) * f(j3 + m3) * f(j3 - m3)
        / (f(j1 + j2 + j3 + 1) * f(j1 - m1) * f(j1 + m1) * f(j2 - m2) * f(j2 + m2))
    )  # fmt: skip
    total = sum(
        (-1) ** (v + j2 + m2)
        * f(j2 + j3 + m1 - v) * f(j1 - m1 + v)
        / (f(v) * f(j3 - j1 + j2 - v) * f(j3 + m3 - v) * f(v + j1 - j2 - m3))
        for v in range(low, high + 1)
    )  # fmt: skip
    return sqrt(scale) * total
