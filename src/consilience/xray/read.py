"""Read reflections from MTZ and SF-mmCIF (gzip too): columns by type and content, the free set, every defect named."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import gemmi
import numpy as np

from consilience.core.errors import Finding, InputError, clean, raise_errors
from consilience.xray.asu import hkl_keys, map_to_asu
from consilience.xray.columns import Choice, choose_columns, columns_by_label
from consilience.xray.free import choose_free, decode_flags, find_free_column, make_free_flags
from consilience.xray.inspect import inspect_reflections
from consilience.xray.open import open_reflections
from consilience.xray.reflections import Reflections

MADE_FREE = "FreeR_flag"
_OFFER = "make a set with --make-free (5 %, fixed seed), or name the column with --labels F,SIGF,FREE"


@dataclass
class _Rows:
    """All rows of the file while they are sorted out: `keep` loses what cannot be used."""

    source: str
    hkl: np.ndarray
    value: np.ndarray
    sigma: np.ndarray
    keep: np.ndarray
    notes: list[Finding]

    def drop(self, bad: np.ndarray, level: Literal["note", "warn"], what: str, fix: str = "") -> None:
        """Leave rows out and say how many; `what` may name the count as {n}."""
        n = int((bad & self.keep).sum())
        self.keep &= ~bad
        if n:
            self.notes.append(Finding(level, what.format(n=n, total=len(bad)), self.source, fix=fix))


@dataclass(frozen=True)
class _Free:
    mask: np.ndarray  # over the rows of the file
    value: float | None = None
    label: str = ""


def read_reflections(
    path: str | Path,
    *,
    labels: str | None = None,
    free_value: float | None = None,
    make_free: bool | Literal["random", "shells"] | None = None,
    d_min: float | None = None,
    d_max: float | None = None,
    seed: int = 0,
    strict: bool = True,
) -> Reflections:
    """Unique observed reflections of an MTZ or SF-mmCIF file in the reciprocal asymmetric unit.

    `labels` ("F,SIGF,FREE") overrides the choice by type and content; `free_value` the choice of the free flag value;
    `make_free` makes a free set where the file has none that can be used ("shells": whole thin resolution shells).
    `d_min`, `d_max` (Å) cut the resolution range. Missing values, sigma <= 0, negative amplitudes and systematic
    absences are left out, equivalents are merged with weights 1/sigma^2; each is reported in `findings`.

    Raises InputError for files that are damaged, unmerged or without observations and, when `strict`, for those
    without a usable free set or with any other finding that is an error.
    """
    source = str(path)
    mtz, status, notes = open_reflections(path)
    if labels is None:
        (choice, more), free_column = choose_columns(mtz, source), None
        notes += more
    else:
        choice, free_column = columns_by_label(mtz, labels, source)
    cell = _cell(mtz, choice, source, notes)
    _check_range(d_min, d_max)
    rows = _observations(mtz, choice, status, source, notes)
    free = _free_set(mtz, rows, free_column, status, free_value, make_free, cell, seed)

    columns = _columns(mtz, choice, free.label)
    hkl, value, sigma, mask = _merge_equivalents(rows, free.mask)
    d = cell.calculate_d_array(hkl)
    inside = (d >= (d_min or 0.0) - 1e-9) & (d <= (d_max or np.inf) + 1e-9)
    if not inside.any():
        found = f"data from {d.max():.2f} to {d.min():.2f} Å"
        raise InputError("no reflections in the chosen resolution range", source, found, fix="change --d-min, --d-max")
    if not inside.all():
        notes.append(Finding("note", f"{int((~inside).sum())} reflections lie outside the chosen range", source))
    result = Reflections(
        hkl=hkl[inside].astype(np.int32),
        value=value[inside],
        sigma=sigma[inside],
        free=mask[inside],
        kind=choice.kind,
        cell=cell,
        spacegroup=mtz.spacegroup,
        source=source,
        columns=columns,
        free_value=free.value,
        wavelength=mtz.columns[choice.value[0]].dataset.wavelength or None,
        original=mtz,
    )
    notes += _summary(result)
    if strict:
        raise_errors(notes)
    return replace(result, findings=tuple(notes))


def _check_range(d_min: float | None, d_max: float | None) -> None:
    for name, d in (("--d-min", d_min), ("--d-max", d_max)):
        if d is not None and not (np.isfinite(d) and d > 0):
            raise InputError(f"{name} must be a positive number", found=f"{d:g}", expected="Å")
    if d_min is not None and d_max is not None and d_min >= d_max:
        raise InputError("--d-min must be smaller than --d-max", found=f"{d_min:g} and {d_max:g} Å")


def _cell(mtz: gemmi.Mtz, choice: Choice, source: str, notes: list[Finding]) -> gemmi.UnitCell:
    """The cell of the data set that is used; InputError where it is absent or impossible."""
    own = mtz.get_cell(mtz.columns[choice.value[0]].dataset_id)
    cell = own if own.is_crystal() else mtz.cell
    p = np.array(cell.parameters)
    text = " ".join(f"{v:g}" for v in p)
    if not (np.isfinite(p).all() and (p > 0).all() and (p[3:] < 180).all() and cell.is_crystal() and cell.volume > 1):
        raise InputError("the reflection file has no usable unit cell", source, f"cell {text}", "six positive numbers")
    if not cell.is_compatible_with_spacegroup(mtz.spacegroup, 0.005):
        found = f"cell {text}, space group {mtz.spacegroup.xhm()}"
        raise InputError("the unit cell of the data contradicts their space group", source, found)
    if mtz.cell.is_crystal() and not mtz.cell.is_similar(cell, 0.005, 0.5):
        what = "the cell of the data set differs from the cell in the file header: that of the data set is used"
        notes.append(Finding("note", what, source, text))
    return cell


def _observations(
    mtz: gemmi.Mtz, choice: Choice, status: np.ndarray | None, source: str, notes: list[Finding]
) -> _Rows:
    """Value and sigma of every row (pairs merged), rows that cannot be used taken out of `keep`."""
    data = np.asarray(mtz.array)
    raw_hkl = data[:, :3]
    if not np.isfinite(raw_hkl).all() or np.abs(raw_hkl).max() > 10_000 or np.any(raw_hkl != np.round(raw_hkl)):
        raise InputError("the indices H K L are damaged: not all are integers of a sensible size", where=source)
    hkl, _ = map_to_asu(raw_hkl.astype(np.int32), mtz.spacegroup)

    def column(i: int) -> np.ndarray:
        x = data[:, i].astype(float)
        x[x == mtz.valm] = np.nan
        return x

    values = [column(i) for i in choice.value]
    if choice.sigma:
        sigmas = [column(i) for i in choice.sigma]
    else:
        scale = [np.nanmean(np.abs(v)) if np.isfinite(v).any() else 0.0 for v in values]
        sigmas = [np.maximum(0.02 * np.abs(v), 0.02 * s) for v, s in zip(values, scale, strict=True)]
        what = "the file gives no sigmas: 2 % of the value (and at least 2 % of the mean) is assumed"
        notes.append(Finding("warn", what, source, fix="name the sigma column with --labels, or give measured sigmas"))
    rows = _Rows(source, hkl, values[0], sigmas[0], np.ones(len(hkl), bool), notes)
    if len(values) == 2:
        rows.value, rows.sigma = _merge_pairs(values, sigmas)
    if status is not None:
        rows.drop(np.isin(status, ("x", "-")), "note", "{n} reflections marked as unreliable or absent by the file")
    missing = np.isnan(rows.value) | np.isnan(rows.sigma)
    rows.drop(missing, "note", "{n} of {total} reflections in the file are unobserved (missing values, NaN)")
    rows.drop(~(hkl != 0).any(axis=1), "note", "the reflection (0, 0, 0) is left out")
    infinite = ~(np.abs(rows.value) < 1e30) | ~(np.abs(rows.sigma) < 1e30)
    rows.drop(infinite, "warn", "{n} reflections with infinite values: left out")
    where_sigma = "correct the sigmas of the file to use these"
    rows.drop(rows.sigma == 0, "warn", "{n} reflections with sigma = 0 (zero sigma): left out", where_sigma)
    rows.drop(rows.sigma < 0, "warn", "{n} reflections with negative sigma: left out", where_sigma)
    if choice.kind == "amplitude":
        negative = (rows.value < 0) & rows.keep
        if negative.sum() > 0.05 * max(rows.keep.sum(), 1):
            what = f"{int(negative.sum())} amplitudes are negative: these are probably intensities"
            fix = "give the column the type J, or name another one with --labels"
            notes.append(Finding("error", what, source, fix=fix))
        rows.drop(rows.value < 0, "warn", "{n} negative amplitudes: left out")
    _drop_absences(rows, mtz.spacegroup)
    if not rows.keep.any():
        found = "; ".join(f.what for f in notes[:3])
        raise InputError("no usable observations in the file (empty)", source, found, "measured values with sigmas > 0")
    return rows


def _drop_absences(rows: _Rows, sg: gemmi.SpaceGroup) -> None:
    absent = np.asarray(sg.operations().systematic_absences(rows.hkl)) & rows.keep
    strong = int((rows.value[absent] > 3.0 * rows.sigma[absent]).sum())
    n = int(absent.sum())
    rows.drop(absent, "note", f"{{n}} systematic absences of {sg.xhm()}: left out")
    if strong >= 10 and strong > 0.3 * n:
        what = f"{strong} of {n} systematic absences of {sg.xhm()} are strong: the space group may be wrong"
        rows.notes.append(Finding("warn", what, rows.source, fix="check the screw axes and the centring"))


def _merge_pairs(values: list[np.ndarray], sigmas: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean of Friedel pairs with weights 1/sigma^2; where one member is missing or bad, the other stands alone."""
    v, s = np.array(values), np.array(sigmas)
    good = np.isfinite(v) & np.isfinite(s) & (s > 0)
    weight = np.where(good, 1.0 / np.where(good, s, 1.0) ** 2, 0.0)
    total = weight.sum(axis=0)
    some = total > 0
    mean = (weight * np.where(good, v, 0.0)).sum(axis=0) / np.where(some, total, 1.0)
    single = np.where(np.isfinite(v[0]) & np.isfinite(s[0]), 0, 1)  # keeps a bad sigma visible for the count
    pick = np.arange(v.shape[1])
    return (
        np.where(some, mean, v[single, pick]),
        np.where(some, 1.0 / np.sqrt(np.where(some, total, 1.0)), s[single, pick]),
    )


