"""Plots of what the fit found: dynamics, models and spectral densities per residue, and what the data told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from consilience.jobs.relaxation.axis import ResidueAxis, over_residues
from consilience.jobs.relaxation.rate_plots import SHOWN
from consilience.nmr.analysis import Analysis
from consilience.nmr.consistency import field_sets, reduced_densities
from consilience.nmr.constants import constants_named
from consilience.nmr.modelfree import EXTENDED, FREE, PARAMETERS
from consilience.nmr.selection import weights
from consilience.report import figures
from consilience.report.page import Column, Plot, Table

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
