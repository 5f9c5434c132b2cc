"""Findings on frames: labels that are missing or not finite, impossible geometries and cells, outliers, duplicates."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from consilience.core.errors import Finding, Level, clean
from consilience.frames.elements import COVALENT, formula, symbol
from consilience.frames.evidence import Evidence
from consilience.frames.frames import Frames
from consilience.frames.geometry import blocks, distances, near_pairs
from consilience.frames.raw import COUNTED, Raw, at, frames_at

OVERLAP, CLOSE = 0.3, 0.55  # times the sum of covalent radii
LONELY = 100.0  # Å to the nearest neighbour
_SOFT = 10.0  # eV/Å²
Z_ENERGY = 12.0  # robust standard deviations
_LABELS = ("energy", "forces", "dipole", "charges", "total_charge", "stress", "esp", "esp_xyz", "momenta")


def inspect_raw(raw: Raw) -> list[Finding]:
    """What makes the geometry of a file unusable, whatever its units: positions that are no numbers or absurd."""
    bad = np.flatnonzero(~np.isfinite(raw.positions).all((1, 2)))
    out = []
    if len(bad):
        k = int(bad[0])
        atom = int(np.flatnonzero(~np.isfinite(raw.positions[k]).all(1))[0])
        what = f"positions are not finite (nan or inf) in {len(bad)} frame(s)"
        out.append(Finding("error", what, f"{_at(raw, k)}, atom {atom}", fix="remove the frame(s)"))
    with np.errstate(invalid="ignore"):
        size = np.abs(raw.positions).max((1, 2))
    far = np.flatnonzero(np.isfinite(size) & (size > 1e6))
    if len(far):
        what = f"absurd positions in {len(far)} frame(s)"
        out.append(Finding("error", what, _at(raw, int(far[0])), f"{size[far[0]]:.3g}", "coordinates in Å"))
    return out


@np.errstate(all="ignore")
def inspect_frames(frames: Frames, raw: Raw, evidence: Evidence) -> list[Finding]:
    """All findings on frames of one file in our units, electrostatics aside."""
    out = [*_labels(frames, raw), *_cells(frames, raw)]
    sound = np.asarray((np.isfinite(frames.positions) & (np.abs(frames.positions) < 1e6)).all((1, 2)))
    contacts, overlapping = _contacts(frames, raw, sound)
    sound &= ~overlapping
    out += contacts
    out += _duplicates(frames, raw)
    out += _energies(frames, raw, sound)
    out += _forces(frames, raw, sound)
    out += _misfits(frames, raw, evidence, sound)
    return out


def _at(raw: Raw, frame: int) -> str:
    return at(raw.path, frame, raw.lines)


def _several(raw: Raw, frames: np.ndarray | list[int]) -> str:
    return _at(raw, int(frames[0])) if len(frames) == 1 else frames_at(raw.path, frames)


def _labels(frames: Frames, raw: Raw) -> list[Finding]:
    out = []
    have = [q for q in _LABELS if getattr(frames, q) is not None]
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
            out.append(Finding(level, what, _several(raw, absent), fix="add the labels or leave the frames out"))
        finite = np.isfinite(a).reshape(len(a), -1)
        if q in ("esp", "esp_xyz"):  # frames may have different numbers of points
            finite = ~(np.isinf(a).reshape(len(a), -1)) if raw.atomic else finite
        bad = np.flatnonzero(present & ~finite.all(1))
        if len(bad):
            what = f"{words}: not finite (nan or inf) in {len(bad)} frame(s)"
            out.append(Finding("error", what, _several(raw, bad), fix="correct or remove the frame(s)"))
        flat = np.where(np.isfinite(a), np.abs(a), 0.0).reshape(len(a), -1)
        huge = np.flatnonzero(flat.max(1, initial=0.0) > 1e10)
        if len(huge):
            what = f"{words}: absurd values in {len(huge)} frame(s)"
            out.append(Finding("error", what, _several(raw, huge), f"{flat[huge].max():.3g}"))
    return out


def _cells(frames: Frames, raw: Raw) -> list[Finding]:
    if frames.pbc is None:
        return []
    periodic = frames.pbc.any(1)
    cell = np.zeros((len(frames), 3, 3)) if frames.cell is None else frames.cell
    empty = np.abs(cell).sum((1, 2)) == 0
    out = []
    lost = np.flatnonzero(periodic & empty)
    if len(lost):
        what = f"{len(lost)} frame(s) are periodic (pbc) but have no cell (Lattice)"
        fix = 'give the Lattice, or say pbc="F F F"'
        out.append(Finding("error", what, _several(raw, lost), fix=fix))
    length = np.linalg.norm(cell, axis=2)
    filled = np.where(frames.pbc[:, :, None], cell, np.eye(3))  # directions that are not periodic need no vector
    open_ = ~frames.pbc
    use = np.where((open_ & (length > 0))[:, :, None], cell, filled)
    volume = np.abs(np.linalg.det(use))
    scale = np.prod(np.maximum(np.linalg.norm(use, axis=2), 1e-12), axis=1)
    bad = np.flatnonzero(periodic & ~empty & ~((volume > 1e-6) & (volume > 1e-3 * scale)))
    if len(bad):
        k = int(bad[0])
        what = f"singular cell (Lattice) in {len(bad)} frame(s): its vectors are dependent, or one is zero"
        found = f"volume {volume[k]:.3g} Å^3 of {np.round(cell[k], 3).tolist()}"
        out.append(Finding("error", what, _several(raw, bad), found, "three independent vectors"))
    left = np.flatnonzero(periodic & ~empty & np.isfinite(volume) & (np.linalg.det(use) < 0))
    if len(left):
        out.append(Finding("note", f"the cell is left-handed in {len(left)} frame(s)", _several(raw, left)))
    if periodic.any() and not periodic.all():
        what = f"{int(periodic.sum())} of {len(frames)} frames are periodic, the others are not"
        out.append(Finding("note", what, raw.path))
    tiny = np.flatnonzero(periodic & ~empty & np.isfinite(volume) & (volume < 2.0 * frames.natoms) & (volume > 1e-6))
    if len(tiny):
        k = int(tiny[0])
        found = f"{volume[k] / frames.natoms[k]:.2g} Å^3 for each atom"
        out.append(Finding("warn", "the cell is too small for its atoms: wrong unit?", _several(raw, tiny), found))
    return out


def _contacts(frames: Frames, raw: Raw, sound: np.ndarray) -> tuple[list[Finding], np.ndarray]:
    """Atoms that overlap or are far from all others; which frames overlap."""
    f, n = frames.numbers.shape
    overlapping = np.zeros(f, bool)
    if n > 4000 or n < 2:
        return [], overlapping
    worst, pair, lonely = np.full(f, np.inf), np.zeros((f, 2), int), np.zeros(f)
    shortest = np.full(f, np.inf)
    for rows in blocks(f, n):
        cell = None if frames.cell is None else frames.cell[rows]
        pbc = None if frames.pbc is None else frames.pbc[rows]
        x = np.where(sound[rows, None, None], frames.positions[rows], 0.0)
        r = distances(x, frames.mask[rows], cell, pbc)
        radii = np.maximum(COVALENT[frames.numbers[rows]], 0.1)
        ratio = (r / (radii[:, :, None] + radii[:, None, :])).reshape(len(r), -1)
        place = ratio.argmin(1)
        worst[rows] = ratio[np.arange(len(r)), place]
        pair[rows] = np.stack([place // n, place % n], 1)
        shortest[rows] = r.reshape(len(r), -1)[np.arange(len(r)), place]
        nearest = r.min(2)
        lonely[rows] = np.where(nearest < 1e8, nearest, 0.0).max(1)
    worst[~sound], lonely[~sound] = np.inf, 0.0
    out = []
    overlapping = worst < OVERLAP
    suspects: tuple[tuple[Level, np.ndarray, str], ...] = (
        ("error", np.flatnonzero(overlapping), "overlapping atoms (they nearly coincide)"),
        ("warn", np.flatnonzero((worst >= OVERLAP) & (worst < CLOSE)), "atoms very close to one another"),
    )
    for level, bad, words in suspects:
        if not len(bad) or (level == "warn" and len(bad) > 0.5 * f):
            continue
        k = int(bad[0])
        i, j = sorted(pair[k].tolist())
        names = [f"{symbol(int(frames.numbers[k, a]))} {a}" for a in (i, j)]
        found = f"atoms {names[0]} and {names[1]} ({COUNTED}) at a distance of {shortest[k]:.3g} Å in frame {k}"
        what = f"{words} in {len(bad)} frame(s)"
        out.append(Finding(level, what, _several(raw, bad), found, fix="remove the frame(s)"))
    if not frames.is_periodic:
        bad = np.flatnonzero(lonely > LONELY)
        if len(bad):
            what = f"atoms far from all others in {len(bad)} frame(s)"
            found = f"{lonely[bad[0]]:.4g} Å to the nearest neighbour"
            out.append(Finding("warn", what, _several(raw, bad), found, f"less than {LONELY:g} Å"))
    return out, overlapping


def _duplicates(frames: Frames, raw: Raw) -> list[Finding]:
    rows = np.flatnonzero((frames.natoms > 1) & np.isfinite(frames.positions).all((1, 2)))
    if len(rows) < 2:
        return []
    first: dict[bytes, int] = {}
    twins: list[tuple[int, int]] = []
    for k in rows:
        key = frames.numbers[k].tobytes() + frames.positions[k].tobytes()
        if key in first:
            twins.append((first[key], int(k)))
        else:
            first[key] = int(k)
    if not twins:
        return []
    differ = []
    for a, b in twins:
        for q, limit in (("energy", 1e-4), ("forces", 1e-3)):
            v = getattr(frames, q)
            if v is not None and np.abs(v[a] - v[b]).max() > limit and (a, b) not in differ:
                differ.append((a, b))
    shown = ", ".join(f"{b} = {a}" for a, b in (differ or twins)[:5]) + (", ..." if len(differ or twins) > 5 else "")
    if differ:
        what = f"{len(differ)} frame(s) repeat the positions of another with different energies or forces"
        return [Finding("warn", what, raw.path, f"frames {shown} ({COUNTED})", fix="keep one of each")]
    what = f"{len(twins)} of {len(frames)} frames are exact duplicates: {len(first)} distinct geometries"
    fix = "remove them: a frame in both training and validation makes errors look small"
    return [Finding("warn", what, raw.path, f"frames {shown} ({COUNTED})", fix=fix)]


def _groups(frames: Frames, rows: np.ndarray) -> Iterable[np.ndarray]:
    """Rows of the same composition."""
    _, kind = np.unique(np.sort(frames.numbers[rows], axis=1), axis=0, return_inverse=True)
    order = np.argsort(kind.ravel(), kind="stable")
    yield from np.split(rows[order], np.flatnonzero(np.diff(kind.ravel()[order])) + 1)


def _energies(frames: Frames, raw: Raw, sound: np.ndarray) -> list[Finding]:
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
            hot = 3.0 * (frames.forces[group] ** 2).sum((1, 2)) / (2 * _SOFT)
            least[group] = np.where(np.isfinite(hot), np.maximum(1.0, hot), least[group])
    few = _apart(np.flatnonzero((z > Z_ENERGY) & (np.abs(off) > least)), np.abs(off))
    if len(few) and len(few) <= max(1, 0.05 * judged, judged // 4 if judged < 30 else 0):
        worst = int(few[np.argmax(np.abs(off[few]))])
        what = f"energy outlier(s): {len(few)} frame(s) far from the others"
        found = f"frame {worst}: {off[worst]:+.5g} eV from the median, {z[worst]:.3g} robust standard deviations"
        out.append(Finding("warn", what, _several(raw, few), found, fix="check or remove the frame(s)"))
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
    return [Finding("warn", what, _several(raw, rows[few]), found, fix="check or remove the frame(s)")]


def _forces(frames: Frames, raw: Raw, sound: np.ndarray) -> list[Finding]:
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
        where = raw.path if all_ else _several(raw, zero)
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
        out.append(Finding("warn", what, _several(raw, few), found, fix="check or remove the frame(s)"))
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
        out.append(Finding("warn", what, _several(raw, rows[bad]), found, "none for an isolated molecule", fix))
    return out


def _torque(x: np.ndarray, f: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    centre = (x * real[..., None]).sum(1) / real.sum(1)[:, None]
    arm = np.where(real[..., None], x - centre[:, None], 0.0)
    scale = (np.linalg.norm(arm, axis=2) * np.linalg.norm(f, axis=2)).sum(1)
    return np.linalg.norm(np.cross(arm, f).sum(1), axis=1), np.maximum(scale, 1e-12)


def _open(frames: Frames, rows: np.ndarray) -> np.ndarray:
    return np.ones(len(rows), bool) if frames.pbc is None else np.asarray(~frames.pbc[rows].any(1))


def _misfits(frames: Frames, raw: Raw, evidence: Evidence, sound: np.ndarray) -> list[Finding]:
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
    return [Finding("warn", what, _several(raw, sorted(bad)), found, fix="check or remove the frame(s)")]
