"""What `consil check` says of beads, all-atom frames and mean forces; boxes against the cutoff of a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from consilience.core.errors import Finding, InputError
from consilience.jobs.check.recipe import Recipe
from consilience.units import KCAL_MOL

if TYPE_CHECKING:
    from consilience.coarse.beads import Beads


@dataclass(frozen=True)
class BeadData:
    """What was noticed in a file of beads, all-atom frames or mean forces; the proteins where it is of beads."""

    proteins: tuple[Beads, ...]
    findings: tuple[Finding, ...]
    label: str = "beads (npz)"


def read_bead_data(path: str, units: str | None, keys: Mapping[str, str] | None) -> BeadData:
    """A bead file as read for checking: nothing is raised for defects of its content, but for unreadable files."""
    from consilience.coarse.read import read_beads

    proteins, findings = read_beads(path, units=units, keys=keys, strict=False)
    about = Finding("note", ", ".join(f"{p.name}: {len(p)} frames of {len(p.residues)} beads" for p in proteins[:12]))
    return BeadData(proteins, (about, *findings))


def coarse_kind(arrays: Mapping[str, np.ndarray]) -> Literal["beads", "atoms", "mean forces"] | None:
    """Which of the files of coarse-graining the arrays of an npz file make, if any."""
    from consilience.coarse.keys import is_all_atom, is_beads

    if {"F_mean", "F_sem"} & set(arrays):
        return "mean forces"
    return "atoms" if is_all_atom(arrays) else "beads" if is_beads(arrays) else None


def read_coarse_data(path: str, kind: str, units: str | None, keys: Mapping[str, str] | None) -> BeadData:
    """A file of any of these kinds. All-atom frames are judged with the topology of the same name, where it is there.

    Raises InputError where the file cannot be read.
    """
    if kind == "beads":
        return read_bead_data(path, units, keys)
    if kind == "mean forces":
        from consilience.coarse.meanforce import read_mean_forces

        made = read_mean_forces(path)
        k, n = made.mean.shape[:2]
        limit = "" if made.explained_limit is None else f", explained variance at most {made.explained_limit:.2f}"
        what = f"mean forces of {n} beads at {k} configurations, r.m.s. {made.rms / KCAL_MOL:.3g} kcal/mol/Å{limit}"
        return BeadData((), (Finding("note", what),), "mean forces (npz)")
    from consilience.coarse.read_atoms import inspect_arrays, read_atoms
    from consilience.jobs.coarsen.options import pairs_of

    f, n, found = inspect_arrays(path, units, keys)
    about = Finding("note", f"{f} frames of {n} atoms with forces")
    try:
        (_, topology), *_ = pairs_of((path,), None)
    except InputError:
        what = "there is no topology of the same name: units, order of atoms and constraints were not checked"
        return BeadData((), (about, Finding("note", what, path), *found), "all-atom frames (npz)")
    found = list(read_atoms(path, topology, units=units, keys=keys, strict=False).findings)
    return BeadData((), (about, *found), "all-atom frames (npz)")


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
