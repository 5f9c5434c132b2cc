"""Read relaxation tables: CSV with headers, columns of numbers as relax and others write them, mfdata of ModelFree."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from consilience.core.errors import Finding, InputError, clean
from consilience.nmr.columns import Role, field_from_name, field_from_text, kind_from_name, role_of, roles_of
from consilience.nmr.data import Residue
from consilience.nmr.lists import AMIDE_ATOMS, Entry, RateList, number, number_findings, residue_name, some
from consilience.nmr.rate_units import field_finding, to_rates

_RESIDUE = re.compile(r"(?:([A-Za-z0-9]):)?([A-Za-z]{1,3})?[-_ ]?(-?\d{1,6})[-_ ]?([A-Za-z]{3})?(?:-?(?:N|NH|N-H|HN))?")
_SEPARATORS: tuple[tuple[str, str], ...] = ((";", "';'"), ("\t", "tabs"), (",", "','"))
_HOW = "residue,R1_500,R1_500_err,R2_500,...,NOE_500,..."


@dataclass(frozen=True)
class _Table:
    """The cells of a table: rows with their line numbers, the header's cells, and the comments."""

    header: list[str]
    rows: list[tuple[int, list[str]]]
    comments: list[str]
    notes: list[Finding]


def read_table(text: str, source: str, *, field_mhz: float | None = None) -> tuple[list[RateList], list[Finding]]:
    """The rate lists of a table in s^-1, and findings; the field of a column is that of its header, else that of a
    comment ("500 MHz"), else `field_mhz`, else that in the file's name.

    Raises InputError where the text is no table of relaxation data, or only one of ratios R2/R1.
    """
    if re.search(r"^\s*spin\s+\S", text, re.MULTILINE | re.IGNORECASE) and re.search(r"^\s*R1\s", text, re.MULTILINE):
        return _read_mfdata(text, source)
    table = _cells(text, source)
    if not table.rows:
        raise InputError("the table holds no rows of numbers", source, expected=_HOW)
    roles, notes = _roles(table, source)
    findings = [*table.notes, *notes]
    fallback = next((f for f in (field_from_text(table.comments), field_mhz or math.nan, field_from_name(source))
                     if math.isfinite(f)), math.nan)  # fmt: skip
    rows = _whole_rows(table, roles, source, findings)
    residues, where = _residues(rows, roles, source, findings)
    lists: list[RateList] = []
    bad: list[tuple[str, str, str]] = []
    for j, role in enumerate(roles):
        if role.what != "value" or not role.kind or role.kind == "R1rho":
            continue
        error = next((k for k, r in enumerate(roles) if r.what == "error" and _belongs(r, role)), None)
        value, sigma = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
        for i, (line, cells) in enumerate(rows):
            for k, into in ((j, value), (error, sigma)):
                if k is None or residues[i] is None:
                    continue
                into[i], problem = number(cells[k])
                if problem == "text" or (problem and k == j):
                    bad.append((problem, f"line {line}, residue {residues[i]}", cells[k]))
        name = table.header[j] if j < len(table.header) else role.kind
        place = f"{source}, column {clean(name)}"
        unit = role.unit or ("s-1" if not role.is_time else "")
        hint = "s" if role.is_time else "s-1"
        value, sigma, more = to_rates(role.kind, value, sigma, unit, place, hint=hint)
        findings += more
        field = role.field if math.isfinite(role.field) else fallback
        finding = field_finding(field, place)
        findings += [finding] if finding else []
        entries = tuple(
            Entry(r, float(v), float(s), w) for r, v, s, w in zip(residues, value, sigma, where, strict=True) if r
        )
        lists.append(RateList(role.kind, field, source, entries))
    findings += number_findings(source, bad)
    twice = {(x.kind, x.field) for x in lists if sum((y.kind, y.field) == (x.kind, x.field) for y in lists) > 1}
    for kind, field in sorted(twice):
        what = f"two columns of the table are both {kind} at {field:g} MHz"
        findings.append(Finding("error", what, source, some(table.header, 20), fix="name the fields in the header"))
    return lists, findings


