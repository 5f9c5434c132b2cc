"""A whole potential: network, energies of free atoms, repulsion and electrostatics, summed into one energy."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from consilience.potentials.electrostatics import Coulomb, corrected_charges
from consilience.potentials.graph import Graph
from consilience.potentials.layers import species_index
from consilience.potentials.repulsion import ZBL
from consilience.precision import full_products


class Prediction(eqx.Module):
    """Per molecule: energy (m,) eV, dipole (m, 3) e Å. Per atom: charges (n,) e, and those of sites off the atoms.

    `sites` (n, s, 3) Å and `site_charges` (n, s) e are the atoms and their charges where a model has no others.
    `penalty`: what a network adds to its loss (PhysNet's hierarchy), a number.
    """

    energy: Any
    charges: Any
    dipole: Any
    sites: Any
    site_charges: Any
    penalty: Any


class Potential(eqx.Module):
    """E = sum of offsets by element + scale * network + repulsion + Coulomb; an equinox module whose weights train.

    `offsets` (species,) eV and `scale` eV are data, not weights. `species`: the elements it knows.
    """

    held: ClassVar = ("offsets", "scale")
    network: Any
    offsets: Any
    scale: Any
    repulsion: ZBL | None = None
    coulomb: Coulomb | None = None
    charges: Any = None  # a model of distributed charges, or None: charges on atoms

    @property
    def species(self) -> tuple[int, ...]:
        return self.network.species

    @property
    def cutoff(self) -> float:
        return self.network.cutoff

    @full_products
    def energies(self, positions, graph: Graph) -> tuple[dict[str, Any], Prediction]:
        """Energy of each part by name, (m,) eV, and the prediction with their sum."""
        wide = jnp.promote_types(positions.dtype, jnp.float32)
        kind = jax.tree.leaves(eqx.filter(self.network, eqx.is_inexact_array))[0].dtype
        vectors = graph.neighbours.vectors(positions).astype(kind)
        out, features, penalty = self.network(vectors, graph.numbers, graph.neighbours)
        atomic = jnp.where(graph.real, out[:, 0], 0.0).astype(wide) * self.scale
        offsets = jax.lax.stop_gradient(jnp.asarray(self.offsets, wide))[species_index(graph.numbers, self.species)]
        parts = {"network": graph.per_molecule(atomic)}
        charges = corrected_charges(out[:, 1].astype(wide), graph)
        if self.charges is None:
            sites, site_charges = positions[:, None], charges[:, None]
        else:
            sites, site_charges = self.charges(positions, charges, features, graph)
        if self.repulsion is not None:
            parts["repulsion"] = graph.per_molecule(self.repulsion(positions, graph))
        if self.coulomb is not None:
            parts["coulomb"] = graph.per_molecule(self.coulomb(positions, sites, site_charges, graph))
        dipole = graph.per_molecule(jnp.sum(site_charges[..., None] * sites, 1))
        parts["offsets"] = graph.per_molecule(jnp.where(graph.real, offsets, 0.0))
        total = sum(parts.values())
        return parts, Prediction(total, charges, dipole, sites, site_charges, penalty)

    def __call__(self, positions, graph: Graph) -> Prediction:
        """Energy and everything else of the molecules of a graph; positions (n, 3) Å."""
        return self.energies(positions, graph)[1]
