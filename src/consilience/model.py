"""A trained model as an energy E(positions, numbers): `con.load_model(path)`, with forces and a calculator for ASE."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from consilience.core.errors import InputError
from consilience.potentials.bundle import DESCRIPTION, TrainedModel, load_bundle

TRACED_PAIRS = 4096  # neighbours and images of an atom in a periodic cell that a traced call may try
_SOURCES = 16  # of compositions that are kept


@dataclass(frozen=True, repr=False)
class LoadedModel:
    """A trained model: `E(positions, numbers)` is the energy of a molecule or cell in eV.

    Of several members the first one is used, as in dynamics; `with_member(i)` chooses another. Everything is float64
    outside the network and works whatever the precision that JAX is set to. `info`: provenance, errors, and the card.
    """

    bundle: TrainedModel
    path: Path
    member: int = 0
    _sources: dict[Any, Any] = field(default_factory=dict, compare=False)

    @property
    def info(self) -> Mapping[str, Any]:
        return self.bundle.info

    @property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers that the model knows."""
        return self.bundle.potential.species

    def __repr__(self) -> str:
        a = self.bundle.architecture
        return f"LoadedModel({a.network}, elements {self.elements}, {len(self.bundle.members)} member(s), {self.path})"

    def with_member(self, member: int) -> LoadedModel:
        """The same model with another member of the ensemble."""
        if not 0 <= member < len(self.bundle.members):
            raise InputError("no such member", str(self.path), str(member), f"0 to {len(self.bundle.members) - 1}")
        return LoadedModel(self.bundle, self.path, member)

    def with_precision(self, bits: Literal[32, 64]) -> LoadedModel:
        """The same model with its weights, and hence its network, in float32 or float64."""
        from consilience.potentials.weights import cast

        kind = np.float64 if bits == 64 else np.float32
        members = tuple(cast(m, kind) for m in self.bundle.members)
        return LoadedModel(TrainedModel(self.bundle.architecture, members, self.bundle.info), self.path, self.member)

    def energy_of(self, numbers: Any, charge: float = 0.0) -> Any:
        """energy(positions (n, 3), neighbours) -> eV of the atoms `numbers` (n,), as dynamics and exports take it."""
        from consilience.potentials.molecule import molecule_energy

        return molecule_energy(self.bundle.members[self.member], numbers, charge)

    def __call__(self, positions: Any, numbers: Any, charge: float = 0.0, cell: Any = None, pbc: Any = None) -> Any:
        """Energy, eV, of atoms `numbers` (n,) at positions (n, 3) Å.

        charge: total, e. cell (3, 3) Å with pbc (None: all three directions where a cell is given). Differentiable and
        traceable by JAX in `positions` (`forces_from(model)`). Raises InputError for unknown elements and bad cells.
        """
        from jax.core import Tracer

        pbc = (cell is not None) if pbc is None else pbc
        if isinstance(positions, Tracer):
            energy = self.energy_of(numbers, charge)
            return energy(positions, _traced_list(positions, energy.cutoff, cell, pbc))
        return self._source(numbers, charge)(positions, cell, pbc).energy

    def forces(self, positions: Any, numbers: Any, charge: float = 0.0, cell: Any = None, pbc: Any = None) -> Any:
        """Forces (n, 3), eV/Å; arguments as in a call."""
        pbc = (cell is not None) if pbc is None else pbc
        return self._source(numbers, charge)(positions, cell, pbc).forces

    def stress(self, positions: Any, numbers: Any, cell: Any, pbc: Any = True, charge: float = 0.0) -> Any:
        """Stress (3, 3), eV/Å³, tension positive."""
        return self._source(numbers, charge)(positions, cell, pbc, stress=True).stress

    def ase(self, *, charge: float | None = None, skin: float = 1.0) -> Any:
        """A calculator for ASE; charge: total, e (None: `atoms.info["charge"]`, else 0)."""
        try:
            from consilience.engines.ase import EnergyCalculator
        except ModuleNotFoundError:
            raise InputError("ASE is not installed", fix="pip install 'consilience[ase]'") from None
        return EnergyCalculator(self.energy_of, charge=charge, skin=skin)

    def openmm(self, numbers: Any, charge: float = 0.0, cell: Any = None, pbc: Any = None, skin: float = 1.0) -> Any:
        """A PythonForce for OpenMM of atoms `numbers` (n,); see `engines.openmm.python_force`."""
        try:
            from consilience.engines.openmm import python_force
        except ModuleNotFoundError:
            raise InputError("OpenMM is not installed", fix="pip install 'consilience[openmm]'") from None
        pbc = (cell is not None) if pbc is None else pbc
        return python_force(self.energy_of(numbers, charge), cell=cell, pbc=pbc, skin=skin)

    def _source(self, numbers: Any, charge: float) -> Any:
        from consilience.engines.source import Source

        numbers = np.asarray(numbers, np.int32)
        key = numbers.tobytes(), float(charge)
        if key not in self._sources:
            if len(self._sources) >= _SOURCES:
                self._sources.pop(next(iter(self._sources)))
            self._sources[key] = Source(self.energy_of(numbers, charge))
        return self._sources[key]


def load_model(path: str | Path) -> Any:
    """The model in a folder that `consil train` wrote (OUT or OUT/model): `LoadedModel`, or `LoadedBeads` of beads.

    Raises InputError where it is missing, damaged, or does not match its hash.
    """
    place = Path(path)
    if not (place / DESCRIPTION).is_file() and (place / "model" / DESCRIPTION).is_file():
        place = place / "model"
    said = described(place)
    if said is not None and said.get("format") == "consilience-beads":
        from consilience.beads import LoadedBeads
        from consilience.potentials.beads.model import load_beads

        return LoadedBeads(load_beads(place, said), place)
    return LoadedModel(load_bundle(path), Path(path))


def described(place: Path) -> Mapping[str, Any] | None:
    """What model.json in a folder says, or None where there is none that can be read."""
    try:
        said = json.loads((place / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _traced_list(x: Any, cutoff: float, cell: Any, pbc: Any) -> Any:
    """A list that cannot miss a pair, for positions that are not known yet."""
    from consilience.neighbours import Box, all_pairs, nearby

    n = x.shape[0]
    box = None if not np.any(pbc) else Box.of(cell, np.broadcast_to(np.asarray(pbc, bool), 3), cutoff)
    if box is None:
        return all_pairs(n)
    capacity = n if box.images is None else n * len(box.images)
    if capacity > TRACED_PAIRS:
        found = f"{capacity} neighbours and images of an atom"
        raise InputError("this cell is too large to be traced: use model.forces, or the energy of `energy_of`", "",
                         found, f"at most {TRACED_PAIRS}")  # fmt: skip
    return nearby(x, cutoff, capacity, box)
