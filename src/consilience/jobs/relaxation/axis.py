"""The residues as an axis of plots: places, names, chains of the model, and a strip of secondary structure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from consilience.nmr.data import Residue
from consilience.nmr.vectors import amide_vectors
from consilience.report import figures
from consilience.report.page import Column, Goto, Plot, Table
from consilience.structure.atoms import Structure
from consilience.structure.secondary import secondary_structure

GAP = 5  # places left free between chains
STRIP = (0.0, 0.055)  # of the height of a plot
STRIP_NOTE = (
    "The strip above the residues: helices as boxes, strands as arrows, from φ, ψ and CA distances of the model."
)


@dataclass(frozen=True)
class ResidueAxis:
    """n residues along x: `x` (n,) their numbers, later chains shifted behind the first; `names` as text.

    `goto` (n,) leads to the residue in the 3-D view (None without a model). `ticks` is empty where the numbers serve;
    `strip` are shapes of a plotly layout.
    """

    x: np.ndarray
    names: tuple[str, ...]
    goto: tuple[Goto | None, ...]
    ticks: Mapping[str, Any]
    strip: tuple[Mapping[str, Any], ...]


def residue_axis(residues: Sequence[Residue], structure: Structure | None = None) -> ResidueAxis:
    """The axis for residues in the order of the data; the model gives missing names and the strip."""
    labels = list(dict.fromkeys(r.chain for r in residues))
    chain_of = {} if structure is None else model_chains(residues, structure)
    offset, shifts = 0, {}
    for label in labels:
        numbers = [r.number for r in residues if r.chain == label]
        shifts[label] = 0 if label == labels[0] else offset - min(numbers)
        offset = max(numbers) + shifts[label] + GAP
    x = np.array([r.number + shifts[r.chain] for r in residues], float)
    types = {} if structure is None else _types(structure)
    shown = []
    for r in residues:
        name = r.name or types.get((chain_of.get(r.chain, ""), r.number), "")
        shown.append(str(r._replace(name=name)))
    goto = tuple(None if structure is None else Goto(chain_of.get(r.chain, ""), r.number) for r in residues)
    strip = () if structure is None else _strip(structure, chain_of, shifts, residues)
    return ResidueAxis(x, tuple(shown), goto, {} if len(labels) < 2 else _ticks(residues, x), strip)


def model_chains(residues: Sequence[Residue], structure: Structure) -> dict[str, str]:
    """{chain as the data name it: chain of the model}, as the N-H directions were matched."""
    out = {}
    for label in dict.fromkeys(r.chain for r in residues):
        own = [r for r in residues if r.chain == label]
        found = amide_vectors(structure, own).chains
        out[label] = found[0] if found else label
    return out


def over_residues(
    axis: ResidueAxis,
    ident: str,
    series: Mapping[str, tuple[np.ndarray, np.ndarray | None]],
    *,
    y_title: str,
    title: str,
    caption: str = "",
    styles: Mapping[str, Mapping[str, Any]] | None = None,
    lines: Mapping[str, np.ndarray] | None = None,
    log_y: bool = False,
) -> Plot:
    """Points with error bars over the residues; `series`: name -> (values (n,), standard errors (n,) or None).

    `styles`: markers by name; `lines`: name -> (n,) values drawn as a thin line in the colour of the series of that
    name, broken where residues are missing (what was calculated). Values that are not finite are left out.
    """
    empty = np.full(len(axis.x), np.nan)
    series = {name: (np.asarray(y, float), e) for name, (y, e) in series.items()}
    points = {name: (axis.x, y) for name, (y, _) in series.items()}
    plot = figures.scatter(
        ident,
        points,
        x_title="residue",
        y_title=y_title,
        title=title,
        caption=caption,
        labels={name: axis.names for name in series},
        errors={name: e for name, (_, e) in series.items() if e is not None},
        wide=True,
    )
    traces: list[dict[str, Any]] = []
    for trace in plot.traces:
        name = trace["name"]
        marker = {**trace["marker"], "opacity": 0.9, **(styles or {}).get(name, {})}
        hover = f"%{{text}}: %{{y:.4~g}}<extra>{'%{fullData.name}' if len(series) > 1 else ''}</extra>"
        shown = {**trace, "marker": marker, "hovertemplate": hover}
        if "error_y" in shown:
            shown["error_y"] = _bars(series[name], marker["color"], log_y)
        traces.append(shown)
    for name, y in (lines or {}).items():
        colour = next((t["marker"]["color"] for t in traces if t["name"] == name), "@grey")
        traces.append(_line(axis, np.asarray(y, float), colour))
    if lines:
        key = {"type": "scatter", "mode": "lines", "name": "back-calculated", "x": [None], "y": [None]}
        traces.append({**key, "line": {"color": "@ink", "width": 1.2}})
    columns: list[str] = ["residue"]
    lists: list[Sequence[Any]] = [axis.names]
    for name, (y, e) in series.items():
        for label, values in ((name, y), (f"{name}: error", e), (f"{name}: back-calculated", (lines or {}).get(name))):
            if values is not None:
                columns.append(label)
                lists.append([float(v) for v in (values if len(values) else empty)])
    fallback = Table(tuple(Column(c) for c in columns), tuple(zip(*lists, strict=True)), max_rows=600)
    layout = {**plot.layout, "yaxis": {**plot.layout["yaxis"], **(_log_axis(series) if log_y else {})}}
    return with_strip(replace(plot, traces=tuple(traces), layout=layout, table_fallback=fallback), axis)


def with_strip(plot: Plot, axis: ResidueAxis) -> Plot:
    """The same plot over residues with the strip of secondary structure above its x axis, and the axis's ticks."""
    x, y = dict(plot.layout["xaxis"]) | dict(axis.ticks), dict(plot.layout["yaxis"])
    if len(axis.x):
        x["range"] = [float(axis.x.min()) - 1.5, float(axis.x.max()) + 1.5]
    if axis.strip:
        x |= {"anchor": "free", "position": 0.0}
        y |= {"domain": [STRIP[1] + 0.025, 1.0]}
    shapes = [*plot.layout.get("shapes", ()), *axis.strip]
    return replace(plot, layout={**plot.layout, "xaxis": x, "yaxis": y, "shapes": shapes})


