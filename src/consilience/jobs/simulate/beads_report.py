"""The report of a simulation of beads: free energy, traces of Rg, RMSD and Q, energies, temperature, the chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from consilience.jobs.common.bead_start import BeadStart
from consilience.jobs.common.dynamics_options import SimulateOptions
from consilience.jobs.common.molecule_view import molecule_view
from consilience.jobs.common.report_parts import footer
from consilience.jobs.common.start import Start
from consilience.report import figures
from consilience.report.page import Block, Card, Page, Section, Table
from consilience.report.render import write_page

POINTS = 1500
LENGTH = {"Rg": "Rg / Å", "RMSD": "RMSD / Å", "Q": "Q"}
SOUND = (
    "No two beads that are not bonded may come within 2.5 Å, no bond may be 0.5 Å off its mean, no force over 200 eV/Å."
)


def write_report(
    path: Path,
    summary: Mapping[str, Any],
    table: Mapping[str, np.ndarray],
    start: Start,
    begun: BeadStart,
    options: SimulateOptions,
    observe: Any,
    free: Sequence[Mapping[str, Any]] | None,
) -> None:
    """report.html from the summary, the observables (F, R) and the rows of free_energy.csv."""
    sections = [_failure(summary)] if summary["failure"] is not None else []
    if free:
        sections.append(_free(free, options))
    if len(table["step"]):
        sections += [_traces(table, observe), _energies(table, len(begun))]
    keys = ("method", "ensemble", "replicas", "dt_fs", "n_frames", "n_beads")
    choices = Table(("choice", "value"), tuple((k.replace("_", " "), summary[k]) for k in keys), "Choices")
    sections.append(Section("The chain", "CA atoms at the start.", (molecule_view(start, start.positions), choices)))
    page = Page(
        title=f"Dynamics of {begun.name}",
        subtitle=f"{begun.path.name} · {options.method} · {options.ensemble.upper()} · {summary['n_steps']} steps of "
        f"{options.dt:g} fs",
        status=summary.get("status", "ok"),
        cards=_cards(summary, options),
        sections=tuple(sections),
        warnings=tuple(summary.get("warnings", ())),
        next_command="consil evaluate MODEL DATA --reference TRAJECTORY\n# does it move as the reference does?",
        footer=footer(summary),
    )
    write_page(path, page)


def _cards(summary: Mapping[str, Any], options: SimulateOptions) -> tuple[Card, ...]:
    stable, near, off = summary["stable"], summary["min_distance"], summary["bond_max"]
    return (
        Card("Stable", stable, f"{summary['n_steps']} steps", "good" if stable else "poor", "no frame crossed a bound"),
        Card("Shortest distance", near, "of beads two or more apart, over all steps", None, "over 3.0 Å", "Å", 2),
        Card("Bonds", off, "largest deviation from their means, in frames", None, "below 0.5 Å", "Å", 3),
        Card("Mean temperature", summary["temperature_mean"], "kinetic", None, f"bath at {options.temperature:g} K"
             if options.ensemble == "nvt" else "constant energy", "K", 1),
        Card("Energy drift", summary["drift"], "of the fitted line", None, "constant energy only",
             "kcal/mol/bead/ns", 4),
        Card("Speed", summary["steps_per_s"], "of each replica, without compilation", None, "", "steps/s"),
    )  # fmt: skip


def _thin(count: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, POINTS)).astype(int))


def _free(free: Sequence[Mapping[str, Any]], options: SimulateOptions) -> Section:
    name = next(iter(free[0]))
    rows = [r for r in free if r["F_kcal_mol"] is not None]
    x, f = (np.array([r[k] for r in rows]) for k in (name, "F_kcal_mol"))
    error = np.array([np.nan if r["error_kcal_mol"] is None else r["error_kcal_mol"] for r in rows])
    plot = figures.line("free-energy", x, {"free energy": f}, x_title=LENGTH[name], y_title="free energy / kcal/mol",
                        title="Free energy", wide=True,
                        errors={"free energy": error} if np.isfinite(error).all() else None)  # fmt: skip
    how = {"md": "From the histogram of the run.", "remd": "From the histogram of the lowest temperature.",
           "metad": "Minus the bias, scaled; the error is the spread over the second half of the run.",
           "umbrella": "From all windows by MBAR, errors by bootstrap."}[options.method]  # fmt: skip
    return Section("Free energy", how, (plot,))


def _traces(table: Mapping[str, np.ndarray], observe: Any) -> Section:
    at = _thin(len(table["step"]))
    ns = table["time_fs"][at, 0] * 1e-6
    blocks: list[Block] = []
    for name in observe.columns:
        shown = {f"replica {r + 1}": table[name][at, r] for r in range(min(table[name].shape[1], 4))}
        blocks.append(figures.line(f"trace-{name}", ns, shown, x_title="time / ns", y_title=LENGTH[name], title=name))
    return Section(
        "The chain in time", "Size, distance to the reference and fraction of native contacts.", tuple(blocks)
    )


def _energies(table: Mapping[str, np.ndarray], n: int) -> Section:
    at = _thin(len(table["step"]))
    ns = table["time_fs"][at, 0] * 1e-6
    parts = {k: (table[c][at, 0] - table[c][0, 0]) / n for k, c in (("potential", "E_pot"), ("total", "E"))}
    energy = figures.line("energies", ns, parts, x_title="time / ns", y_title="change of energy / kcal/mol per bead",
                          title="Energies")  # fmt: skip
    heat = figures.histogram("temperatures", {"temperature": table["T"].ravel()}, x_title="temperature / K",
                             title="Distribution of temperatures")  # fmt: skip
    return Section("Energy and temperature", "Of the first replica; temperatures of all.", (energy, heat))


def _failure(summary: Mapping[str, Any]) -> Section:
    f = summary["failure"]
    keys = ("reason", "step", "time_fs", "distance", "max_force", "max_force_atom", "term")
    rows = [(k.replace("_", " "), f[k]) for k in keys] + [("beads (from 0)", ", ".join(map(str, f["atoms"])))]
    blocks: list[Block] = [Table(("", "value"), tuple(rows), "The frame that crossed a bound (Å, eV/Å)")]
    if f["term_energies"]:
        terms = tuple((k, v, f["term_forces"].get(k)) for k, v in f["term_energies"].items())
        blocks.append(Table(("term", "energy / eV", "largest force on these beads / eV/Å"), terms, "By term"))
    return Section("Why it stopped", SOUND, tuple(blocks))
