"""The report of an export: what was written, and the self-test frame by frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from consilience.jobs.molecule_view import molecule_view
from consilience.jobs.report_parts import band, footer
from consilience.jobs.start import Start
from consilience.report.page import Card, Column, Page, Section, Table, Text
from consilience.report.render import write_page


def write_report(path: Path, summary: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], start: Start) -> None:
    """report.html of an export; rows: those of selftest.csv."""
    engine = f"{summary['engine']} {summary['engine_version']}"
    columns = ("frame", Column("energy", "eV", 6), Column("of the engine", "eV", 6), Column("difference", "eV"),
               Column("largest force", "eV/Å"), Column("largest difference", "eV/Å"))  # fmt: skip
    table = Table(columns, tuple(tuple(r.values()) for r in rows), "Self-test")
    tolerance = summary["tolerance"]
    per_atom = tolerance * len(start.numbers)
    cards = (
        Card("Largest force difference", summary["max_force_difference"], f"{len(rows)} frames",
             band(summary["max_force_difference"], tolerance, 10 * tolerance), f"tolerance {tolerance:g}", "eV/Å"),
        Card("Largest energy difference", summary["max_energy_difference"], "",
             band(summary["max_energy_difference"], per_atom, 10 * per_atom),
             f"tolerance {tolerance:g} eV per atom", "eV"),
    )  # fmt: skip
    text = Text(
        "model/ is a copy that is checked by its hash when it is loaded; run.py runs dynamics from start.extxyz."
    )
    page = Page(
        title=f"Export to {engine}",
        subtitle=f"{start.formula} · {len(start.numbers)} atoms",
        status=summary.get("status", "ok"),
        cards=cards,
        sections=(
            Section(
                "Self-test", "The same frames by consilience with exact lists and through the engine.", (table, text)
            ),
            Section("The molecule", "", (molecule_view(start, start.positions),)),
        ),
        warnings=tuple(summary.get("warnings", ())),
        next_command="python run.py 2000",
        footer=footer(summary),
    )
    write_page(path, page)
