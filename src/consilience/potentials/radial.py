"""Radial bases and smooth envelopes of interatomic distances."""

from __future__ import annotations

import math

import jax.numpy as jnp


def envelope(x):
    """1 at x = 0, 0 from x = 1 on, three continuous derivatives at both ends: 1 - x^4 (35 - 84 x + 70 x² - 20 x³)."""
    x = jnp.clip(x, 0.0, 1.0)
    return 1.0 - x**4 * (35.0 + x * (-84.0 + x * (70.0 - 20.0 * x)))


def physnet_envelope(x):
    """1 - 6 x^5 + 15 x^4 - 10 x^3 for x < 1, else 0; two continuous derivatives (Unke & Meuwly 2019, eq. 8)."""
    x = jnp.clip(x, 0.0, 1.0)
    return 1.0 - x**3 * (10.0 + x * (-15.0 + 6.0 * x))


def bessel(r, cutoff: float, size: int):
    """sqrt(2 / cutoff) sin(k pi r / cutoff) / r for k = 1..size (Gasteiger et al. 2020, eq. 7).

    r (...) Å, above zero -> (..., size).
    """
    k = jnp.arange(1, size + 1, dtype=r.dtype) * jnp.pi / cutoff
    return (2.0 / cutoff) ** 0.5 * jnp.sin(k * r[..., None]) / r[..., None]


def exponential_gaussians(r, cutoff: float, size: int, length: float = 1.0):
    """exp(-beta (exp(-r / length) - mu_k)²) (Unke & Meuwly 2019, eq. 7, without its cutoff). r (...) Å -> (..., size).

    Centres mu_k equally spaced between exp(-cutoff / length) and 1; beta = (2 / size (1 - exp(-cutoff / length)))^-2.
    Fine where bonds are and ever coarser beyond: what is learnt of a bond is not mistaken for that of atoms far apart.
    """
    u, low = jnp.exp(-r / length), math.exp(-cutoff / length)  # a float of Python keeps float32
    centres = jnp.linspace(low, 1.0, size, dtype=r.dtype)
    beta = (2.0 / size * (1.0 - low)) ** -2
    return jnp.exp(-beta * (u[..., None] - centres) ** 2)
