"""Does a model belong to the data: unit cells and space groups compared, and the cell of the data adopted."""

from __future__ import annotations

import gemmi
import numpy as np

from consilience.core.errors import Finding
from consilience.structure.atoms import Structure
from consilience.xray.reflections import Reflections

# relative difference of lengths, difference of angles (degrees)
SAME_CELL = (0.002, 0.2)
CLOSE_CELL = (0.02, 2.0)
_ENANTIOMORPHS = (
    {76, 78}, {91, 95}, {92, 96}, {144, 145}, {151, 153}, {152, 154}, {169, 170}, {171, 172}, {178, 179}, {180, 181},
    {212, 213},
)  # fmt: skip


def compare(structure: Structure, data: Reflections) -> list[Finding]:
    """Findings on cell and space group of a model against its data.

    A model without a cell is a note (that of the data is used); cells that differ by up to 2 % and 2 degrees are a
    warning, by more an error; different space groups are an error that names both.
    """
    if not structure.cell.is_crystal():
        text = _cell_text(data.cell)
        what = f"the model gives no unit cell (CRYST1): cell {text} and space group {data.spacegroup.xhm()} of the data"
        return [Finding("note", what, structure.source)]
    out = _compare_cells(structure, data)
    sg = structure.spacegroup
    if sg is None or sg.operations() == data.spacegroup.operations():
        return out
    found = f"model {sg.xhm()} ({sg.number}), data {data.spacegroup.xhm()} ({data.spacegroup.number})"
    what = "the space group of the model is not that of the data"
    where = f"{structure.source} and {data.source}"
    out.append(Finding("error", what, where, found, "the same space group", _hint(sg, data.spacegroup)))
    return out


def adopt_cell(structure: Structure, data: Reflections) -> Structure:
    """A copy of the structure with the unit cell and space group of the data; coordinates (Å) stay as they are."""
    st = structure.hierarchy.clone()
    p = data.cell.parameters
    st.cell = gemmi.UnitCell(*p)
    st.spacegroup_hm = data.spacegroup.xhm()
    st.setup_cell_images()
    return Structure.from_hierarchy(st, structure.source, structure.findings)


def _cell_text(cell: gemmi.UnitCell) -> str:
    return " ".join(f"{v:.6g}" for v in cell.parameters)


def _compare_cells(structure: Structure, data: Reflections) -> list[Finding]:
    a, b = np.array(structure.cell.parameters), np.array(data.cell.parameters)
    if not ((a > 0).all() and (a[3:] < 180).all()):
        return []  # an impossible cell is reported by the reader
    length = float(np.abs(a[:3] / b[:3] - 1.0).max())
    angle = float(np.abs(a[3:] - b[3:]).max())
    if length <= SAME_CELL[0] and angle <= SAME_CELL[1]:
        return []
    close = length <= CLOSE_CELL[0] and angle <= CLOSE_CELL[1]
    if close:
        fix = "the cell of the data is used"
    elif np.allclose(np.sort(a[:3]), np.sort(b[:3]), rtol=CLOSE_CELL[0]):
        fix = "the axes are permuted: reindex the data or the model"
    else:
        fix = "give data and model of the same crystal form, or place the model in the cell of the data first"
    what = f"the unit cells of model and data differ by {100 * length:.1f} % and {angle:.1f} degrees"
    where = f"{structure.source} and {data.source}"
    found = f"model {_cell_text(structure.cell)}, data {_cell_text(data.cell)}"
    return [Finding("warn" if close else "error", what, where, found, "equal cells", fix)]


def _hint(model: gemmi.SpaceGroup, data: gemmi.SpaceGroup) -> str:
    pair = {model.number, data.number}
    if len(pair) == 1:
        return "these are two settings of one space group: bring both to the same setting"
    if pair in _ENANTIOMORPHS:
        return "these are enantiomorphs, which intensities cannot tell apart: the model may belong to the other hand"
    if model.point_group_hm() == data.point_group_hm():
        return "they differ only in screw axes or centring: find out which is right, then correct the CRYST1 or the MTZ"
    if model.laue_str() == data.laue_str():
        return "they share the Laue class: find out which is right, then correct the CRYST1 or the MTZ"
    return "find out which is right; reprocess the data or correct the CRYST1"