def _free_set(
    mtz: gemmi.Mtz,
    rows: _Rows,
    column: int | None,
    status: np.ndarray | None,
    free_value: float | None,
    make_free: bool | Literal["random", "shells"] | None,
    cell: gemmi.UnitCell,
    seed: int,
) -> _Free:
    """The free rows by the flags of the file, else by a new set where that is asked for, else an error in the notes."""
    notes, source = rows.notes, rows.source
    mask = np.zeros(len(rows.hkl), bool)
    error = Finding("error", "there is no free set (no free flag column in the file)", source, fix=_OFFER)
    candidates: list[tuple[str, np.ndarray, float | None]] = []
    index = find_free_column(mtz, rows.keep) if column is None else column
    if index is not None:
        flags, raw = decode_flags(np.asarray(mtz.array)[:, index])
        candidates.append((mtz.columns[index].label, flags, free_value))
        if raw:
            what = (
                f"the free flags in column {clean(mtz.columns[index].label)} are raw integers in float slots: decoded"
            )
            notes.append(Finding("warn", what, source, fix="write the file again with a program that stores numbers"))
    if status is not None and column is None:
        from_status = np.select([status == "f", np.isin(status, ("o", "<", "h", "l"))], [0.0, 1.0], np.nan)
        candidates.append(("status", from_status, 0.0))
    for k, (label, flags, value) in enumerate(candidates):
        try:
            mask[rows.keep], value, more = choose_free(flags[rows.keep], label, source, value)
        except InputError as err:
            error = err.finding if k == 0 else error
            continue
        notes += more
        if make_free:
            notes.append(Finding("note", "the file has free flags, and they are kept: no new set was made", source))
        return _Free(mask, value, label)
    if not make_free:
        notes.append(error)
        return _Free(mask)
    return _make_free(mtz, rows, cell, seed, make_free == "shells")


