"""Findings on energies and forces of frames: outliers, constants, net forces, and energies that forces contradict."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from consilience.core.errors import Finding
from consilience.frames.elements import formula
from consilience.frames.evidence import Evidence
from consilience.frames.frames import Frames
from consilience.frames.geometry import near_pairs
from consilience.frames.raw import Raw, several

SOFT = 10.0  # eV/Å²
Z_ENERGY = 12.0  # robust standard deviations


def energies(frames: Frames, raw: Raw, sound: np.ndarray) -> list[Finding]:
    """Energies that are constant, far from the others, or stored with too few digits."""
    if frames.energy is None:
        return []
    e = frames.energy
    rows = np.flatnonzero(sound & np.isfinite(e) & (np.abs(e) < 1e10))
    out: list[Finding] = []
    z = np.zeros(len(e))
    off = np.zeros(len(e))
    least = np.ones(len(e))
    judged = 0
    for group in _groups(frames, rows) if len(rows) else ():
        if len(group) < 4:
            continue
        values = e[group]
        distinct = len(np.unique(values))
        moved = np.ptp(frames.positions[group], axis=0).max() > 1e-3
        if moved and distinct <= max(1, len(group) // 20):
            what = f"only {distinct} distinct energies in {len(group)} frames of {formula(frames.numbers[group[0]])}"
            fix = "are they constant, rounded, or stored with too few digits?"
            out.append(Finding("warn", what, raw.path, f"{values[0]:.8g} eV", fix=fix))
            continue
        judged += len(group)
        off[group] = values - np.median(values)
        scale = 1.4826 * np.median(np.abs(off[group])) + 1e-9
        z[group] = np.abs(off[group]) / scale
        if len(group) < 20:  # of few frames one may be hot: more than thermal motion at 2000 K gives
            least[group] = np.maximum(1.0, frames.natoms[group])
        if frames.forces is not None:  # a hot frame has large forces: F² / 2k with a soft k
            hot = 3.0 * (frames.forces[group] ** 2).sum((1, 2)) / (2 * SOFT)
            least[group] = np.where(np.isfinite(hot), np.maximum(1.0, hot), least[group])
    few = _apart(np.flatnonzero((z > Z_ENERGY) & (np.abs(off) > least)), np.abs(off))
    if len(few) and len(few) <= max(1, 0.05 * judged, judged // 4 if judged < 30 else 0):
        worst = int(few[np.argmax(np.abs(off[few]))])
        what = f"energy outlier(s): {len(few)} frame(s) far from the others"
        found = f"frame {worst}: {off[worst]:+.5g} eV from the median, {z[worst]:.3g} robust standard deviations"
        out.append(Finding("warn", what, several(raw, few), found, fix="check or remove the frame(s)"))
    out += _compositions(frames, raw, rows)
    key = next((k.key for k in frames.keys if k.quantity == "energy"), "")
    stored = raw.arrays.get(key)
    if stored is not None and stored.dtype in (np.float16, np.float32) and len(rows) > 1:
        step = float(np.finfo(stored.dtype).eps * np.median(np.abs(e[rows])))
        spread = float(np.std(e[rows]))
        if step > 0.01 * spread or step > 2e-3:
            what = f"the energies are stored as {stored.dtype}: they resolve only {1e3 * step:.2g} meV"
            fix = "store them in double precision, or subtract a constant"
            out.append(Finding("warn", what, raw.path, f"spread {1e3 * spread:.3g} meV", fix=fix))
    return out


def _apart(few: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Of suspects, those above a gap: hot frames form a tail without one, which is physics and no mistake."""
    order = few[np.argsort(size[few])]
    rest = np.delete(size, few)
    below = np.concatenate([[rest.max(initial=1e-9)], size[order][:-1]])
    gaps = np.flatnonzero(size[order] > 2.5 * below)
    return np.sort(order[gaps[0] :]) if len(gaps) else order[:0]


def _groups(frames: Frames, rows: np.ndarray) -> Iterable[np.ndarray]:
    """Rows of the same composition."""
    _, kind = np.unique(np.sort(frames.numbers[rows], axis=1), axis=0, return_inverse=True)
    order = np.argsort(kind.ravel(), kind="stable")
    yield from np.split(rows[order], np.flatnonzero(np.diff(kind.ravel()[order])) + 1)


def _compositions(frames: Frames, raw: Raw, rows: np.ndarray) -> list[Finding]:
    """Energies of many different molecules against a sum over elements, for what no group of equal molecules shows."""
    if frames.energy is None or len(rows) < 20:
        return []
    elements = frames.elements
    counts = np.stack([(frames.numbers[rows] == z).sum(1) for z in elements], 1).astype(float)
    if len(np.unique(counts, axis=0)) < 3 * len(elements) + 5:
        return []
    e, keep = frames.energy[rows], np.ones(len(rows), bool)
    rest = np.zeros(len(rows))
    for _ in range(5):
        fit = np.linalg.lstsq(counts[keep], e[keep], rcond=None)[0]
        rest = (e - counts @ fit) / np.sqrt(counts.sum(1))
        scale = 1.4826 * np.median(np.abs(rest - np.median(rest))) + 1e-9
        keep = np.abs(rest - np.median(rest)) < 5 * scale
    few = np.flatnonzero((np.abs(rest) > 15 * scale) & (np.abs(rest) > 2.0))
    if not len(few) or len(few) > 0.05 * len(rows):
        return []
    worst = few[np.argmax(np.abs(rest[few]))]
    what = f"energy outlier(s): {len(few)} frame(s) far from what their elements let expect"
    found = f"frame {rows[worst]}: {abs(rest[worst]) / scale:.3g} robust standard deviations"
    return [Finding("warn", what, several(raw, rows[few]), found, fix="check or remove the frame(s)")]


