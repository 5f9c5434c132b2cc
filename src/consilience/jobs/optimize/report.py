"""The report of an optimisation: energy along the path, what moved, and the relaxed structure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from consilience.jobs.common.molecule_view import molecule_view
from consilience.jobs.common.report_parts import band, footer
from consilience.jobs.common.start import Start
from consilience.report import figures
from consilience.report.page import Card, Column, Page, Section, Table
from consilience.report.render import write_page


def write_report(
    path: Path, summary: Mapping[str, Any], done: Any, start: Start, shift: np.ndarray, model: Any
) -> None:
    """report.html of an optimisation; shift (n,) Å: how far each atom has moved after superposition."""
    above = np.maximum((done.energies - done.energies.min()) * 1e3, 1e-6)
    plot = figures.line(
        "path",
        np.arange(len(above)),
        {"energy above the lowest": above},
        x_title="step",
        y_title="energy / meV",
        title="Energy along the path",
        log_y=True,
        markers=len(above) < 100,
    )
    size = np.linalg.norm(done.forces, axis=1)
    rows = tuple(
        (f"{e}{i + 1}", *(float(v) for v in x), float(f), float(d))
        for i, (e, x, f, d) in enumerate(zip(start.elements, done.positions, size, shift, strict=True))
    )
    columns = ("atom", Column("x", "Å", 4), Column("y", "Å", 4), Column("z", "Å", 4), Column("force", "eV/Å"),
               Column("moved", "Å", 4))  # fmt: skip
    arrows = start.positions - done.positions if summary["rmsd"] < 2 else None
    view = molecule_view(start, done.positions, arrows=None if arrows is None else arrows - arrows.mean(0),
                         title="Relaxed structure", label="From the start")  # fmt: skip
    cards = (
        Card("Converged", summary["converged"], f"{summary['steps']} steps, {summary['evaluations']} evaluations",
             "good" if summary["converged"] else "poor"),
        Card("Largest force", summary["max_force"], f"at the start {summary['max_force_start']:.3g} eV/Å",
             band(summary["max_force"], 1e-3, 0.05), "1e-3 for geometries, 1e-5 for frequencies", "eV/Å"),
        Card("Energy", summary["energy"], f"{summary['energy'] - summary['energy_start']:+.4f} eV from the start",
             None, "", "eV", 5),
        Card("R.m.s. displacement", summary["rmsd"], "after superposition", None, "", "Å", 4),
    )  # fmt: skip
    page = Page(
        title=f"Geometry of {start.formula}",
        subtitle=start.path.name,
        status=summary.get("status", "ok"),
        cards=cards,
        sections=(
            Section("Path", "BFGS, forces from the model.", (plot,)),
            Section("Structure", "", (view, Table(columns, rows, "Atoms"))),
        ),
        warnings=tuple(summary.get("warnings", ())),
        next_command=f"consil spectrum {model.path.name} optimized.extxyz\n# harmonic frequencies and intensities",
        footer=footer(summary),
    )
    write_page(path, page)
