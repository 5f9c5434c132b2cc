"""Measured lists as they stand in files, and how they become one RelaxationData: rows matched, duplicates named."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from consilience.core.errors import Finding, Level, clean
from consilience.nmr.data import Column, Kind, RelaxationData, Residue

MISSING = {"", ".", "?", "none"}
ODD_MISSING = {"-", "--", "na", "n/a", "n.a.", "n.d.", "nd", "null", "nil", "*", "x", "missing"}
AMIDE_ATOMS = {"", ".", "?", "N", "H", "HN", "D", "NH", "N15", "15N", "H1N"}
ONE_LETTER = dict(
    zip(
        "ACDEFGHIKLMNPQRSTVWY",
        "ALA CYS ASP GLU PHE GLY HIS ILE LYS LEU MET ASN PRO GLN ARG SER THR VAL TRP TYR".split(),
        strict=True,
    )
)


class Entry(NamedTuple):
    """One measured number with its standard error, NaN where it is absent; `place` is a line, for messages."""

    residue: Residue
    value: float
    sigma: float
    place: str = ""


@dataclass(frozen=True)
class RateList:
    """One kind of rate at one field (MHz of 1H; NaN where no file says it), in s^-1 (NOE: dimensionless)."""

    kind: Kind
    field: float
    source: str
    entries: tuple[Entry, ...]


def number(text: str) -> tuple[float, str]:
    """A number, and what is wrong with it: "" (fine, or absent: NaN), "absent" (in odd words), "nan" or "text".

    1.2D-3 is understood.
    """
    t = text.strip()
    if t.lower() in MISSING:
        return math.nan, ""
    if t.lower() in ODD_MISSING:
        return math.nan, "absent"
    try:
        value = float(re.sub(r"(?<=\d)[dD](?=[-+]?\d)", "e", t)) if "_" not in t and len(t) < 60 else None
    except ValueError:
        value = None
    if value is None:
        return math.nan, "text"
    absurd = not math.isfinite(value) or abs(value) > 1e30 or 0.0 < abs(value) < 1e-30
    return (math.nan, "nan") if absurd else (value, "")


def residue_name(text: str) -> str:
    """Three letters, upper case, from a three- or one-letter code; "" where the text is no residue name."""
    t = text.strip().upper()
    if len(t) == 1:
        return ONE_LETTER.get(t, "")
    return t if re.fullmatch(r"[A-Z0-9]{2,4}", t) and not t.isdigit() and t.lower() not in MISSING | ODD_MISSING else ""


def some(items: Iterable[object], limit: int = 6) -> str:
    """The first few of many, for a message: "a, b, c, ...", cleaned."""
    shown = [clean(x) for x in items]
    return ", ".join(shown[:limit]) + (f", ... ({len(shown)} in all)" if len(shown) > limit else "")


def number_findings(source: str, bad: Sequence[tuple[str, str, str]]) -> list[Finding]:
    """Findings for numbers that are none: `bad` holds (problem, place, text) as `number` names the problem."""
    out = []
    kinds: tuple[tuple[str, Level, str, str], ...] = (
        ("absent", "note", "marked as missing in words: left out", ""),
        ("nan", "warn", "not finite numbers (nan, inf): taken as missing", "give the number, or '.' for a missing one"),
        ("text", "error", "not numbers", "correct or remove them"),
    )
    for problem, level, what, fix in kinds:
        hits = [(place, text) for p, place, text in bad if p == problem]
        if hits:
            where = f"{source}: {some(place for place, _ in hits)}"
            found = some(f"'{text[:30]}'" for _, text in hits)
            out.append(Finding(level, f"{len(hits)} value(s) or error(s) are {what}", where, found, "a number", fix))
    return out


def assemble(lists: Sequence[RateList], files: Sequence[str], findings: Sequence[Finding]) -> RelaxationData:
    """One row for each residue (sorted by chain, number), one column for each list; lists without values are left out.

    Residues are the same where chain and number are; a residue named differently gets the name that most lists give.
    A residue twice in a list is an error where the values differ (the first is kept), a warning where they are equal.
    """
    notes = list(findings)
    lists = [x for x in lists if any(math.isfinite(e.value) for e in x.entries)]
    names: dict[tuple[str, int], Counter[str]] = {}
    said: dict[tuple[str, int, str], str] = {}
    for one in lists:
        for e in (e for e in one.entries if math.isfinite(e.value)):
            key = (e.residue.chain, e.residue.number)
            counts = names.setdefault(key, Counter())
            if e.residue.name:
                counts[e.residue.name] += 1
                said.setdefault((*key, e.residue.name), one.source)
    keys = sorted(names)
    for key in keys:
        if len(names[key]) > 1:
            (best, _), *others = names[key].most_common()
            for other, _ in others:
                what = f"residue type mismatch between lists: residue {key[1]} is {other} in one and {best} in others"
                where = f"{said[(*key, other)]}, residue {key[1]}"
                notes.append(Finding("warn", what, where, other, best, "correct the name or the number of the residue"))
    index = {key: i for i, key in enumerate(keys)}
    value = np.full((len(keys), len(lists)), np.nan)
    sigma = np.full((len(keys), len(lists)), np.nan)
    for j, one in enumerate(lists):
        notes += _fill(one, index, value[:, j], sigma[:, j])
    return RelaxationData(
        residues=tuple(Residue(n, max(names[c, n], key=names[c, n].__getitem__, default=""), c) for c, n in keys),
        columns=tuple(Column(x.kind, x.field, x.source) for x in lists),
        value=value,
        sigma=sigma,
        findings=tuple(notes),
        files=tuple(files),
    )


def _fill(one: RateList, index: dict[tuple[str, int], int], value: np.ndarray, sigma: np.ndarray) -> list[Finding]:
    """Write a list into its column; findings about residues that appear more than once."""
    first: dict[int, Entry] = {}
    differ: list[str] = []
    same: list[str] = []
    for e in (e for e in one.entries if math.isfinite(e.value)):
        i = index[e.residue.chain, e.residue.number]
        if i not in first:
            first[i], value[i], sigma[i] = e, e.value, e.sigma
        elif first[i].value == e.value:
            same.append(str(e.residue))
        else:
            places = f" ({first[i].place}, {e.place})" if e.place else ""
            differ.append(f"{e.residue}{places}: {first[i].value:.5g} and {e.value:.5g}")
    column = Column(one.kind, one.field)
    out = []
    if differ:
        what = f"{column}: {len(differ)} duplicate row(s): a residue appears more than once with different values"
        fix = "keep one row for each residue (nothing is averaged unasked)"
        out.append(Finding("error", what, f"{one.source}: residue {some(differ)}", expected="one row", fix=fix))
    if same:
        what = f"{column}: {len(same)} duplicate row(s) with equal values: taken once"
        out.append(Finding("warn", what, f"{one.source}: residue {some(same)}"))
    return out