def forces(frames: Frames, raw: Raw, sound: np.ndarray) -> list[Finding]:
    """Forces that are zero, far beyond the others, or have a sum or torque."""
    f = frames.forces
    if f is None:
        return []
    finite = np.isfinite(f).all((1, 2)) & (np.abs(f) < 1e10).all((1, 2)) & (frames.natoms > 1)
    rows = np.flatnonzero(finite)
    if not len(rows):
        return []
    size = np.linalg.norm(f, axis=2)
    total, peak = size.sum(1), size.max(1)
    zero = rows[total[rows] == 0]
    if len(zero):
        all_ = len(zero) == len(rows)
        what = "the forces are zero in all frames" if all_ else f"all forces are zero in {len(zero)} frame(s)"
        where = raw.path if all_ else several(raw, zero)
        out = [Finding("warn", what, where, fix="were missing forces filled with zeros?")]
        if all_:
            return out
    else:
        out = []
    moving = rows[sound[rows] & (total[rows] > 0)]
    if not len(moving):
        return out
    middle = float(np.median(peak[moving]))
    few = moving[(peak[moving] > 10 * middle) & (peak[moving] > 20.0)]
    if len(few) and (len(few) <= 0.05 * len(moving) or len(few) == 1):
        worst = int(few[np.argmax(peak[few])])
        what = f"force outlier(s): {len(few)} frame(s) with forces far beyond the others"
        found = f"frame {worst}: {peak[worst]:.4g} eV/Å; the median frame has {middle:.3g} eV/Å at most"
        out.append(Finding("warn", what, several(raw, few), found, fix="check or remove the frame(s)"))
    elif middle > 100.0:
        what = "the forces are very large in most frames"
        out.append(Finding("warn", what, raw.path, f"median of the largest {middle:.4g} eV/Å", "0.1 to 20 eV/Å"))
    out += _rigid(frames, raw, moving, total)
    return out


def _rigid(frames: Frames, raw: Raw, rows: np.ndarray, total: np.ndarray) -> list[Finding]:
    """Forces of an isolated molecule have no sum and no torque."""
    assert frames.forces is not None
    f, real = frames.forces[rows], frames.mask[rows]
    out = []
    net = np.linalg.norm(f.sum(1), axis=1)
    for words, value, scale, use in (
        ("sum", net, total[rows], np.ones(len(rows), bool)),
        ("torque", *_torque(frames.positions[rows], f, real), _open(frames, rows)),
    ):
        bad = np.flatnonzero(use & (value > 0.02 * scale) & (value > 0.05))
        if not len(bad):
            continue
        if words == "torque" and out:  # a net force makes a torque
            continue
        worst = int(bad[np.argmax(value[bad] / scale[bad])])
        unit = "eV/Å" if words == "sum" else "eV"
        what = f"the forces have a net {words} in {len(bad)} of {len(rows)} frame(s)"
        found = (
            f"frame {rows[worst]}: {value[worst]:.3g} {unit}, {100 * value[worst] / scale[worst]:.2g} % of all forces"
        )
        if words == "torque":
            fix = "do the forces belong to these positions (same frame, same order of atoms, same orientation)?"
        else:
            fix = "is a force missing, wrong, or from an external field?"
        out.append(Finding("warn", what, several(raw, rows[bad]), found, "none for an isolated molecule", fix))
    return out


def _torque(x: np.ndarray, f: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    centre = (x * real[..., None]).sum(1) / real.sum(1)[:, None]
    arm = np.where(real[..., None], x - centre[:, None], 0.0)
    scale = (np.linalg.norm(arm, axis=2) * np.linalg.norm(f, axis=2)).sum(1)
    return np.linalg.norm(np.cross(arm, f).sum(1), axis=1), np.maximum(scale, 1e-12)


def _open(frames: Frames, rows: np.ndarray) -> np.ndarray:
    return np.ones(len(rows), bool) if frames.pbc is None else np.asarray(~frames.pbc[rows].any(1))


def misfits(frames: Frames, raw: Raw, evidence: Evidence, sound: np.ndarray) -> list[Finding]:
    """Frames whose energy does not follow from those of all near frames and the forces between, where the rest does."""
    slope = evidence.slope
    if frames.energy is None or frames.forces is None or slope is None or slope.misses > 0.15 or slope.count < 8:
        return []
    e = frames.energy
    usable = sound & np.isfinite(e) & np.isfinite(frames.forces).all((1, 2))
    bad: list[int] = []
    found = ""
    for p in near_pairs(frames.numbers, frames.positions, frames.forces, usable, frames.cell, frames.pbc):
        rise, work = e[p.b] - e[p.a], -(p.force * p.moved).sum((1, 2))
        ratio = np.median(rise / work)
        if not 0.8 < ratio < 1.25:
            continue
        rest = np.abs(rise - work)
        scale = 1.4826 * np.median(rest) + 1e-9
        off = (rest > 8 * scale) & (rest > p.bend) & (rest > 0.02)
        frames_in = np.concatenate([p.a, p.b])
        seen = np.unique(frames_in)
        share = np.bincount(frames_in, np.concatenate([off, off]))[seen] / np.bincount(frames_in)[seen]
        count = np.bincount(frames_in)[seen]
        for k in seen[(share > 0.8) & (count >= 3)]:
            mine = (p.a == k) | (p.b == k)
            found = found or f"frame {k}: off by {np.median(rest[mine]):.3g} eV"
            bad.append(int(k))
    if not bad or len(bad) > 0.1 * len(frames) + 1:
        return []
    what = f"energy and forces of {len(bad)} frame(s) are not consistent with those of near frames"
    return [Finding("warn", what, several(raw, sorted(bad)), found, fix="check or remove the frame(s)")]
