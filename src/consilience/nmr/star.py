"""Read 15N relaxation lists from NMR-STAR (3.x, and 2.1 names): unit tags decide what numbers are, traps are named."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import gemmi
import numpy as np

from consilience.core.errors import Finding, InputError, clean
from consilience.nmr.data import Kind, Residue
from consilience.nmr.lists import AMIDE_ATOMS, MISSING, Entry, RateList, number, number_findings, residue_name, some
from consilience.nmr.rate_units import field_finding, to_rates
from consilience.structure.read import parse_cif

# saveframe category: kind, loop categories (3.x; in 2.1 tags have none), names of the value columns
_VALUES = {
    "heteronucl_t1_relaxation": ("R1", ("t1", "t1_data"), ("val", "t1_val", "t1_value", "r1_val")),
    "t1_relaxation": ("R1", ("",), ("t1_value",)),
    "heteronucl_t2_relaxation": ("R2", ("t2", "t2_data"), ("val", "t2_val", "t2_value", "r2_val")),
    "t2_relaxation": ("R2", ("",), ("t2_value",)),
    "heteronucl_noes": ("NOE", ("heteronucl_noe",), ("val", "heteronuclear_noe_val", "heteronucl_noe_val", "noe_val")),
    "heteronuclear_noe": ("NOE", ("",), ("heteronuclear_noe_value",)),
    "dipole_csa_cross_correlations": ("etaxy", ("cross_correlation_d_csa",), ("val", "cross_correlation_val")),
}
_SKIPPED = {"heteronucl_t1rho_relaxation": "T1rho", "t1rho_relaxation": "T1rho", "h_exch_rates": ""}
_UNIT_TAGS = ("t1_val_units", "t2_val_units", "val_units", "t1_value_units", "t2_value_units", "units")
_SEQUENCE = ("comp_index_id", "seq_id", "residue_seq_code", "auth_seq_id", "residue_author_seq_code")
_NAME = ("comp_id", "residue_label", "auth_comp_id")
_ATOM = ("atom_id", "atom_name", "auth_atom_id")


@dataclass(frozen=True)
class _Frame:
    """Tags of a saveframe without their category, lower case, and its loops: (category, tags, rows)."""

    name: str
    tags: Mapping[str, str]
    loops: tuple[tuple[str, tuple[str, ...], tuple[tuple[str, ...], ...]], ...]

    @property
    def category(self) -> str:
        return (self.tags.get("sf_category") or self.tags.get("saveframe_category") or "").lower()

    def get(self, *names: str) -> str:
        """The first tag that says something, "" where none does."""
        return next((v for n in names if (v := self.tags.get(n, "")).strip().lower() not in MISSING), "")


def read_star(text: str, source: str, *, field_mhz: float | None = None) -> tuple[list[RateList], list[Finding]]:
    """All 15N relaxation lists of an NMR-STAR file as rates in s^-1, and findings.

    `field_mhz` (MHz of 1H) is used for lists without a frequency. Raises InputError (with the line) where the file
    cannot be parsed, and where it holds no relaxation list.
    """
    frames = list(_frames(parse_cif(_for_cif(text), source)))
    lists: list[RateList] = []
    findings: list[Finding] = []
    seen = 0
    for frame in frames:
        where = f"{source}, saveframe {clean(frame.name)}"
        kind = _SKIPPED.get(frame.category)
        title = " ".join((frame.name, frame.get("details"), frame.get("t2_coherence_type")))
        is_rho = re.search(r"[tr]1[-_ ]?rho", title, re.IGNORECASE) and frame.category.endswith("t2_relaxation")
        if kind == "T1rho" or is_rho:
            seen += 1
            what = "T1rho relaxation is not R2 and is left out (it depends on tilt angle and spin-lock field)"
            findings.append(Finding("note", what, where, fix="convert it to R2, if you know both"))
        elif frame.category in _VALUES:
            seen += 1
            found, more = _rate_list(frame, where, field_mhz)
            lists += found
            findings += more
    if not lists:
        held = some(sorted({f.category for f in frames if f.category}), 8) or "no saveframes"
        what = "the NMR-STAR file holds no 15N relaxation values" + (" that can be used" if seen else "")
        first = next((f for f in findings if f.level == "error"), None)
        raise InputError(first or Finding("error", what, source, f"saveframes: {held}", "R1, R2, NOE or eta lists"))
    return _with_chains(lists, frames), findings


def _for_cif(text: str) -> str:
    """STAR as CIF: framecodes ($name) lose their sign, empty loops go; lines and columns stay where they are."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = re.sub(r"(?<!\S)\$(?=\S)", "&", text)
    empty = re.compile(r"(?<!\S)loop_\s+(?:_\S+\s+)+stop_(?!\S)", re.IGNORECASE)
    return empty.sub(lambda m: "\n" * m[0].count("\n"), text)


