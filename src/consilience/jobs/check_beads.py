"""What `consil check` says of bead files: their findings, and boxes against the cutoff of a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from consilience.core.errors import Finding
from consilience.jobs.check_recipe import Recipe

if TYPE_CHECKING:
    from consilience.coarse.beads import Beads


@dataclass(frozen=True)
class BeadData:
    """The proteins of a bead file and what was noticed."""

    proteins: tuple[Beads, ...]
    findings: tuple[Finding, ...]


def read_bead_data(path: str, units: str | None, keys: Mapping[str, str] | None) -> BeadData:
    """A bead file as read for checking: nothing is raised for defects of its content, but for unreadable files."""
    from consilience.coarse.read import read_beads

    proteins, findings = read_beads(path, units=units, keys=keys, strict=False)
    about = Finding("note", ", ".join(f"{p.name}: {len(p)} frames of {len(p.residues)} beads" for p in proteins[:12]))
    return BeadData(proteins, (about, *findings))


def boxes_and_cutoff(file: str, data: BeadData, recipe: Recipe) -> list[Finding]:
    """An error where a periodic box is narrower than twice the cutoff: beads would see two images of one another."""
    cutoff = recipe.cutoff
    if cutoff is None:
        return []
    for beads in data.proteins:
        if beads.box is None:
            continue
        narrow = float(_heights(beads.box).min())
        if narrow < 2 * cutoff:
            what = "the periodic box is less than twice the cutoff: the minimum image is broken"
            found = f"a box of {narrow:.4g} Å, a cutoff of {cutoff:g} Å"
            fix = "reduce model.network.r_max, or leave the box out where the molecule is whole and alone"
            return [Finding("error", what, file, found, f"a box of at least {2 * cutoff:g} Å", fix)]
    return []


def _heights(cells: np.ndarray) -> np.ndarray:
    """(f, 3) distances between opposite faces of the cells (f, 3, 3)."""
    area = np.cross(np.roll(cells, -1, axis=1), np.roll(cells, -2, axis=1))
    return np.abs(np.linalg.det(cells))[:, None] / np.linalg.norm(area, axis=-1)
