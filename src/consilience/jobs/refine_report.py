"""The report page of a refinement: R factors, weights, B factors, geometry, model and maps."""

from __future__ import annotations

from typing import Any

import numpy as np

from consilience.jobs.refine_result import Refined
from consilience.report import figures
from consilience.report.page import Card, Column, Goto, Map, Page, Plot, Row, Section, Table, Viewer
from consilience.report.volume import crop_map


def refinement_page(result: Refined, summary: dict[str, Any]) -> Page:
    """The page of a finished refinement; `summary` has the keys of summary.json."""
    sections = (
        Section("Fit to the data", "", (*_cycles(summary), *_shells(summary))),
        Section("Displacement parameters", "", _b_factors(result)),
        Section("Geometry", "", (_outliers(result),)),
        Section("Model and density", "", (_viewer(result),)),
        *_gradients(summary),
        *_truth(result),
    )
    return Page(
        f"Refinement of {result.structure.hierarchy.name or 'a model'}",
        f"{summary['space_group']}, {summary['d_max']:.1f} to {summary['d_min']:.2f} Å",
        cards=_cards(summary),
        sections=sections,
        warnings=tuple(summary.get("warnings", ())),
        next_command="coot --pdb refined.pdb --auto refined.mtz",
    )


def _cards(s: dict[str, Any]) -> tuple[Card, ...]:
    def card(label: str, value: Any, note: str = "", digits: int = 4) -> Card:
        return Card(label, value, note, digits=digits)

    start_free = s["r_free_start"]
    return (
        card("R-free", s["r_free"], "" if start_free is None else f"start {start_free:.4f}"),
        card("R-work", s["r_work"], f"start {s['r_work_start']:.4f}"),
        card("bond r.m.s.Z", s["rmsz"].get("bond"), "target 0.5 to 1.0", 2),
        card("angle r.m.s.Z", s["rmsz"].get("angle"), "", 2),
        card("mean B", s["b_mean"], "Å²", 1),
        card("reflections", s["n_work"] + s["n_free"], f"{s['n_free']} free", 0),
    )


def _cycles(s: dict[str, Any]) -> tuple[Plot, ...]:
    rows = s["cycles"]
    x = [r["cycle"] for r in rows]
    names = {"R-work": "r_work", "R-free": "r_free"}
    curves = {label: np.array([r[key] for r in rows], float) for label, key in names.items()}
    plots = [figures.line("r-cycle", x, curves, x_title="cycle", y_title="R factor", title="R per cycle", markers=True)]
    weighed = [r for r in rows if r["weights"]]
    if weighed:
        terms = sorted({t for r in weighed for t in r["weights"]})
        series = {t: np.array([r["weights"].get(t, 0.0) or np.nan for r in weighed], float) for t in terms}
        x = [r["cycle"] for r in weighed]
        plots.append(
            figures.line("weights", x, series, x_title="cycle", y_title="weight", title="Weights", markers=True)
        )
    return tuple(plots)


def _shells(s: dict[str, Any]) -> tuple[Plot, ...]:
    rows = s["shells"]
    x = [0.5 * (r["d_min"] ** -2 + r["d_max"] ** -2) for r in rows]
    curves = {"R-work": [r["r_work"] for r in rows]}
    if all(r["r_free"] is not None for r in rows):
        curves["R-free"] = [r["r_free"] for r in rows]
    plot = figures.line("r-shell", x, curves, x_title="1/d²", y_title="R factor", title="R by resolution", markers=True)
    return (figures.over_resolution(plot),)


def _b_factors(result: Refined) -> tuple[Plot, ...]:
    residues = [r for r in result.residues if r.get("b_main") is not None]
    chains = sorted({r["chain"] for r in residues})
    plots = []
    for number, chain in enumerate(chains[:8]):
        own = [r for r in residues if r["chain"] == chain]
        curve = {"main chain": [r["b_main"] for r in own]}
        x = [r["resi"] for r in own]
        title = f"B per residue, chain {chain}"
        plots.append(figures.line(f"b-residue-{number}", x, curve, x_title="residue", y_title="B (Å²)", title=title))
    return tuple(plots)


def _outliers(result: Refined) -> Table:
    rows = tuple(
        Row(
            (o["kind"], " ".join(o["atoms"]), o["value"], o["ideal"], o["z"]),
            Goto(o["chain"], o["resi"]) if o.get("resi") is not None else None,
        )
        for o in result.outliers[:100]
    )
    columns = ("kind", "atoms", Column("value", digits=3), Column("ideal", digits=3), Column("z", digits=1))
    return Table(columns, rows, "Restraints that deviate by more than 4 standard deviations")


def _viewer(result: Refined) -> Viewer:
    waters = np.array([r.is_water() for chain in result.structure.hierarchy[0] for r in chain for _ in r], bool)
    xyz = result.structure.xyz[~waters] if not waters.all() else result.structure.xyz
    double, difference = result.maps
    maps = (
        Map(crop_map(double, xyz), (1.5,), "#3f7fd0", "2mFo-DFc"),
        Map(crop_map(difference, xyz), (3.0, -3.0), ("#2e9e4f", "#d0443f"), "mFo-DFc"),
    )
    return Viewer(result.structure.hierarchy.make_pdb_string(), maps=maps, caption="Refined model and maps")


def _gradients(s: dict[str, Any]) -> tuple[Section, ...]:
    if not s.get("gradients"):
        return ()
    rows = tuple((p["term"], p["block"], f"{p['rel_error']:.1e}") for p in s["gradients"]["pairs"])
    text = "Analytic gradients against central differences in float64."
    return (Section("Gradient check", text, (Table(("term", "block", "relative error"), rows),)),)


def _truth(result: Refined) -> tuple[Section, ...]:
    if not result.truth:
        return ()
    rows = tuple((label, found, true, unit) for label, (found, true, unit) in result.truth.items())
    return (Section("Recovered against true", "", (Table(("quantity", "found", "true", "unit"), rows),)),)
