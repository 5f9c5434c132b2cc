"""A to-do list for Coot: residues with a reason to be looked at, and peaks of the difference map, worst first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import gemmi
import numpy as np

from consilience.files import write_atomic
from consilience.jobs.refine.report import residues_to_visit
from consilience.jobs.refine.result import Refined
from consilience.report.page import Row

PEAK = 5.0  # sigma of the difference map
NEAR = 6.0  # Å: a peak farther from every atom is not a place to build
MOST = 100  # places of each kind
_TITLE = '"""What to look at first: coot --pdb refined.pdb --auto refined.mtz --script coot.py."""\n\n'
_SCRIPT = """places = {places}
try:
    from coot_gui import interesting_things_gui  # Coot 1
except ImportError:
    pass  # earlier versions have it among the names of every script
interesting_things_gui({title}, places)
"""


class Place(NamedTuple):
    """What is to be seen at a point, Å."""

    label: str
    xyz: tuple[float, float, float]


def write_coot(path: Path, result: Refined) -> None:
    """A script for Coot (Python) that shows buttons, one for each place. Raises RunError where it cannot be written."""
    places = [*residue_places(result), *peak_places(result.maps[1], result.structure.hierarchy)]
    lines = "".join(f"    [{_quoted(p.label)}, {', '.join(f'{x:.2f}' for x in p.xyz)}],\n" for p in places)
    title = _quoted(f"{len(places)} places to look at")
    write_atomic(path, _TITLE + _SCRIPT.format(places=f"[\n{lines}]" if lines else "[]", title=title))


def residue_places(result: Refined) -> list[Place]:
    """Ramachandran outliers, residues with little density or strained geometry, as in the report."""
    middle = {}
    for chain in result.structure.hierarchy[0]:
        for residue in chain:
            key = (chain.name, residue.seqid.num, residue.seqid.icode.strip())
            middle.setdefault(key, np.mean([a.pos.tolist() for a in residue], axis=0))
    out = []
    for row in residues_to_visit(result).rows[:MOST]:
        if not isinstance(row, Row) or row.goto is None:
            continue
        key = (row.goto.chain, row.goto.resi, row.goto.icode)
        if key in middle:
            out.append(Place(f"{row.cells[0]}: {row.cells[1]}", tuple(middle[key].tolist())))
    return out


def peak_places(difference: gemmi.FloatGrid, structure: gemmi.Structure) -> list[Place]:
    """Peaks of a difference map (whole cell, in sigma) beyond 5 sigma near the model, highest first.

    Each stands at the symmetry image that is nearest to an atom.
    """
    model, cell = structure[0], structure.cell
    search = gemmi.NeighborSearch(model, cell, NEAR).populate(include_h=False)
    found: list[tuple[float, Place]] = []
    for negate in (False, True):
        blobs = gemmi.find_blobs_by_flood_fill(
            difference, cutoff=PEAK, min_volume=0.0, min_score=0.0, min_peak=PEAK, negate=negate
        )
        for blob in blobs:
            mark = search.find_nearest_atom(blob.peak_pos, radius=NEAR)
            if mark is None:
                continue
            cra = mark.to_cra(model)
            image = cell.find_nearest_image(cra.atom.pos, blob.peak_pos, gemmi.Asu.Any)
            at = cell.find_nearest_pbc_position(cra.atom.pos, blob.peak_pos, image.sym_idx)
            height = -blob.peak_value if negate else blob.peak_value
            what = "model without density" if negate else "density without model"
            where = f"{cra.chain.name} {cra.residue.seqid} {cra.residue.name}/{cra.atom.name}"
            label = f"{height:+.1f} sigma, {what}, {at.dist(cra.atom.pos):.1f} A from {where}"
            found.append((blob.peak_value, Place(label, (at.x, at.y, at.z))))
    found.sort(key=lambda pair: -pair[0])
    return [place for _, place in found[:MOST]]


def _quoted(text: Any) -> str:
    """A string of Python 2 and 3."""
    return json.dumps(str(text).encode("ascii", "replace").decode())
