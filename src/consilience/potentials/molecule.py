"""One molecule with its potential as the energy function that MD, optimisation and exports take."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import numpy as np

from consilience.core.errors import InputError
from consilience.neighbours import Neighbours
from consilience.potentials.graph import Graph
from consilience.potentials.potential import Potential


class MoleculeEnergy(eqx.Module):
    """energy(positions (n, 3) Å, neighbours) -> eV, with dipole and parts; a pytree that is passed to compiled code.

    numbers (n,); charge: total charge, e. Lists must reach `cutoff`.
    """

    potential: Potential
    numbers: Any
    charge: Any = 0.0

    @property
    def cutoff(self) -> float:
        """How far the lists must reach, Å."""
        coulomb = self.potential.coulomb
        return self.potential.cutoff if coulomb is None else max(self.potential.cutoff, coulomb.cutoff)

    def _graph(self, neighbours: Neighbours) -> Graph:
        charge = np.zeros(1) + self.charge
        return Graph(self.numbers, neighbours, np.zeros(len(self.numbers), np.int32), charge)

    def __call__(self, positions, neighbours: Neighbours):
        return self.potential(positions, self._graph(neighbours)).energy[0]

    def dipole(self, positions, neighbours: Neighbours):
        """Dipole moment (3,), e Å."""
        return self.potential(positions, self._graph(neighbours)).dipole[0]

    def charges(self, positions, neighbours: Neighbours):
        """Atomic charges (n,), e."""
        return self.potential(positions, self._graph(neighbours)).charges

    def terms(self, positions, neighbours: Neighbours) -> dict[str, Any]:
        """Energy of each part of the potential, eV."""
        return {k: v[0] for k, v in self.potential.energies(positions, self._graph(neighbours))[0].items()}


def molecule_energy(potential: Potential, numbers, charge: float = 0.0) -> MoleculeEnergy:
    """The energy of one molecule. Raises InputError for an element that the potential does not know."""
    numbers = np.asarray(numbers, np.int32)
    unknown = sorted(set(numbers.tolist()) - set(potential.species))
    if unknown:
        found = ", ".join(f"Z = {z}" for z in unknown)
        known = ", ".join(str(z) for z in potential.species)
        raise InputError("the model does not know an element of this structure", found=found, expected=f"Z in {known}")
    return MoleculeEnergy(potential, numbers, np.asarray(charge, float))
