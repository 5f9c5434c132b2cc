"""One molecule, or two that do not see each other, given to a potential: what the laws are measured on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from consilience.core.compiled import brief_filter_jit
from consilience.forces import forces_from
from consilience.neighbours import Neighbours, neighbour_matrix
from consilience.potentials.graph import Graph
from consilience.potentials.potential import Potential, Prediction


def energy_of(x, potential: Potential, graph: Graph):
    """Energies, eV, of the molecules of `graph`, and the whole prediction."""
    found = potential(x, graph)
    return found.energy, found


energy_forces = brief_filter_jit(forces_from(energy_of, has_aux=True))

SAMPLE = 24


@dataclass(frozen=True)
class Molecule:
    """What the laws are tested on: numbers (n,), positions (n, 3) Å, total charge e."""

    numbers: np.ndarray
    positions: np.ndarray
    charge: float = 0.0


def evaluate(potential: Potential, molecule: Molecule, other: Molecule | None = None):
    """(energies, forces (n, 3), prediction) of a molecule, and of a second one that does not see it.

    Atoms and lists are padded to one size of a few, so that all laws share a compiled program; the padding is cut off.
    """
    graph, x = graph_of(potential, molecule, other)
    (energy, found), forces = energy_forces(jnp.asarray(x), potential, graph)
    n = len(molecule.positions) + (0 if other is None else len(other.positions))
    found = jax.device_get(found)
    sites, charges = found.sites[:n], found.site_charges[:n]
    found = Prediction(found.energy, found.charges[:n], found.dipole, sites, charges, found.penalty)
    return np.asarray(energy), np.asarray(forces)[:n], found


def graph_of(potential: Potential, molecule: Molecule, other: Molecule | None = None) -> tuple[Graph, np.ndarray]:
    """The graph of one or two molecules, padded to a size that many share, and its positions (room, 3) Å."""
    both = [molecule, other or Molecule(np.zeros(0, np.int32), np.zeros((0, 3)))]
    sizes = [len(m.positions) for m in both]
    room = 24 * 2 ** max(0, int(np.ceil(np.log2(max(sum(sizes), 1) / 24))))
    x = np.zeros((room, 3))
    numbers, owner = np.zeros(room, np.int32), np.ones(room, np.int32)
    start = 0
    for i, m in enumerate(both):
        here = slice(start, start + sizes[i])
        x[here], numbers[here], owner[here] = m.positions, m.numbers, i
        start += sizes[i]

    def lists(cutoff: float) -> Neighbours:
        found = [neighbour_matrix(m.positions, cutoff) if len(m.positions) else None for m in both]
        needed = max(one.capacity for one in found if one is not None)
        slots = min(room, max(24, 16 * -(-needed // 16)))
        index = np.repeat(np.arange(room, dtype=np.int32)[:, None], slots, 1)
        mask = np.zeros((room, slots), bool)
        start = 0
        for i, one in enumerate(found):
            if one is not None:
                rows = slice(start, start + sizes[i])
                index[rows, : one.capacity], mask[rows, : one.capacity] = one.index + start, one.mask
            start += sizes[i]
        return Neighbours(index, mask, None, np.asarray(False))

    far = None if potential.coulomb is None else lists(potential.coulomb.cutoff)
    charge = np.array([m.charge for m in both], float)
    return Graph(numbers, lists(potential.cutoff), owner, charge, far), x


def replace_lists(graph: Graph, neighbours: Neighbours, pairs: Neighbours | None) -> Graph:
    """The graph with other lists."""
    return Graph(graph.numbers, neighbours, graph.molecule, graph.charge, pairs)


def sample(n: int) -> np.ndarray:
    """Rows of all n atoms, or of SAMPLE spread among more: for what is measured atom by atom."""
    return np.unique(np.linspace(0, n - 1, min(n, SAMPLE)).round().astype(int))


def largest(*values: Any) -> float:
    """The largest of numbers and arrays; nan where any is nan, which `max` would lose."""
    return float(np.max([np.max(v) for v in values]))


def offset_energy(potential: Potential, numbers: np.ndarray) -> float:
    """Energy, eV, of the free atoms."""
    place = {z: i for i, z in enumerate(potential.species)}
    return float(sum(np.asarray(potential.offsets)[place[int(z)]] for z in numbers))
