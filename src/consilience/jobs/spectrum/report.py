"""The report of a spectrum: sticks, curves, comparison with a reference, modes, and the strongest one in 3-D."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from consilience.jobs.common.molecule_view import molecule_view
from consilience.jobs.common.report_parts import band, footer
from consilience.jobs.common.start import Start
from consilience.report import figures
from consilience.report.page import Block, Card, Column, Page, Plot, Section, Table
from consilience.report.render import write_page

HARMONIC = "Second derivatives at the relaxed geometry by automatic differentiation; double harmonic intensities."
DYNAMIC = (
    "Fourier transforms of velocities (power) and dipoles (infrared) of dynamics: shifts and widths by anharmonicity; "
    "zero-point motion is not in it."
)


def write_report(
    path: Path,
    summary: Mapping[str, Any],
    table: Mapping[str, np.ndarray],
    modes: Any,
    dynamic: Any,
    reference: Any,
    start: Start,
    positions: np.ndarray,
    model: Any,
) -> None:
    """report.html of a spectrum; table: columns of spectrum.csv."""
    blocks: list[Block] = [_sticks(modes, reference)]
    if "ir_harmonic" in table:
        blocks.append(_curves("harmonic", table, {"harmonic": "ir_harmonic"}, "infrared / km/mol per cm⁻¹", "Infrared"))
    sections = [Section("Harmonic spectrum", HARMONIC, tuple(blocks))]
    if dynamic is not None:
        parts = {"ir": ("infrared / km/mol per cm⁻¹", "Infrared from dynamics"),
                 "power": ("kinetic energy / eV per cm⁻¹", "Power spectrum")}  # fmt: skip
        more: list[Block] = []
        for name, (unit, title) in parts.items():
            if name in table:
                series = {"dynamics": name} | ({"harmonic": "ir_harmonic"} if name == "ir" else {})
                more.append(_curves(name, table, series, unit, title))
        sections.append(Section("Spectra of dynamics", f"{DYNAMIC} Here: {dynamic.source}.", tuple(more)))
    sections.append(_modes(modes, summary, start, positions))
    page = Page(
        title=f"Vibrations of {start.formula}",
        subtitle=start.path.name,
        status=summary.get("status", "ok"),
        cards=_cards(summary, modes),
        sections=tuple(sections),
        warnings=tuple(summary.get("warnings", ())),
        next_command=f"consil spectrum {model.path.name} {start.path.name} --md 40000\n# with anharmonicity, at 300 K"
        if dynamic is None
        else f"consil simulate {model.path.name} {start.path.name} --ensemble nvt",
        footer=footer(summary),
    )
    write_page(path, page)


def _cards(summary: Mapping[str, Any], modes: Any) -> tuple[Card, ...]:
    out = [
        Card("Imaginary frequencies", summary["n_imaginary"], f"{len(modes.cm1)} modes",
             "good" if not summary["n_imaginary"] else "poor", "none at a minimum"),
        Card("Largest force left", summary["max_force"], "", band(summary["max_force"], 1e-4, 1e-2), "", "eV/Å"),
        Card("Zero-point energy", summary["zero_point_energy"], "harmonic", None, "", "eV", 3),
    ]  # fmt: skip
    if "reference_mae_cm1" in summary:
        mae = summary["reference_mae_cm1"]
        level = summary.get("reference_level") or "the reference"
        out.insert(0, Card("Mean deviation of frequencies", mae, f"largest {summary['reference_max_cm1']:.1f} cm⁻¹",
                           band(mae, 5.0, 20.0), f"from {level}; 5 cm⁻¹ is a good potential", "cm⁻¹", 2))  # fmt: skip
    if summary.get("dynamics"):
        d = summary["dynamics"]
        out.append(Card("Temperature of the dynamics", d["temperature"], d["source"], None, "", "K", 0))
    return tuple(out)


def _sticks(modes: Any, reference: Any) -> Plot:
    """Frequencies as sticks as high as their intensity (or 1); those of the reference point down."""
    known = modes.ir_km_mol is not None
    y_title = "intensity / km/mol" if known else "modes"
    series = {"model": (modes.cm1, modes.ir_km_mol if known else np.ones(len(modes.cm1)))}
    if reference is not None:
        heights = reference.ir_km_mol if known and reference.ir_km_mol is not None else None
        if heights is None:
            heights = np.full(len(reference.cm1), float(np.median(series["model"][1])))
        series["reference (below)"] = (reference.cm1, -heights)
    traces = []
    for i, (name, (x, y)) in enumerate(series.items()):
        colour = figures.CYCLE[i]
        gaps = np.full(len(x), np.nan)
        traces.append({
            "type": "scatter", "mode": "lines+markers", "name": name,
            "x": np.stack([x, x, gaps], 1).ravel(), "y": np.stack([0 * y, y, gaps], 1).ravel(),
            "line": {"color": colour, "width": 2}, "marker": {"color": colour, "size": 5},
        })  # fmt: skip
    layout = {"xaxis": {"title": {"text": "wavenumber / cm⁻¹"}}, "yaxis": {"title": {"text": y_title}}}
    return Plot("sticks", tuple(traces), layout, title="Harmonic frequencies", wide=True)


def _curves(id: str, table: Mapping[str, np.ndarray], names: dict[str, str], y_title: str, title: str) -> Plot:
    series = {label: table[c] for label, c in names.items() if c in table}
    return figures.line(id, table["cm1"], series, x_title="wavenumber / cm⁻¹", y_title=y_title, title=title, wide=True)


def _modes(modes: Any, summary: Mapping[str, Any], start: Start, positions: np.ndarray) -> Section:
    ir = modes.ir_km_mol
    compared = {r["mode"]: r for r in summary.get("reference", ())}
    columns = ["mode", Column("wavenumber", "cm⁻¹", 2), Column("infrared", "km/mol", 2)]
    if compared:
        columns += [
            Column("reference", "cm⁻¹", 2),
            Column("difference", "cm⁻¹", 2),
            Column("reference infrared", "km/mol", 2),
        ]
    rows = []
    for i, f in enumerate(modes.cm1):
        row: list[Any] = [i + 1, float(f), None if ir is None else float(ir[i])]
        if compared:
            r = compared[i + 1]
            row += [r["reference_cm1"], r["difference_cm1"], r.get("reference_ir_km_mol")]
        rows.append(tuple(row))
    blocks: list[Block] = [Table(tuple(columns), tuple(rows), "Modes")]
    if len(modes.cm1):
        pick = int(np.argmax(ir)) if ir is not None else len(modes.cm1) - 1
        move = modes.modes[pick]
        move = move / max(float(np.linalg.norm(move, axis=1).max()), 1e-12)
        text = f"Mode {pick + 1}, {modes.cm1[pick]:.0f} cm⁻¹"
        blocks.append(molecule_view(start, positions, arrows=move, title=f"Relaxed structure; strongest: {text}",
                                    label=text))  # fmt: skip
    return Section("Modes", "Imaginary frequencies are given as negative numbers.", tuple(blocks))
