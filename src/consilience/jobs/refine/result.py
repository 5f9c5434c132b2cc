"""What a refinement leaves for its files and its report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gemmi

from consilience.jobs.joint.uncertainty import CoordinateErrors
from consilience.structure.atoms import Structure
from consilience.xray.experiment import Crystal, Fitted


@dataclass(frozen=True)
class Refined:
    """The final state of a refinement and everything computed from it.

    `structure`, `start`: final model and the model as given, without hydrogens; `maps`: 2mFo-DFc and mFo-DFc in sigma
    units; `outliers`: {kind, atoms, chain, resi, value, ideal, z}, worst first; `residues`: {chain, resi, icode, name,
    b_main, b_side, rscc, phi, psi, rama_class, rama}, None where absent; `history`: records of core.fit; `geometry`:
    {rmsz, rmsd_bond Å, rmsd_angle degrees, ramachandran {favoured, allowed, outlier}}; `errors`: if asked for; `truth`:
    {label: (found, true, unit)} for built-in examples.
    """

    structure: Structure
    start: Structure
    crystal: Crystal
    fitted: Fitted
    maps: tuple[gemmi.FloatGrid, gemmi.FloatGrid]
    outliers: list[dict[str, Any]]
    residues: list[dict[str, Any]]
    history: list[dict[str, Any]]
    geometry: dict[str, Any]
    errors: CoordinateErrors | None = None
    truth: dict[str, tuple[float, float, str]] | None = None
