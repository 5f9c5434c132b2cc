"""Plots of rates: each kind per residue, R2/R1, and measured against back-calculated with their statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from consilience.jobs.relaxation.axis import ResidueAxis, over_residues
from consilience.nmr.analysis import Analysis
from consilience.nmr.data import KINDS, RelaxationData
from consilience.report import figures
from consilience.report.page import Plot, Table

UNITS = {"R1": "s⁻¹", "R2": "s⁻¹", "NOE": "", "etaxy": "s⁻¹", "etaz": "s⁻¹"}
SHOWN = {"R1": "R₁", "R2": "R₂", "NOE": "NOE", "etaxy": "η<sub>xy</sub>", "etaz": "η<sub>z</sub>"}
PLAIN = {"R1": "R₁", "R2": "R₂", "NOE": "NOE", "etaxy": "η xy", "etaz": "η z"}


def column_names(data: RelaxationData) -> list[str]:
    """(m,) the field of each column, with its source where one field has several columns of a kind."""
    keys = [(c.kind, c.field) for c in data.columns]
    out = []
    for i, c in enumerate(data.columns):
        name = f"{c.field:g} MHz"
        if keys.count(keys[i]) > 1:
            same = [k for k in range(len(keys)) if keys[k] == keys[i]]
            sources = [Path(data.columns[k].source).name for k in same]
            distinct = len(set(sources)) == len(sources) and all(sources)
            name += f" ({sources[same.index(i)] if distinct else same.index(i) + 1})"
        out.append(name)
    return out


def _styles(data: RelaxationData, names: list[str], columns: list[int]) -> dict[str, dict[str, Any]]:
    """Colour and symbol by field, so that a field looks alike in all plots; further data sets of it are open."""
    out: dict[str, dict[str, Any]] = {}
    fields, seen = list(data.fields), set()
    for i in columns:
        k = fields.index(data.columns[i].field)
        symbol = figures.SYMBOLS[k % len(figures.SYMBOLS)] + ("-open" if k in seen else "")
        seen.add(k)
        out[names[i]] = {"color": figures.CYCLE[k % len(figures.CYCLE)], "symbol": symbol, "size": 6}
    return out


def rate_plots(result: Analysis, axis: ResidueAxis) -> tuple[Plot, ...]:
    """Each kind of rate per residue: measured with errors, and back-calculated."""
    data, names, out = result.data, column_names(result.data), []
    for kind in KINDS:
        columns = [i for i, c in enumerate(data.columns) if c.kind == kind and data.measured[:, i].any()]
        if not columns:
            continue
        unit = f" / {UNITS[kind]}" if UNITS[kind] else ""
        out.append(
            over_residues(
                axis,
                f"rate-{kind.lower()}",
                {names[i]: _measured(data, i) for i in columns},
                y_title=SHOWN[kind] + unit,
                title=f"{PLAIN[kind]} per residue",
                caption="Points: measured, with one standard error. Lines: from the fitted dynamics.",
                styles=_styles(data, names, columns),
                lines={names[i]: result.back[:, i] for i in columns},
            )
        )
    return tuple(out)


def _measured(data: RelaxationData, column: int) -> tuple[np.ndarray, np.ndarray]:
    known = data.measured[:, column]
    return np.where(known, data.value[:, column], np.nan), np.where(known, data.sigma[:, column], np.nan)


def ratio_plot(result: Analysis, axis: ResidueAxis) -> Plot | None:
    """R2/R1 per residue and field."""
    data, series, lines, colours = result.data, {}, {}, {}
    names = column_names(data)
    for i, c in enumerate(data.columns):
        j = next((k for k, d in enumerate(data.columns) if d.kind == "R1" and d.field == c.field), None)
        if c.kind != "R2" or j is None:
            continue
        (r2, s2), (r1, s1) = _measured(data, i), _measured(data, j)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio, back = r2 / r1, result.back[:, i] / result.back[:, j]
            error = np.hypot(s2 / r1, s1 * ratio / r1)
        if np.isfinite(ratio).any():
            series[names[i]], lines[names[i]] = (ratio, error), back
            colours |= _styles(data, names, [i])
    if not series:
        return None
    caption = (
        "Rigid residues lie on one level (isotropic) or between two (anisotropic); above it exchange, below it slow "
    )
    return over_residues(
        axis,
        "r2r1",
        series,
        y_title="R₂ / R₁",
        title="R₂/R₁ per residue",
        caption=caption + "internal motion.",
        styles=colours,
        lines=lines,
    )


def agreement_plots(result: Analysis, axis: ResidueAxis) -> tuple[Plot, ...]:
    """Measured against back-calculated, a plot for each kind of rate."""
    data, names, out = result.data, column_names(result.data), []
    for kind in KINDS:
        columns = [i for i, c in enumerate(data.columns) if c.kind == kind and data.measured[:, i].any()]
        if not columns:
            continue
        known = {i: data.measured[:, i] for i in columns}
        unit = f" / {UNITS[kind]}" if UNITS[kind] else ""
        styles = _styles(data, names, columns)
        plot = figures.scatter(
            f"fit-{kind.lower()}",
            {names[i]: (result.back[known[i], i], data.value[known[i], i]) for i in columns},
            x_title=f"back-calculated {SHOWN[kind]}{unit}",
            y_title=f"measured {SHOWN[kind]}{unit}",
            title=PLAIN[kind],
            labels={names[i]: [n for n, k in zip(axis.names, known[i], strict=True) if k] for i in columns},
            errors={names[i]: data.sigma[known[i], i] for i in columns},
            diagonal=True,
            caption="; ".join(f"{names[i]}: {_in_words(statistics(result, i))}" for i in columns) + ".",
        )
        traces = tuple({**t, "marker": {**t["marker"], **styles[t["name"]], "opacity": 0.8}} for t in plot.traces)
        traces = tuple({**t, "error_y": {**t["error_y"], "color": styles[t["name"]]["color"]}} for t in traces)
        rows = tuple(
            (names[i], axis.names[r], float(data.value[r, i]), float(data.sigma[r, i]), float(result.back[r, i]))
            for i in columns
            for r in np.flatnonzero(known[i])
        )
        table = Table(("field", "residue", "measured", "error", "back-calculated"), rows, max_rows=1000)
        out.append(replace(plot, traces=traces, table_fallback=table))
    return tuple(out)


def statistics(result: Analysis, column: int) -> dict[str, float | int | None]:
    """Agreement of one column: n, chi2/n, r.m.s. difference, Pearson's r (None below three values), Q factor."""
    known = result.data.measured[:, column]
    y, sigma, model = (a[known, column] for a in (result.data.value, result.data.sigma, result.back))
    n, rms = int(known.sum()), float(np.sqrt(np.mean((y - model) ** 2)))
    varies = n > 2 and np.ptp(y) > 0 and np.ptp(model) > 0
    return {
        "n": n,
        "chi2_n": float(np.mean(((y - model) / sigma) ** 2)),
        "rms": rms,
        "r": float(np.corrcoef(y, model)[0, 1]) if varies else None,
        "q": rms / float(np.sqrt(np.mean(y**2))) if np.any(y) else None,
    }


def _in_words(s: Mapping[str, float | int | None]) -> str:
    return f"χ²/n {s['chi2_n']:.2f}" + (f", r {s['r']:.3f}" if s["r"] is not None else "")
