"""Reader of XYZ and extended XYZ files: every frame, every column, errors by frame and line."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from consilience.core.errors import Finding, InputError, clean
from consilience.frames.elements import number_of
from consilience.frames.raw import COUNTED, Raw
from consilience.frames.unit_labels import dimension_of

MAX_ATOMS = 10_000_000
_PAIR = re.compile(
    r"""(?P<quote>["']?)(?P<key>[^\s="']+)(?P=quote)\s*=\s*(?:"(?P<d>[^"]*)"|'(?P<s>[^']*)'|(?P<b>[\[{][^\]}]{0,5000}+[\]}]++)|"""
    r"""(?P<v>[^\s"'=]++)(?!\s*=)|)|(?P<flag>[^\s=]++)"""
)
_COMMA = re.compile(r"[-+]?\d+,\d+([eEdD][-+]?\d+)?")
_FORTRAN = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+))[dD]([-+]?\d+)")
_FORTRAN_BARE = re.compile(r"([-+]?(?:\d+\.\d*|\.\d+))([-+]\d{2,3})")  # 1.234-105: no room was left for the letter
_SPECIES = ("species", "symbols", "symbol", "element", "elements", "z", "numbers", "atomic_numbers", "type")
_POSITIONS = ("pos", "positions", "position", "xyz", "coords", "coordinates", "r")
_CELL = ("lattice", "cell")


class _Stop(Exception):
    """The rest of the file cannot be read; the frames before it can."""

    def __init__(self, finding: Finding):
        self.finding = finding


def read_extxyz(text: str, path: str) -> Raw:
    """All frames of an (extended) XYZ file.

    A defect ends the reading there: it is a finding of level "error", and the complete frames before it are returned.
    Raises InputError where not one frame can be read.
    """
    lines = text.splitlines()
    frames: list[_Frame] = []
    findings: list[Finding] = []
    i = 0
    try:
        while i < len(lines):
            if not lines[i].strip():
                i += 1
                continue
            frame, i = _read_frame(lines, i, len(frames), path)
            frames.append(frame)
    except _Stop as stop:
        findings.append(stop.finding)
    if not frames:
        raise InputError(findings[0] if findings else Finding("error", "the file is empty: no frames", path))
    return _assemble(frames, path, findings)


class _Frame:
    """One frame as parsed."""

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


def _stop(what: str, path: str, frame: int, line: int, found: str = "", expected: str = "", fix: str = "") -> _Stop:
    where = f"{path}, frame {frame} ({COUNTED}), line {line + 1}"
    return _Stop(Finding("error", what, where, clean(found)[:120], expected, fix))


def _read_frame(lines: list[str], i: int, k: int, path: str) -> tuple[_Frame, int]:
    """The frame whose count stands in line i, and the index of the line after it."""
    word = lines[i].strip()
    count = int(word) if re.fullmatch(r"\+?\d{1,12}", word) else 0
    if not count:
        before = f"the count of frame {k - 1} may be too small" if k else "an XYZ file begins with the number of atoms"
        what = "this line should hold the number of atoms of a frame"
        raise _stop(what, path, k, i, f"'{word[:60]}'", "a positive whole number", before)
    left = len(lines) - i - 2
    if count > MAX_ATOMS or count > left:
        last = f"the last complete frame is {k - 1}" if k else "no frame is complete"
        what = f"the last frame is truncated: the file ends before its {count} atoms, or the count is wrong; {last}"
        fix = "correct the number of atoms, or remove the incomplete frame"
        raise _stop(what, path, k, i, f"{max(left, 0)} line(s) left", f"{count} atom line(s)", fix)
    comment, rows = lines[i + 1], [line.split() for line in lines[i + 2 : i + 2 + count]]
    info, repeated, units = parse_comment(comment)
    conflict = [name for name, values in repeated.items() if len(set(values)) > 1]
    if conflict:
        what = f"the key '{clean(conflict[0])}' stands twice in the comment line, with different values"
        raise _stop(what, path, k, i + 1, " and ".join(repeated[conflict[0]]), "one value", "remove one of them")
    named = next((v for name, v in info.items() if name.lower() == "properties"), None)
    layout = _layout(named, path, k, i + 1) if named is not None else [("species", "S", 1), ("pos", "R", 3)]
    width = sum(c for _, _, c in layout)
    for j, row in enumerate(rows):
        if len(row) < width or (named is not None and len(row) > width):
            raise _wrong_width(row, width, i + 2 + j, count, k, path, is_last=i + 2 + j == len(lines) - 1)
    frame = _Frame(i + 1, np.zeros(count, int))
    frame.plain = named is None
    frame.extra = max(len(row) for row in rows) - width if named is None else 0
    frame.repeated = sorted(repeated)
    start = 0
    for name, kind, c in layout:
        cells = [row[start : start + c] for row in rows]
        start += c
        if name.lower() in _SPECIES and c == 1 and not frame.numbers.any():
            _species(frame, [x[0] for x in cells], i + 2, k, path)
        elif kind in "RI":
            values = _numbers(frame, cells, name, i + 2, k, path)
            frame.columns[name] = values[:, 0] if c == 1 else values
    if not frame.numbers.any():
        raise _stop("the Properties have no column of elements", path, k, i + 1, str(named), "species:S:1")
    if not any(name.lower() in _POSITIONS for name in frame.columns):
        raise _stop("the Properties have no column of positions", path, k, i + 1, str(named), "pos:R:3")
    for name, value in info.items():
        if name.lower() == "properties":
            continue
        frame.info[name] = _value(frame, value)
        if name in units:
            frame.units[name] = units[name]
    return frame, i + 2 + count


def _wrong_width(row: list[str], width: int, line: int, count: int, k: int, path: str, *, is_last: bool) -> _Stop:
    found = f"{len(row)} column(s): '{' '.join(row)[:60]}'"
    if is_last and len(row) < width:
        last = f"the last complete frame is {k - 1}" if k else "no frame is complete"
        what = f"the last frame is truncated: its last line is incomplete; {last}"
        return _stop(what, path, k, line, found, f"{width} columns", "remove the incomplete frame")
    what = f"a line of atoms has the wrong number of columns (frame of {count} atoms by its count)"
    fix = "correct the number of atoms of the frame, or its Properties"
    return _stop(what, path, k, line, found, f"{width} columns", fix)


def _layout(text: str, path: str, k: int, line: int) -> list[tuple[str, str, int]]:
    parts = text.strip().split(":")
    bad = len(parts) % 3 != 0 or any(p not in ("R", "I", "S", "L") for p in parts[1::3])
    if bad or any(not re.fullmatch(r"[1-9]\d{0,3}", p) for p in parts[2::3]):
        expected = "name:type:count, repeated; types R, I, S, L, e.g. species:S:1:pos:R:3:forces:R:3"
        raise _stop("the Properties cannot be understood", path, k, line, text, expected)
    layout = [(parts[j], parts[j + 1], int(parts[j + 2])) for j in range(0, len(parts), 3)]
    names = [name for name, _, _ in layout]
    twice = [n for n in names if names.count(n) > 1]
    if twice:
        raise _stop(f"the column '{clean(twice[0])}' stands twice in the Properties", path, k, line, text)
    for name, kind, c in layout:
        if name.lower() in _POSITIONS and (c != 3 or kind not in "RI"):
            raise _stop("positions need three columns of numbers", path, k, line, text, f"{name}:R:3")
    return layout


def _species(frame: _Frame, words: list[str], first: int, k: int, path: str) -> None:
    for j, word in enumerate(words):
        z = number_of(word)
        if not z:
            fix = "correct the symbol, or leave the frame out"
            raise _stop(f"unknown element '{clean(word)[:20]}'", path, k, first + j, word, "a chemical symbol", fix)
        frame.odd_labels += word[-1].isdigit() and not word.isdigit()
        frame.numbers[j] = z


def _numbers(frame: _Frame, cells: list[list[str]], name: str, first: int, k: int, path: str) -> np.ndarray:
    if not any("_" in word for row in cells for word in row):  # Python's floats allow 1_000, files do not
        try:
            return np.array(cells, dtype=float)
        except ValueError:
            pass
    out = np.zeros((len(cells), len(cells[0])))
    for j, row in enumerate(cells):
        for c, word in enumerate(row):
            value = _number(word)
            if value is None:
                comma = _COMMA.fullmatch(word) is not None
                what = f"column '{clean(name)}': this is no number" + (" (a decimal comma?)" if comma else "")
                fix = "write decimal points" if comma else ""
                if "*" in word:
                    fix = "the value did not fit its Fortran format: write the file again with more room"
                raise _stop(what, path, k, first + j, f"'{word}'", "a number", fix)
            frame.fortran |= not _is_plain(word)
            out[j, c] = value
    return out


def _is_plain(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return "_" not in word


def _number(word: str) -> float | None:
    """A float in the spellings of Python and Fortran (1.5D+03, 1.5-103); None where it is none."""
    if _is_plain(word):
        return float(word)
    match = _FORTRAN.fullmatch(word) or _FORTRAN_BARE.fullmatch(word)
    return float(f"{match[1]}e{match[2]}") if match else None


def parse_comment(comment: str) -> tuple[dict[str, str], dict[str, list[str]], dict[str, str]]:
    """Values by key of a comment line, values of keys that are repeated, and units that follow a value ("E = 1 eV")."""
    info: dict[str, str] = {}
    repeated: dict[str, list[str]] = {}
    units: dict[str, str] = {}
    if "=" not in comment:
        comment = re.sub(r"\b([A-Za-z_]\w*+)\s*+:\s*+(?=[-+.\d])", r"\1=", comment)  # energy: -76.4
    if sum(comment.count(c) for c in "[{") > sum(comment.count(c) for c in "]}"):  # broken: no brackets then
        comment = comment.replace("[", " ").replace("{", " ")
    last = ""
    for m in _PAIR.finditer(comment):
        if m["flag"] is not None:
            if last and dimension_of(m["flag"].rstrip(",;.")) is not None:
                units.setdefault(last, m["flag"].rstrip(",;."))
            last = ""
            continue
        key = last = m["key"]
        value = next((v for v in (m["d"], m["s"], m["b"], m["v"]) if v is not None), "")
        if m["v"] is not None:
            value = value.rstrip(";") if not value.endswith(",") else value.rstrip(",")
        if key in info:
            repeated.setdefault(key, [info[key]]).append(value)
        info[key] = value
    return info, repeated, units


def _value(frame: _Frame, text: str) -> Any:
    """A comment value as float, array of floats, or text; booleans stay text."""
    if _COMMA.fullmatch(text.strip()):
        return text.strip()  # a decimal comma or two numbers: whoever wants a number refuses it
    words = re.sub(r"[\[\]{},;()]", " ", text.removeprefix("_JSON")).split()
    values = [_number(w) for w in words]
    if not words or any(v is None for v in values):
        return text.strip()
    frame.fortran |= any(not _is_plain(w) for w in words)
    return values[0] if len(values) == 1 else np.array(values, dtype=float)


def _assemble(frames: list[_Frame], path: str, findings: list[Finding]) -> Raw:
    f, n = len(frames), max(len(x.numbers) for x in frames)
    numbers, positions = np.zeros((f, n), int), np.zeros((f, n, 3))
    raw = Raw(path, numbers, positions, lines=[x.line for x in frames], findings=findings)
    raw.positions_key = next(name for name in frames[0].columns if name.lower() in _POSITIONS)
    for k, frame in enumerate(frames):
        m = len(frame.numbers)
        numbers[k, :m] = frame.numbers
        for name, values in frame.columns.items():
            if name.lower() in _POSITIONS:
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


def _info_array(raw: Raw, name: str, frames: list[_Frame], findings: list[Finding]) -> None:
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
                comma = " (a decimal comma?)" if isinstance(v, str) and _COMMA.fullmatch(v) else ""
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


def _cells(raw: Raw, frames: list[_Frame], findings: list[Finding]) -> None:
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


def _notes(raw: Raw, frames: list[_Frame], findings: list[Finding]) -> None:
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
