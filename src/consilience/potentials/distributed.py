"""Distributed charges (DCMNet): several charges near each atom, for the potential around molecules.

The charges near an atom sum to the atom's own corrected charge, so that total charges are exact. Their displacements
are bounded by a smooth function of the vector's length, |d| = reach |v| / sqrt(1 + |v|²).
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
    directions: Dense  # mixes vector features into one direction for each site
    shares: MLP  # scalars -> charge and length of each site
    reach: float = eqx.field(static=True)

    def __call__(self, positions, charges, features, graph: Graph):
        """Sites (n, s, 3) Å and their charges (n, s) e, for atoms at (n, 3) with charges (n,)."""
        if self.backbone is not None:
            kind = self.directions.weight.dtype
            vectors = graph.neighbours.vectors(positions).astype(kind)
            features = self.backbone.features(vectors, graph.numbers, graph.neighbours)
        given = self.shares(features.scalars)
        count = given.shape[-1] // 2
        directions = jnp.swapaxes(self.directions(features.vectors), 1, 2) * given[:, count:, None]
        bounded = self.reach * directions * jax.lax.rsqrt(1.0 + jnp.sum(directions**2, -1, keepdims=True))
        raw = given[:, :count].astype(charges.dtype)
        shared = raw - (jnp.sum(raw, 1) - charges)[:, None] / count
        return positions[:, None] + bounded.astype(positions.dtype), jnp.where(graph.real[:, None], shared, 0.0)


def distributed_charges(
    rng: np.random.Generator,
    species: tuple[int, ...],
    *,
    sites: int = 3,
    reach: float = 0.6,
    features: int | None = None,
    cutoff: float = 5.0,
) -> DistributedCharges:
    """A model with random weights; `features`: width of the network whose features it uses (None: a backbone)."""
    backbone = None
    width = features or 32
    if features is None:
        backbone = equivariant_network(rng, species, cutoff=cutoff, features=width, layers=2, l_max=1, radial_size=16)
    return DistributedCharges(
        backbone,
        dense(rng, width, sites, bias=False),
        mlp(rng, width, width, 2 * sites, scale=0.3),
        float(reach),
    )
