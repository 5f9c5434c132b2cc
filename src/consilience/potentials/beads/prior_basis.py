"""Functions that the energies of a bead prior are sums of: of bonds, angles, dihedrals and distances. All are C2."""

from __future__ import annotations

import jax.numpy as jnp

BOND = 3.8  # Å, near the distance of CA atoms across a trans peptide
ANGLES = 5  # cos(k theta) for k = 1..5
DIHEDRALS = 4  # cos(k phi) and sin(k phi) for k = 1..4
CENTRES = (5.0, 6.5, 8.0)  # Å, of Gaussians of distances
WIDTH = 1.2  # Å
REACH = 10.0  # Å, of the Gaussians
CORE_REACH = 7.0  # Å, of the excluded volume
SIGMA = 4.0  # Å, where the excluded volume has its strength, but for the switch
SOFT, HARD = 8, 12  # exponents for separations up to 5, and beyond


def multiples(cosine, count: int):
    """cos(k theta), k = 1..count, from cos theta: (..., count)."""
    out = [cosine, 2 * cosine * cosine - 1]
    while len(out) < count:
        out.append(2 * cosine * out[-1] - out[-2])
    return jnp.stack(out[:count], -1)


def dihedral_basis(cosine, sine):
    """cos(k phi), then sin(k phi), k = 1..DIHEDRALS: (..., 2 DIHEDRALS)."""
    c, s = [cosine], [sine]
    for _ in range(DIHEDRALS - 1):
        c, s = [*c, c[-1] * cosine - s[-1] * sine], [*s, s[-1] * cosine + c[-1] * sine]
    return jnp.stack([*c, *s], -1)


def switch(r2, reach: float):
    """(1 - r²/reach²)³ within the reach, else 0."""
    return jnp.maximum(1.0 - r2 / reach**2, 0.0) ** 3


def core(r2, hard):
    """(SIGMA / r)^HARD where `hard`, else (SIGMA / r)^SOFT, switched off at CORE_REACH; r2 (...) Å²."""
    ratio = SIGMA**2 / r2
    soft = ratio ** (SOFT // 2)
    return jnp.where(hard, soft * ratio ** ((HARD - SOFT) // 2), soft) * switch(r2, CORE_REACH)


def bumps(r2):
    """Gaussians of the distance, switched off at REACH; r2 (...) Å² -> (..., len(CENTRES))."""
    r = jnp.sqrt(r2)
    centres = jnp.asarray(CENTRES, r.dtype)
    return jnp.exp(-(((r[..., None] - centres) / WIDTH) ** 2)) * switch(r2, REACH)[..., None]


def beyond(x, low, high):
    """max(0, x - high)³ + max(0, low - x)³."""
    return jnp.maximum(x - high, 0.0) ** 3 + jnp.maximum(low - x, 0.0) ** 3
