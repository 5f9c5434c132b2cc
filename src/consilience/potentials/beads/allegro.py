"""Allegro: a strictly local equivariant network of beads; every pair of neighbours has its own scalars and tensors.

Musaelian et al., Nat. Commun. 14:579 (2023). Pairs see only the neighbours of their centre, so that a sum over the
centres that a process owns is exact however a system is divided. It is no message passing.
"""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from consilience.potentials.beads.chains import NEAR
from consilience.potentials.beads.pair_packing import Packing, packing
from consilience.potentials.harmonics import clebsch_gordan, part, spherical_harmonics
from consilience.potentials.layers import MLP, Dense, dense, mlp
from consilience.potentials.radial import bessel, envelope
from consilience.precision import full_products
from consilience.residues import RESIDUES

TYPES = len(RESIDUES)
SEPARATIONS = NEAR + 2  # 0 (never), 1..5, and beyond
TYPICAL = 12.0  # neighbours of a bead
INSIDE = (3.2, 4.4)  # Å: beads that are not bonded are repelled by the prior alone, and seen fully from here on


def paths(l_max: int, parity: bool, last: bool) -> tuple[tuple[int, int, int], ...]:
    """Products (l1, l2, l3) of a layer; the last one makes scalars only. `parity`: tensors keep sign under reflection.

    Without it a network can tell a structure from its mirror image, as chains of amino acids can.
    """
    degrees = range(l_max + 1)
    return tuple(
        (a, b, c)
        for a in degrees
        for b in degrees
        for c in ((0,) if last else degrees)
        if abs(a - b) <= c <= a + b and (not parity or (a + b + c) % 2 == 0)
    )


class PairEmbedding(eqx.Module):
    """Scalars of pairs from distance, types of both beads, separation along the chain, and temperature."""

    radial: Dense
    centre: Any  # (20, D)
    neighbour: Any  # (20, D)
    separation: Any  # (SEPARATIONS, D)
    heat: Any  # (D,) for T / 300 K - 1, or None
    rest: MLP

    def __call__(self, basis, types_i, types_j, separation, warmth):
        centre, neighbour, chain = (jnp.asarray(a) for a in (self.centre, self.neighbour, self.separation))
        x = self.radial(basis) + centre[types_i] + neighbour[types_j]
        x = x + chain[jnp.minimum(separation, SEPARATIONS - 1)]
        if self.heat is not None:
            x = x + warmth * self.heat
        return self.rest(jax.nn.silu(x))


class Layer(eqx.Module):
    """One layer: weights of the neighbours' harmonics, products with the pairs' tensors, and new scalars."""

    weights: Dense  # latent -> weights of harmonics, for each degree
    mix: tuple[Dense, ...]  # channels of all paths to one degree -> channels of that degree
    latent: MLP
    routes: tuple[tuple[int, int, int], ...] = eqx.field(static=True)
    l_max: int = eqx.field(static=True)

    def __call__(self, latent, tensors, harmonics, smooth, packed: Packing):
        """latent (e, D), tensors by degree (m, K, 2 l + 1, C), harmonics (m, K, (l_max + 1)²), smooth (e, 1)."""
        weights = jnp.split(packed.slots(self.weights(latent) * smooth), self.l_max + 1, -1)
        around = [jnp.einsum("mka,mkc->mac", harmonics[..., part(l)], w) * TYPICAL**-0.5 for l, w in enumerate(weights)]
        found: dict[int, list[Any]] = {}
        for a, b, c in self.routes:
            tensor = jnp.asarray(clebsch_gordan(a, b, c), latent.dtype) * (2 * c + 1) ** 0.5
            operator = jnp.einsum("mbf,abc->macf", around[b], tensor)
            found.setdefault(c, []).append(jnp.einsum("mkaf,macf->mkcf", tensors[a], operator))
        scalars = packed.pairs(jnp.concatenate(found[0], -1)[:, :, 0])
        new = self.latent(jnp.concatenate([latent, scalars], -1)) * smooth
        latent = (2.0 * latent + new) / 5.0**0.5
        if not self.mix:
            return latent, tensors
        tensors = [self.mix[c](jnp.concatenate(found[c], -1)) for c in range(self.l_max + 1)]
        return latent, tensors


