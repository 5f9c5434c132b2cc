"""Read reflections from MTZ and SF-mmCIF (gzip too): columns by type and content, the free set, every defect named."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import gemmi
import numpy as np

from consilience.core.errors import Finding, InputError, clean, raise_errors
from consilience.xray.asu import hkl_keys
from consilience.xray.columns import Choice, choose_columns, columns_by_label
from consilience.xray.free import choose_free, decode_flags, find_free_column, make_free_flags
from consilience.xray.inspect import inspect_reflections
from consilience.xray.open import open_reflections
from consilience.xray.reflections import Reflections
from consilience.xray.rows import Rows, merge_equivalents, observations

MADE_FREE = "FreeR_flag"
_OFFER = "make a set with --make-free (5 %, fixed seed), or name the column with --labels F,SIGF,FREE"


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
    rows = observations(mtz, choice, status, source, notes)
    free = _free_set(mtz, rows, free_column, status, free_value, make_free, cell, seed)

    columns = _columns(mtz, choice, free.label)
    hkl, value, sigma, mask = merge_equivalents(rows, free.mask)
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


def _free_set(
    mtz: gemmi.Mtz,
    rows: Rows,
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


def _make_free(mtz: gemmi.Mtz, rows: Rows, cell: gemmi.UnitCell, seed: int, shells: bool) -> _Free:
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
