"""Rows of a reflection file: those that can be used, pairs and equivalents merged, what is left out counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import gemmi
import numpy as np

from consilience.core.errors import Finding, InputError
from consilience.xray.asu import hkl_keys, map_to_asu
from consilience.xray.columns import Choice


@dataclass
class Rows:
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


def observations(mtz: gemmi.Mtz, choice: Choice, status: np.ndarray | None, source: str, notes: list[Finding]) -> Rows:
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
    rows = Rows(source, hkl, values[0], sigmas[0], np.ones(len(hkl), bool), notes)
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


def _drop_absences(rows: Rows, sg: gemmi.SpaceGroup) -> None:
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


def merge_equivalents(rows: Rows, free: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
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
