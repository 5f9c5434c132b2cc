"""Quality of relaxation data on their own: ranges, units, errors, fields, and whether they suffice for model-free."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from consilience.core.errors import Finding, Level
from consilience.nmr.data import RelaxationData
from consilience.nmr.lists import some
from consilience.nmr.plausible import apparent_order, noe_limit
from consilience.nmr.rate_units import field_finding

RELATIVE_ERROR = 0.02  # where none is given: of a rate
NOE_ERROR = 0.02  # where none is given: of an NOE
NOE_MIN = -3.6  # fast limit, 1 + gH/(2 gN) rounded up
_RANGE = {"R1": 20.0, "R2": 1000.0, "etaxy": 100.0, "etaz": 100.0}  # s^-1, no amide of a protein lies beyond
_SPREAD = {"R1": (0.2, 4.0), "R2": (0.03, 8.0)}  # times the median: values outside are doubted
_ORDER = (0.36, 1.6)  # S^2 of a protein as R1 and R2 together show it: outside, one of them is not what it seems


@np.errstate(all="ignore")
def inspect_relaxation(data: RelaxationData) -> RelaxationData:
    """The data with default errors filled in, impossible values left out (NaN), and findings on all of it added."""
    value, sigma = data.value.copy(), data.sigma.copy()
    notes: list[Finding] = [*_prolines(data, value)]
    for j in range(len(data.columns)):
        notes += _fields(data, j)
        notes += _ranges(data, j, value)
        notes += _errors(data, j, value[:, j], sigma[:, j])
    sigma[~np.isfinite(value)] = np.nan
    data = replace(data, value=value, sigma=sigma)
    notes += _order(data)
    notes += _trend(data)
    notes += _twice(data)
    return replace(data, findings=(*data.findings, *notes))


def count_data(data: RelaxationData) -> list[Finding]:
    """Data against the parameters of model-free analysis: S2 of each residue and tau_c at the least."""
    per = data.measured.sum(axis=1)
    n, residues = int(per.sum()), int((per > 0).sum())
    where = ", ".join(data.files)
    expected = "R1, R2 and NOE, better at two fields"
    if n <= residues + 1:
        what = f"too few data for a model-free analysis: {n} data, {residues + 1} parameters at the least"
        found = f"S2 of {residues} residue(s) and tau_c against {some(map(str, data.columns))}"
        fix = "the smallest model, m0 (rigid), can be fitted, or m1 (S2) with --tau-c held fixed; add R1, R2 or NOE"
        return [Finding("error", what, where, found, expected, fix)]
    if n <= 2 * residues + 1:
        what = f"too few data to fit more than S2 (model m1): {n} data, {2 * residues + 1} parameters with te"
        found = some(map(str, data.columns))
        return [Finding("warn", what, where, found, expected, "add R1, R2 or NOE, or ask for --models m1")]
    few = np.flatnonzero((per > 0) & (per < 3))
    if not len(few):
        return []
    what = f"{len(few)} residue(s) have fewer than three data: model m1 (S2) at most can be fitted to one, m2 to two"
    return [_about(data, few, "note", what)]


def _about(
    data: RelaxationData,
    rows: Sequence[int] | np.ndarray,
    level: Level,
    what: str,
    j: int | None = None,
    found: str = "",
    expected: str = "",
    fix: str = "",
) -> Finding:
    """A finding about some residues, of one column or of all."""
    source = ", ".join(data.files) if j is None else data.columns[j].source
    where = f"{source}, residue {some(data.residues[i] for i in rows)}"
    return Finding(level, what if j is None else f"{data.columns[j]}: {what}", where, found, expected, fix)


def _list(values: np.ndarray) -> str:
    return some(f"{v:.5g}" for v in values)


def _prolines(data: RelaxationData, value: np.ndarray) -> list[Finding]:
    rows = [i for i, r in enumerate(data.residues) if r.name in ("PRO", "HYP") and np.isfinite(value[i]).any()]
    if not rows:
        return []
    value[rows] = np.nan
    what = f"data for {len(rows)} proline(s), which have no amide H: left out"
    return [_about(data, rows, "warn", what, fix="check the assignment or the numbering")]


def _fields(data: RelaxationData, j: int) -> list[Finding]:
    """Fields that were wrong in the file are named by the reader; here those that came another way."""
    column = data.columns[j]
    finding = field_finding(column.field, column.source)
    known = any(f.level == "error" and ("frequency" in f.what or "field" in f.what) for f in data.findings)
    return [finding] if finding and not known else []


def _ranges(data: RelaxationData, j: int, value: np.ndarray) -> list[Finding]:
    """Values outside what physics allows: negative rates are errors, other impossible values are left out."""
    column = data.columns[j]
    x = value[:, j]
    if column.kind == "NOE":
        return _noe(data, j, x)
    out = []
    if column.kind in ("R1", "R2"):
        bad = np.flatnonzero(x <= 0)
        if len(bad):
            what = f"{len(bad)} negative or zero value(s): a relaxation rate is positive"
            fix = "correct the values, or leave the residues out (--exclude)"
            out.append(_about(data, bad, "error", what, j, _list(x[bad]), "a positive rate", fix))
            x[bad] = np.nan
    limit = _RANGE[column.kind]
    given = x[np.isfinite(x)]
    if len(given) and np.median(np.abs(given)) > limit:
        what = "the values are out of range (wrong unit?)"
        expected = f"at most {limit:g} s^-1"
        return [*out, _about(data, np.flatnonzero(np.abs(x) > limit), "error", what, j, _list(given), expected)]
    bad = np.flatnonzero(np.abs(x) > limit)
    if len(bad):
        what = f"{len(bad)} value(s) out of range: left out"
        out.append(_about(data, bad, "warn", what, j, _list(x[bad]), f"at most {limit:g} s^-1"))
        x[bad] = np.nan
    spread = _SPREAD.get(column.kind)
    if spread and len(given) >= 5:
        middle = float(np.median(given))
        far = np.flatnonzero((x < spread[0] * middle) | (x > spread[1] * middle))
        if len(far):
            what = f"{len(far)} value(s) far from those of all other residues (a slip of the decimal point?)"
            out.append(_about(data, far, "warn", what, j, _list(x[far]), f"median {middle:.4g} s^-1", "check them"))
    mixed = column.kind.startswith("eta") and len(given) and (given < 0).any()
    if mixed:
        what = f"{int((given < 0).sum())} of {len(given)} values are negative (another sign convention?)"
        fix = "amides show positive rates here: multiply by -1 if all are negative"
        out.append(_about(data, np.flatnonzero(x < 0), "warn", what, j, _list(given[given < 0]), "positive", fix))
    return out


def _noe(data: RelaxationData, j: int, x: np.ndarray) -> list[Finding]:
    sigma = np.where(np.isfinite(data.sigma[:, j]) & (data.sigma[:, j] > 0), data.sigma[:, j], NOE_ERROR)
    limit = noe_limit(data.columns[j].field)
    expected = f"{NOE_MIN:g} to {limit:.2f} (range of a 15N amide, its limits for fast and slow tumbling)"
    bad = np.flatnonzero((x > 1.0 + 4.0 * sigma) | (x < NOE_MIN - 4.0 * sigma))
    given = x[np.isfinite(x)]
    if len(bad) > max(1, 0.3 * len(given)):
        what = f"{len(bad)} of {len(given)} values are out of range"
        fix = "check what they are: intensities of saturated over those of equilibrium are needed"
        if 10.0 < np.median(given) < 120.0:
            fix = "they look like percent: divide by 100"
        return [_about(data, bad, "error", what, j, _list(x[bad]), expected, fix)]
    out = []
    if len(bad):
        what = f"{len(bad)} value(s) out of the possible range: left out"
        out.append(_about(data, bad, "warn", what, j, _list(x[bad]), expected, "correct or remove the value"))
        x[bad] = np.nan
    high = np.flatnonzero(x > limit + 4.0 * sigma)
    if len(high):
        what = f"{len(high)} value(s) more than four errors above the limit of slow tumbling: kept"
        out.append(_about(data, high, "note", what, j, _list(x[high]), expected, "the errors may be too small"))
    return out


def _errors(data: RelaxationData, j: int, x: np.ndarray, sigma: np.ndarray) -> list[Finding]:
    """Errors that are absent, zero or negative get a default; those larger than their value are noted."""
    column = data.columns[j]
    measured = np.isfinite(x)
    is_noe = column.kind == "NOE"
    default = np.full(len(x), NOE_ERROR) if is_noe else RELATIVE_ERROR * np.abs(x)
    default = np.maximum(default, 1e-6)
    said = f"{NOE_ERROR:g}" if is_noe else f"{100 * RELATIVE_ERROR:g} % of the value"
    out = []
    absent = np.flatnonzero(measured & ~np.isfinite(sigma))
    wrong = np.flatnonzero(measured & (sigma <= 0))
    if len(absent):
        all_of = "all errors" if len(absent) == measured.sum() else f"{len(absent)} error(s)"
        what = f"{all_of} (uncertainties) are missing: {said} is taken"
        out.append(_about(data, absent, "warn", what, j, fix="give the measured errors: chi2 depends on them"))
    if len(wrong):
        what = f"{len(wrong)} error(s) are zero or negative: {said} is taken"
        out.append(_about(data, wrong, "warn", what, j, _list(sigma[wrong]), "a positive error"))
    for rows in (absent, wrong):
        sigma[rows] = default[rows]
    large = np.flatnonzero(measured & (sigma > np.abs(x)) & (sigma > (0.3 if is_noe else 0.0)))
    if len(large):
        what = f"{len(large)} error(s) are larger than the value: kept, with little weight"
        out.append(_about(data, large, "note", what, j, _list(sigma[large])))
    relative = sigma[measured] / np.maximum(np.abs(x[measured]), 1e-12)
    if measured.sum() >= 5 and np.median(relative) < 1e-3:
        what = f"the errors are suspiciously small (median {100 * float(np.median(relative)):.2g} % of the value)"
        out.append(Finding("note", f"{column}: {what}", column.source))
    return out


def _order(data: RelaxationData) -> list[Finding]:
    """R2 is never smaller than R1 at the same field: where it is, one of them is in another unit."""
    out = []
    pairs = [(i, j) for i, a in enumerate(data.columns) for j, b in enumerate(data.columns)
             if (a.kind, b.kind) == ("R1", "R2") and abs(a.field - b.field) < 0.01 * b.field]  # fmt: skip
    for i, j in pairs:
        r1, r2 = data.value[:, i], data.value[:, j]
        both = np.isfinite(r1) & np.isfinite(r2)
        slack = 3.0 * np.hypot(data.sigma[:, i], data.sigma[:, j])
        bad = np.flatnonzero(both & (r2 < r1 - np.where(both, slack, 0.0)))
        if not len(bad):
            out += _together(data, i, j, both)
            continue
        found = some((f"R2 {r2[k]:.4g} < R1 {r1[k]:.4g}" for k in bad), 3)
        if len(bad) > 0.5 * both.sum():
            what = f"R2 is less than R1 in {len(bad)} of {int(both.sum())} residues, which is impossible"
            fix = "are these times (T2 = 1/R2) under the unit s-1, or R1 and R2 exchanged? correct the unit"
            out.append(_about(data, bad, "error", what, j, found, "R2 >= R1", fix))
        else:
            what = f"R2 is less than R1 in {len(bad)} residue(s), which is impossible"
            out.append(_about(data, bad, "warn", what, j, found, "R2 >= R1", "check the values and the assignment"))
    return out


def _together(data: RelaxationData, i: int, j: int, both: np.ndarray) -> list[Finding]:
    """R1 and R2 of a field give one S^2 and tau_c for the whole protein: if not, a unit or the field is wrong."""
    field = data.columns[i].field
    if both.sum() < 5 or not 200.0 <= field <= 1300.0:
        return []
    r1, r2 = (float(np.median(data.value[both, k])) for k in (i, j))
    order, tau = apparent_order(field, r1, r2)
    if _ORDER[0] <= order <= _ORDER[1]:
        return []
    what = f"R1 and R2 at {field:g} MHz do not fit together: as they stand S2 is {order:.2f} on average"
    where = f"{data.columns[i].source} and {data.columns[j].source}"
    found = f"median R1 {r1:.4g}, R2 {r2:.4g} s^-1 (tau_c {tau:.3g} ns)"
    fix = "is one of them a time (T1, T2) under the unit of a rate or the reverse, or is the field wrong?"
    return [Finding("warn", what, where, found, "S2 of 0.4 to 1", fix)]


def _trend(data: RelaxationData) -> list[Finding]:
    """R1 of a protein falls with the field: where it rises, times stand for rates or fields are exchanged."""
    columns = sorted((c.field, j) for j, c in enumerate(data.columns) if c.kind == "R1" and math.isfinite(c.field))
    out = []
    for (low, i), (high, j) in pairwise(columns):
        both = np.isfinite(data.value[:, i]) & np.isfinite(data.value[:, j])
        if both.sum() < 5 or high < 1.1 * low:
            continue
        ratio = float(np.median(data.value[both, j] / data.value[both, i]))
        if ratio > 1.1:
            what = f"R1 rises with the field: from {low:g} to {high:g} MHz by a factor of {ratio:.2f}"
            where = f"{data.columns[i].source} and {data.columns[j].source}"
            out.append(Finding("warn", what, where, expected="R1 falls", fix="times for rates, or wrong fields?"))
    return out


def _twice(data: RelaxationData) -> list[Finding]:
    """Two lists of one kind and field: fine where they are two measurements, not where they are the same numbers."""
    out = []
    for i, a in enumerate(data.columns):
        for j in range(i + 1, len(data.columns)):
            both = np.isfinite(data.value[:, i]) & np.isfinite(data.value[:, j])
            if a[:2] != data.columns[j][:2] or both.sum() < 3:
                continue
            where = f"{a.source} and {data.columns[j].source}"
            if np.allclose(data.value[both, i], data.value[both, j], rtol=1e-6):
                what = f"{a}: the same values stand in two lists (duplicate data): they would count twice"
                out.append(Finding("warn", what, where, fix="give each list once"))
            else:
                out.append(Finding("note", f"{a}: two lists of one kind and field, both are used", where))
    return out
