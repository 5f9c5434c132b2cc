"""Helices and strands of a model from backbone torsions and CA distances, for pictures along the sequence."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import gemmi
import numpy as np

from consilience.structure.atoms import Structure
from consilience.structure.validation import ResidueTorsions, backbone_torsions

Secondary = Literal["helix", "strand", ""]
HELIX_RISE = (4.3, 6.4)  # Å, CA(i) to CA(i+3): 3-10 helices 6.0, alpha 5.0, pi 4.5; extended chains 10
STRAND_RISE = 6.0  # Å, CA(i) to CA(i+2) at least: sheets 6.4 to 7.2
PAIRED = 5.8  # Å, CA to CA across a sheet at most: 4.4 to 5.5
SHORTEST = {"helix": 4, "strand": 3}


def secondary_structure(structure: Structure) -> dict[tuple[str, int], Secondary]:
    """{(chain, number): kind} of every amino acid of the model that has both torsions.

    Helix: at least four residues in a row with phi in [-130, -25] and psi in [-90, 10] degrees, whose CA(i)-CA(i+3)
    distances are those of a helix. Strand: at least three in a row with phi in [-180, -55] and psi in [85, 195], CA(i)
    and CA(i+2) more than 6 Å apart, half of which have a CA of another strand within 5.8 Å. No hydrogen bonds are
    looked at: ends differ from DSSP's by a residue here and there.
    """
    at = _alpha_carbons(structure.hierarchy[0])
    known = [t for t in backbone_torsions(structure) if (t.chain, t.seqid) in at]
    shape: list[Secondary] = [_shape(t) for t in known]
    xyz = np.array([at[t.chain, t.seqid] for t in known]).reshape(-1, 3)
    linked = np.array([a.chain == b.chain for a, b in pairwise(known)], bool)
    linked &= np.linalg.norm(np.diff(xyz, axis=0), axis=1) < 4.3
    runs = [r for r in _runs(shape, linked) if r[2] and r[1] - r[0] >= SHORTEST[r[2]]]
    strands = [(a, b) for a, b, kind in runs if kind == "strand" and _stretched(xyz[a:b])]
    found: list[Secondary] = [""] * len(known)
    for first, last, kind in runs:
        sheet = (first, last) in strands and _in_sheet(xyz, (first, last), strands)
        if _wound(xyz[first:last]) if kind == "helix" else sheet:
            for i in range(first, last):
                found[i] = kind
    out: dict[tuple[str, int], Secondary] = {}
    for t, kind in zip(known, found, strict=True):
        number = gemmi.SeqId(t.seqid).num
        if number is not None:
            out.setdefault((t.chain, number), kind)
    return out


def _alpha_carbons(model: gemmi.Model) -> dict[tuple[str, str], list[float]]:
    return {
        (c.name, str(r.seqid)): a.pos.tolist()
        for c in model
        for r in c
        if (a := r.find_atom("CA", "*", gemmi.Element("C")))
    }


def _shape(t: ResidueTorsions) -> Secondary:
    if t.phi is None or t.psi is None:
        return ""
    if -130 <= t.phi <= -25 and -90 <= t.psi <= 10:
        return "helix"
    return "strand" if -180 <= t.phi <= -55 and (t.psi >= 85 or t.psi <= -165) else ""


def _runs(shape: Sequence[Secondary], linked: np.ndarray) -> list[tuple[int, int, Secondary]]:
    """Stretches (first, one after the last, kind) of equal kind without a break of the chain."""
    ends = [i + 1 for i in range(len(shape) - 1) if shape[i] != shape[i + 1] or not linked[i]]
    borders = [0, *ends, len(shape)] if shape else []
    return [(a, b, shape[a]) for a, b in pairwise(borders)]


def _wound(xyz: np.ndarray) -> bool:
    rise = np.linalg.norm(xyz[3:] - xyz[:-3], axis=1)
    return bool(HELIX_RISE[0] < np.median(rise) < HELIX_RISE[1])


def _stretched(xyz: np.ndarray) -> bool:
    return bool(np.median(np.linalg.norm(xyz[2:] - xyz[:-2], axis=1)) > STRAND_RISE)


def _in_sheet(xyz: np.ndarray, own: tuple[int, int], strands: Sequence[tuple[int, int]]) -> bool:
    others = [xyz[a:b] for a, b in strands if (a, b) != own]
    if not others:
        return False
    gap = np.linalg.norm(xyz[own[0] : own[1], None] - np.concatenate(others)[None], axis=2).min(axis=1)
    return bool(np.mean(gap < PAIRED) >= 0.5)
