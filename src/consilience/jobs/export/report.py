"""The report of an export: what was written, and the self-test frame by frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from consilience.jobs.common.bead_start import BeadStart
from consilience.jobs.common.molecule_view import molecule_view
from consilience.jobs.common.report_parts import band, footer
from consilience.jobs.common.start import Start
from consilience.report.page import Card, Column, Page, Section, Table, Text, Viewer
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


def write_bead_report(
    path: Path, summary: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], start: BeadStart, run: str
) -> None:
    """report.html of an export of beads; run: the command that starts dynamics."""
    engine = f"{summary['engine']} {summary['engine_version']}"
    columns = ("engine", "frame", Column("energy", "kcal/mol", 6), Column("of the engine", "kcal/mol", 6),
               Column("difference", "kcal/mol"), Column("largest force", "kcal/mol/Å"),
               Column("largest difference", "kcal/mol/Å"), Column("relative"))  # fmt: skip
    table = Table(columns, tuple(tuple(r.values()) for r in rows), "Self-test")
    energy, force = summary["tolerance"]["energy"], summary["tolerance"]["relative_force"]
    cards = (
        Card("Largest force difference", summary["max_relative_force_difference"], ", ".join(summary["ways"]),
             band(summary["max_relative_force_difference"], force, 10 * force), f"tolerance {force:g}",
             "of the largest force"),
        Card("Largest energy difference", summary["max_energy_difference"], "",
             band(summary["max_energy_difference"], energy, 10 * energy), f"tolerance {energy:g} kcal/mol", "kcal/mol"),
    )  # fmt: skip
    text = Text("README.txt says what the files are and how to run them.")
    said = "The same frames by consilience and by the engine, with the beads in another order."
    page = Page(
        title=f"Export to {engine}",
        subtitle=start.formula,
        status=summary.get("status", "ok"),
        cards=cards,
        sections=(
            Section("Self-test", said, (table, text)),
            Section("The beads", "", (Viewer(start.pdb(), title="Start"),)),
        ),
        warnings=tuple(summary.get("warnings", ())),
        next_command=run,
        footer=footer(summary),
    )
    write_page(path, page)