def _cells(text: str, source: str) -> _Table:
    """Split a text into header, rows and comments; separator and decimal sign are found by looking at all lines."""
    comments: list[str] = []
    lines: list[tuple[int, str]] = []
    header = ""
    for n, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        if not line.strip():
            continue
        if line.lstrip()[0] in "#%!":
            comments.append(line.strip().lstrip("#%! "))
            if not lines and _is_header(comments[-1]) > _is_header(header):
                header = comments[-1]
        else:
            lines.append((n, line.split(" #")[0].strip() if "\t" not in line else line.split(" #")[0].strip(" ")))
    if lines and not re.match(r"[\s\"']*-?\d", lines[0][1]) and _is_header(lines[0][1], alone=True):
        header = lines.pop(0)[1]
    bodies = [x for _, x in lines]
    sep, shown = next(
        ((s, name) for s, name in _SEPARATORS if bodies and sum(s in b for b in bodies) > 0.6 * len(bodies)), ("", "")
    )
    comma = sep != "," and sum(bool(re.search(r"\d,\d", b)) for b in bodies) > 0.5 * len(bodies)
    if sep == "," and not header.count(",") and any(re.search(r"\d,\d+\s+-?\d+,\d", b) for b in bodies):
        sep, comma = "", True
    notes = []
    if comma:
        what = "decimal commas are read as decimal points"
        where = f"{source} (separator: {shown or 'spaces'})"
        notes.append(Finding("note", what, where, some(re.findall(r"\d+,\d+", bodies[0]), 3)))
    rows = [(n, _split(line, sep, comma)) for n, line in lines]
    at = sep if sep in header else _separator(header)
    if not sep and rows and len(header.split()) >= max(len(c) for _, c in rows):
        at = ""
    return _Table(_split(header, at, False), rows, comments, notes)


def _separator(line: str) -> str:
    return next((s for s, _ in _SEPARATORS if s in line), "")


def _split(line: str, sep: str, comma: bool) -> list[str]:
    if not line:
        return []
    try:
        cells = [c.strip() for c in next(csv.reader([line], delimiter=sep))] if sep else line.split()
    except (csv.Error, StopIteration):
        cells = [c.strip() for c in line.split(sep or None)]
    if not sep:
        cells = [c.strip("\"'") for c in cells]
    return [re.sub(r"(?<=\d),(?=\d)", ".", c) for c in cells] if comma else cells


def _is_header(line: str, *, alone: bool = False) -> int:
    """Whether a line names columns: 2 where a residue and a value are among its words, 1 where only a residue is.

    `alone`: a line that is no comment and may name values only.
    """
    words = [w for w in re.split(r"[\s,;\t]+", line.strip()) if w]
    roles = [role_of(w).what for w in words]
    if (
        len(words) < 2
        or ("number" not in roles[:4] and not alone)
        or any(re.match(r"[-+]?\.?\d+(\.\d*)?$", w) for w in words[:4])
    ):
        return 0
    return 2 if "value" in roles or "ratio" in roles else int("number" in roles)


def _roles(table: _Table, source: str) -> tuple[list[Role], list[Finding]]:
    """A role for each column; a table without header or with the generic "value" gets kind from the file's name."""
    width = max(len(c) for _, c in table.rows)
    kind, is_time = kind_from_name(source)
    notes: list[Finding] = []
    header = table.header
    if not header:
        named = any(residue_name(c[1]) for _, c in table.rows if len(c) > 1 and not re.match(r"[-+.\d]", c[1]))
        header = ["num", "name", "value", "error"][: width + 2] if named else ["num", "value", "error"]
        if not kind or width > len(header):
            what = "a table without a header: what its columns mean is not known"
            found = f"{width} columns, no header"
            raise InputError(what, source, found, _HOW, "add a header, or name the file R1.500.txt, NOE.600.txt, ...")
        header = header[:width]
    # words after the names of the columns ("(s^-1, ratio) 500 MHz") are no columns where rows have fewer cells
    roles = roles_of(header[:width])
    known = [r for r in roles if r.what == "value" and r.kind]
    if not known:
        if any(r.what == "ratio" for r in roles):
            what = "the table holds only ratios R2/R1: R1 and R2 themselves are needed"
            raise InputError(what, source, some(header), _HOW, "give R1 and R2 in columns of their own")
        bare = [i for i, r in enumerate(roles) if r.what == "value"]
        if len(bare) != 1 or not kind:
            what = "the table holds no relaxation data (no column R1, R2, NOE, etaxy or etaz)"
            raise InputError(what, source, f"columns: {some(header[:width], 12)}", _HOW)
        roles = [
            r._replace(kind=kind, is_time=is_time) if r.what in ("value", "error") and not r.kind else r for r in roles
        ]
    if not any(r.what == "number" for r in roles):
        raise InputError("the table has no column of residue numbers", source, some(header[:width]), "residue,...")
    if any(r.kind == "R1rho" for r in roles):
        notes.append(Finding("note", "R1rho is not R2 and is left out", source, some(header)))
    odd = [h for h, r in zip(header, roles, strict=False) if r.what in ("unknown", "ratio")]
    if odd:
        what = f"{len(odd)} column(s) of the table are not used"
        notes.append(Finding("note", what, source, some(odd), "residue, R1_FIELD, R1_FIELD_err, ..."))
    return roles, notes


def _belongs(error: Role, value: Role) -> bool:
    same = error.field == value.field or (math.isnan(error.field) and math.isnan(value.field))
    return error.kind == value.kind and same


