"""An energy function as a calculator of ASE: energy, forces, stress, dipole and charges in ASE's units and signs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes

from consilience.core.errors import InputError
from consilience.engines.source import Source

EnergyOf = Callable[[np.ndarray, float], Any]


class EnergyCalculator(Calculator):
    """Calculates with energy_of(numbers (n,), charge) -> energy(positions, neighbours), in eV.

    charge: total charge, e; None: `atoms.info["charge"]`, else 0. cutoff, skin: Å, see `Source`. Dipoles (e Å) and
    charges (e) where the energy has them; a dipole only without periodic boundaries, where it has a meaning.
    The setting of JAX's precision in the calling program is neither needed nor changed.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress", "dipole", "charges"]
    ignored_changes: ClassVar[set[str]] = {"initial_magmoms"}

    def __init__(
        self, energy_of: EnergyOf, *, charge: float | None = None, cutoff: float | None = None, skin: float = 1.0
    ):
        super().__init__()
        self.energy_of, self.charge, self.cutoff, self.skin = energy_of, charge, cutoff, skin
        self._source: Source | None = None
        self._of: tuple[bytes, float] = (b"", 0.0)

    def source(self, atoms: Any) -> Source:
        """The evaluation for the elements and charge of `atoms`; made anew only where these change."""
        numbers = np.asarray(atoms.numbers, np.int32)
        charge = float(atoms.info.get("charge", 0.0)) if self.charge is None else float(self.charge)
        key = numbers.tobytes(), charge
        if self._source is None or key != self._of:
            self._source = Source(self.energy_of(numbers, charge), cutoff=self.cutoff, skin=self.skin)
            self._of = key
        return self._source

    def check_state(self, atoms: Any, tol: float = 1e-15) -> list[str]:
        """What has changed since the last calculation; another charge counts as a change of charges."""
        changes = super().check_state(atoms, tol)
        if not changes and self._source is not None:
            before = self._of[1]
            if self.charge is None and float(atoms.info.get("charge", 0.0)) != before:
                changes = ["initial_charges"]
        return changes

    def calculate(
        self, atoms: Any = None, properties: Sequence[str] = ("energy",), system_changes: Sequence[str] = all_changes
    ) -> None:
        """ASE's entry. Raises InputError for elements or positions that the energy cannot take."""
        super().calculate(atoms, list(properties), list(system_changes))
        atoms = self.atoms
        source = self.source(atoms)
        place = (atoms.positions, atoms.cell.array, atoms.pbc)
        periodic = bool(atoms.pbc.any())
        if "stress" in properties and not periodic:
            raise PropertyNotImplementedError("stress needs periodic boundaries")
        if "dipole" in properties and periodic:
            raise PropertyNotImplementedError("a periodic cell has no dipole of its own")
        found = source(*place, stress="stress" in properties)
        self.results |= {"energy": found.energy, "free_energy": found.energy, "forces": found.forces}
        if found.stress is not None:
            s = found.stress
            self.results["stress"] = np.array([s[0, 0], s[1, 1], s[2, 2], s[1, 2], s[0, 2], s[0, 1]])
        for name in ("dipole", "charges"):
            if name in properties:
                if not hasattr(source.energy, name):
                    raise PropertyNotImplementedError(f"this energy has no {name}")
                self.results[name] = source.value(name, *place)

    def evaluate(self, images: Sequence[Any]) -> list[tuple[float, np.ndarray]]:
        """Energy (eV) and forces (n, 3) (eV/Å) of many structures; equal compositions and cells run as one batch."""
        groups: dict[tuple[bytes, ...], list[int]] = {}
        for i, atoms in enumerate(images):
            charge = atoms.info.get("charge", 0.0) if self.charge is None else self.charge
            cell = atoms.cell.array.tobytes() if atoms.pbc.any() else b""
            key = (np.asarray(atoms.numbers, np.int32).tobytes(), atoms.pbc.tobytes(), cell, str(charge).encode())
            groups.setdefault(key, []).append(i)
        out: list[tuple[float, np.ndarray]] = [(0.0, np.zeros((0, 3)))] * len(images)
        for rows in groups.values():
            first = images[rows[0]]
            x = np.stack([images[i].positions for i in rows])
            energies, forces = self.source(first).many(x, first.cell.array, first.pbc)
            for i, e, f in zip(rows, energies, forces, strict=True):
                out[i] = float(e), f
        return out


def calculator(energy: Any, numbers: Any, **options: Any) -> EnergyCalculator:
    """A calculator for one molecule: energy(positions, neighbours) of the atoms `numbers` (n,); others are refused."""
    mine = np.asarray(numbers, np.int32)

    def energy_of(numbers: np.ndarray, charge: float) -> Any:
        if not np.array_equal(numbers, mine):
            raise InputError("this calculator was made for other atoms", found=str(numbers), expected=str(mine))
        return energy

    return EnergyCalculator(energy_of, **options)
