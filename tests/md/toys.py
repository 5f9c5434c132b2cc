"""Small energies with known answers for the tests of dynamics."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from consilience.md.autopsy import Bounds


class Well(eqx.Module):
    """Independent isotropic harmonic wells: k / 2 sum |x - x0|², with charges for a dipole."""

    k: Any
    x0: Any
    charge: Any = 0.0

    def __call__(self, x, neighbours):
        return 0.5 * jnp.sum(self.k * (x - self.x0) ** 2)

    def dipole(self, x, neighbours):
        return jnp.sum(self.charge * x, 0)


class Morse(eqx.Module):
    """D (1 - exp(-a (r - r0)))² over pairs."""

    depth: Any
    a: Any
    r0: Any

    def __call__(self, x, neighbours):
        r = jnp.linalg.norm(neighbours.vectors(x), axis=-1)
        e = self.depth * (1 - jnp.exp(-self.a * (r - self.r0))) ** 2
        return 0.5 * jnp.sum(jnp.where(neighbours.mask, e, 0.0))


class LennardJones(eqx.Module):
    """4 eps ((s/r)^12 - (s/r)^6), smooth at the cutoff by OpenMM's quintic switch; `single`: in float32 inside."""

    epsilon: Any
    sigma: Any
    switch: Any = 1e6
    cutoff: Any = 2e6
    single: bool = eqx.field(static=True, default=False)

    def pairs(self, x, neighbours):
        d = neighbours.vectors(x)
        d = d.astype(jnp.float32) if self.single else d
        r2 = jnp.sum(d * d, -1)
        inside = neighbours.mask & (r2 < self.cutoff**2)
        r2 = jnp.where(inside, r2, 1e6).astype(d.dtype)
        s6 = (jnp.asarray(self.sigma, d.dtype) ** 2 / r2) ** 3
        u = jnp.clip((jnp.sqrt(r2) - self.switch) / (self.cutoff - self.switch), 0, 1).astype(d.dtype)
        s = 1 + u**3 * (-10 + u * (15 - 6 * u))
        return s, s6, inside

    def __call__(self, x, neighbours):
        s, s6, inside = self.pairs(x, neighbours)
        e = jnp.where(inside, 2 * self.epsilon * s * (s6 * s6 - s6), 0.0)
        return jnp.sum(e.astype(jnp.float64))


class Trap(eqx.Module):
    """Lennard-Jones with an attractive r^-12 wall that a pair of atoms falls into; with named terms."""

    good: LennardJones
    strength: Any
    pair: Any

    def terms(self, x, neighbours):
        i, j = self.pair
        r2 = jnp.sum((x[i] - x[j]) ** 2)
        return {"lennard-jones": self.good(x, neighbours), "wall": -self.strength * r2**-6}

    def __call__(self, x, neighbours):
        return sum(self.terms(x, neighbours).values())


ARGON = LennardJones(0.0104, 3.4)


def cluster(n: int = 13, spacing: float = 3.8) -> np.ndarray:
    """n points of a cubic lattice nearest to its origin, Å, a little disturbed."""
    side = np.arange(-3, 4)
    grid = np.stack(np.meshgrid(side, side, side, indexing="ij"), -1).reshape(-1, 3) * spacing
    grid = grid[np.argsort(np.linalg.norm(grid + 0.1, axis=1), kind="stable")][:n]
    return grid + np.random.default_rng(3).normal(0, 0.05, grid.shape)


def fluid(side: int = 4, spacing: float = 3.75, skew: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Positions (side³, 3) of a disturbed lattice and its cell (3, 3), Å."""
    cell = side * spacing * (np.eye(3) + skew * np.array([[0, 0, 0], [1, 0, 0], [-0.7, 0.8, 0]]))
    grid = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3) / side
    return grid @ cell + np.random.default_rng(5).normal(0, 0.1, grid.shape), cell


NO_BOUNDS = Bounds(0.0, np.inf, np.inf)


class Held(eqx.Module):
    """Lennard-Jones in a weak harmonic well about the origin, so that no atom leaves for good."""

    inner: LennardJones
    k: Any

    def __call__(self, x, neighbours):
        return self.inner(x, neighbours) + 0.5 * self.k * jnp.sum(x * x)
