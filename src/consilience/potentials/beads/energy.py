"""Chains of beads with their potential as the energy function that dynamics and exports take: prior, network, or both.

The prior comes in prepared for the chains; the network sees centre beads and their neighbours and is strictly local.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from consilience.neighbours import Neighbours, square_of_pairs
from consilience.pair_sum import pair_sum
from consilience.potentials.beads.chains import Chains
from consilience.potentials.beads.prior import PairTerms, PreparedPrior, Prior

DENSE = 48  # beads up to which all pairs are computed at once rather than looked up in lists


class BeadEnergy(eqx.Module):
    """energy(positions (n, 3) Å, neighbours) -> eV, with terms by name; lists must reach `cutoff`."""

    chains: Chains
    prior: PreparedPrior | None
    network: Any = None
    dense: PairTerms | None = None  # of all pairs, for few beads
    cutoff: float = eqx.field(static=True, default=0.0)

    def __call__(self, positions, neighbours: Neighbours):
        total = jnp.zeros((), positions.dtype)
        if self.prior is not None:
            found, terms = self._pairs(self.prior, neighbours)
            total = sum(self.prior.bonded(positions).values()) + pair_sum(_together, positions, found, terms)
        if self.network is not None:
            total = total + self._network(positions, neighbours)
        return total

    def terms(self, positions, neighbours: Neighbours) -> dict[str, Any]:
        """Energy of each part, eV."""
        out: dict[str, Any] = {}
        if self.prior is not None:
            found, terms = self._pairs(self.prior, neighbours)
            out |= self.prior.bonded(positions)
            out |= {name: jnp.sum(part) for name, part in terms(found.squared(positions)).items()}
        if self.network is not None:
            out["network"] = self._network(positions, neighbours)
        return out

    def _pairs(self, prior: PreparedPrior, neighbours: Neighbours) -> tuple[Neighbours, PairTerms]:
        """The list for the pairs of the prior, and their coefficients."""
        if self.dense is not None and neighbours.shift is None:  # no look-ups, which are slow
            return square_of_pairs(self.chains.types.shape[0]), self.dense
        index, t = neighbours.index, jnp.asarray(self.chains.types)
        return neighbours, prior.pair_terms(t[:, None], t[index], self.chains.separation(index), neighbours.mask)

    def _network(self, x, neighbours: Neighbours):
        index = neighbours.index
        t = jnp.asarray(self.chains.types)
        energies = self.network.energies(
            neighbours.vectors(x), t, t[index], self.chains.separation(index), neighbours.mask, neighbours.room
        )
        return jnp.sum(jnp.where(self.chains.real, energies, 0.0))


def _together(r2, terms: PairTerms):
    return sum(terms(r2).values())


def bead_energy(chains: Chains, prior: Prior | None = None, network: Any = None) -> BeadEnergy:
    """The energy of chains with a prior, a network, or their sum."""
    reach = max([p.cutoff for p in (prior, network) if p is not None], default=0.0)
    if prior is None:
        return BeadEnergy(chains, None, network, None, float(reach))
    prepared = prior.prepared(chains)
    n = chains.types.shape[0]
    dense = None
    if n <= DENSE:
        index = np.broadcast_to(np.arange(n)[None], (n, n))
        t = jnp.asarray(chains.types)
        mask = chains.real[None] & chains.real[:, None] & ~np.eye(n, dtype=bool)
        dense = prepared.pair_terms(t[:, None], t[None], chains.separation(index), mask)
    return BeadEnergy(chains, prepared, network, dense, float(reach))
