"""Defects of the unit cell and the space group of a model."""

from __future__ import annotations

import gemmi
import numpy as np

from consilience.core.errors import Finding, Level
from consilience.structure.atom_table import AtomTable


def inspect_cell(st: gemmi.Structure, t: AtomTable) -> list[Finding]:
    """Unit cell and space group of a model: absent (note), impossible, contradictory, too small."""
    cell, name = st.cell, st.spacegroup_hm
    p = cell.parameters
    text = " ".join(f"{v:g}" for v in p)
    if tuple(p[:3]) == (1.0, 1.0, 1.0):
        return [
            Finding(
                "note",
                "the model has no unit cell (no CRYST1): cell and space group are taken from the data",
                t.source,
                found="" if not name else f"cell {text}, space group {name}",
            )
        ]
    lengths, angles = np.array(p[:3]), np.array(p[3:])
    if not (np.isfinite(p).all() and (lengths > 0).all() and (angles > 0).all() and (angles < 180).all()) or not (
        cell.volume > 1.0
    ):
        fix = "correct CRYST1 (PDB) or _cell (mmCIF)"
        return [Finding("error", "the unit cell of the model is impossible", t.source, f"cell {text}", fix=fix)]
    out: list[Finding] = []
    sg = st.find_spacegroup()
    if sg is None:
        level: Level = "error" if name.strip() else "note"
        what = "unknown space group" if name.strip() else "the model names no space group: it is taken from the data"
        out.append(
            Finding(level, what, t.source, f"'{name}'" if name else "", "a Hermann-Mauguin name, e.g. P 21 21 21")
        )
    else:
        if not cell.is_compatible_with_spacegroup(sg, 0.005):
            found = f"cell {text}, space group {sg.xhm()}"
            out.append(Finding("error", "the unit cell of the model contradicts its space group", t.source, found))
        heavy = sum(e not in ("H", "D") for e in t.element)
        copies = len(sg.operations()) * max(1, sum(not op.given for op in st.ncs) + 1)
        per_atom = cell.volume / (heavy * copies)
        if per_atom < 8.0:
            what = "the unit cell is too small for the model"
            found = f"{per_atom:.1f} Å^3 per atom with {copies} symmetry copies"
            out.append(Finding("warn", what, t.source, found, "about 20 Å^3", "check the cell, space group and units"))
    if cell.explicit_matrices:
        what = "the SCALE records disagree with the unit cell: fractional coordinates follow SCALE"
        out.append(Finding("warn", what, t.source, f"cell {text}", fix="remove or correct SCALE1-3"))
    return out
