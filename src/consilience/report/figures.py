"""Constructors of the plots that reports use: lines, scatter, bars, heat maps, in one colour-blind-safe palette."""

from __future__ import annotations

import base64
import struct
import zlib
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
    return Plot(id, tuple(traces), _layout(x_title, y_title, x_range, y_range, log_y), caption, title=title, wide=wide)


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
    layout = _layout(x_title, y_title, x_range, y_range)
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
    layout = _layout(x_title, y_title, None, y_range, log_y)
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


def heat(
    id: str,
    x: Sequence[float] | np.ndarray,
    y: Sequence[float] | np.ndarray,
    z: np.ndarray,
    *,
    x_title: str,
    y_title: str,
    z_title: str,
    caption: str = "",
    title: str = "",
    z_range: tuple[float, float] | None = None,
    diverging: bool = False,
    faint: bool = False,
    points: Mapping[str, tuple[Sequence[float] | np.ndarray, Sequence[float] | np.ndarray]] | None = None,
    labels: Mapping[str, Sequence[str]] | None = None,
) -> Plot:
    """A picture of z (len(y), len(x)) on evenly spaced x and y; NaN is left blank; `diverging`: white at the middle.

    `faint`: a pale single-hue background without a scale, for the `points` (name: (x, y), hover text in `labels`)
    on top of it, as in a Ramachandran plot.
    plotly's basic bundle has no heat maps: the cells travel as a small PNG behind an invisible set of points.
    """
    x, y, z = np.asarray(x, float), np.asarray(y, float), np.asarray(z, float)
    if z.shape != (len(y), len(x)) or len(x) < 2 or len(y) < 2:
        raise ValueError(f"heat map of shape {z.shape} needs z (len(y), len(x)), both at least 2: {len(y)}, {len(x)}")
    finite = z[np.isfinite(z)]
    low, high = z_range or ((float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0))
    if diverging and z_range is None:
        low, high = -max(abs(low), abs(high)), max(abs(low), abs(high))
    high = high if high > low else low + 1.0
    scale = DIVERGING if diverging else SEQUENTIAL
    dx, dy = (x[-1] - x[0]) / (len(x) - 1), (y[-1] - y[0]) / (len(y) - 1)
    x0, x1, y0, y1 = x[0] - dx / 2, x[-1] + dx / 2, y[0] - dy / 2, y[-1] + dy / 2
    gx, gy = np.meshgrid(x, y)
    cells = {
        "type": "scatter",
        "mode": "markers",
        "name": z_title,
        "x": gx.ravel(),
        "y": gy.ravel(),
        "showlegend": False,
        "marker": {
            "color": z.ravel(),
            "opacity": 0,
            "size": 8,
            "cmin": low,
            "cmax": high,
            "colorscale": [list(s) for s in scale],
            "showscale": not faint,
            "colorbar": {"title": {"text": z_title, "side": "right"}, "thickness": 12, "outlinewidth": 0, "opacity": 1},
        },
        "hovertemplate": "%{x:.4~g}, %{y:.4~g}: %{marker.color:.4~g}<extra></extra>",
    }
    layout = _layout(x_title, y_title, (x0, x1), (y0, y1))
    layout["xaxis"]["showgrid"] = layout["yaxis"]["showgrid"] = False
    for axis, span in ((layout["xaxis"], x1 - x0), (layout["yaxis"], y1 - y0)):
        if 350 <= span <= 370:  # a full turn in degrees
            axis |= {"tick0": 0, "dtick": 90}
    png = _png(z[::-1], low, high, scale, faint)
    layout["images"] = [
        {
            "source": "data:image/png;base64," + base64.b64encode(png).decode("ascii"),
            "xref": "x",
            "yref": "y",
            "x": x0,
            "y": y1,
            "sizex": x1 - x0,
            "sizey": y1 - y0,
            "sizing": "stretch",
            "layer": "below",
        }
    ]
    if not points:
        return Plot(id, (cells,), layout, caption, title=title)
    over = scatter(id, points, x_title=x_title, y_title=y_title, labels=labels)
    return Plot(id, over.traces if faint else (cells, *over.traces), layout, caption, title=title)


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


def _layout(
    x_title: str,
    y_title: str,
    x_range: tuple[float, float] | None,
    y_range: tuple[float, float] | None,
    log_y: bool = False,
) -> dict[str, Any]:
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


def _png(z: np.ndarray, low: float, high: float, scale: Sequence[tuple[float, str]], faint: bool) -> bytes:
    """An RGBA PNG of z (rows from top), coloured between the stops of `scale`; `faint`: one blue, opacity by value."""
    t = np.clip((z - low) / (high - low), 0.0, 1.0)
    stops = [s for s, _ in scale]
    rgb = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for _, c in scale])
    pixels = np.zeros((*z.shape, 4), np.uint8)
    for channel in range(3):
        pixels[..., channel] = np.rint(np.interp(np.nan_to_num(t), stops, rgb[:, channel]))
    pixels[..., 3] = np.where(np.isfinite(z), 255, 0)
    if faint:
        pixels[..., :3] = (64, 140, 200)
        pixels[..., 3] = np.rint(150 * np.sqrt(np.nan_to_num(t)))
    raw = np.concatenate([np.zeros((len(z), 1), np.uint8), pixels.reshape(len(z), -1)], axis=1).tobytes()

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", z.shape[1], z.shape[0], 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")
