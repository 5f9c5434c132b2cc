"""Distributed charges (DCMNet): several charges near each atom, for the potential around molecules.

Single sites are displaced along vector features, which lie in the plane of a planar molecule. Pairs of equal charges
are displaced along both senses of a product of two vectors, so that lone pairs and pi electrons have a place out of it;
a reflection exchanges the two sites of a pair. The charges near an atom sum to the atom's own corrected charge, so that
total charges are exact. Displacements are bounded by a smooth function of the vector, reach v / sqrt(1 + |v|²).
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from consilience.potentials.equivariant import EquivariantNetwork, equivariant_network
from consilience.potentials.graph import Graph
from consilience.potentials.layers import MLP, Dense, dense, mlp


class DistributedCharges(eqx.Module):
    """Sites and charges from scalar and vector features: the network's own, or those of a small `backbone`."""

    backbone: EquivariantNetwork | None
    directions: Dense  # mixes vector features into one direction for each single site
    left: Dense  # the two factors of the product of each pair
    right: Dense
    shares: MLP  # scalars -> charge and length of each site
    reach: float = eqx.field(static=True)

    def __call__(self, positions, charges, features, graph: Graph):
        """Sites (n, s, 3) Å and their charges (n, s) e, for atoms at (n, 3) with charges (n,)."""
        if self.backbone is not None:
            kind = self.directions.weight.dtype
            vectors = graph.neighbours.vectors(positions).astype(kind)
            features = self.backbone.features(vectors, graph.numbers, graph.neighbours)
        given = self.shares(features.scalars)
        raw, lengths = jnp.split(given, 2, -1)
        single = self.directions.weight.shape[1]
        along = jnp.swapaxes(self.directions(features.vectors), 1, 2)
        across = jnp.cross(self.left(features.vectors), self.right(features.vectors), axis=1)
        both = jnp.concatenate([along, jnp.swapaxes(across, 1, 2)], 1) * (1.0 + lengths[..., None])
        moves = self.reach * both * jax.lax.rsqrt(1.0 + jnp.sum(both**2, -1, keepdims=True))
        moves = jnp.concatenate([moves, -moves[:, single:]], 1).astype(positions.dtype)
        raw = jnp.concatenate([raw, raw[:, single:]], 1).astype(charges.dtype)
        shared = raw - (jnp.sum(raw, 1) - charges)[:, None] / raw.shape[1]
        return positions[:, None] + moves, jnp.where(graph.real[:, None], shared, 0.0)


def distributed_charges(
    rng: np.random.Generator,
    species: tuple[int, ...],
    *,
    sites: int = 4,
    pairs: int = 2,
    reach: float = 1.0,
    features: int | None = None,
    cutoff: float = 5.0,
    bounded: bool = True,
) -> DistributedCharges:
    """A model with random weights: `sites` single ones and `pairs` of them near each atom.

    `features`: width of the network whose features it uses (None: a backbone of its own, `bounded` or not).
    """
    backbone = None
    width = features or 32
    if features is None:
        backbone = equivariant_network(
            rng, species, cutoff=cutoff, features=width, layers=2, l_max=1, radial_size=16, bounded=bounded
        )
    return DistributedCharges(
        backbone,
        dense(rng, width, sites, bias=False, scale=2.0),  # sites begin well apart, or their charges cannot be told
        dense(rng, width, pairs, bias=False, scale=2.0),
        dense(rng, width, pairs, bias=False, scale=2.0),
        mlp(rng, width, width, 2 * (sites + pairs), scale=0.3),
        float(reach),
    )
