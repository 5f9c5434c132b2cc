"""The plots of a refinement's report, each made from the records of its result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from consilience.jobs.refine.result import Refined
from consilience.jobs.refine.statistics import wilson
from consilience.report import figures
from consilience.report.heat import heat
from consilience.report.page import Plot
from consilience.structure.ramachandran import Kind, density, levels

KINDS: tuple[Kind, ...] = ("general", "Gly", "Pro", "pre-Pro")
REGION_STYLE = {"favoured": ("@blue", "circle", 5), "allowed": ("@amber", "diamond", 8), "outlier": ("@poor", "x", 10)}


def _column(rows: Iterable[Mapping[str, Any]], *path: str) -> np.ndarray:
    """A value from nested records as floats, NaN where absent."""
    out = []
    for row in rows:
        value: Any = row
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        out.append(np.nan if value is None else float(value))
    return np.array(out)


def _known(series: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Without the series that have no value at all."""
    return {name: y for name, y in series.items() if np.isfinite(y).any()}


def r_per_cycle(history: Sequence[Mapping[str, Any]]) -> Plot:
    """R-work and R-free after each cycle; cycles that were rolled back as crosses."""
    cycle = _column(history, "stage") + 1
    series = {"R-work": _column(history, "scores", "r_work"), "R-free": _column(history, "free", "r_free")}
    plot = figures.line(
        "r-cycle",
        cycle,
        _known(series),
        x_title="cycle",
        y_title="R factor",
        title="R per cycle",
        markers=True,
        caption="R-free is shown only: nothing in the refinement looks at it.",
    )
    undone = np.array([not h.get("accepted", True) for h in history], bool)
    if not undone.any():
        return plot
    cross = {
        "type": "scatter",
        "mode": "markers",
        "name": "rolled back",
        "x": cycle[undone],
        "y": series["R-work"][undone],
        "marker": {"color": "@poor", "symbol": "x", "size": 9},
    }
    return replace(plot, traces=(*plot.traces, cross))


def geometry_per_cycle(history: Sequence[Mapping[str, Any]]) -> Plot:
    """Root mean square z of bonds and angles after each cycle."""
    cycle = _column(history, "stage") + 1
    series = {k: _column(history, "scores", "rmsz", k) for k in ("bond", "angle")}
    plot = figures.line(
        "z-cycle",
        cycle,
        _known(series),
        x_title="cycle",
        y_title="r.m.s.Z",
        title="Geometry per cycle",
        markers=True,
        log_y=bool(np.nanmax([*series["bond"], *series["angle"], 1.0]) > 4.0),
        caption="Root mean square of (value - ideal) / σ. The band, 0.5 to 1.0, is where bonds should end.",
    )
    return figures.with_band(plot, 0.5, 1.0)


def r_per_shell(shells: Sequence[Mapping[str, Any]]) -> tuple[Plot, ...]:
    """R factors, and correlation of amplitudes where there is one, against resolution."""
    x = np.array([(s["d_min"] ** -2 + s["d_max"] ** -2) / 2 for s in shells])
    out = []
    for ident, title, y_title, keys in (
        ("r-shell", "R by resolution", "R factor", {"R-work": "r_work", "R-free": "r_free"}),
        ("cc-shell", "Correlation by resolution", "CC of |F|", {"CC-work": "cc_work", "CC-free": "cc_free"}),
    ):
        series = _known({name: _column(shells, key) for name, key in keys.items()})
        if series:
            plot = figures.line(ident, x, series, x_title="1/d²", y_title=y_title, title=title, markers=True)
            out.append(figures.over_resolution(plot))
    return tuple(out)


