"""The plots of a relaxation analysis: rates, dynamics and spectral densities per residue, agreement, information."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from consilience.jobs.relaxation.axis import ResidueAxis, over_residues
from consilience.nmr.analysis import Analysis
from consilience.nmr.consistency import field_sets, reduced_densities
from consilience.nmr.constants import constants_named
from consilience.nmr.data import KINDS, RelaxationData
from consilience.nmr.modelfree import EXTENDED, FREE, PARAMETERS
from consilience.nmr.selection import weights
from consilience.report import figures
from consilience.report.page import Column, Plot, Table

UNITS = {"R1": "s⁻¹", "R2": "s⁻¹", "NOE": "", "etaxy": "s⁻¹", "etaz": "s⁻¹"}
SHOWN = {"R1": "R₁", "R2": "R₂", "NOE": "NOE", "etaxy": "η<sub>xy</sub>", "etaz": "η<sub>z</sub>"}
PLAIN = {"R1": "R₁", "R2": "R₂", "NOE": "NOE", "etaxy": "η xy", "etaz": "η z"}
DENSITIES = (
    (
        "j-zero",
        "J(0)",
        "J(0) from R₁, R₂ and NOE of each field. It does not depend on the field: what differs is exchange.",
    ),
    ("j-n", "J(ω<sub>N</sub>)", "At the frequency of 15N."),
    (
        "j-h",
        "J(0.87 ω<sub>H</sub>)",
        "The effective high-frequency density: the larger, the more fast internal motion.",
    ),
)
SIMPLE_STYLE = {"color": "@blue", "symbol": "circle", "size": 7}
EXTENDED_STYLE = {"color": "@vermilion", "symbol": "diamond", "size": 8}
FASTEST = 0.1  # ps: below this an internal time is at its bound and has no place on a logarithmic axis
SURE = 20.0  # nats: a kind that gains more is the only one that determines the quantity


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


def is_extended(result: Analysis) -> np.ndarray:
    """(n,) bool: the chosen model has two internal motions."""
    return np.array([m in EXTENDED for m in result.models], bool)


def has_exchange(result: Analysis) -> np.ndarray:
    """(n,) bool: the chosen model has Rex."""
    return np.array(["rex" in FREE[m] for m in result.models], bool)


def dynamics_plots(result: Analysis, axis: ResidueAxis) -> tuple[Plot, ...]:
    """S2, internal times, Rex and (where they are free) CSA and local tumbling times per residue."""
    x, sigma, wide = result.x, result.sigma, is_extended(result)
    both = {"simple models": SIMPLE_STYLE, "extended models": EXTENDED_STYLE}
    s2 = {k: _where(result.s2, sigma[:, -1], m) for k, m in (("simple models", ~wide), ("extended models", wide))}
    out = [
        over_residues(
            axis,
            "s2",
            _known(s2),
            y_title="S²",
            title="Order parameter per residue",
            caption="S² = 1: the N-H vector is rigid, 0: it is disordered. Extended models: two motions.",
            styles=both,
        )
    ]
    ts, tf = PARAMETERS.index("ts"), PARAMETERS.index("tf")
    moves = np.array(["ts" in FREE[m] for m in result.models], bool)
    fast = np.array(["tf" in FREE[m] for m in result.models], bool)
    times = {
        "te (simple models)": _where(1e3 * x[:, ts], 1e3 * sigma[:, ts], moves & ~wide),
        "ts (extended models)": _where(1e3 * x[:, ts], 1e3 * sigma[:, ts], moves & wide),
        "tf (m6, m8)": _where(1e3 * x[:, tf], 1e3 * sigma[:, tf], fast),
    }
    times = {k: (np.where(y >= FASTEST, y, np.nan), e) for k, (y, e) in times.items()}
    third = {"color": "@green", "symbol": "square", "size": 6}
    if known := _known(times):
        out.append(
            over_residues(
                axis,
                "te",
                known,
                y_title="internal correlation time / ps",
                title="Internal motion per residue",
                caption="Times below 0.1 ps (at the bound: too fast to be seen) are left out.",
                styles=dict(zip(times, (SIMPLE_STYLE, EXTENDED_STYLE, third), strict=True)),
                log_y=True,
            )
        )
    k = PARAMETERS.index("rex")
    if (exchange := has_exchange(result)).any():
        lowest = f"{result.data.fields.min():g} MHz"
        rex = {"Rex": _where(x[:, k], sigma[:, k], exchange)}
        out.append(
            over_residues(
                axis,
                "rex",
                rex,
                y_title=f"R<sub>ex</sub> at {lowest} / s⁻¹",
                title="Chemical exchange per residue",
                caption="Only residues whose model has exchange; it grows as the square of the field.",
                styles={"Rex": {"color": "@purple", "symbol": "triangle-up", "size": 8}},
            )
        )
    for parameter, unit, title in (
        ("csa", "ppm", "15N CSA per residue"),
        ("tm", "ns", "Local tumbling time per residue"),
    ):
        k = PARAMETERS.index(parameter)
        if np.all(result.fits.upper[:, k] > result.fits.lower[:, k]):
            shown = {parameter: (x[:, k], sigma[:, k])}
            label = "CSA" if parameter == "csa" else "τ<sub>m</sub>"
            out.append(over_residues(axis, parameter, shown, y_title=f"{label} / {unit}", title=title))
    return tuple(out)


def _where(y: np.ndarray, sigma: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.where(mask, y, np.nan), np.where(mask, sigma, np.nan)


def _known(series: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {name: pair for name, pair in series.items() if np.isfinite(pair[0]).any()}


def models_plot(result: Analysis, axis: ResidueAxis) -> Plot:
    """The chosen model of each residue, its weight among all models on hovering."""
    tried = list(result.starts.models)
    share = weights(result.values, result.eliminated)[np.arange(len(result.chosen)), result.chosen]
    at = np.array([tried.index(m) for m in result.models], float)
    wide, exchange = is_extended(result), has_exchange(result)
    groups = {
        "simple": (~wide & ~exchange, "@blue"),
        "with exchange": (~wide & exchange, "@purple"),
        "extended": (wide, "@vermilion"),
    }
    groups = {k: v for k, v in groups.items() if v[0].any()}
    points = {k: (np.where(mask, at, np.nan), None) for k, (mask, _) in groups.items()}
    plot = over_residues(
        axis,
        "models",
        points,
        y_title="model",
        title="Chosen model per residue",
        caption="Hovering shows the weight of the model among all that were tried.",
        styles={k: {"color": c, "symbol": "square", "size": 7} for k, (_, c) in groups.items()},
    )
    said = [f"{n}, weight {w:.2f}" for n, w in zip(axis.names, share, strict=True)]
    traces = tuple({**t, "text": said, "hovertemplate": "%{text}<extra></extra>"} for t in plot.traces)
    y = {"tickmode": "array", "tickvals": list(range(len(tried))), "ticktext": tried, "range": [-0.6, len(tried) - 0.4]}
    rows = tuple((n, m, float(w)) for n, m, w in zip(axis.names, result.models, share, strict=True))
    table = Table(("residue", "model", Column("weight", digits=2)), rows, max_rows=600)
    layout = {**plot.layout, "yaxis": {**plot.layout["yaxis"], **y}}
    return replace(plot, traces=traces, layout=layout, table_fallback=table)


def density_plots(result: Analysis, axis: ResidueAxis) -> tuple[Plot, ...]:
    """J(0), J(wN), J(0.87 wH) per residue from each field with R1, R2 and NOE; errors by propagation."""
    data, constants = result.data, constants_named(result.options.constants)
    r, csa = result.options.r_nh, result.options.csa
    series: list[dict[str, tuple[np.ndarray, np.ndarray]]] = [{}, {}, {}]
    sigmas = field_sets(replace(data, value=data.sigma))
    styles: dict[str, dict[str, Any]] = {}
    for s, e in zip(field_sets(data), sigmas, strict=True):
        j = reduced_densities(s, constants, r, csa)
        variance = np.zeros_like(j)
        for name in ("r1", "r2", "noe"):
            moved = replace(s, **{name: getattr(s, name) + getattr(e, name)})
            variance += (reduced_densities(moved, constants, r, csa) - j) ** 2
        if not np.isfinite(j).any():
            continue
        k = int(np.flatnonzero(data.fields == s.field)[0])
        symbol = figures.SYMBOLS[k % len(figures.SYMBOLS)]
        styles[s.name] = {"color": figures.CYCLE[k % len(figures.CYCLE)], "symbol": symbol, "size": 6}
        for n in range(3):
            if np.isfinite(j[:, n]).any():
                series[n][s.name] = (j[:, n], np.sqrt(variance[:, n]))
    out = []
    for (ident, label, caption), shown in zip(DENSITIES, series, strict=True):
        if shown:
            unit, factor = ("ns", 1.0) if ident != "j-h" else ("ps", 1e3)
            scaled = {k: (factor * y, factor * e) for k, (y, e) in shown.items()}
            title = label.replace("<sub>", "").replace("</sub>", "") + " per residue"
            shape = over_residues(
                axis, ident, scaled, y_title=f"{label} / {unit}", title=title, caption=caption, styles=styles
            )
            out.append(shape)
    return tuple(out)


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


def information_plot(information: Mapping[str, Mapping[str, float]]) -> Plot | None:
    """Nats that each kind of data adds for tau_c, S2, Rex and CSA; without limit where it alone determines it."""
    if not information:
        return None
    targets = list(dict.fromkeys(t for row in information.values() for t in row))
    finite = [v for row in information.values() for v in row.values() if v < SURE]
    top = 1.25 * max([1.0, *finite])
    label = {"tau_c": "τ<sub>c</sub>", "S2": "S²", "Rex": "R<sub>ex</sub>", "CSA": "CSA"}
    plot = figures.bar(
        "information",
        [label.get(t, t) for t in targets],
        {SHOWN.get(k, k): [min(float(row.get(t, 0.0)), top) for t in targets] for k, row in information.items()},
        x_title="quantity",
        y_title="information gained / nat",
        title="What each kind of data tells",
        caption="ln(error without this kind / error with it), median over residues. ∞: not determined without it.",
    )
    traces = []
    for trace, row in zip(plot.traces, information.values(), strict=True):
        beyond = ["∞" if row.get(t, 0.0) >= SURE else "" for t in targets]
        traces.append({**trace, "text": beyond, "textposition": "outside", "cliponaxis": False})
    rows = tuple((k, *(_limited(row.get(t)) for t in targets)) for k, row in information.items())
    table = Table(("kind of data", *(Column(t, "nat", 2) for t in targets)), rows)
    layout = {**plot.layout, "yaxis": {**plot.layout["yaxis"], "range": [0, 1.12 * top]}}
    return replace(plot, traces=tuple(traces), layout=layout, table_fallback=table)


def _limited(value: float | None) -> float | None:
    return float("inf") if value is not None and value >= SURE else value
