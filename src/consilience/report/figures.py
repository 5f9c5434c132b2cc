"""Constructors of the plots that reports use: lines, scatter, bars, in one colour-blind-safe palette."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from consilience.report.page import Plot

# token -> (light look, dark look); Okabe & Ito's set (2008), lightened or darkened for contrast with the background
PALETTE: dict[str, tuple[str, str]] = {
    "@blue": ("#0067a8", "#5ab4f0"),
    "@vermilion": ("#cc5a00", "#ff9a57"),
    "@green": ("#00795a", "#3fcf9f"),
    "@purple": ("#a8508a", "#e29bc8"),
    "@amber": ("#a87400", "#f2bf4a"),
    "@sky": ("#2b8fc4", "#9bd6f7"),
    "@grey": ("#6a737d", "#9aa4ae"),
    "@ink": ("#1d2530", "#e6eaef"),
    "@good": ("#00795a", "#3fcf9f"),
    "@fair": ("#a87400", "#f2bf4a"),
    "@poor": ("#b3261e", "#ff8a80"),
    "@grid": ("#e4e8ec", "#2c343d"),
    "@band": ("rgba(0,103,168,0.10)", "rgba(90,180,240,0.14)"),
}
CYCLE = ("@blue", "@vermilion", "@green", "@purple", "@amber", "@sky", "@grey")
DASHES = ("solid", "dash", "dot", "dashdot")
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "x", "star")

# perceptually ordered stops, dark to light, readable without red-green vision
SEQUENTIAL = ((0.0, "#0b2a5b"), (0.25, "#1f5a92"), (0.5, "#4c93b0"), (0.75, "#a9c9a4"), (1.0, "#f6e8a6"))
BLUE_TO_RED = ((0.0, "#2f6fb0"), (0.25, "#86b2d1"), (0.5, "#e6dfcf"), (0.75, "#e79f5f"), (1.0, "#b83f1a"))
DIVERGING = ((0.0, "#2166ac"), (0.25, "#92c5de"), (0.5, "#f5f5f2"), (0.75, "#f4a582"), (1.0, "#b35806"))

Series = Mapping[str, Sequence[float] | np.ndarray]


def line(
    id: str,
    x: Sequence[float] | np.ndarray,
    series: Series,
    *,
    x_title: str,
    y_title: str,
    caption: str = "",
    title: str = "",
    markers: bool = False,
    log_y: bool = False,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    step: bool = False,
    errors: Series | None = None,
    wide: bool = False,
) -> Plot:
    """One curve per entry of `series`, all over the same `x`; titles carry the units ("B / Å²").

    `step`: horizontal steps (values that hold for a stage); `errors`: one standard deviation per point, by name.
    """
    traces = []
    for i, (name, y) in enumerate(series.items()):
        colour = CYCLE[i % len(CYCLE)]
        trace: dict[str, Any] = {
            "type": "scatter",
            "mode": "lines+markers" if markers else "lines",
            "name": name,
            "x": x,
            "y": y,
            "line": {"color": colour, "width": 2, "dash": DASHES[i % len(DASHES)], "shape": "hv" if step else "linear"},
            "marker": {"color": colour, "size": 6, "symbol": SYMBOLS[i % len(SYMBOLS)]},
        }
        if errors and name in errors:
            trace["error_y"] = _error_bars(errors[name], colour)
        traces.append(trace)
    return Plot(
        id, tuple(traces), layout_of(x_title, y_title, x_range, y_range, log_y), caption, title=title, wide=wide
    )


def scatter(
    id: str,
    series: Mapping[str, tuple[Sequence[float] | np.ndarray, Sequence[float] | np.ndarray]],
    *,
    x_title: str,
    y_title: str,
    caption: str = "",
    title: str = "",
    labels: Mapping[str, Sequence[str]] | None = None,
    errors: Series | None = None,
    diagonal: bool = False,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    wide: bool = False,
) -> Plot:
    """Points per series, each (x, y); `labels`: text shown on hovering; `diagonal`: the line y = x (parity plots)."""
    traces: list[dict[str, Any]] = []
    for i, (name, (x, y)) in enumerate(series.items()):
        colour = CYCLE[i % len(CYCLE)]
        trace: dict[str, Any] = {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "x": x,
            "y": y,
            "marker": {"color": colour, "size": 6, "opacity": 0.75, "symbol": SYMBOLS[i % len(SYMBOLS)]},
        }
        if labels and name in labels:
            trace["text"] = list(labels[name])
            trace["hovertemplate"] = "%{text}<br>%{x:.4~g}, %{y:.4~g}<extra></extra>"
        if errors and name in errors:
            trace["error_y"] = _error_bars(errors[name], colour)
        traces.append(trace)
    layout = layout_of(x_title, y_title, x_range, y_range)
    if diagonal and traces:
        every = np.concatenate([np.asarray(t[k], float).ravel() for t in traces for k in ("x", "y")])
        every = every[np.isfinite(every)]
        ends = (float(every.min()), float(every.max())) if len(every) else (0.0, 1.0)
        layout["shapes"] = [
            {"type": "line", "layer": "below", "x0": ends[0], "y0": ends[0], "x1": ends[1], "y1": ends[1]}
            | {"line": {"color": "@grey", "width": 1, "dash": "dash"}}
        ]
    return Plot(id, tuple(traces), layout, caption, title=title, wide=wide)


def bar(
    id: str,
    x: Sequence[Any] | np.ndarray,
    series: Series,
    *,
    x_title: str,
    y_title: str,
    caption: str = "",
    title: str = "",
    stacked: bool = False,
    log_y: bool = False,
    touching: bool = False,
    y_range: tuple[float, float] | None = None,
    wide: bool = False,
) -> Plot:
    """Bars over the categories or positions `x`; `touching`: no gaps, as in a histogram."""
    traces = tuple(
        {"type": "bar", "name": name, "x": x, "y": y, "marker": {"color": CYCLE[i % len(CYCLE)]}}
        for i, (name, y) in enumerate(series.items())
    )
    layout = layout_of(x_title, y_title, None, y_range, log_y)
    layout["barmode"] = "stack" if stacked else "group"
    layout["bargap"] = 0.02 if touching else 0.25
    return Plot(id, traces, layout, caption, title=title, wide=wide)


def histogram(
    id: str,
    values: Series,
    *,
    x_title: str,
    y_title: str = "count",
    bins: int = 30,
    caption: str = "",
    title: str = "",
) -> Plot:
    """Counts in equal bins common to all series; values that are not finite are left out."""
    finite = {k: np.asarray(v, float)[np.isfinite(np.asarray(v, float))] for k, v in values.items()}
    every = np.concatenate(list(finite.values())) if finite else np.zeros(0)
    edges = np.histogram_bin_edges(every, bins) if len(every) else np.linspace(0.0, 1.0, bins + 1)
    counts = {k: np.histogram(v, edges)[0] for k, v in finite.items()}
    plot = bar(
        id,
        (edges[1:] + edges[:-1]) / 2,
        counts,
        x_title=x_title,
        y_title=y_title,
        caption=caption,
        title=title,
        touching=True,
    )
    for trace in plot.traces:
        trace["marker"]["opacity"] = 1.0 if len(finite) == 1 else 0.6
    return Plot(plot.id, plot.traces, {**plot.layout, "barmode": "overlay"}, caption, title=title)


def with_band(plot: Plot, low: float, high: float, axis: str = "y") -> Plot:
    """The same plot with a shaded range on one axis (where a good value lies)."""
    along, across = ("y", "x") if axis == "y" else ("x", "y")
    shape = {"type": "rect", "layer": "below", f"{across}ref": "paper", f"{across}0": 0, f"{across}1": 1}
    shape |= {f"{along}0": low, f"{along}1": high, "fillcolor": "@band", "line": {"width": 0}}
    layout = {**plot.layout, "shapes": [*plot.layout.get("shapes", ()), shape]}
    return replace(plot, layout=layout)


def over_resolution(plot: Plot) -> Plot:
    """The same plot, whose x is 1/d² (Å⁻²), with its axis labelled by the resolution d in Å."""
    every = np.concatenate([np.asarray(t["x"], float).ravel() for t in plot.traces])
    every = every[np.isfinite(every) & (every > 0)]
    if not len(every):
        return plot
    nice = np.array(
        [20, 10, 6, 5, 4, 3.5, 3, 2.7, 2.5, 2.3, 2.1, 2, 1.9, 1.8, 1.7, 1.6, 1.5, 1.4, 1.3, 1.2, 1.1, 1, 0.9, 0.8]
    )
    at = 1 / nice**2
    span = every.max() - every.min()
    ticks: list[int] = []
    for i in np.flatnonzero((at >= every.min() - 0.05 * span) & (at <= every.max() + 0.05 * span)):
        if not ticks or at[i] - at[ticks[-1]] > 0.09 * span:
            ticks.append(int(i))
    axis = {**plot.layout.get("xaxis", {}), "title": {"text": "resolution / Å"}}
    axis |= {
        "tickmode": "array",
        "tickvals": [float(at[i]) for i in ticks],
        "ticktext": [f"{nice[i]:g}" for i in ticks],
    }
    return replace(plot, layout={**plot.layout, "xaxis": axis})


def layout_of(
    x_title: str,
    y_title: str,
    x_range: tuple[float, float] | None,
    y_range: tuple[float, float] | None,
    log_y: bool = False,
) -> dict[str, Any]:
    """Both axes with their titles and ranges."""
    x: dict[str, Any] = {"title": {"text": x_title}}
    y: dict[str, Any] = {"title": {"text": y_title}}
    if log_y:
        y["type"] = "log"
    for axis, ends in ((x, x_range), (y, y_range)):
        if ends is not None:
            axis["range"] = list(np.log10(ends)) if axis.get("type") == "log" else list(ends)
    return {"xaxis": x, "yaxis": y}


def _error_bars(sigma: Sequence[float] | np.ndarray, colour: str) -> dict[str, Any]:
    return {"type": "data", "array": sigma, "color": colour, "thickness": 1.2, "width": 2}
