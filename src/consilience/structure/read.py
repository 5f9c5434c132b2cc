"""Read PDB and mmCIF models (gzip too) into a Structure, naming every defect; no file can do more than be refused."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import gemmi

from consilience.core.errors import Finding, InputError, clean, raise_errors
from consilience.files import decode, read_bytes
from consilience.kinds import Kind, recognise_bytes
from consilience.structure.atom_table import atom_table
from consilience.structure.atoms import Structure
from consilience.structure.inspect import inspect_structure, reset_b_factors

# what gemmi raises on damaged input
PARSE_ERRORS = (RuntimeError, ValueError, IndexError, TypeError, OverflowError, UnicodeError, KeyError)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_XYZ = r"(?:   \d|  -\d|  \d\d| -\d\d| \d{3}|-\d{3}|\d{4})\.\d{3}"
_OCC_B = r"(?:  \d| -\d| \d\d|-\d\d|\d{3})\.\d\d"
_WELL_FORMED = re.compile(rf".{{30}}(?:{_XYZ}){{3}}(?:{_OCC_B}){{2}}")
_FIELDS = (
    ("x coordinate", 30, 38),
    ("y coordinate", 38, 46),
    ("z coordinate", 46, 54),
    ("occupancy", 54, 60),
    ("B factor", 60, 66),
)

LineOf = Callable[[int, tuple[str, ...]], int | None]


def read_structure(path: str | Path, *, strict: bool = True) -> Structure:
    """The first model of a PDB or mmCIF file, with what was noticed in `findings`.

    Raises InputError where the file cannot be read, and, when `strict`, where any finding is an error (coordinates
    that are not numbers, duplicate atoms, negative occupancies, unknown elements, impossible cells). B factors <= 0
    are reset to a floor and reported; occupancies over 1 are reported and kept.
    """
    source = str(path)
    data = read_bytes(path)
    kind = recognise_bytes(data, Path(source).name)
    text = "" if kind == "empty" else _text(data, source, kind)
    if kind == "empty":
        raise InputError("the file is empty: it holds no atoms", where=source)
    if kind == "mmcif" or (kind == "cif" and "_atom_site" in text):
        st, notes, line_of = _parse_mmcif(text, source)
    elif kind == "pdb":
        st, notes, line_of = _parse_pdb(text, source)
    else:
        raise InputError(
            "this is not a structure that can be read",
            where=source,
            found=f"content recognised as: {kind}",
            expected="a PDB or mmCIF file with coordinates (no atoms found)",
        )
    if len(st) > 1:
        notes.append(Finding("note", f"the file holds {len(st)} models: the first is used", source))
        del st[1:]
    table = atom_table(st, source, line_of)
    findings = [*notes, *inspect_structure(st, table)]
    if strict:
        raise_errors(findings)
    if len(table) == 0:
        raise InputError(findings[-1])
    if st.name in ("", "string"):
        st.name = Path(source).name.split(".")[0]
    reset_b_factors(st)
    st.setup_entities()
    return Structure.from_hierarchy(st, source, tuple(findings))


def _text(data: bytes, source: str, kind: Kind) -> str:
    if kind not in ("pdb", "mmcif", "cif"):
        return ""
    text = decode(data, source).replace("\r\n", "\n").replace("\r", "\n")
    text = _CONTROL.sub(" ", text)
    return text.encode("ascii", "replace").decode() if kind == "pdb" else text  # one column per character


def _parse_pdb(text: str, source: str) -> tuple[gemmi.Structure, list[Finding], LineOf]:
    notes, lines = _scan_pdb(text, source)
    raise_errors(notes)
    try:
        st = gemmi.read_pdb_string(text)
    except PARSE_ERRORS as err:
        raise InputError("the PDB file cannot be parsed", where=source, found=clean(err).strip()) from None
    st.merge_chain_parts()
    return st, notes, lambda i, key: lines.get(key)


def _scan_pdb(text: str, source: str) -> tuple[list[Finding], dict[tuple[str, ...], int]]:
    """Findings about the columns of atom records (gemmi reads a damaged number as 0), and the line of each atom."""
    lines: dict[tuple[str, ...], int] = {}
    shifted: list[int] = []
    short: list[str] = []
    bad: list[tuple[str, str, str]] = []  # field, place, text
    no_b = 0
    records = text.split("\n")  # the last is what follows the last line end: of a whole file, nothing
    for number, line in enumerate(records, 1):
        record = line[:6].upper()
        if record == "ENDMDL":
            break
        if record not in ("ATOM  ", "HETATM"):
            continue
        name, residue = line[12:16].strip(), line[17:20].strip()
        chain, seqid = line[20:22].strip(), line[22:27].strip()
        lines[chain, seqid, residue, name, line[16:17].strip()] = number
        if _WELL_FORMED.match(line):
            continue
        where = f"{source}, line {number}, atom {name} of {residue} {chain} {seqid}"
        if len(line.rstrip()) < (66 if number == len(records) else 54):
            short.append(where)
            continue
        no_b += not line[60:66].strip()
        field = _damaged_field(line)
        if field:
            bad.append((field, where, line[30:66]))
        elif line[34:35] != "." or line[42:43] != ".":
            shifted.append(number)
    notes: list[Finding] = []
    if short:
        what = f"{len(short)} atom record(s) cut short: the file is truncated or damaged"
        notes.append(
            Finding("error", what, short[0], "not all of x, y, z, occupancy, B", "80 columns", "copy the file again")
        )
    if bad:
        field, where, raw = bad[0]
        what = f"{field} is not a finite number" + (f" ({len(bad)} atoms are damaged)" if len(bad) > 1 else "")
        expected = "x, y, z, occupancy, B in columns 31-66"
        notes.append(Finding("error", what, where, f"'{clean(raw)}'", expected, "correct or remove the atom"))
    if shifted:
        what = f"coordinates do not stand in the columns of the PDB format in {len(shifted)} record(s)"
        where = f"{source}, line {shifted[0]}"
        notes.append(Finding("warn", what, where, expected="%8.3f from column 31", fix="check that no digit was lost"))
    if no_b:
        notes.append(Finding("note", f"{no_b} atom record(s) give no B factor: 20 Å^2 is assumed", source))
    return notes, lines


def _damaged_field(line: str) -> str:
    """Name of the first numeric field of an atom record that holds no finite number, or ""."""
    for field, start, end in _FIELDS:
        raw = line[start:end].strip()
        blank_allowed = field in ("occupancy", "B factor")
        if not (blank_allowed and not raw) and not math.isfinite(_number(raw)):
            return field
    return ""


def _number(raw: str) -> float:
    try:
        return float(raw) if "_" not in raw else math.nan
    except ValueError:
        return math.nan


def parse_cif(text: str, source: str) -> gemmi.cif.Document:
    """A CIF document; InputError with the line where the syntax breaks (an incomplete loop, an open quote)."""
    try:
        return gemmi.cif.read_string(text)
    except PARSE_ERRORS as err:
        message = clean(err).strip().split("\n")[0]
        match = re.match(r"[^:]*:(\d+)(?::\d+)?(?:\(\d+\))?:\s*(.*)", message)
        line, reason = (int(match[1]), match[2]) if match else (None, message)
        where = source if line is None else f"{source}, line {line}"
        raise InputError(
            "the CIF file cannot be parsed: it is truncated or damaged (incomplete loop or value)",
            where=where,
            found=reason,
            fix="copy or download the file again",
        ) from None


def _parse_mmcif(text: str, source: str) -> tuple[gemmi.Structure, list[Finding], LineOf]:
    doc = parse_cif(text, source)
    blocks = [b for b in doc if len(b.find_loop("_atom_site.id")) or b.find_value("_atom_site.id")]
    blocks = blocks or [b for b in doc if b.find_loop("_atom_site.Cartn_x")]
    if not blocks:
        raise InputError("the mmCIF file holds no atoms (no rows in _atom_site)", where=source)
    notes: list[Finding] = []
    if not text.endswith("\n"):
        what = "the mmCIF file does not end with a line end: it may be truncated"
        notes.append(Finding("warn", what, source, fix="compare its size with the original"))
    if len(blocks) > 1:
        notes.append(Finding("note", f"{len(blocks)} data blocks hold coordinates: the first is used", source))
    missing = [t for t in ("Cartn_x", "Cartn_y", "Cartn_z") if not len(blocks[0].find_values("_atom_site." + t))]
    if missing:
        what = "the mmCIF file lacks coordinate columns"
        raise InputError(what, where=source, found="no " + ", ".join("_atom_site." + m for m in missing))
    try:
        st = gemmi.make_structure_from_block(blocks[0])
    except PARSE_ERRORS as err:
        raise InputError("the mmCIF coordinates cannot be read", where=source, found=clean(err).strip()) from None
    st.merge_chain_parts()
    rows = [n for n, line in enumerate(text.split("\n"), 1) if line.startswith(("ATOM", "HETATM"))]
    names = [v.strip("\"'") for v in blocks[0].find_values("_atom_site.label_atom_id")]
    serials = {_number(v): n for v, n in zip(blocks[0].find_values("_atom_site.id"), rows, strict=False)}
    if len(rows) != len(names):
        return st, notes, lambda i, key: None
    order = [serials.get(float(a.serial)) for c in st[0] for r in c for a in r] if len(st) else []
    return st, notes, lambda i, key: order[i] if i < len(order) else None
