"""Findings on the geometry of frames: cells that cannot be, atoms that overlap or are lost, duplicates."""

from __future__ import annotations

import numpy as np

from consilience.core.errors import Finding, Level
from consilience.frames.elements import COVALENT, symbol
from consilience.frames.frames import Frames
from consilience.frames.geometry import blocks, distances
from consilience.frames.raw import COUNTED, Raw, several

OVERLAP, CLOSE = 0.3, 0.55  # times the sum of covalent radii
LONELY = 100.0  # Å to the nearest neighbour


def cells(frames: Frames, raw: Raw) -> list[Finding]:
    """Periodic frames without a cell, and cells that are singular, left-handed or too small."""
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
        out.append(Finding("error", what, several(raw, lost), fix=fix))
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
        out.append(Finding("error", what, several(raw, bad), found, "three independent vectors"))
    left = np.flatnonzero(periodic & ~empty & np.isfinite(volume) & (np.linalg.det(use) < 0))
    if len(left):
        out.append(Finding("note", f"the cell is left-handed in {len(left)} frame(s)", several(raw, left)))
    if periodic.any() and not periodic.all():
        what = f"{int(periodic.sum())} of {len(frames)} frames are periodic, the others are not"
        out.append(Finding("note", what, raw.path))
    tiny = np.flatnonzero(periodic & ~empty & np.isfinite(volume) & (volume < 2.0 * frames.natoms) & (volume > 1e-6))
    if len(tiny):
        k = int(tiny[0])
        found = f"{volume[k] / frames.natoms[k]:.2g} Å^3 for each atom"
        out.append(Finding("warn", "the cell is too small for its atoms: wrong unit?", several(raw, tiny), found))
    return out


def contacts(frames: Frames, raw: Raw, sound: np.ndarray) -> tuple[list[Finding], np.ndarray]:
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
        out.append(Finding(level, what, several(raw, bad), found, fix="remove the frame(s)"))
    if not frames.is_periodic:
        bad = np.flatnonzero(lonely > LONELY)
        if len(bad):
            what = f"atoms far from all others in {len(bad)} frame(s)"
            found = f"{lonely[bad[0]]:.4g} Å to the nearest neighbour"
            out.append(Finding("warn", what, several(raw, bad), found, f"less than {LONELY:g} Å"))
    return out, overlapping


def duplicates(frames: Frames, raw: Raw) -> list[Finding]:
    """Frames with the same atoms in the same places."""
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
