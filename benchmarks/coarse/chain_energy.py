"""The energy of the speed comparison in plain JAX, the same lines for ours and for jax-md: a chain of CA beads.

Bonds, angles, dihedrals, and a WCA wall between all pairs two or more apart; eV and Å.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

KCAL, CUTOFF = 0.0433641, 4.5


def dot(a, b):
    return jnp.sum(a * b, -1)


def bonded(x):
    """Bonds, angles and dihedrals of one unbroken chain x (n, 3)."""
    b = x[1:] - x[:-1]
    energy = 50 * KCAL * jnp.sum((jnp.sqrt(dot(b, b)) - 3.8) ** 2)
    u, w = -b[:-1], b[1:]
    cosine = dot(u, w) * jax.lax.rsqrt(dot(u, u) * dot(w, w))
    energy += 5 * KCAL * jnp.sum((jnp.arccos(jnp.clip(cosine, -0.999, 0.999)) - 1.9) ** 2)
    first, middle, last = b[:-2], b[1:-1], b[2:]
    m, n = jnp.cross(first, middle), jnp.cross(middle, last)
    h = jax.lax.rsqrt(dot(m, m) * dot(n, n) + 1e-12)
    c, s = dot(m, n) * h, dot(first, n) * jnp.sqrt(dot(middle, middle)) * h
    return energy + KCAL * jnp.sum(1 - (0.6216 * c + 0.7833 * s) + 0.5 * (1 - (4 * c**3 - 3 * c)))


def wall(r2, on):
    """The WCA wall of pairs at squared distances r2 that are `on`."""
    inside = on & (r2 < CUTOFF**2)
    s6 = (CUTOFF / 2 ** (1 / 6)) ** 6 / jnp.where(inside, r2, 1e3) ** 3
    return jnp.where(inside, 4 * 0.3 * KCAL * (s6 * s6 - s6) + 0.3 * KCAL, 0.0)


def compact(n: int) -> np.ndarray:
    """A chain of n beads folded into a cube, row by row and layer by layer, a little disturbed."""
    side = max(3, round(n ** (1 / 3)))
    rows, flip_x, flip_y = [], False, False
    for z in range(n):
        for y in range(side)[:: -1 if flip_y else 1]:
            rows += [(x, y, z) for x in range(side)[:: -1 if flip_x else 1]]
            flip_x = not flip_x
        flip_y = not flip_y
        if len(rows) >= n:
            break
    return np.array(rows[:n], float) * 3.8 + np.random.default_rng(0).normal(0, 0.05, (n, 3))
