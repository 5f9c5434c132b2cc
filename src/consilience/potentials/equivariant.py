"""An E(3)-equivariant message-passing network: messages weighted by scalars, products of features on atoms.

Messages follow PaiNN (Schütt, Unke & Gastegger 2021) to any degree l: scalars of the sender and radial functions weigh
the harmonics of the edge and the sender's own features, so that no edge needs a tensor product. Products of features
are taken on atoms, where there are few, with Clebsch-Gordan tensors (the idea of MACE, Batatia et al. 2022).
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from consilience.potentials.harmonics import clebsch_gordan, part, spherical_harmonics
from consilience.potentials.layers import MLP, Dense, dense, mlp, soft_norm, species_index
from consilience.potentials.radial import bessel, envelope, exponential_gaussians
from consilience.potentials.repulsion import COVALENT

RADIAL = {"bessel": bessel, "exponential": exponential_gaussians}
LARGEST = 2.0  # r.m.s. of features; trained ones have 0.3 to 1.3
NEIGHBOURS = 10.0**-0.5  # a sum over some ten neighbours has the size of one term


def couplings(l_max: int) -> tuple[tuple[int, int, int], ...]:
    """Products (l1, l2, l3) of proper tensors with l1 <= l2 that are not scalars."""
    degrees = range(1, l_max + 1)
    return tuple(
        (a, b, c)
        for a in degrees
        for b in range(a, l_max + 1)
        for c in degrees
        if b - a <= c <= a + b and (a + b + c) % 2 == 0
    )


def limited(x, axes):
    """x (1 + (m / LARGEST²)²)^(-1/4), m the mean of x² over some axes: x where m is small, r.m.s. below LARGEST."""
    m = jnp.mean(x * x, axes, keepdims=True) / LARGEST**2
    return x * (1.0 + m * m) ** -0.25


class Interaction(eqx.Module):
    """One round of messages and one update on atoms. Features: scalars (n, F), tensors (n, (l_max + 1)² - 1, F).

    `bounded`: features stay below LARGEST in r.m.s. Else products of products grow without end on geometries that no
    training frame is like, and charges and energies with them.
    """

    sender: MLP  # scalars of the sender -> weights of its messages
    radial: Dense  # radial basis -> the same weights
    left: tuple[Dense, ...]  # mix channels, for each l
    right: tuple[Dense, ...]
    update: MLP
    l_max: int = eqx.field(static=True)
    bounded: bool = eqx.field(static=True, default=True)

    def messages(self, scalars, tensors, basis, harmonics, neighbours):
        """Sums over neighbours of weighted scalars, harmonics and tensors."""
        f = scalars.shape[-1]
        weights = self.sender(scalars)[neighbours.index] * self.radial(basis)
        pieces = jnp.split(weights, weights.shape[-1] // f, -1)
        ds = NEIGHBOURS * jnp.sum(pieces[0], 1)
        out = []
        for l in range(1, self.l_max + 1):
            here = slice(l * l - 1, (l + 1) ** 2 - 1)
            m = jnp.sum(harmonics[..., part(l), None] * pieces[l][:, :, None], 1)
            if tensors is not None:
                m = m + jnp.sum(pieces[self.l_max + l][:, :, None] * tensors[:, here][neighbours.index], 1)
            out.append(NEIGHBOURS * m)
        return ds, jnp.concatenate(out, 1)

    def __call__(self, scalars, tensors, basis, harmonics, neighbours):
        ds, dt = self.messages(scalars, tensors, basis, harmonics, neighbours)
        scalars = scalars + ds
        tensors = dt if tensors is None else tensors + dt
        return self.updated(scalars, tensors)

    def updated(self, scalars, tensors):
        """Invariants of the tensors change the scalars; scalars scale the tensors and their products."""
        degrees = range(1, self.l_max + 1)
        by_degree = [tensors[:, l * l - 1 : (l + 1) ** 2 - 1] for l in degrees]
        left = [mix(t) for mix, t in zip(self.left, by_degree, strict=True)]
        right = [mix(t) for mix, t in zip(self.right, by_degree, strict=True)]
        squares = [jnp.sum(r * r, 1) / (2 * l + 1) for l, r in zip(degrees, right, strict=True)]
        inner = [jnp.sum(a * b, 1) / (2 * l + 1) for l, a, b in zip(degrees, left, right, strict=True)]
        f = scalars.shape[-1]
        given = self.update(jnp.concatenate([scalars, *(soft_norm(s) for s in squares)], -1))
        gates = jnp.split(given, given.shape[-1] // f, -1)
        count = self.l_max
        scalars = scalars + gates[0] + sum(g * i for g, i in zip(gates[1 : 1 + count], inner, strict=True))
        out = [g[:, None] * t for g, t in zip(gates[1 + count : 1 + 2 * count], left, strict=True)]
        for g, (a, b, c) in zip(gates[1 + 2 * count :], couplings(self.l_max), strict=True):
            tensor = jnp.asarray(clebsch_gordan(a, b, c), scalars.dtype)
            out[c - 1] = out[c - 1] + g[:, None] * jnp.einsum("naf,nbf,abc->ncf", left[a - 1], right[b - 1], tensor)
        tensors = tensors + jnp.concatenate(out, 1)
        return (limited(scalars, -1), limited(tensors, (-2, -1))) if self.bounded else (scalars, tensors)


def apart(r, numbers, index):
    """0 where two nuclei are closer than 0.5 times the sum of their covalent radii, 1 from 0.7 on, smooth between.

    No molecule goes there; what a network would say is noise, and the repulsion of the nuclei stands alone.
    """
    radii = jnp.asarray(COVALENT, r.dtype)[jnp.minimum(numbers, len(COVALENT) - 1)]
    bond = radii[:, None] + radii[index]
    return 1.0 - envelope((r / jnp.maximum(bond, 0.1) - 0.5) / 0.2)


class Features(eqx.Module):
    """What the network knows about each atom: scalars (n, F) and tensors (n, (l_max + 1)² - 1, F), l = 1 first."""

    scalars: Any
    tensors: Any

    @property
    def vectors(self):
        """(n, 3, F)."""
        return self.tensors[:, :3]


class EquivariantNetwork(eqx.Module):
    """Embedding, interactions, and an output MLP: per-atom energies and charges from geometry."""

    embedding: Any
    interactions: tuple[Interaction, ...]
    output: MLP
    species: tuple[int, ...] = eqx.field(static=True)
    cutoff: float = eqx.field(static=True)
    radial_size: int = eqx.field(static=True)
    radial: str = eqx.field(static=True, default="bessel")  # a name in RADIAL

    def features(self, vectors, numbers, neighbours) -> Features:
        """Features from the vectors to the neighbours (n, K, 3), Å."""
        r = jnp.sqrt(jnp.sum(vectors * vectors, -1))
        smooth = jnp.where(neighbours.mask, envelope(r / self.cutoff) * apart(r, numbers, neighbours.index), 0.0)
        basis = RADIAL[self.radial](r, self.cutoff, self.radial_size) * smooth[..., None]
        basis = jnp.concatenate([basis, smooth[..., None]], -1)
        harmonics = spherical_harmonics(vectors / r[..., None], self.interactions[0].l_max)
        scalars = jnp.asarray(self.embedding)[species_index(numbers, self.species)]
        tensors = None
        for layer in self.interactions:
            scalars, tensors = layer(scalars, tensors, basis, harmonics, neighbours)
        return Features(scalars, tensors)

    def __call__(self, vectors, numbers, neighbours):
        """Outputs (n, 2): energy in the network's unit, charge in e before the correction; and features."""
        features = self.features(vectors, numbers, neighbours)
        return self.output(features.scalars), features, jnp.zeros((), vectors.dtype)


