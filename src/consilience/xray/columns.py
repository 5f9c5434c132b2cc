"""Choose the observation columns of an MTZ by type and content: amplitudes, intensities, anomalous pairs."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Literal

import gemmi
import numpy as np

from consilience.core.errors import Finding, InputError, clean

_PLAIN = {"amplitude": "F", "intensity": "J"}
_PAIR = {"amplitude": ("G", "L"), "intensity": ("K", "M")}
_COMMON = {"F", "FP", "FOBS", "F-OBS", "FO", "FMEAN", "IMEAN", "I", "IOBS", "I-OBS", "F-OBS-FILTERED", "I-OBS-FILTERED"}
_CALCULATED = re.compile(r"^(FC|F-?MODEL|F-?CALC|FWT|DELFWT|2?M?FO|[23]FOFC|PHI|FDM|FBP)", re.IGNORECASE)


@dataclass(frozen=True)
class Choice:
    """Column numbers of one data set: one value and sigma, or two (the plus and minus members of Friedel pairs)."""

    kind: Literal["amplitude", "intensity"]
    value: tuple[int, ...]
    sigma: tuple[int, ...]  # empty where the file gives none


def column_table(mtz: gemmi.Mtz) -> str:
    """The columns of a file with their types, for messages."""
    return clean(", ".join(f"{c.label} ({c.type})" for c in list(mtz.columns)[3:40]))


def find_label(mtz: gemmi.Mtz, label: str, source: str) -> int:
    """Number of the column that a user named; InputError with the closest label where it is absent."""
    names = [c.label for c in mtz.columns]
    if label in names:
        return names.index(label)
    lower = [n.lower() for n in names]
    if label.lower() in lower:
        return lower.index(label.lower())
    close = difflib.get_close_matches(label, names, n=1, cutoff=0.5)
    raise InputError(
        f"no column {clean(label)}",
        where=source,
        found=column_table(mtz),
        fix=f"did you mean {clean(close[0])}?" if close else "name columns of this file with --labels F,SIGF,FREE",
    )


def columns_by_label(mtz: gemmi.Mtz, labels: str, source: str) -> tuple[Choice, int | None]:
    """What `labels` names: "F,SIGF[,FREE]", "I,SIGI[,FREE]" or "F(+),SIGF(+),F(-),SIGF(-)[,FREE]"."""
    columns = list(mtz.columns)
    values: list[int] = []
    sigmas: list[int] = []
    free: int | None = None
    for name in (x.strip() for x in labels.split(",")):
        if not name:
            continue
        i = find_label(mtz, name, source)
        kind = columns[i].type
        if kind in "FGJK" or (kind == "R" and not values):
            values.append(i)
        elif kind in "QLM" or (kind == "R" and len(sigmas) < len(values)):
            sigmas.append(i)
        elif free is None and values:
            free = i
        else:
            what = f"column {clean(name)} is neither an observation, nor its sigma, nor a free flag"
            raise InputError(what, where=source, found=f"type {kind}", expected="--labels F,SIGF,FREE")
    types = {columns[i].type in "FGR" for i in values}
    if len(values) not in (1, 2) or len(sigmas) not in (0, len(values)) or len(types) != 1:
        found = clean(labels)
        what = "--labels must name one value and its sigma (or two anomalous pairs), then the free flag"
        raise InputError(what, where=source, found=found, expected="F,SIGF,FREE")
    return Choice("amplitude" if types.pop() else "intensity", tuple(values), tuple(sigmas)), free


def choose_columns(mtz: gemmi.Mtz, source: str) -> tuple[Choice, list[Finding]]:
    """The data set a crystallographer would take: mean F, else mean I, else F(+)/F(-), else I(+)/I(-).

    Only columns with content count; calculated amplitudes are left out. InputError where there is nothing.
    """
    columns, data = list(mtz.columns), np.asarray(mtz.array)
    with_content = [bool(np.isfinite(data[:, i]).any()) for i in range(len(columns))]
    options: list[Choice] = []
    for kind in ("amplitude", "intensity"):
        plain = []
        for i, c in enumerate(columns):
            if c.type != _PLAIN[kind] or not with_content[i]:
                continue
            partner = _sigma_of(columns, i, "Q")
            calculated = partner is None and (_CALCULATED.match(c.label) or _next_type(columns, i) in ("P", "W"))
            if not calculated:
                plain.append((partner is None, c.label.upper() not in _COMMON, i, partner))
        options += [Choice(kind, (i,), () if s is None else (s,)) for _, _, i, s in sorted(plain, key=lambda p: p[:3])]
    for kind in ("amplitude", "intensity"):
        options += _pairs(columns, with_content, kind)
    options.sort(key=lambda o: not o.sigma)
    if not options:
        options = _real_columns(columns, with_content)
    if not options:
        raise InputError(
            "no measured amplitudes or intensities in the file",
            where=source,
            found=f"columns {column_table(mtz)}" if len(columns) > 3 else "index columns only",
            expected="columns of type F and Q, J and Q, G and L, or K and M",
            fix="name them with --labels F,SIGF,FREE",
        )
    best = options[0]
    notes: list[Finding] = []
    if len(best.value) == 2:
        names = " and ".join(columns[i].label for i in best.value)
        what = f"only anomalous pairs: {names} are merged to the mean, weighted by 1/sigma^2"
        notes.append(Finding("note", what, source))
    others = ["/".join(columns[i].label for i in o.value) for o in options[1:]]
    if others:
        used = "/".join(columns[i].label for i in best.value)
        what = f"column {clean(used)} is used; the file also holds {clean(', '.join(others[:6]))}"
        notes.append(Finding("note", what, source, fix="choose with --labels"))
    return best, notes


def _next_type(columns: list[gemmi.Mtz.Column], i: int) -> str:
    return columns[i + 1].type if i + 1 < len(columns) else ""


def _sigma_of(columns: list[gemmi.Mtz.Column], i: int, kind: str) -> int | None:
    """The sigma column of column i: SIG + label by name, else the next column where it has the sigma type."""
    label = columns[i].label.upper()
    wanted = {"SIG" + label, "SIG_" + label, "SIGMA_" + label, "SIG" + label.removeprefix("I-").removeprefix("F-")}
    wanted.add(re.sub(r"^([FI])", r"SIG\1", label))
    for j, c in enumerate(columns):
        if c.type == kind and c.label.upper() in wanted:
            return j
    return i + 1 if _next_type(columns, i) == kind else None


def _pairs(columns: list[gemmi.Mtz.Column], with_content: list[bool], kind: str) -> list[Choice]:
    value_type, sigma_type = _PAIR[kind]
    rows = [i for i, c in enumerate(columns) if c.type == value_type]
    out: list[Choice] = []
    for a, b in zip(rows[::2], rows[1::2], strict=False):
        if not (with_content[a] or with_content[b]):
            continue
        sa, sb = _sigma_of(columns, a, sigma_type), _sigma_of(columns, b, sigma_type)
        if sb is None and columns[b - 1].type == value_type and b + 2 < len(columns):  # order F+ F- SIGF+ SIGF-
            sa, sb = b + 1, b + 2
        sigma = (sa, sb) if sa is not None and sb is not None and columns[sb].type == sigma_type else ()
        out.append(Choice("amplitude" if kind == "amplitude" else "intensity", (a, b), sigma))
    return out


def _real_columns(columns: list[gemmi.Mtz.Column], with_content: list[bool]) -> list[Choice]:
    """Files without proper types (everything "R"): names are the last resort."""
    out: list[Choice] = []
    for i, c in enumerate(columns):
        if c.type == "R" and with_content[i] and c.label.upper() in _COMMON:
            j = _sigma_of(columns, i, "R")
            out.append(Choice("intensity" if c.label.upper().startswith("I") else "amplitude", (i,), (j,) if j else ()))
    return out
