"""Findings on frames: positions that are no numbers, labels that are missing or not finite, and all others."""

from __future__ import annotations

import numpy as np

from consilience.core.errors import Finding, clean
from consilience.frames.evidence import Evidence
from consilience.frames.frames import Frames
from consilience.frames.quality_electrostatics import electrostatics
from consilience.frames.quality_energies import energies, forces, misfits
from consilience.frames.quality_geometry import cells, contacts, duplicates
from consilience.frames.raw import Raw, at, several

LABELS = ("energy", "forces", "dipole", "charges", "total_charge", "stress", "esp", "esp_xyz", "momenta")


def inspect_raw(raw: Raw) -> list[Finding]:
    """What makes the geometry of a file unusable, whatever its units: positions that are no numbers or absurd."""
    bad = np.flatnonzero(~np.isfinite(raw.positions).all((1, 2)))
    out = []
    if len(bad):
        k = int(bad[0])
        atom = int(np.flatnonzero(~np.isfinite(raw.positions[k]).all(1))[0])
        what = f"positions are not finite (nan or inf) in {len(bad)} frame(s)"
        out.append(Finding("error", what, f"{at(raw.path, k, raw.lines)}, atom {atom}", fix="remove the frame(s)"))
    with np.errstate(invalid="ignore"):
        size = np.abs(raw.positions).max((1, 2))
    far = np.flatnonzero(np.isfinite(size) & (size > 1e6))
    if len(far):
        what = f"absurd positions in {len(far)} frame(s)"
        out.append(
            Finding("error", what, at(raw.path, int(far[0]), raw.lines), f"{size[far[0]]:.3g}", "coordinates in Å")
        )
    return out


@np.errstate(all="ignore")
def inspect_frames(frames: Frames, raw: Raw, evidence: Evidence) -> list[Finding]:
    """All findings on frames of one file in our units."""
    out = [*_labels(frames, raw), *cells(frames, raw)]
    sound = np.asarray((np.isfinite(frames.positions) & (np.abs(frames.positions) < 1e6)).all((1, 2)))
    close, overlapping = contacts(frames, raw, sound)
    sound &= ~overlapping
    out += close
    out += duplicates(frames, raw)
    out += energies(frames, raw, sound)
    out += forces(frames, raw, sound)
    out += misfits(frames, raw, evidence, sound)
    out += electrostatics(frames)
    return out


def _labels(frames: Frames, raw: Raw) -> list[Finding]:
    out = []
    have = [q for q in LABELS if getattr(frames, q) is not None]
    if "energy" not in have:
        others = ", ".join(clean(k) for k in raw.arrays) or "none besides elements and positions"
        fix = "name the key of the energies (--energy-key NAME)"
        if not raw.arrays:
            what = "geometries only: no energy, no forces; nothing to fit a potential to"
            out.append(Finding("note" if len(frames) == 1 else "warn", what, raw.path, f"keys: {others}"))
        else:
            out.append(Finding("warn", "no energy in any frame", raw.path, f"keys: {others}", "energy", fix))
    if "forces" not in have and raw.arrays:
        fix = "name their key (--forces-key NAME), or train on energies alone"
        found = "keys: " + ", ".join(clean(k) for k in raw.arrays)
        out.append(Finding("warn", "no forces in any frame", raw.path, found, "forces", fix))
    key_of = {k.quantity: k.key for k in frames.keys}
    for q in have:
        a = getattr(frames, q)
        words = q.replace("_", " ")
        present = raw.present.get(key_of.get(q, ""), np.ones(len(frames), bool))
        absent = np.flatnonzero(~present)
        if len(absent):
            what = f"{len(absent)} of {len(frames)} frames have no {words}: masked, never filled with zeros"
            level = "warn" if q in ("energy", "forces") else "note"
            out.append(Finding(level, what, several(raw, absent), fix="add the labels or leave the frames out"))
        finite = np.isfinite(a).reshape(len(a), -1)
        if q in ("esp", "esp_xyz"):  # frames may have different numbers of points
            finite = ~(np.isinf(a).reshape(len(a), -1)) if raw.atomic else finite
        bad = np.flatnonzero(present & ~finite.all(1))
        if len(bad):
            what = f"{words}: not finite (nan or inf) in {len(bad)} frame(s)"
            out.append(Finding("error", what, several(raw, bad), fix="correct or remove the frame(s)"))
        flat = np.where(np.isfinite(a), np.abs(a), 0.0).reshape(len(a), -1)
        huge = np.flatnonzero(flat.max(1, initial=0.0) > 1e10)
        if len(huge):
            what = f"{words}: absurd values in {len(huge)} frame(s)"
            out.append(Finding("error", what, several(raw, huge), f"{flat[huge].max():.3g}"))
    return out