def _line(axis: ResidueAxis, y: np.ndarray, colour: str) -> dict[str, Any]:
    breaks = np.flatnonzero(np.diff(axis.x) > 1) + 1
    gaps = {"x": np.insert(axis.x, breaks, np.nan), "y": np.insert(y, breaks, np.nan)}
    style = {"line": {"color": colour, "width": 1.2}, "hoverinfo": "skip", "showlegend": False}
    return {"type": "scatter", "mode": "lines", "name": "back-calculated", **gaps, **style}


def _bars(values: tuple[np.ndarray, np.ndarray | None], colour: str, log_y: bool) -> dict[str, Any]:
    y, sigma = values
    up = np.asarray(sigma, float)
    bars = {"type": "data", "array": up, "color": colour, "thickness": 1.1, "width": 2}
    if not log_y:
        return bars
    return bars | {"symmetric": False, "arrayminus": np.minimum(up, 0.9 * y)}


def _log_axis(series: Mapping[str, tuple[np.ndarray, np.ndarray | None]]) -> dict[str, Any]:
    """A logarithmic axis, with the decades alone as ticks where there are several."""
    every = np.concatenate([y[np.isfinite(y) & (y > 0)] for y, _ in series.values()])
    wide = len(every) > 0 and every.max() > 100 * every.min()
    return {"type": "log"} | ({"dtick": 1} if wide else {})


def _types(structure: Structure) -> dict[tuple[str, int], str]:
    out: dict[tuple[str, int], str] = {}
    for chain in structure.hierarchy[0]:
        for res in chain:
            if res.seqid.num is not None:
                out.setdefault((chain.name, res.seqid.num), res.name)
    return out


def _ticks(residues: Sequence[Residue], x: np.ndarray) -> dict[str, Any]:
    step = max(1, len(x) // 12)
    at = range(0, len(x), step)
    text = [f"{residues[i].chain} {residues[i].number}".strip() for i in at]
    return {"tickmode": "array", "tickvals": [float(x[i]) for i in at], "ticktext": text}


def _strip(
    structure: Structure, chain_of: Mapping[str, str], shifts: Mapping[str, int], residues: Sequence[Residue]
) -> tuple[Mapping[str, Any], ...]:
    """Shapes between the plot and its axis: a line for the chain, boxes for helices, arrows for strands."""
    kinds = secondary_structure(structure)
    low, high = STRIP
    middle, shapes = (low + high) / 2, []
    base = {"xref": "x", "yref": "paper", "layer": "above"}
    for label, shift in shifts.items():
        own = [r.number for r in residues if r.chain == label]
        numbers = sorted(n for c, n in kinds if c == chain_of.get(label) and min(own) <= n <= max(own))
        if not numbers:
            continue
        line = {"type": "line", "x0": numbers[0] + shift - 0.5, "x1": numbers[-1] + shift + 0.5}
        shapes.append({**base, **line, "y0": middle, "y1": middle, "line": {"color": "@grey", "width": 1.5}})
        for first, last, kind in _stretches(numbers, [kinds[chain_of[label], n] for n in numbers]):
            a, b = first + shift - 0.5, last + shift + 0.5
            if kind == "helix":
                box = {"type": "rect", "x0": a, "x1": b, "y0": low + 0.006, "y1": high - 0.006}
                shapes.append({**base, **box, "fillcolor": "@vermilion", "line": {"width": 0}})
            elif kind == "strand":
                neck, lower, upper = max(a, b - 1.6), low + 0.015, high - 0.015
                path = (
                    f"M{a},{lower} L{neck},{lower} L{neck},{low} L{b},{middle} L{neck},{high} L{neck},{upper} "
                    f"L{a},{upper} Z"
                )
                shapes.append({**base, "type": "path", "path": path, "fillcolor": "@sky", "line": {"width": 0}})
    return tuple(shapes)


def _stretches(numbers: Sequence[int], kinds: Sequence[str]) -> list[tuple[int, int, str]]:
    out: list[tuple[int, int, str]] = []
    for n, kind in zip(numbers, kinds, strict=True):
        if out and out[-1][2] == kind and out[-1][1] == n - 1:
            out[-1] = (out[-1][0], n, kind)
        else:
            out.append((n, n, kind))
    return out
