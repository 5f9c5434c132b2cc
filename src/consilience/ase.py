"""The calculator by the name that users of ASE look for: `from consilience.ase import Consilience`."""

from __future__ import annotations

from pathlib import Path

from consilience.core.errors import InputError
from consilience.engines.ase import EnergyCalculator
from consilience.model import LoadedModel, load_model

__all__ = ["Consilience"]


class Consilience(EnergyCalculator):
    """`atoms.calc = Consilience("run/model")`: a folder that `consil train` wrote, as a calculator.

    charge: total, e (None: `atoms.info["charge"]`, else 0); member: of an ensemble; skin: Å, of the list of
    neighbours. Energy eV, forces eV/Å, stress eV/Å³, dipole e Å, charges e. Raises InputError for a folder that holds
    no model of molecules.
    """

    def __init__(self, model: str | Path, *, charge: float | None = None, member: int = 0, skin: float = 1.0):
        loaded = load_model(model)
        if not isinstance(loaded, LoadedModel):
            fix = "consil export MODEL --to openmm or lammps"
            raise InputError("a model of beads has no calculator for atoms", str(model), fix=fix)
        super().__init__(loaded.with_member(member).energy_of, charge=charge, skin=skin)