def _frames(doc: gemmi.cif.Document) -> Iterator[_Frame]:
    for block in doc:
        for frame in [item.frame for item in block if item.frame is not None]:
            tags: dict[str, str] = {}
            loops = []
            for item in frame:
                if item.pair is not None:
                    tag, text = list(item.pair)  # type: ignore[call-overload]
                    tags.setdefault(_split(tag)[1], gemmi.cif.as_string(text).strip())
                elif item.loop is not None and item.loop.width():
                    loop, w = item.loop, item.loop.width()
                    values = [gemmi.cif.as_string(v) for v in loop.values]
                    rows = tuple(tuple(values[i : i + w]) for i in range(0, len(values), w))
                    loops.append((_split(loop.tags[0])[0], tuple(_split(t)[1] for t in loop.tags), rows))
            yield _Frame(frame.name, tags, tuple(loops))


def _split(tag: str) -> tuple[str, str]:
    category, dot, name = tag.lower().lstrip("_").partition(".")
    return (category, name) if dot else ("", category)


def _rate_list(frame: _Frame, where: str, field_mhz: float | None) -> tuple[list[RateList], list[Finding]]:
    kind, categories, names = _VALUES[frame.category]
    findings: list[Finding] = []
    loop = next((x for x in frame.loops if x[0] in categories and any(n in x[1] for n in names)), None)
    if loop is None:
        tags = [f"_{category}.{names_[-1]}" for category, names_, _ in frame.loops]
        what = f"the saveframe of category {clean(frame.category)} holds no list of values"
        return [], [Finding("warn", what, where, some(tags), f"a column {names[0]}", "it is left out")]
    if kind == "etaxy":
        kind, note = _eta(frame, where)
        findings += note
    field, more = _field(frame, where, field_mhz)
    findings += more
    columns = _Columns(loop[1], names)
    entries, more = _entries(columns, loop[2], where)
    findings += more
    if kind == "NOE" and re.search(r"enhanc", frame.get("heteronuclear_noe_val_type"), re.IGNORECASE):
        what = "NOE: the value type speaks of an enhancement; the ratio of intensities (1 + enhancement) is needed"
        findings.append(Finding("warn", what, where, frame.get("heteronuclear_noe_val_type"), fix="check the values"))
    hint = "s-1" if re.search(rf"{kind}(?![0-9])", frame.name, re.IGNORECASE) or columns.names_rate else ""
    unit = frame.get(*_UNIT_TAGS)
    value, sigma = np.array([e.value for e in entries], float), np.array([e.sigma for e in entries], float)
    value, sigma, more = to_rates(kind, value, sigma, unit, where, hint=hint)  # type: ignore[arg-type]
    entries = [e._replace(value=float(v), sigma=float(s)) for e, v, s in zip(entries, value, sigma, strict=True)]
    if not entries:
        findings.append(Finding("note", f"{kind}: no row of this list is the 15N of a backbone amide", where))
        return [], findings
    return [RateList(kind, field, where, tuple(entries))], [*findings, *more]  # type: ignore[arg-type]


def _field(frame: _Frame, where: str, field_mhz: float | None) -> tuple[float, list[Finding]]:
    raw = frame.get("spectrometer_frequency_1h", "spectrometer_frequency", "field_strength")
    match = re.fullmatch(r"\s*([-+.\deE]+)\s*(mhz)?\s*", raw, re.IGNORECASE)
    field = number(match[1])[0] if match else float("nan")
    if not np.isfinite(field) and field_mhz is not None:
        return field_mhz, []
    finding = field_finding(field, where)
    if finding and raw and not np.isfinite(field):
        finding = Finding("error", "the spectrometer frequency is no number", where, raw, "MHz of 1H", finding.fix)
    return field, [finding] if finding else []


def _eta(frame: _Frame, where: str) -> tuple[Kind, list[Finding]]:
    """Transverse or longitudinal cross-correlation, by what the saveframe says of itself."""
    text = " ".join([frame.name, *frame.tags.values()]).lower()
    transverse = re.search(r"transvers|eta[-_ ]?xy|(?<![a-z])xy(?![a-z])|n\(?x,? ?y\)?|r2", text) is not None
    longitudinal = re.search(r"longitud|eta[-_ ]?z|(?<![a-z0-9])z(?![a-z])|(?<![a-z])nz(?![a-z])|r1", text) is not None
    if transverse != longitudinal:
        return ("etaxy" if transverse else "etaz"), []
    what = "cross-correlated relaxation: not said whether transverse or longitudinal; taken as transverse (etaxy)"
    return "etaxy", [Finding("note", what, where, fix="say it in the name of the saveframe: etaxy or etaz")]


class _Atom(NamedTuple):
    """What a row says of one of its atoms; "" where it says nothing."""

    number: str
    name: str
    atom: str
    isotope: str
    chain: str