def weights_per_cycle(history: Sequence[Mapping[str, Any]]) -> tuple[Plot, ...]:
    """Weights of the terms, and their raw gradient norms on each block, in each cycle that moved something."""
    moved = [h for h in history if h.get("active")]
    if not moved:
        return ()
    cycle = _column(moved, "stage") + 1
    blocks = ["+".join(h["active"]) for h in moved]
    weights: dict[str, np.ndarray] = {}
    for block in dict.fromkeys(blocks):
        here = np.array([b == block for b in blocks])
        for term in dict.fromkeys(t for h in moved for t in h.get("weights", {})):
            y = np.where(here, _column(moved, "weights", term), np.nan)
            if np.nan_to_num(y).any():
                weights[term if len(set(blocks)) == 1 else f"{term} ({block})"] = np.where(y > 0, y, np.nan)
    norms: dict[str, np.ndarray] = {}
    for h in moved:
        for term, per_block in h.get("gradient_norms", {}).items():
            for block, norm in per_block.items():
                if norm and norm > 0:
                    norms.setdefault(f"{term} on {block}", _column(moved, "gradient_norms", term, block))
    out = []
    if weights:
        caption = "Each term is a negative log-likelihood in nats; 1 is its natural weight."
        out.append(
            figures.line(
                "weights",
                cycle,
                weights,
                x_title="cycle",
                y_title="weight",
                title="Weights of the terms",
                markers=True,
                log_y=True,
                caption=caption,
            )
        )
    if norms:
        caption = "Unweighted, over the parameters that moved, before the cycle."
        positive = {name: np.where(y > 0, y, np.nan) for name, y in norms.items()}
        out.append(
            figures.line(
                "gradients",
                cycle,
                positive,
                x_title="cycle",
                y_title="gradient norm",
                title="Gradient norms by term and block",
                markers=True,
                log_y=True,
                caption=caption,
            )
        )
    return tuple(replace(p, traces=tuple({**t, "connectgaps": True} for t in p.traces)) for p in out)


def _names(residues: Sequence[Mapping[str, Any]]) -> list[str]:
    return [f"{r['chain']} {r['resi']}{r.get('icode', '')}" for r in residues]


