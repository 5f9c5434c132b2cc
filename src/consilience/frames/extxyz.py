"""Reader of XYZ and extended XYZ files: every frame, every column, errors by frame and line."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from consilience.core.errors import Finding, InputError, clean
from consilience.frames.elements import number_of
from consilience.frames.parsed import DECIMAL_COMMA, POSITIONS, ParsedFrame, assemble
from consilience.frames.raw import COUNTED, Raw
from consilience.frames.unit_labels import dimension_of

MAX_ATOMS = 10_000_000
_PAIR = re.compile(
    r"""(?P<quote>["']?)(?P<key>[^\s="']+)(?P=quote)\s*=\s*(?:"(?P<d>[^"]*)"|'(?P<s>[^']*)'|(?P<b>[\[{][^\]}]{0,5000}+[\]}]++)|"""
    r"""(?P<v>[^\s"'=]++)(?!\s*=)|)|(?P<flag>[^\s=]++)"""
)
_FORTRAN = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+))[dD]([-+]?\d+)")
_FORTRAN_BARE = re.compile(r"([-+]?(?:\d+\.\d*|\.\d+))([-+]\d{2,3})")  # 1.234-105: no room was left for the letter
_SPECIES = ("species", "symbols", "symbol", "element", "elements", "z", "numbers", "atomic_numbers", "type")


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
    frames: list[ParsedFrame] = []
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
    return assemble(frames, path, findings)


def _stop(what: str, path: str, frame: int, line: int, found: str = "", expected: str = "", fix: str = "") -> _Stop:
    where = f"{path}, frame {frame} ({COUNTED}), line {line + 1}"
    return _Stop(Finding("error", what, where, clean(found)[:120], expected, fix))


def _read_frame(lines: list[str], i: int, k: int, path: str) -> tuple[ParsedFrame, int]:
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
    frame = ParsedFrame(i + 1, np.zeros(count, int))
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
    if not any(name.lower() in POSITIONS for name in frame.columns):
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
        if name.lower() in POSITIONS and (c != 3 or kind not in "RI"):
            raise _stop("positions need three columns of numbers", path, k, line, text, f"{name}:R:3")
    return layout


def _species(frame: ParsedFrame, words: list[str], first: int, k: int, path: str) -> None:
    for j, word in enumerate(words):
        z = number_of(word)
        if not z:
            fix = "correct the symbol, or leave the frame out"
            raise _stop(f"unknown element '{clean(word)[:20]}'", path, k, first + j, word, "a chemical symbol", fix)
        frame.odd_labels += word[-1].isdigit() and not word.isdigit()
        frame.numbers[j] = z


def _numbers(frame: ParsedFrame, cells: list[list[str]], name: str, first: int, k: int, path: str) -> np.ndarray:
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
                comma = DECIMAL_COMMA.fullmatch(word) is not None
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


def _value(frame: ParsedFrame, text: str) -> Any:
    """A comment value as float, array of floats, or text; booleans stay text."""
    if DECIMAL_COMMA.fullmatch(text.strip()):
        return text.strip()  # a decimal comma or two numbers: whoever wants a number refuses it
    words = re.sub(r"[\[\]{},;()]", " ", text.removeprefix("_JSON")).split()
    values = [_number(w) for w in words]
    if not words or any(v is None for v in values):
        return text.strip()
    frame.fortran |= any(not _is_plain(w) for w in words)
    return values[0] if len(values) == 1 else np.array(values, dtype=float)
