"""Frames of a text file as parsed one by one, and the arrays that they make together."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from consilience.core.errors import Finding, clean
from consilience.frames.raw import COUNTED, Raw

DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+([eEdD][-+]?\d+)?")
POSITIONS = ("pos", "positions", "position", "xyz", "coords", "coordinates", "r")
_CELL = ("lattice", "cell")


class ParsedFrame:
    """One frame: line of its comment, columns by name, values of its comment, and what was odd about them."""

    def __init__(self, line: int, numbers: np.ndarray):
        self.line, self.numbers = line, numbers
        self.columns: dict[str, np.ndarray] = {}
        self.info: dict[str, Any] = {}
        self.units: dict[str, str] = {}
        self.plain = False
        self.extra = 0
        self.fortran = False
        self.odd_labels = 0
        self.repeated: list[str] = []


def assemble(frames: list[ParsedFrame], path: str, findings: list[Finding]) -> Raw:
    """Frames of any sizes, padded; what does not fit together is added to `findings`."""
    f, n = len(frames), max(len(x.numbers) for x in frames)
    numbers, positions = np.zeros((f, n), int), np.zeros((f, n, 3))
    raw = Raw(path, numbers, positions, lines=[x.line for x in frames], findings=findings)
    raw.positions_key = next(name for name in frames[0].columns if name.lower() in POSITIONS)
    for k, frame in enumerate(frames):
        m = len(frame.numbers)
        numbers[k, :m] = frame.numbers
        for name, values in frame.columns.items():
            if name.lower() in POSITIONS:
                positions[k, :m] = values
                continue
            tail = values.shape[1:]
            if name not in raw.arrays:
                raw.arrays[name] = np.full((f, n, *tail), np.nan)
                raw.atomic.add(name)
                raw.present[name] = np.zeros(f, bool)
            if raw.arrays[name].shape[2:] != tail:
                what = f"column '{clean(name)}' has another width in this frame than before"
                where = f"{path}, frame {k} ({COUNTED}), line {frame.line}"
                findings.append(Finding("error", what, where, f"{tail}", f"{raw.arrays[name].shape[2:]}"))
                continue
            raw.arrays[name][k, :m] = values
            raw.arrays[name][k, m:] = 0.0
            raw.present[name][k] = True
        raw.units.update(frame.units)
    for name in dict.fromkeys(key for frame in frames for key in frame.info):
        _info_array(raw, name, frames, findings)
    _cells(raw, frames, findings)
    _notes(raw, frames, findings)
    return raw


def _info_array(raw: Raw, name: str, frames: list[ParsedFrame], findings: list[Finding]) -> None:
    if name.lower() in (*_CELL, "pbc") or name in raw.arrays:
        return
    values = [frame.info.get(name) for frame in frames]
    present = np.array([v is not None for v in values])
    given = [v for v in values if v is not None]
    if all(isinstance(v, str) for v in given):
        raw.arrays[name] = np.array(["" if v is None else v for v in values])
    else:
        shape = next(np.shape(v) for v in given if not isinstance(v, str))
        out = np.full((len(frames), *shape), np.nan)
        for k, v in enumerate(values):
            if v is None:
                continue
            if isinstance(v, str) or (np.shape(v) != shape and shape == ()):
                out_of = isinstance(v, str) and shape == ()
                comma = " (a decimal comma?)" if isinstance(v, str) and DECIMAL_COMMA.fullmatch(v) else ""
                what = f"the value of '{clean(name)}' is {'no number' if out_of else 'not what it is elsewhere'}{comma}"
                where = f"{raw.path}, frame {k} ({COUNTED}), line {frames[k].line + 1}"
                findings.append(
                    Finding("error", what, where, f"'{clean(v)[:60]}'", "a number" if shape == () else str(shape))
                )
                present[k] = False
                continue
            value = np.asarray(v, dtype=float)
            if value.shape != shape:  # e.g. another number of ESP points: pad
                if value.ndim > 1 or out.ndim != 2 or value.size > 100_000:
                    continue
                if value.size > out[0].size:
                    out = np.pad(out, ((0, 0), (0, value.size - out[0].size)), constant_values=np.nan)
                out[k, : value.size] = value
                continue
            out[(k, *(slice(s) for s in shape))] = value
        raw.arrays[name] = out
    raw.present[name] = present


def _cells(raw: Raw, frames: list[ParsedFrame], findings: list[Finding]) -> None:
    cell, pbc = np.zeros((len(raw), 3, 3)), np.zeros((len(raw), 3), bool)
    has_cell = np.zeros(len(raw), bool)
    for k, frame in enumerate(frames):
        info = {name.lower(): v for name, v in frame.info.items()}
        where = f"{raw.path}, frame {k} ({COUNTED}), line {frame.line + 1}"
        given = next((info[name] for name in _CELL if name in info), None)
        if given is not None:
            size = np.size(given) if not isinstance(given, str) else 0
            if size not in (3, 9):
                what = "the Lattice is not nine numbers"
                findings.append(Finding("error", what, where, clean(given)[:80], "three vectors: 9 numbers, Å"))
                continue
            cell[k] = np.diag(given) if size == 3 else np.reshape(given, (3, 3))
            has_cell[k] = True
        periodic = _booleans(info.get("pbc"))
        if "pbc" in info and periodic is None:
            what = "the value of pbc cannot be understood"
            findings.append(Finding("error", what, where, clean(info["pbc"])[:60], 'pbc="T T T" or "F F F"'))
            continue
        pbc[k] = has_cell[k] if periodic is None else periodic
    raw.cell = cell if has_cell.any() else None
    raw.pbc = pbc if pbc.any() else None


def _booleans(value: Any) -> np.ndarray | None:
    if value is None:
        return None
    words = value.lower().replace(",", " ").strip("[]{}").split() if isinstance(value, str) else np.ravel(value)
    known = {"t": True, "true": True, "1": True, "1.0": True, "f": False, "false": False, "0": False, "0.0": False}
    out = [known.get(str(w).strip("[],")) for w in words]
    if len(out) == 1:
        out = out * 3
    return np.array(out, dtype=bool) if len(out) == 3 and None not in out else None


def _notes(raw: Raw, frames: list[ParsedFrame], findings: list[Finding]) -> None:
    path = raw.path
    if any(x.fortran for x in frames):
        findings.append(Finding("note", "numbers with Fortran exponents (D) were read as such", path))
    extra = max(x.extra for x in frames)
    if extra > 0:
        what = f"{extra} column(s) after the positions have no name (no Properties in the comment): ignored"
        fix = "name them, e.g. Properties=species:S:1:pos:R:3:forces:R:3"
        findings.append(Finding("warn" if extra == 3 else "note", what, path, fix=fix))
    labels = sum(x.odd_labels for x in frames)
    if labels:
        findings.append(Finding("note", f"{labels} atom label(s) with digits were read as their element", path))
    twice = sorted({key for x in frames for key in x.repeated})
    if twice:
        findings.append(Finding("note", f"key(s) that stand twice, with the same value: {', '.join(twice)}", path))
