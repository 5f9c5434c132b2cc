"""Read 15N relaxation data from any of the known files into one RelaxationData, every defect named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from consilience.core.errors import Finding, InputError, raise_errors
from consilience.files import decode, read_bytes
from consilience.kinds import recognise_bytes
from consilience.nmr.data import RelaxationData
from consilience.nmr.lists import RateList, assemble
from consilience.nmr.quality import inspect_relaxation
from consilience.nmr.star import read_star
from consilience.nmr.table import read_table

KINDS = ("nmr-star", "csv", "table")  # of kinds.recognise, that may hold relaxation data


def read_relaxation(
    paths: str | Path | Sequence[str | Path], *, field_mhz: float | None = None, strict: bool = True
) -> RelaxationData:
    """Relaxation data of one or several files: NMR-STAR, CSV, columns of numbers, mfdata (gzip too), by content.

    Rows are sorted by chain and number; every list of every file is its own column, in s^-1. Missing or zero errors
    become 2 % of the value (0.02 for an NOE) and impossible values are left out (NaN); each is said in `findings`.
    `field_mhz` (MHz of 1H) is for lists that do not name their field.

    Raises InputError where a file cannot be read at all, and, when `strict`, where any finding is an error (units that
    cannot be true, no or an implausible field, negative rates, duplicates).
    """
    files = [str(p) for p in ([paths] if isinstance(paths, str | Path) else paths)]
    if field_mhz is not None and not 200.0 <= field_mhz <= 1300.0:
        raise InputError("--field is no plausible 1H frequency", "", f"{field_mhz:g} MHz", "200 to 1300 MHz")
    lists: list[RateList] = []
    findings: list[Finding] = []
    for path in files:
        found, more = _read_one(path, field_mhz)
        lists += found
        findings += more
    data = assemble(lists, files, findings)
    if not data.columns:
        first = next((f for f in findings if f.level == "error"), None)
        raise InputError(first or Finding("error", "the files hold no relaxation values", ", ".join(files)))
    data = inspect_relaxation(data)
    data = replace(data, findings=tuple(dict.fromkeys(data.findings)))
    if strict:
        raise_errors(data.findings)
    return data


def _read_one(path: str, field_mhz: float | None) -> tuple[list[RateList], list[Finding]]:
    raw = read_bytes(path)
    kind = recognise_bytes(raw, Path(path).name)
    if kind == "nmr-star":
        return read_star(decode(raw, path), path, field_mhz=field_mhz)
    if kind in KINDS:
        return read_table(decode(raw, path), path, field_mhz=field_mhz)
    found = f"content recognised as: {kind}"
    raise InputError("this is no relaxation data that can be read", path, found, "NMR-STAR, CSV or columns of numbers")
