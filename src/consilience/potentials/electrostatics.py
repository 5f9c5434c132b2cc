"""Point charges: exact total charge, dipoles, the potential around molecules, and their damped Coulomb energy."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp

from consilience.potentials.graph import Graph
from consilience.potentials.radial import envelope
from consilience.units import COULOMB


def corrected_charges(charges, graph: Graph):
    """Charges (n,) e, shifted by the same amount on every atom of a molecule so that they sum to its total charge.

    Unke & Meuwly 2019, eq. 14. Padding gets none.
    """
    real = graph.real
    charges = jnp.where(real, charges, 0.0)
    count = graph.per_molecule(real.astype(charges.dtype))
    excess = (graph.per_molecule(charges) - graph.charge) / jnp.maximum(count, 1.0)
    return jnp.where(real, charges - excess[graph.molecule], 0.0)


def potential_at(points, sites, charges):
    """Electrostatic potential in V at points (..., p, 3) Å of charges (..., s) e at sites (..., s, 3)."""
    d = points[..., :, None, :] - sites[..., None, :, :]
    squared = jnp.sum(d * d, -1)
    return COULOMB * jnp.sum(charges[..., None, :] / jnp.sqrt(jnp.where(squared > 0, squared, 1.0)), -1)


class Coulomb(eqx.Module):
    """Energy of charges on different atoms: 1/r afar, 1/sqrt(r² + 1) near (Unke & Meuwly 2019, eq. 13).

    `damping` Å: the reach of the network. Two atoms less than half of it apart meet as one charge each, atoms further
    apart than it by each of their sites, with a switch between. Near by, the network says what is missing, and sites
    that had to serve the forces there would not find their places for the potential around molecules.
    `cutoff` Å: the interaction of two atoms is switched off between half of it and it. Zero charges have no energy;
    charges of twice the size four times the energy.
    """

    damping: float = eqx.field(static=True)
    cutoff: float = eqx.field(static=True)

    def __call__(self, positions, sites, charges, graph: Graph):
        """Each atom's half of the energy of its pairs (n,), eV: sites (n, s, 3) Å with charges (n, s) e."""
        pairs = graph.neighbours if graph.pairs is None else graph.pairs
        between = pairs.vectors(positions)
        r = jnp.sqrt(jnp.sum(between**2, -1))
        off = sites - positions[:, None]  # from the atom
        d = between[:, :, None, None] + off[pairs.index][:, :, None] - off[:, None, :, None]  # (n, K, s, s, 3)
        parts = self._inverse(jnp.sqrt(jnp.sum(d * d, -1) + 1e-12))
        afar = jnp.einsum("na,nkb,nkab->nk", charges, charges[pairs.index], parts)
        total = jnp.sum(charges, 1)
        near = total[:, None] * total[pairs.index] * self._inverse(r)
        energy = afar + envelope(2.0 * r / self.damping - 1.0) * (near - afar)
        switch = envelope(2.0 * r / self.cutoff - 1.0)
        return 0.5 * COULOMB * jnp.sum(jnp.where(pairs.mask, energy * switch, 0.0), 1)

    def _inverse(self, r):
        near = envelope(2.0 * r / self.damping)
        return near / jnp.sqrt(r * r + 1.0) + (1.0 - near) / r