class _Spin(NamedTuple):
    """Indices of the columns that name one atom of a row, the best first."""

    number: tuple[int, ...]
    name: tuple[int, ...]
    atom: tuple[int, ...]
    isotope: tuple[int, ...]
    chain: tuple[int, ...]

    def read(self, row: Sequence[str]) -> _Atom:
        """The atom of a row."""
        numbers = (row[i].strip() for i in self.number)
        return _Atom(
            next((n for n in numbers if re.fullmatch(r"-?\d{1,6}", n)), ""),
            next((n for i in self.name if (n := residue_name(row[i]))), ""),
            next((row[i].strip().upper() for i in self.atom[:1]), ""),
            next((row[i].strip() for i in self.isotope), ""),
            next((row[i].strip() for i in self.chain), ""),
        )


class _Columns:
    """Where the values, errors, residues and atoms of a loop stand."""

    def __init__(self, tags: Sequence[str], names: Sequence[str]) -> None:
        index = {t: i for i, t in reversed(list(enumerate(tags)))}
        self.value = next(index[n] for n in names if n in index)
        name = tags[self.value]
        self.names_rate = name.startswith("r")
        errors = [name + "_err", name + "_error", "val_err", "val_error", "val_fit_err"]
        self.error = next((index[n] for n in errors if n in index), None)
        self.spins: list[_Spin] = []
        for before, after in (("", ""), ("", "_1"), ("", "_2"), ("dipole_", "_1"), ("dipole_", "_2"), ("csa_", "_1")):

            def find(names: Sequence[str], before: str = before, after: str = after) -> tuple[int, ...]:
                return tuple(index[before + n + after] for n in names if before + n + after in index)

            if find(_SEQUENCE):
                isotope, chain = find(("atom_isotope_number",)), find(("entity_assembly_id",))
                self.spins.append(_Spin(find(_SEQUENCE), find(_NAME), find(_ATOM), isotope, chain))


def _entries(columns: _Columns, rows: Sequence[Sequence[str]], where: str) -> tuple[list[Entry], list[Finding]]:
    """Rows of backbone amides; the others are counted and named."""
    entries: list[Entry] = []
    bad: list[tuple[str, str, str]] = []
    other: dict[str, list[str]] = {}
    if not columns.spins:
        return [], [Finding("error", "the list has no column of residue numbers", where, expected="Comp_index_ID")]
    for row in rows:
        spins = [c.read(row) for c in columns.spins]
        seq, name, atom, _, chain = next((s for s in spins if s.atom[:1] == "N" or s.isotope == "15"), spins[0])
        why = _why_not_amide(spins)
        if not seq:
            why = why or "rows without a residue number"
        if why:
            other.setdefault(why, []).append(f"{name} {seq} {atom}".strip())
            continue
        place = " ".join(x for x in ("residue", name, seq) if x)
        value, problem = number(row[columns.value])
        sigma, problem2 = number(row[columns.error]) if columns.error is not None else (float("nan"), "")
        if problem:
            bad.append((problem, place, row[columns.value]))
        if problem2 == "text":
            bad.append((problem2, place, row[columns.error or 0]))
        entries.append(Entry(Residue(int(seq), name, "" if chain.lower() in MISSING else chain), value, sigma))
    findings = [
        Finding("warn" if "number" in why else "note", f"{len(x)} row(s) left out: {why}", f"{where}: {some(x)}")
        for why, x in other.items()
    ]
    return entries, findings + number_findings(where, bad)


def _why_not_amide(spins: Sequence[_Atom]) -> str:
    for _, _, atom, isotope, _ in spins:
        if isotope in ("13", "31", "19", "2") or (atom[:1] == "C" and isotope != "15"):
            return "another nucleus than 15N"
        if atom not in AMIDE_ATOMS:
            return "not the backbone amide (a side chain, or another atom)"
    return "" if len({s.number for s in spins}) == 1 else "two different residues in one row"


def _with_chains(lists: list[RateList], frames: Sequence[_Frame]) -> list[RateList]:
    """Chains only where data of several molecules stand in the file: named by PDB_chain_ID or Asym_ID."""
    used = {e.residue.chain for one in lists for e in one.entries}
    names: dict[str, str] = {u: "" for u in used}
    if len(used) > 1:
        names = {u: u for u in used}
        for category, tags, rows in (loop for f in frames for loop in f.loops):
            if category == "entity_assembly" and "id" in tags:
                for row in (dict(zip(tags, r, strict=True)) for r in rows):
                    chain = next((c for t in ("pdb_chain_id", "asym_id") if (c := row.get(t, ".")) not in MISSING), "")
                    names[row["id"]] = chain if chain and chain not in names.values() else row["id"]
    return [
        RateList(
            one.kind,
            one.field,
            one.source,
            tuple(e._replace(residue=e.residue._replace(chain=names[e.residue.chain])) for e in one.entries),
        )
        for one in lists
    ]