def _make_free(mtz: gemmi.Mtz, rows: _Rows, cell: gemmi.UnitCell, seed: int, shells: bool) -> _Free:
    """Flags for all unique reflections of the file, appended to the MTZ as a column."""
    keys = hkl_keys(rows.hkl)
    unique, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    d = cell.calculate_d_array(rows.hkl[first])
    n = len(np.unique(keys[rows.keep]))
    sets, k = make_free_flags(n, d, unique, seed=seed, shells=shells)
    flags = sets[inverse]
    label = MADE_FREE
    while label in mtz.column_labels():
        label += "_new"
    dataset = mtz.columns[-1].dataset_id
    mtz.add_column(label, "I", dataset_id=dataset)
    np.array(mtz, copy=False)[:, -1] = flags
    how = "whole thin resolution shells" if shells else "at random"
    n_free = int((flags[rows.keep] == 0).sum())
    what = f"a new free set was made: {n_free} reflections ({100 / k:.0f} %, {how}, seed {seed}) in column {label}"
    fix = "keep this set for all later work on this crystal"
    rows.notes.append(Finding("note", what, rows.source, fix=fix))
    return _Free(flags == 0, 0.0, label)


def _columns(mtz: gemmi.Mtz, choice: Choice, free_label: str) -> dict[str, str]:
    signs = [""] if len(choice.value) == 1 else ["(+)", "(-)"]
    out = {"value" + s: mtz.columns[i].label for s, i in zip(signs, choice.value, strict=True)}
    out |= {"sigma" + s: mtz.columns[i].label for s, i in zip(signs, choice.sigma, strict=False)}
    return out | ({"free": free_label} if free_label else {})


