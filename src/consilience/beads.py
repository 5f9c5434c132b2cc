"""A trained model of beads: `con.load_model(path)` of such a folder, and the energies of its chains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from consilience.core.errors import InputError
from consilience.potentials.beads.model import BeadModel


@dataclass(frozen=True, repr=False)
class LoadedBeads:
    """A trained model of beads; of several networks the first is used, `with_member(i)` chooses another."""

    bundle: BeadModel
    path: Path
    member: int = 0

    @property
    def info(self) -> Mapping[str, Any]:
        return self.bundle.info

    def __repr__(self) -> str:
        parts = ["prior"] * (self.bundle.prior is not None) + ["allegro"] * bool(self.bundle.networks)
        return f"LoadedBeads({' + '.join(parts)}, {len(self.bundle.networks)} network(s), {self.path})"

    def with_member(self, member: int) -> LoadedBeads:
        """The same model with another member of the ensemble."""
        if not 0 <= member < max(1, len(self.bundle.networks)):
            last = max(1, len(self.bundle.networks)) - 1
            raise InputError("no such member", str(self.path), str(member), f"0 to {last}")
        return LoadedBeads(self.bundle, self.path, member)

    def with_precision(self, bits: Literal[32, 64]) -> LoadedBeads:
        """The same model with its network in float32 or float64."""
        return LoadedBeads(self.bundle.cast(bits), self.path, self.member)

    def beads_of(self, residues: Sequence[str], chain: Any, number: Any, *, temperature: float = 300.0) -> Any:
        """energy(positions (n, 3) Å, neighbours) -> eV of chains: three-letter names, chain and place of n beads.

        Raises InputError for residues that no bead stands for, and for another sequence than a prior of sites is for.
        """
        from consilience.potentials.beads.chains import chains_of

        return self.bundle.energy(chains_of(residues, chain, number), member=self.member, temperature=temperature)
