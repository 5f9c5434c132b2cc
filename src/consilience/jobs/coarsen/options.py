"""Options of consil coarsen with their defaults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from consilience.core.errors import InputError


@dataclass(frozen=True)
class CoarsenOptions:
    """Everything that `consil coarsen` can be told. temperature K: of frames that do not say theirs."""

    topology: Path | None = None
    map: str = "ca"  # or a file
    forces: Literal["optimal", "slice", "basic"] = "optimal"
    force_map: Path | None = None
    constraints: Literal["auto", "none"] = "auto"
    stride: int = 1
    temperature: float | None = None
    units: str | None = None

    def checked(self) -> CoarsenOptions:
        """The options, if each can be. Raises InputError."""
        if self.stride < 1:
            raise InputError("--stride is not possible", found=str(self.stride), expected="1 or more")
        if self.temperature is not None and not 1.0 <= self.temperature <= 1e4:
            raise InputError("--temperature is not possible", found=f"{self.temperature:g} K", expected="1 to 10000 K")
        if self.force_map is not None and self.forces != "optimal":
            raise InputError("--force-map and --forces are given both", fix="leave one out")
        return self


def pairs_of(inputs: tuple[str, ...], topology: Path | None) -> list[tuple[Path, Path]]:
    """(trajectory, topology) of each input: TRAJ:TOP, or TRAJ with --topology; TRAJ alone takes TRAJ.pdb or .cif.

    Raises InputError where a topology is missing.
    """
    out = []
    for given in inputs:
        name, colon, top = given.rpartition(":")
        if colon and len(name) > 1:  # not the letter of a drive
            out.append((Path(name), Path(top)))
            continue
        path = Path(given)
        stem = path.name.removesuffix(".gz").rsplit(".", 1)[0]
        beside = [path.with_name(stem + end) for end in (".pdb", ".cif", ".pdb.gz", ".cif.gz")]
        found = topology or next((b for b in beside if b.is_file() and b != path), None)
        if found is None:
            fix = "give it with --topology TOP.pdb, or as TRAJ:TOP.pdb"
            raise InputError(
                "the trajectory has no topology", given, expected="a PDB or mmCIF file of its atoms", fix=fix
            )
        out.append((path, found))
    return out