def equivariant_network(
    rng: np.random.Generator,
    species: tuple[int, ...],
    *,
    cutoff: float = 5.0,
    features: int = 64,
    layers: int = 3,
    l_max: int = 2,
    radial_size: int = 20,
    radial: str = "bessel",
    bounded: bool = True,
) -> EquivariantNetwork:
    """A network with random weights. `radial`: "bessel" or "exponential" functions, for molecules that break up.

    `bounded`: see Interaction.
    """
    products = len(couplings(l_max))

    def interaction(first: bool) -> Interaction:
        kinds = 1 + l_max if first else 1 + 2 * l_max
        return Interaction(
            mlp(rng, features, features, kinds * features),
            dense(rng, radial_size + 1, kinds * features, bias=False),
            tuple(dense(rng, features, features, bias=False) for _ in range(l_max)),
            tuple(dense(rng, features, features, bias=False) for _ in range(l_max)),
            mlp(rng, (1 + l_max) * features, features, (1 + 2 * l_max + products) * features, scale=0.3),
            l_max,
            bounded,
        )

    return EquivariantNetwork(
        rng.normal(size=(len(species), features)).astype(np.float32),
        tuple(interaction(i == 0) for i in range(layers)),
        mlp(rng, features, features // 2, 2, scale=0.1),
        tuple(species),
        float(cutoff),
        radial_size,
        radial,
    )
