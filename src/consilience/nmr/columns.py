"""What the columns of a relaxation table mean, by their headers in all the spellings that people use."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from consilience.nmr.data import Kind

What = Literal["number", "name", "chain", "atom", "value", "error", "ratio", "other", "unknown"]

_WORDS: dict[What, str] = {
    "number": "residue res resnum res_num resid resi num number seq seq_id residue_number residuenumber residue_num "
    "resno res_no nres position aa_num comp_index_id # res_id residue_id seqid",
    "name": "resname residue_name res_name aa name restype res_type residue_type type comp_id amino_acid code",
    "chain": "chain chain_id chainid segid chain_name",
    "atom": "spin_name atom atom_name atom_id nucleus",
    "other": "mol_name spin_num id index peak assignment ss comment comments note notes",
}
_ERROR = r"(?:errors?|err|std(?:ev)?|sdev|sd|sigma|sig|esd|uncertainty|unc|stderr|rmsd|pm|\+/?-|±|σ|δ|delta)"
_ERROR_PREFIX = re.compile(rf"^(?:{_ERROR}_*|[ds](?=(?:[rt][12]|noe|eta|xnoe|hetnoe)))")
_KIND = re.compile(r"(r1rho|t1rho|r1|r2|t1|t2|(?:hetero?nuclear|het|x|ss|hn|nh|1h|15n)?_*noe|eta_*xy|eta_*z)")
_KNOWN_FIELDS = (300, 400, 500, 600, 700, 750, 800, 850, 900, 950, 1000, 1100, 1200)
_TESLA = 42.577478  # MHz of 1H for each tesla


class Role(NamedTuple):
    """A column: what it holds; for values and errors the kind, the field (MHz, NaN: not said), the unit as spelled."""

    what: What
    kind: Kind | Literal["", "R1rho"] = ""
    field: float = math.nan
    unit: str = ""
    is_time: bool = False


def role_of(header: str) -> Role:
    """The meaning of one header; "unknown" where it has none that is understood."""
    t = header.strip().strip("\"'").lower().replace("²", "2").replace("₁", "1").replace("₂", "2")
    t = t.replace("η", "eta")
    unit = ""
    for inside in re.findall(r"[(\[{]([^)\]}]*)[)\]}]", t):
        unit = unit if re.search(r"mhz", inside) else inside
    t = re.sub(r"[(\[{](?![^)\]}]*mhz)[^)\]}]*[)\]}]", "", t)
    t = re.sub(r"[()\[\]{}\s@:.|-]*(?<![\d.])[()\[\]{}\s@:|-]+|[()\[\]{}\s@:|-]+", "_", t).strip("_")
    for what, words in _WORDS.items():
        if t in words.split():
            return Role(what)
    if re.search(r"r[12]_*(?:/|over)_*r[12]|t[12]_*/_*t[12]|r2r1|t1t2", t):
        return Role("ratio")
    if re.fullmatch(rf"(?:value_*|val_*|rate_*)?{_ERROR}|(?:value|val|rate)_*{_ERROR}|e", t):
        return Role("error")
    if t in ("value", "val", "values", "rate", "data"):
        return Role("value", unit=unit)
    is_error = bool(_ERROR_PREFIX.match(t))
    t = _ERROR_PREFIX.sub("", t)
    match = _KIND.search(t)
    if match is None:
        return Role("unknown")
    rest = t[: match.start()] + "_" + t[match.end() :]
    is_error = is_error or re.search(rf"(?:^|_|(?<=\d)){_ERROR}(?:_|$)", rest) is not None or rest.endswith("_e")
    rest = re.sub(rf"(?:^|_|(?<=\d)){_ERROR}(?=_|$)", "_", rest)
    rest = re.sub(r"_e$", "", rest)
    number = re.search(r"(\d+(?:\.\d+)?)_*(mhz|t(?:esla)?(?![a-z]))?", rest)
    field = math.nan
    if number:
        field = float(number[1]) * (_TESLA if (number[2] or "").startswith("t") else 1.0)
        rest = rest[: number.start()] + "_" + rest[number.end() :]
    spelled = rest.strip("_").replace("mhz", "").strip("_")
    if spelled and spelled not in ("s", "ms", "us", "s_1", "1/s", "s-1", "s^_1", "s^-1", "sec", "hz", "val", "value"):
        return Role("unknown")
    unit = unit or spelled.replace("val", "").replace("ue", "").replace("s_1", "s-1").replace("s^_1", "s-1")
    kind, is_time = _kind(match[1])
    return Role("error" if is_error else "value", kind, field, unit, is_time)


def roles_of(headers: Sequence[str]) -> list[Role]:
    """Roles of all columns: a bare "error" belongs to the value before it, an error without a field to its kind."""
    roles = [role_of(h) for h in headers]
    last: Role | None = None
    for i, r in enumerate(roles):
        if r.what == "value":
            last = r
        elif r.what == "error" and last is not None:
            kind, field = r.kind or last.kind, r.field
            if kind == last.kind and not math.isfinite(field):
                field = last.field
            roles[i] = r._replace(kind=kind, field=field)
    return roles


def kind_from_name(path: str) -> tuple[Kind | Literal["", "R1rho"], bool]:
    """Kind of rate (and whether times) from a file's name such as R1.500.txt; "" where none or several are named."""
    stem = re.sub(r"\.(gz|txt|out|dat|csv|tsv|tab|list)$", "", Path(path).name.lower())
    words = re.finditer(rf"(?<![a-z])(?:{_KIND.pattern}_*)+(?![a-z])", stem)
    found = {m[1] for w in words for m in _KIND.finditer(w[0])}
    return _kind(found.pop()) if len(found) == 1 else ("", False)


def field_from_name(path: str) -> float:
    """Field (MHz) from a file's name, where exactly one number in it is that of a usual spectrometer; else NaN."""
    name = re.sub(_KIND.pattern, " ", Path(path).name.lower())
    numbers = [float(t) for t in re.findall(r"(?<!\d)(\d{3,4}(?:\.\d{1,3}(?!\d))?)(?!\d)", name)]
    found = {x for x in numbers if any(abs(x - f) <= 3.0 for f in _KNOWN_FIELDS)}
    return found.pop() if len(found) == 1 else math.nan


def field_from_text(lines: Sequence[str]) -> float:
    """Field from "500 MHz" in the comments of a table, where exactly one stands there; else NaN."""
    found = {float(m) for line in lines for m in re.findall(r"(\d{2,4}(?:\.\d+)?)\s*MHz", line, re.IGNORECASE)}
    return found.pop() if len(found) == 1 else math.nan


def _kind(text: str) -> tuple[Kind | Literal["", "R1rho"], bool]:
    t = text.replace("_", "")
    if t in ("r1rho", "t1rho"):
        return "R1rho", False
    if t.endswith("noe"):
        return "NOE", False
    if t.startswith("eta"):
        return ("etaxy" if t.endswith("xy") else "etaz"), False
    return ("R1" if t.endswith("1") else "R2"), t.startswith("t")