def _merge_equivalents(rows: _Rows, free: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Unique reflections in order of appearance: weighted mean of equivalents, free where any of them is."""
    keep = np.flatnonzero(rows.keep)
    _, first, inverse = np.unique(hkl_keys(rows.hkl[keep]), return_index=True, return_inverse=True)
    if len(first) == len(keep):
        return rows.hkl[keep], rows.value[keep], rows.sigma[keep], free[keep]
    weight = 1.0 / rows.sigma[keep] ** 2
    total = np.bincount(inverse, weight)
    value = np.bincount(inverse, weight * rows.value[keep]) / total
    n_free, n_all = np.bincount(inverse, free[keep].astype(float)), np.bincount(inverse)
    what = f"{len(keep) - len(first)} symmetry-equivalent or repeated reflections are merged"
    rows.notes.append(Finding("note", what, rows.source))
    torn = int(((n_free > 0) & (n_free < n_all)).sum())
    if torn:
        what = f"{torn} reflections are free in one equivalent and work in another: they are taken as free"
        rows.notes.append(Finding("warn", what, rows.source, fix="make the flags agree with the Laue symmetry"))
    order = np.argsort(first)
    return rows.hkl[keep][first][order], value[order], (1.0 / np.sqrt(total))[order], (n_free > 0)[order]


def _summary(data: Reflections) -> list[Finding]:
    """Which columns and which free set were used, and what the statistics say."""
    out: list[Finding] = []
    n_free, n = int(data.free.sum()), len(data)
    if data.free_value is not None:
        if n_free in (0, n):
            what = "the test set is empty in this resolution range" if n_free == 0 else "the work set is empty"
            out.append(Finding("error", what, data.source, f"{n_free} free of {n} reflections", fix=_OFFER))
        used = ", ".join(data.columns.values())
        what = f"columns used: {clean(used)}; the free set is flag {data.free_value:g}: {n_free} of {n} reflections"
        out.append(Finding("note", what, data.source))
    if n > 1 and np.ptp(data.value) == 0:
        what = f"all {n} observed values are the same: these are not measurements"
        return [*out, Finding("error", what, data.source, f"{data.value[0]:g} everywhere")]
    return out + inspect_reflections(data)
