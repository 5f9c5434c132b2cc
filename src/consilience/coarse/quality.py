"""Findings on beads: values that are not finite, overlaps, broken bonds, repeated or frozen frames, outliers, boxes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from consilience.coarse.beads import Beads
from consilience.coarse.scale import bond_evidence, bond_lengths
from consilience.core.errors import Finding, Level
from consilience.frames.geometry import blocks
from consilience.residues import RESIDUES
from consilience.units import KCAL_MOL

COINCIDE, CLOSE = 1.0, 2.5  # Å between CA atoms; closer than 2.5 Å never occurs (cis peptides: 2.9)
ABSURD = 1e5  # Å
BROKEN = 5.0  # Å: no CA-CA distance along a chain is longer
_SPIKE = 12.0  # robust standard deviations of the largest force of a frame
_COUNTED = "counted from 0"


@np.errstate(all="ignore")
def inspect_beads(beads: Beads, *, units_are_known: bool = True) -> list[Finding]:
    """All findings on the beads of one protein in our units; units themselves are judged by `scale`.

    Distances are not judged where the units of the file are wrong.
    """
    out = _finite(beads)
    sound = np.asarray((np.isfinite(beads.positions) & (np.abs(beads.positions) < ABSURD)).all((1, 2)))
    out += _absurd(beads)
    if sound.any() and units_are_known:
        contacts, touching = _contacts(beads, sound)
        out += contacts + _bonds(beads, sound)
        sound &= ~touching
        out += _spikes(beads, sound)
    out += _repeats(beads) + _still(beads) + _balance(beads, sound) + _boxes(beads)
    return out


def _at(beads: Beads, frame: int, bead: int | None = None) -> str:
    place = "" if bead is None else f", bead {bead} ({beads.residues[bead]})"
    return f"{beads.path}, {beads.name}, frame {frame}{place} ({_COUNTED})"


def _finite(beads: Beads) -> list[Finding]:
    out = []
    arrays: tuple[tuple[str, np.ndarray | None], ...] = (("positions", beads.positions), ("forces", beads.forces))
    for words, a in arrays:
        if a is None or np.isfinite(a).all():
            continue
        bad = np.argwhere(~np.isfinite(a).all(-1))
        frames = np.unique(bad[:, 0])
        what = f"{words} are not finite (NaN or inf) in {len(frames)} frame(s)"
        out.append(Finding("error", what, _at(beads, *bad[0].tolist()), fix="leave these frames out"))
    return out


def _absurd(beads: Beads) -> list[Finding]:
    bad = np.flatnonzero((np.abs(beads.positions) >= ABSURD).any((1, 2)))
    if not len(bad):
        return []
    found = f"{np.abs(beads.positions[bad[0]]).max():.3g} Å"
    what = f"absurd positions in {len(bad)} frame(s): the trajectory is damaged"
    return [Finding("error", what, _at(beads, int(bad[0])), found, fix="leave these frames out")]


def _contacts(beads: Beads, sound: np.ndarray) -> tuple[list[Finding], np.ndarray]:
    """Beads that coincide or are closer than CA atoms come; and the frames in which they do."""
    f, n = beads.positions.shape[:2]
    shortest, pair = np.full(f, np.inf), np.zeros((f, 2), int)
    if n < 2:
        return [], np.zeros(f, bool)
    i, j = np.triu_indices(n, 1)
    for rows in blocks(f, n):
        x = np.where(sound[rows, None, None], beads.positions[rows], np.arange(n)[:, None] * 100.0)
        d = x[:, j] - x[:, i]
        if beads.box is not None:
            s = np.einsum("fpk,fkl->fpl", d, np.linalg.inv(beads.box[rows]))
            d = np.einsum("fpk,fkl->fpl", s - np.round(s), beads.box[rows])
        r = np.sqrt(np.einsum("fpk,fpk->fp", d, d))
        k = r.argmin(1)
        shortest[rows] = r[np.arange(len(r)), k]
        pair[rows] = np.stack([i[k], j[k]], 1)
    ca = all(r in RESIDUES for r in beads.residues)
    out = []
    kinds: tuple[tuple[Level, np.ndarray, str], ...] = (
        ("error", shortest < COINCIDE, "beads coincide (overlap)"),
        ("warn", (shortest >= COINCIDE) & (shortest < CLOSE) & ca, "beads are closer than two CA atoms ever come"),
    )
    for level, where, words in kinds:
        bad = np.flatnonzero(where & sound)
        if len(bad):
            k = int(bad[0])
            a, b = pair[k]
            found = f"beads {a} and {b} at a distance of {shortest[k]:.3g} Å"
            what = f"{words} in {len(bad)} frame(s)"
            out.append(Finding(level, what, _at(beads, k), found, f"at least {CLOSE:g} Å", "leave these frames out"))
    return out, (shortest < COINCIDE) & sound


def _bonds(beads: Beads, sound: np.ndarray) -> list[Finding]:
    """Bonds that are broken in some frames, and chains that have gaps which the numbers do not say."""
    pairs = beads.bonds
    if not len(pairs) or not all(r in RESIDUES for r in beads.residues):
        return []
    r = bond_lengths(beads)[sound]
    middle = np.median(r, axis=0)
    out = []
    gaps = np.flatnonzero(middle > BROKEN)
    if len(gaps) and len(gaps) < max(2, len(pairs) // 2):
        a, b = pairs[gaps[0]]
        what = (
            f"the chain has {len(gaps)} gap(s) that its numbers do not show: beads without a bond are taken as bonded"
        )
        found = f"{middle[gaps[0]]:.3g} Å between beads {a} and {b}"
        fix = "give chain and number (with a gap) for each bead"
        out.append(Finding("warn", what, f"{beads.path}, {beads.name}", found, "about 3.8 Å", fix))
    broken = np.argwhere((r > BROKEN) & (middle <= BROKEN))
    if len(broken):
        k = int(np.flatnonzero(sound)[broken[0, 0]])
        a, b = pairs[broken[0, 1]]
        what = f"broken bonds in {len(np.unique(broken[:, 0]))} frame(s)"
        found = f"{r[tuple(broken[0])]:.3g} Å between beads {a} and {b}"
        fix = "make molecules whole before coarsening, or leave these frames out"
        out.append(Finding("warn", what, _at(beads, k), found, "about 3.8 Å", fix))
    return out


def _spikes(beads: Beads, sound: np.ndarray) -> list[Finding]:
    if beads.forces is None or sound.sum() < 16:
        return []
    largest = np.linalg.norm(beads.forces, axis=-1).max(1)
    use = sound & np.isfinite(largest)
    middle = np.median(largest[use])
    spread = 1.4826 * np.median(np.abs(largest[use] - middle))
    bad = np.flatnonzero(use & (largest > middle + _SPIKE * max(spread, 0.05 * middle)))
    if not len(bad):
        return []
    k = int(bad[np.argmax(largest[bad])])
    found = f"up to {largest[k] / KCAL_MOL:.4g} kcal/mol/Å where the median of all frames is {middle / KCAL_MOL:.3g}"
    what = f"outliers: extreme forces in {len(bad)} frame(s)"
    return [Finding("warn", what, _at(beads, k), found, fix="look at these frames; leave them out")]


def _repeats(beads: Beads) -> list[Finding]:
    """Frames that stand in the file more than once, which a random split puts on both sides."""
    if len(beads) < 2:
        return []
    _, first, count = np.unique(
        beads.positions.reshape(len(beads), -1).round(6), axis=0, return_index=True, return_counts=True
    )
    extra = len(beads) - len(first)
    if not extra:
        return []
    k = int(first[np.argmax(count)])
    what = f"repeated (identical) frames: {len(beads)} frames, only {len(first)} distinct"
    found = f"frame {k} ({_COUNTED}) stands there {count.max()} times"
    fix = "remove the copies: a random split would put them on both sides"
    return [Finding("warn", what, f"{beads.path}, {beads.name}", found, fix=fix)]


def _still(beads: Beads) -> list[Finding]:
    """Beads that never move while others do, and trajectories that are frozen for a time."""
    x = beads.positions
    if len(x) < 8 or not np.isfinite(x).all():
        return []
    moved = np.ptp(x, axis=0).max(-1) > 1e-6
    if moved.any() and not moved.all():
        k = int(np.flatnonzero(~moved)[0])
        what = f"{int((~moved).sum())} bead(s) never move: they are frozen or were never written"
        return [Finding("warn" if (~moved).sum() > 1 else "note", what, _at(beads, 0, k))]  # one may be the origin
    if not moved.any():
        return []
    same = [bool(np.array_equal(a, b)) for a, b in pairwise(beads.forces)] if beads.forces is not None else []
    if sum(same) > 0 and not any(np.array_equal(a, b) for a, b in pairwise(x)):
        k = same.index(True) + 1
        what = f"forces of {sum(same)} frame(s) are those of the frame before while the positions differ"
        return [Finding("error", what, _at(beads, k), fix="write positions and forces of the same step")]
    return []


def _balance(beads: Beads, sound: np.ndarray) -> list[Finding]:
    """Virial ratio far from one where its error is small: a temperature or a force map that is not right."""
    if not sound.any() or any(r not in RESIDUES for r in beads.residues):
        return []
    seen = bond_evidence(beads.select(sound))
    if seen is None or seen.stiffness < 0 or seen.virial_error > 0.1 or 0.6 <= seen.virial <= 1.6:
        return []
    what = "bond forces do not balance the thermal motion: not sampled at this temperature, or no valid force map"
    found = f"virial ratio {seen.virial:.3g} +- {seen.virial_error:.2g}"
    return [Finding("note", what, f"{beads.path}, {beads.name}", found, "1")]


def _boxes(beads: Beads) -> list[Finding]:
    if beads.box is None:
        return []
    narrow = float(np.abs(np.diagonal(beads.box, axis1=1, axis2=2)).min())
    if narrow < 2 * CLOSE:
        found = f"{narrow:.3g} Å"
        return [Finding("error", "the periodic box (cell) is smaller than a residue", str(beads.path), found)]
    return []
