"""The report of a refinement: key figures with what is usual, plots, residues to look at, model and density."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from consilience.jobs.common.report_parts import TRUTH, band, footer, structure_text, truth_table
from consilience.jobs.joint.report import evidence_section
from consilience.jobs.refine.figures import (
    b_plots,
    correlation_plot,
    error_plots,
    geometry_per_cycle,
    r_per_cycle,
    r_per_shell,
    ramachandran_plots,
    weights_per_cycle,
    wilson_plot,
)
from consilience.jobs.refine.result import Refined
from consilience.jobs.refine.statistics import UNITS, completeness
from consilience.report.page import (
    Band,
    Block,
    Card,
    Coloring,
    Column,
    Goto,
    Map,
    Page,
    Row,
    Section,
    Table,
    Text,
    Viewer,
    format_value,
)
from consilience.report.volume import crop_map

# resolution (Å) and R-free of the middle half of models in the PDB there, rounded (compare Kleywegt & Jones,
# Structure 10 (2002) 465-472; Urzhumtsev et al., Acta Cryst. D65 (2009) 1283-1291)
USUAL_R_FREE = ((1.0, 0.14, 0.18), (1.5, 0.18, 0.22), (2.0, 0.21, 0.25), (2.5, 0.23, 0.28), (3.0, 0.25, 0.31))
MAP_BYTES = 550_000  # of each map, compressed: two of them and the scripts stay below 4 MB
WATERS = frozenset({"HOH", "DOD", "WAT"})


def refinement_page(result: Refined, summary: Mapping[str, Any]) -> Page:
    """The page of a refinement from its result and the keys of its summary.json."""
    name = Path(result.structure.source or "model").name
    r = result.crystal.reflections
    cell = ", ".join(f"{v:g}" for v in (*map(lambda x: round(x, 2), r.cell.parameters),))
    subtitle = f"{name} against {Path(r.source).name} · {r.spacegroup.xhm()} · cell {cell}"
    sections = [
        _course(result),
        _resolution(result, summary),
        _model_and_density(result),
        _b(result),
        *_errors(result),
        _checks(summary),
    ]
    if (evidence := evidence_section(summary)) is not None:
        sections.insert(1, evidence)
    if result.truth:
        sections.insert(0, Section("Recovered against true", TRUTH, (truth_table(result.truth),)))
    return Page(
        title=f"Refinement of {name.split('.')[0]}",
        subtitle=subtitle,
        status=summary.get("status", "ok"),
        cards=cards(result, summary),
        sections=tuple(sections),
        warnings=tuple(summary.get("warnings", ())),
        next_command="coot --pdb refined.pdb --auto refined.mtz --script coot.py\n# after rebuilding:\n"
        "consil refine rebuilt.pdb refined.mtz",
        footer=footer(summary),
    )


def cards(result: Refined, summary: Mapping[str, Any]) -> tuple[Card, ...]:
    """Key figures, each with a band and what is usual."""
    d_min, rmsz = float(summary["d_min"]), summary.get("rmsz") or {}
    low, high = usual_r_free(d_min)
    work, free = summary.get("r_work"), summary.get("r_free")
    gap = None if work is None or free is None else free - work
    out = [
        Card(
            "R-free",
            free,
            _from(summary.get("r_free_start")),
            band(free, high, high + 0.04),
            f"usual at {d_min:.2f} Å: {low:.2f}-{high:.2f}",
            digits=4,
        ),
        Card(
            "R-work",
            work,
            _from(summary.get("r_work_start")),
            band(gap, 0.05, 0.08),
            "" if gap is None else f"R-free is {gap:.3f} above; usual 0.02-0.05",
            digits=4,
        ),
        Card(
            "Bond r.m.s.Z",
            rmsz.get("bond"),
            f"r.m.s.d. {format_value(summary.get('rmsd_bond'), 4)} Å",
            band(rmsz.get("bond"), 1.1, 1.5),
            "aim: 0.5-1.0",
            digits=2,
        ),
        Card(
            "Angle r.m.s.Z",
            rmsz.get("angle"),
            f"r.m.s.d. {format_value(summary.get('rmsd_angle'), 2)}°",
            band(rmsz.get("angle"), 1.25, 1.6),
            "aim: below 1.25",
            digits=2,
        ),
        _ramachandran_card(result),
        Card("Mean B", summary.get("b_mean"), _wilson_note(result), unit="Å²", digits=1),
        Card("Resolution", d_min, f"from {summary['d_max']:.1f} Å, {summary['space_group']}", unit="Å", digits=2),
        Card(
            "Completeness",
            100 * (share := completeness(result.crystal)),
            f"{summary['n_work']} work, {summary['n_free']} free reflections",
            band(-share, -0.95, -0.85),
            "usual: above 95 %",
            unit="%",
            digits=1,
        ),
    ]
    return tuple(out)


def usual_r_free(d_min: float) -> tuple[float, float]:
    """R-free of the middle half of deposited models at a resolution in Å."""
    d, low, high = np.array(USUAL_R_FREE).T
    return float(np.interp(d_min, d, low)), float(np.interp(d_min, d, high))


def _from(start: float | None) -> str:
    return "" if start is None else f"at the start {start:.4f}"


def _wilson_note(result: Refined) -> str:
    from consilience.jobs.refine.statistics import wilson

    b = wilson(result.crystal, result.fitted.f_model, result.structure)["b"]
    return "" if b is None else f"Wilson plot: {b:.1f} Å²"


def _ramachandran_card(result: Refined) -> Card:
    found = [r["rama"] for r in result.residues if r["rama"]]
    if not found:
        return Card("Ramachandran favoured", None, "no amino acids with both torsions")
    outliers = found.count("outlier")
    share = 100.0 * found.count("favoured") / len(found)
    worst = 100.0 * outliers / len(found)
    band: Band = "good" if share >= 96 and worst <= 0.5 else "fair" if share >= 90 and worst <= 3 else "poor"
    note = f"{len(found)} residues, {outliers} outlier{'' if outliers == 1 else 's'}"
    return Card("Ramachandran favoured", share, note, band, "usual: above 96 %, no outliers", "%", 1)


def _course(result: Refined) -> Section:
    moved = result.structure.xyz - result.start.xyz if len(result.start) == len(result.structure) else None
    text = "R-work and R-free, the geometry, and how the terms were weighted, cycle by cycle."
    if moved is not None:
        text += f" The atoms moved by {np.sqrt(np.mean(np.sum(moved**2, axis=1))):.2f} Å (r.m.s.)."
    blocks = (r_per_cycle(result.history), geometry_per_cycle(result.history), *weights_per_cycle(result.history))
    return Section("Course of the refinement", text, blocks)


def _resolution(result: Refined, summary: Mapping[str, Any]) -> Section:
    shells = summary.get("shells") or ()
    text = "Agreement by resolution, low resolution on the left."
    if summary.get("k_sol") is not None:
        text += f" Bulk solvent: {summary['k_sol']:.3f} e/Å³, B {summary['b_sol']:.0f} Å²."
    return Section("Agreement with the data", text, (*r_per_shell(shells), wilson_plot(result)))


def _model_and_density(result: Refined) -> Section:
    blocks: list[Block] = [_viewer(result), residues_to_visit(result), _outlier_table(result.outliers)]
    if (plot := correlation_plot(result.residues)) is not None:
        blocks.append(plot)
    blocks += ramachandran_plots(result.residues)
    text = "A click on a row of the tables takes the view to the residue."
    return Section("Model and density", text, tuple(blocks))


def _viewer(result: Refined) -> Viewer:
    solid = np.array([not r.is_water() for chain in result.structure.hierarchy[0] for r in chain for _ in r], bool)
    around = result.structure.xyz[solid] if solid.any() else result.structure.xyz
    double, difference = (crop_map(m, around, max_bytes=MAP_BYTES) for m in result.maps)
    maps = (
        Map(double, (1.5,), "#3f7fd0", "2mFo-DFc"),
        Map(difference, (3.0, -3.0), ("#2f9e5b", "#d0452f"), "mFo-DFc"),
    )
    text, kind = structure_text(result.structure)
    values = {(r["chain"], r["resi"]): r["rscc"] for r in result.residues if r["rscc"] is not None}
    ways: list[str | Coloring] = ["b", "chain", "element", "secondary"]
    if values:
        ways.insert(1, Coloring("real-space correlation", values, low=1.0, high=0.6))
    caption = "2mFo-DFc in blue, mFo-DFc in green (density without model) and red (model without density)."
    return Viewer(text, kind, maps, tuple(ways), caption)


def residues_to_visit(result: Refined, longest: int = 25) -> Table:
    """Residues with the most reasons to be looked at, worst first."""
    worst: dict[tuple[str, int, str], float] = {}
    for o in result.outliers:
        key = (o["chain"], o["resi"], o.get("icode", ""))
        worst[key] = max(worst.get(key, 0.0), abs(o["z"]))
    rows = []
    for r in result.residues:
        key = (r["chain"], r["resi"], r.get("icode", ""))
        reasons, badness = [], 0.0
        if r["rama"] == "outlier":
            reasons.append("Ramachandran outlier")
            badness += 3
        if r["rscc"] is not None and r["rscc"] < (0.7 if r["name"] in WATERS else 0.8):
            reasons.append("little density")
            badness += 10 * (0.8 - r["rscc"])
        if key in worst:
            reasons.append("strained geometry")
            badness += worst[key] / 4
        if reasons:
            cells = (_residue_name(r), ", ".join(reasons), r["rscc"], worst.get(key), r["rama"])
            rows.append((badness, Row(cells, Goto(*key))))
    rows.sort(key=lambda pair: -pair[0])
    columns = ("residue", "why", Column("density correlation", digits=2), Column("worst |z|", digits=1), "Ramachandran")
    return Table(columns, tuple(row for _, row in rows), "Residues to look at first", max_rows=longest)


def _outlier_table(outliers: Sequence[Mapping[str, Any]]) -> Table:
    rows = tuple(
        Row(
            (o["kind"], "  ".join(o["atoms"]), o["value"], o["ideal"], UNITS.get(o["kind"], ""), o["z"]),
            Goto(o["chain"], o["resi"], o.get("icode", "")),
        )
        for o in outliers
    )
    columns = (
        "restraint",
        "atoms",
        Column("found", digits=3),
        Column("ideal", digits=3),
        "unit",
        Column("z", digits=1),
    )
    return Table(columns, rows, "Geometry outliers, |z| > 4", max_rows=100)


def _residue_name(r: Mapping[str, Any]) -> str:
    return f"{r['chain']} {r['resi']}{r.get('icode', '')} {r['name']}"


def _b(result: Refined) -> Section:
    return Section("Displacement", "How far atoms are spread, as B factors.", b_plots(result))


def _errors(result: Refined) -> tuple[Section, ...]:
    if result.errors is None:
        return ()
    said = result.errors.summary
    text = (
        f"From the Hessian of all terms at the final model: half of the atoms have a standard uncertainty below "
        f"{said['median_A']:.3f} Å in each coordinate, 95 % below {said['p95_A']:.3f} Å. Scale, solvent, error model "
        "and weights count as known, so these are lower bounds."
    )
    return (Section("Coordinate errors", text, error_plots(result)),)


def _checks(summary: Mapping[str, Any]) -> Section:
    gradients = summary.get("gradients")
    text = (
        "Analytic derivatives of every term on every block against finite differences, in float64, along random "
        "directions, at the final model. Sound values lie below 10⁻⁶."
    )
    pairs = gradients["pairs"] if gradients else ()
    rows = tuple((p["term"], p["block"], p["rel_error"]) for p in pairs)
    empty: Block = Text("Nothing was fitted, so there are no gradients to check.")
    return Section("Checks", text, (Table(("term", "block", Column("relative error")), rows) if rows else empty,))