def _over_residues(
    ident: str, residues: Sequence[Mapping[str, Any]], keys: Mapping[str, str], y_title: str, title: str, caption: str
) -> Plot | None:
    """Lines over the residues in file order, broken between chains; hovering names the residue."""
    names, at = _names(residues), np.arange(len(residues))
    breaks = [i for i in range(1, len(residues)) if residues[i]["chain"] != residues[i - 1]["chain"]]
    series = _known({label: np.insert(_column(residues, key), breaks, np.nan) for label, key in keys.items()})
    if not series:
        return None
    x = np.insert(at.astype(float), breaks, np.nan)
    plot = figures.line(
        ident, x, series, x_title="residue", y_title=y_title, title=title, caption=caption, wide=True, markers=True
    )
    text = list(np.insert([f"{n} {r['name']}" for n, r in zip(names, residues, strict=True)], breaks, ""))
    hover = "%{text}: %{y:.3~g}<extra>%{fullData.name}</extra>"
    marker = {"size": 4}
    traces = tuple(
        {**t, "text": text, "hovertemplate": hover, "marker": {**t["marker"], **marker}} for t in plot.traces
    )
    step = max(1, len(at) // 14)
    ticks = list(range(0, len(at), step))
    axis = {**plot.layout["xaxis"], "tickmode": "array", "tickvals": ticks, "ticktext": [names[i] for i in ticks]}
    return replace(plot, traces=traces, layout={**plot.layout, "xaxis": axis})


def b_plots(result: Refined) -> tuple[Plot, ...]:
    """B per residue, main and side chain, and the histogram over atoms by kind of residue."""
    polymer = [r for r in result.residues if r["b_main"] is not None]
    per_residue = _over_residues(
        "b-residue",
        polymer,
        {"main chain": "b_main", "side chain": "b_side"},
        "B / Å²",
        "B per residue",
        "Means over the atoms of a residue, weighted by occupancy.",
    )
    kinds: dict[str, list[float]] = {"polymer": [], "ligand or ion": [], "water": []}
    known = {(r["chain"], r["resi"], r.get("icode", ""), r["name"]) for r in polymer}
    atoms = iter(result.structure.b_iso)
    for chain in result.structure.hierarchy[0]:
        for res in chain:
            key = (chain.name, res.seqid.num, res.seqid.icode.strip(), res.name)
            kind = "water" if res.is_water() else "polymer" if key in known else "ligand or ion"
            kinds[kind] += [float(next(atoms)) for _ in res]
    values = {kind: np.array(b) for kind, b in kinds.items() if b}
    histogram = figures.histogram(
        "b-histogram", values, x_title="B / Å²", y_title="atoms", title="B of all atoms", caption=""
    )
    return (per_residue, histogram) if per_residue else (histogram,)


def correlation_plot(residues: Sequence[Mapping[str, Any]]) -> Plot | None:
    """Real-space correlation per residue, waters left out."""
    solid = [r for r in residues if r["name"] not in ("HOH", "DOD", "WAT")]
    plot = _over_residues(
        "rscc",
        solid,
        {"2mFo-DFc against model": "rscc"},
        "correlation",
        "Real-space correlation per residue",
        "Correlation of 2mFo-DFc with the model's own density within 1.5 Å of the residue. The band is above 0.8; "
        "what lies below has little density or stands in the wrong place.",
    )
    if plot is None:
        return None
    lowest = min([0.6, *(r["rscc"] - 0.05 for r in solid if r["rscc"] is not None)])
    layout = {**plot.layout, "yaxis": {**plot.layout["yaxis"], "range": [lowest, 1.005]}}
    return figures.with_band(replace(plot, layout=layout), 0.8, 1.005)


def error_plots(result: Refined) -> tuple[Plot, ...]:
    """Standard uncertainty of a coordinate per residue, and the share of each term in its precision."""
    errors = result.errors
    if errors is None:
        return ()
    found = errors.of_residues(result.structure.hierarchy[0])
    rows = [{**r, **{f"error_{k}": v for k, v in e.items()}} for r, e in zip(result.residues, found, strict=True)]
    sigma = _over_residues(
        "errors", rows, {"standard uncertainty": "error_sigma"}, "Å", "Coordinate errors per residue",
        "Standard uncertainty of one coordinate, r.m.s. over the atoms of the residue.",
    )  # fmt: skip
    share = _over_residues(
        "error-shares", rows, {t: f"error_{t}" for t in errors.share}, "share", "What the precision comes from",
        "The share of each kind of evidence in what is known of the atoms of a residue; one in sum.",
    )  # fmt: skip
    return tuple(p for p in (sigma, share) if p is not None)


def ramachandran_plots(residues: Sequence[Mapping[str, Any]]) -> tuple[Plot, ...]:
    """One plot for each kind of residue that occurs: favoured and allowed regions, residues on top."""
    centre = np.arange(-178.0, 180.0, 4.0)
    out = []
    for kind in KINDS:
        here = [r for r in residues if r["rama_class"] == kind]
        if not here:
            continue
        favoured, allowed = levels(kind)
        values = density(centre[None, :], centre[:, None], kind)
        ground = np.where(values >= favoured, 1.0, np.where(values >= allowed, 0.12, 0.0))
        groups = {region: [r for r in here if r["rama"] == region] for region in REGION_STYLE}
        points = {k: (_column(rows, "phi"), _column(rows, "psi")) for k, rows in groups.items() if rows}
        labels = {
            k: [f"{n} {r['name']}" for n, r in zip(_names(rows), rows, strict=True)] for k, rows in groups.items()
        }
        plot = heat(
            f"rama-{kind.lower()}",
            centre,
            centre,
            ground,
            x_title="φ / °",
            y_title="ψ / °",
            z_title="region",
            title=f"Ramachandran: {kind} ({len(here)})",
            faint=True,
            points=points,
            labels=labels,
        )
        traces = []
        for trace in plot.traces:
            colour, symbol, size = REGION_STYLE[trace["name"]]
            marker = {"color": colour, "symbol": symbol, "size": size, "opacity": 0.9}
            traces.append({**trace, "marker": marker})
        out.append(replace(plot, traces=tuple(traces)))
    return tuple(out)


def wilson_plot(result: Refined) -> Plot:
    """Mean F^2 of data and model against resolution."""
    found = wilson(result.crystal, result.fitted.f_model, result.structure)
    b = f" The fall beyond 4 Å tells B = {found['b']:.1f} Å²." if found["b"] is not None else ""
    series = {"observed": found["observed"], "model": found["model"]}
    plot = figures.line(
        "wilson",
        found["inv_d2"],
        {k: np.where(v > 0, v, np.nan) for k, v in series.items()},
        x_title="1/d²",
        y_title="mean F² / ε",
        title="Wilson plot",
        log_y=True,
        caption="Free of systematic error the two curves run together." + b,
    )
    return figures.over_resolution(plot)
