"""The energy of an asymmetric unit in its crystal: copies by symmetry and lattice are neighbours like any other."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import gemmi
import jax.numpy as jnp
import numpy as np

from consilience.neighbours import Neighbours, neighbour_matrix
from consilience.potentials.energy_term import SKIN, Molecules, molecules, roomy


class Crystal(eqx.Module):
    """energy(positions (n, 3) Å, neighbours) -> eV of the cell over its k operations: of one asymmetric unit.

    Forces are those on an asymmetric unit whose copies move with it. `whole`: the energy of all k n atoms; `turns`
    (k, 3, 3) and `moves` (k, 3) Å: Cartesian operations, the first is identity; `cell` (3, 3): rows are vectors, Å.
    """

    whole: Molecules
    turns: Any
    moves: Any
    cell: Any

    @property
    def potential(self) -> Any:
        return self.whole.potential

    def copies(self, positions):
        """(k n, 3) Å: the atoms of the cell, operation after operation."""
        return (jnp.einsum("kab,nb->kna", self.turns, positions) + self.moves[:, None]).reshape(-1, 3)

    def __call__(self, positions, neighbours: Neighbours):
        return self.whole(self.copies(positions), neighbours) / len(self.turns)

    def lists(self, positions: np.ndarray, cutoff: float, capacity: int = 0) -> Neighbours:
        """Neighbours of all atoms of the cell within cutoff + SKIN Å; at least `capacity` slots."""
        copies, periodic = np.asarray(self.copies(positions)), (True, True, True)
        found = neighbour_matrix(copies, cutoff + SKIN, self.cell, periodic)
        wide = roomy(found.capacity, capacity)
        return neighbour_matrix(copies, cutoff + SKIN, self.cell, periodic, wide)


def crystal(potential: Any, numbers: Any, cell: gemmi.UnitCell, group: gemmi.SpaceGroup) -> Crystal:
    """The crystal of atoms numbers (n,), none of them on an element of symmetry; the cell as a whole is neutral.

    Raises InputError for an element that the potential does not know.
    """
    orth, frac = np.array(cell.orth.mat.tolist()), np.array(cell.frac.mat.tolist())
    operations = list(group.operations())
    turns = np.array([orth @ (np.array(o.rot) / o.DEN) @ frac for o in operations])
    moves = np.array([orth @ (np.array(o.tran) / o.DEN) for o in operations])
    all_numbers = np.tile(np.asarray(numbers, np.int32), len(operations))
    whole = molecules(potential, all_numbers, np.zeros(len(all_numbers), np.int32))
    return Crystal(whole, turns, moves, orth.T)
