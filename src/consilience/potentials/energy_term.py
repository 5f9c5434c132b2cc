"""The energy of a trained potential as a term: E / kT of the atoms (or beads) that it describes, gradient from forces.

A likelihood of coordinates in thermal equilibrium is exp(-E / kT), so E / kT is a negative log-prior in nats. It stands
beside data about mean coordinates, whose spread is smaller: the weight 1 is an upper bound of what it may say.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp

from consilience.core.errors import InputError
from consilience.core.params import Model
from consilience.core.terms import Score
from consilience.forces import forces_from
from consilience.neighbours import Neighbours, neighbour_matrix
from consilience.potentials.graph import Graph
from consilience.potentials.potential import Potential

STRETCH, BEND = 30.0, 4.0  # eV/Å^2, of bonds to hydrogen: what a step of theirs is measured by
SKIN = 1.0  # Å that lists reach beyond the cutoff: atoms move within a stage


class Molecules(eqx.Module):
    """energy(positions (n, 3) Å, neighbours) -> eV, the sum over molecules that do not see one another.

    numbers (n,); molecule (n,) ascending; charge (m,) e.
    """

    potential: Potential
    numbers: Any
    molecule: Any
    charge: Any

    def __call__(self, positions, neighbours: Neighbours):
        graph = Graph(self.numbers, neighbours, self.molecule, self.charge)
        return jnp.sum(self.potential(positions, graph).energy)


def molecules(potential: Potential, numbers: Any, molecule: Any) -> Molecules:
    """Neutral molecules; energies of free atoms are left out, large constants that only cost digits.

    Raises InputError for an element that the potential does not know.
    """
    numbers, molecule = np.asarray(numbers, np.int32), np.asarray(molecule, np.int32)
    unknown = sorted(set(numbers.tolist()) - set(potential.species))
    if unknown:
        known = ", ".join(str(z) for z in potential.species)
        raise InputError("the model does not know an element", found=f"Z = {unknown}", expected=f"Z in {known}")
    potential = eqx.tree_at(lambda p: p.offsets, potential, np.zeros_like(np.asarray(potential.offsets, float)))
    return Molecules(potential, numbers, molecule, np.zeros(int(molecule.max(initial=-1)) + 1))


def lists_of(positions: np.ndarray, group: np.ndarray, cutoff: float, capacity: int = 0) -> Neighbours:
    """Neighbours (n, K) within cutoff + SKIN Å among atoms of the same group (n,) ascending; K at least `capacity`."""
    found = [neighbour_matrix(positions[group == g], cutoff + SKIN) for g in np.unique(group)]
    wide = roomy(max([f.capacity for f in found], default=1), capacity)
    index = np.repeat(np.arange(len(positions), dtype=np.int32)[:, None], wide, 1)
    mask, first = np.zeros((len(positions), wide), bool), 0
    for f in found:
        rows, k = slice(first, first + len(f.index)), f.capacity
        index[rows, :k] = np.where(f.mask, np.asarray(f.index) + first, index[rows, :k])
        mask[rows, :k] = f.mask
        first += len(f.index)
    return Neighbours(index, mask, None, np.asarray(False))


def roomy(most: int, capacity: int) -> int:
    """Slots for lists of up to `most` neighbours: `capacity` where that is enough, else more than needed now."""
    return capacity if most <= capacity else 8 * int(np.ceil((1.1 * most + 1) / 8))


class PotentialEnergy(eqx.Module):
    """(E - zero) / kT of some atoms in nats; its gradient is -F / kT with F from `forces_from`.

    `energy(positions (n, 3), neighbours)` eV; the positions are xyz[atoms] and, with hydrogens, xyz[parent] + offset
    from the block "hydrogens" (h, 3) Å, brought into the order of the energy by `order` (n,). `kt`, `zero` eV.
    """

    energy: Any
    neighbours: Neighbours
    atoms: Any
    parent: Any
    order: Any
    kt: Any
    zero: Any
    name: str = eqx.field(static=True, default="potential")

    @property
    def reads(self) -> frozenset[str]:
        """Coordinates, and those of hydrogens where there are any."""
        return frozenset({"xyz", "hydrogens"} if len(self.parent) else {"xyz"})

    def positions(self, model: Model):
        """(n, 3) Å, as the energy takes them."""
        xyz = jnp.asarray(model["xyz"])
        places = xyz[self.atoms]
        if len(self.parent):
            places = jnp.concatenate([places, xyz[self.parent] + model["hydrogens"]])
        return places[self.order]

    def __call__(self, model: Model, obs: Any = None) -> Score:
        x = self.positions(model)
        here = jax.lax.stop_gradient(x)
        energy, forces = forces_from(self.energy)(here, self.neighbours)
        value = (energy - self.zero - jnp.sum((x - here) * forces)) / self.kt  # x - here is zero, its gradient is not
        return Score(value, {"energy_eV": energy, "largest_force": jnp.max(jnp.abs(forces), initial=0.0)})

    def curvature(self, model: Model, obs: Any = None) -> dict[str, Any]:
        """Of hydrogens alone, typical: along and across their bonds. That of heavy atoms is left to the restraints."""
        if not len(self.parent):
            return {}
        offset = np.asarray(model["hydrogens"], float)
        u = offset / np.maximum(np.linalg.norm(offset, axis=1, keepdims=True), 1e-6)
        along = u[:, :, None] * u[:, None, :]
        blocks = (BEND * np.eye(3) + (STRETCH - BEND) * along) / float(self.kt)
        return {"hydrogens": sp.block_diag(list(blocks), format="csc")}