def _whole_rows(
    table: _Table, roles: Sequence[Role], source: str, findings: list[Finding]
) -> list[tuple[int, list[str]]]:
    """Rows with a cell for every column; a residue without values is skipped, any other length is an error."""
    rows, short = [], []
    identity = sum(r.what in ("number", "name", "chain", "atom", "other") for r in roles)
    for line, cells in table.rows:
        while len(cells) > len(roles) and not cells[-1]:
            cells = cells[:-1]
        if len(cells) == len(roles):
            rows.append((line, cells))
        elif len(cells) > max(1, identity) or len(cells) > len(roles):
            short.append((line, len(cells)))
    if short:
        line, n = short[0]
        what = f"{len(short)} row(s) do not have as many cells as the header has columns"
        if line == table.rows[-1][0] and len(short) == 1 and n < len(roles):
            what = "the last row is incomplete: the table is truncated"
        fix = "complete the rows; write decimal points where the separator is a comma"
        where = f"{source}, line {some(x for x, _ in short)}"
        findings.append(Finding("error", what, where, f"{n} cells", f"{len(roles)} cells", fix))
    return rows


def _residues(
    rows: Sequence[tuple[int, list[str]]], roles: Sequence[Role], source: str, findings: list[Finding]
) -> tuple[list[Residue | None], list[str]]:
    """The residue of each row, None where the row is not that of a backbone amide; and the line of each row."""

    def column(what: str) -> int | None:
        return next((i for i, r in enumerate(roles) if r.what == what), None)

    at, name_at, chain_at, atom_at = (column(w) for w in ("number", "name", "chain", "atom"))
    assert at is not None
    out: list[Residue | None] = []
    other, bad = [], []
    for line, cells in rows:
        match = _RESIDUE.fullmatch(cells[at].strip())
        number_text = re.fullmatch(r"(-?\d{1,6})\.0*", cells[at].strip())
        atom = cells[atom_at].strip().upper() if atom_at is not None else ""
        if atom not in AMIDE_ATOMS | {"NONE"}:
            other.append(f"{cells[at]} {atom}")
            out.append(None)
            continue
        if match is None and number_text is None:
            bad.append(f"line {line}: '{cells[at][:30]}'")
            out.append(None)
            continue
        before, after = (match[2] or "", match[4] or "") if match else ("", "")
        name = residue_name(cells[name_at]) if name_at is not None else residue_name(before or after)
        chain = cells[chain_at].strip() if chain_at is not None else ((match[1] or "") if match else "")
        out.append(Residue(int(match[3] if match else number_text[1]), name, chain))  # type: ignore[index]
    if other:
        what = f"{len(other)} row(s) left out: not the 15N of a backbone amide"
        findings.append(Finding("note", what, f"{source}: {some(other)}"))
    if bad:
        what = f"{len(bad)} residue number(s) cannot be read"
        findings.append(Finding("error", what, source, some(bad), "a number such as 5 or LEU5"))
    return out, [f"line {line}" for line, _ in rows]


def _read_mfdata(text: str, source: str) -> tuple[list[RateList], list[Finding]]:
    """ModelFree's mfdata: blocks "spin NAME" of lines "R1 field value error flag" (flag 0: not used)."""
    lists: dict[tuple[str, float], list[Entry]] = {}
    findings: list[Finding] = []
    bad: list[tuple[str, str, str]] = []
    residue: Residue | None = None
    for n, line in enumerate(text.split("\n"), 1):
        words = line.split()
        if len(words) > 1 and words[0].lower() == "spin":
            match = re.search(r"(?:([A-Za-z]{3})?[-_&@: ]*)?(\d{1,6})(?!\d)", words[1])
            residue = Residue(int(match[2]), residue_name(match[1] or "")) if match else None
            if match is None:
                findings.append(Finding("error", "a spin without a residue number", f"{source}, line {n}", words[1]))
        elif residue is not None and len(words) >= 4 and words[0].upper() in ("R1", "R2", "NOE"):
            (field, p0), (value, p1), (sigma, p2) = (number(w) for w in words[1:4])
            bad += [(p, f"line {n}, residue {residue}", w) for p, w in zip((p0, p1, p2), words[1:4], strict=True) if p]
            if not (len(words) > 4 and words[4] == "0"):
                lists.setdefault((words[0].upper(), field), []).append(Entry(residue, value, sigma, f"line {n}"))
        elif words and words[0][0] != "#":
            findings.append(
                Finding("error", "a line of mfdata that is not understood", f"{source}, line {n}", line[:60])
            )
    findings += number_findings(source, bad)
    for kind, field in lists:
        finding = field_finding(field, f"{source}, {kind}")
        findings += [finding] if finding else []
    return [RateList(k, f, source, tuple(e)) for (k, f), e in sorted(lists.items())], findings  # type: ignore[arg-type]