class Allegro(eqx.Module):
    """Energies of beads from their neighbours, eV: sum over neighbours of an energy for each ordered pair."""

    held: ClassVar = ("scale", "warmth")
    embedding: PairEmbedding
    first: Dense  # latent -> weights of the pairs' own harmonics
    layers: tuple[Layer, ...]
    output: MLP
    scale: Any  # eV
    warmth: Any  # T / 300 K - 1
    cutoff: float = eqx.field(static=True)
    radial_size: int = eqx.field(static=True)
    l_max: int = eqx.field(static=True)

    def energies(self, vectors, types_i, types_j, separation, mask, room: int | None = None):
        """(m,) eV of m centre beads: vectors (m, K, 3) Å to neighbours, types (m,) and (m, K), separation and mask.

        What is masked may hold anything finite. Neighbours may belong to other processes. room: the mask has no more
        pairs than so many; the dense layers see them alone.
        """
        return jnp.sum(self.pair_energies(vectors, types_i, types_j, separation, mask, room), 1)

    @full_products
    def pair_energies(self, vectors, types_i, types_j, separation, mask, room: int | None = None):
        """(m, K) eV, zero where masked; the sum of those of a pair of types says whether it attracts."""
        wide = jnp.promote_types(vectors.dtype, jnp.float32)
        kind = jnp.asarray(self.first.weight).dtype
        v = jnp.where(mask[..., None], vectors, jnp.asarray([1.0, 0.0, 0.0], vectors.dtype)).astype(kind)
        r = jnp.sqrt(jnp.sum(v * v, -1) + 1e-12)
        harmonics = spherical_harmonics(v / r[..., None], self.l_max)
        packed = Packing(None, None) if room is None else packing(mask, room)
        rows = mask.shape
        types_i = packed.pairs(jnp.broadcast_to(types_i[:, None], rows))
        types_j, separation, mask = (packed.pairs(a) for a in (types_j, separation, mask))
        r = jnp.where(mask, packed.pairs(r), 1.0)
        apart = 1.0 - envelope((r - INSIDE[0]) / (INSIDE[1] - INSIDE[0]))
        smooth = envelope(r / self.cutoff) * jnp.where(separation == 1, 1.0, apart)
        smooth = jnp.where(mask, smooth, 0.0)[..., None]
        basis = bessel(r, self.cutoff, self.radial_size)
        warmth = jnp.asarray(self.warmth, kind)
        if warmth.ndim:  # of each centre
            warmth = packed.pairs(jnp.broadcast_to(warmth, (*rows, 1)))
        latent = self.embedding(basis, types_i, types_j, separation, warmth) * smooth
        weights = jnp.split(packed.slots(self.first(latent)), self.l_max + 1, -1)
        tensors = [harmonics[..., part(l), None] * w[:, :, None] for l, w in enumerate(weights)]
        for layer in self.layers:
            latent, tensors = layer(latent, tensors, harmonics, smooth, packed)
        out = packed.slots(self.output(latent)[..., 0] * smooth[..., 0])
        return out.astype(wide) * jax.lax.stop_gradient(jnp.asarray(self.scale, wide)) * TYPICAL**-0.5

    def at(self, temperature: float) -> Allegro:
        """The same network at a temperature, K, where it has learnt from several."""
        return eqx.tree_at(lambda n: n.warmth, self, np.asarray(temperature / 300.0 - 1.0))


def allegro(
    rng: np.random.Generator,
    *,
    cutoff: float = 10.0,
    features: int = 64,
    channels: int = 16,
    layers: int = 1,
    l_max: int = 1,
    radial_size: int = 8,
    parity: bool = True,
    temperature: bool = False,
    scale: float = 1.0,
) -> Allegro:
    """A network with random weights, which gives no energy yet: its last layer is zero."""

    def table(rows: int) -> np.ndarray:
        return rng.normal(size=(rows, features)).astype(np.float32)

    embedding = PairEmbedding(
        dense(rng, radial_size, features, bias=False, scale=3.0),
        table(TYPES),
        table(TYPES),
        table(SEPARATIONS),
        table(1)[0] if temperature else None,
        mlp(rng, features, features),
    )

    def layer(last: bool) -> Layer:
        routes = paths(l_max, parity, last)
        into = [sum(c == l for _, _, c in routes) for l in range(l_max + 1)]
        mix = () if last else tuple(dense(rng, into[l] * channels, channels, bias=False) for l in range(l_max + 1))
        return Layer(
            dense(rng, features, (l_max + 1) * channels, bias=False),
            mix,
            mlp(rng, features + into[0] * channels, features, features),
            routes,
            l_max,
        )

    return Allegro(
        embedding,
        dense(rng, features, (l_max + 1) * channels, bias=False),
        tuple(layer(i == layers - 1) for i in range(layers)),
        mlp(rng, features, features // 2, 1, scale=0.0),
        np.asarray(scale, float),
        np.zeros(()),
        float(cutoff),
        radial_size,
        l_max,
    )
