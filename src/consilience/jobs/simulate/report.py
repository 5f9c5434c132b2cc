"""The report of a simulation: energies and temperature along the run, drift with its line, distances, the start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from consilience.jobs.common.dynamics_options import SimulateOptions
from consilience.jobs.common.molecule_view import molecule_view
from consilience.jobs.common.report_parts import band, footer
from consilience.jobs.common.start import Start
from consilience.jobs.simulate.files import SPREAD
from consilience.report import figures
from consilience.report.page import Block, Card, Page, Section, Table, Text
from consilience.report.render import write_page

POINTS = 1500
ENERGY = "Potential and kinetic energy trade; their sum must not wander. The slope of its fitted line is the drift."
SOUND = "No frame may have a distance below 0.4 Å, a force over 500 eV/Å, a temperature or total energy far off."


def write_report(
    path: Path,
    summary: Mapping[str, Any],
    table: Mapping[str, np.ndarray],
    start: Start,
    options: SimulateOptions,
    model: Any,
) -> None:
    """report.html of a simulation from its summary and observables (F, R)."""
    n = len(start.numbers)
    sections = [_failure(summary)] if summary["failure"] is not None else []
    if len(table["step"]):
        sections += [_energies(table, n, options, summary), _temperature(table, options)]
    if SPREAD in table and table[SPREAD].size:
        sections.append(_members(table, summary))
    sections.append(
        Section("The molecule", "At the start.", (molecule_view(start, start.positions), _choices(summary)))
    )
    page = Page(
        title=f"Dynamics of {start.formula}",
        subtitle=f"{start.path.name} · {options.ensemble.upper()} · {summary['n_steps']} steps of {options.dt:g} fs · "
        f"engine {options.engine}",
        status=summary.get("status", "ok"),
        cards=_cards(summary, options),
        sections=tuple(sections),
        warnings=tuple(summary.get("warnings", ())),
        next_command=_next(options, model, start),
        footer=footer(summary),
    )
    write_page(path, page)


def _next(options: SimulateOptions, model: Any, start: Start) -> str:
    if options.ensemble == "nvt":
        return f"consil simulate {model.path.name} {start.path.name} --ensemble nve\n# does it keep its energy?"
    return f"consil spectrum {model.path.name} {start.path.name} --md 40000\n# vibrations, infrared and power spectra"


def _cards(summary: Mapping[str, Any], options: SimulateOptions) -> tuple[Card, ...]:
    drift, rms = summary["drift"], summary["energy_rms"]
    kept = "constant temperature: the total energy is not conserved" if options.ensemble == "nvt" else "too few frames"
    return (
        Card("Stable", summary["stable"], f"{summary['n_steps']} of {options.steps} steps",
             "good" if summary["stable"] else "poor", "no frame crossed a bound"),
        Card("Energy drift", drift, kept if drift is None else f"± {summary['drift_err']:.2g} (fit)",
             None if drift is None else band(abs(drift), 0.05, 0.5), "below 0.05 is excellent, above 0.5 too much",
             "meV/atom/ps", 3),
        Card("Energy r.m.s.", rms, kept if rms is None else "about the mean, of the total energy",
             None if rms is None else band(rms, 1.0, 5.0), "falls with the square of the time step", "meV/atom"),
        Card("Mean temperature", summary["temperature_mean"],
             f"± {summary['temperature_std']:.3g} K (fluctuation)" if summary["temperature_std"] is not None else "",
             None, _expected(options), "K", 1),
        Card("Shortest distance", summary["min_distance"], "over all steps", None, "0.7 Å or more between bonded atoms",
             "Å", 3),
        Card("Largest force", summary["max_force"], "over all steps", None, "", "eV/Å", 2),
        Card("Speed", summary["steps_per_s"], "of each replica, without compilation", None, "", "steps/s"),
    )  # fmt: skip


def _expected(options: SimulateOptions) -> str:
    if options.ensemble == "nvt":
        return f"bath at {options.temperature:g} K"
    half = options.temperature / 2
    return f"velocities drawn for {options.temperature:g} K; from a relaxed start it falls to about {half:g} K"


def _thin(x: np.ndarray) -> np.ndarray:
    return np.unique(np.linspace(0, len(x) - 1, min(len(x), POINTS)).astype(int))


def _energies(table: Mapping[str, np.ndarray], n: int, options: SimulateOptions, summary: Mapping[str, Any]) -> Section:
    at = _thin(table["step"])
    ps = table["time_fs"][:, 0] * 1e-3
    scale = 1e3 / n
    parts = {
        "potential": (table["E_pot"][:, 0] - table["E_pot"][0, 0])[at] * scale,
        "kinetic": (table["E_kin"][:, 0] - table["E_kin"][0, 0])[at] * scale,
        "total": (table["E"][:, 0] - table["E"][0, 0])[at] * scale,
    }
    blocks: list[Block] = [
        figures.line("energies", ps[at], parts, x_title="time / ps", y_title="change of energy / meV per atom",
                     title="Energies", caption="Of the first replica, from their values at the start."),
    ]  # fmt: skip
    total = (table["E"] - table["E"].mean(0)) * scale
    shown = {f"replica {r + 1}" if total.shape[1] > 1 else "total": total[at, r] for r in range(min(total.shape[1], 4))}
    if options.ensemble == "nve" and summary["drift"] is not None:
        slope = np.array([np.polyfit(ps, total[:, r], 1) for r in range(total.shape[1])])
        shown["fitted line"] = np.polyval(slope.mean(0), ps)[at]
    blocks.append(
        figures.line("drift", ps[at], shown, x_title="time / ps", y_title="total energy / meV per atom",
                     title="Total energy", caption="About its mean, with the straight line that gives the drift."),
    )  # fmt: skip
    return Section("Energy", ENERGY if options.ensemble == "nve" else "The bath exchanges energy.", tuple(blocks))


def _temperature(table: Mapping[str, np.ndarray], options: SimulateOptions) -> Section:
    at = _thin(table["step"])
    t = table["T"]
    mean = np.cumsum(t.mean(1)) / np.arange(1, len(t) + 1)
    series = {"of all replicas" if t.shape[1] > 1 else "kinetic": t.mean(1)[at], "mean so far": mean[at]}
    plot = figures.line("temperature", table["time_fs"][at, 0] * 1e-3, series, x_title="time / ps",
                        y_title="temperature / K", title="Temperature")  # fmt: skip
    if options.ensemble == "nvt":
        spread = options.temperature * 0.05
        plot = figures.with_band(plot, options.temperature - spread, options.temperature + spread)
    bars = figures.histogram("temperatures", {"temperature": t.ravel()}, x_title="temperature / K",
                             title="Distribution of temperatures")  # fmt: skip
    return Section("Temperature", "From the kinetic energy.", (plot, bars))


def _members(table: Mapping[str, np.ndarray], summary: Mapping[str, Any]) -> Section:
    at = _thin(table["step"])
    plot = figures.line("members", table["time_fs"][at, 0] * 1e-3, {"disagreement": table[SPREAD].max(1)[at]},
                        x_title="time / ps", y_title="disagreement / eV/Å", title="Ensemble")  # fmt: skip
    bound = (summary.get("force_disagreement") or {}).get("bound")
    if bound is not None:
        plot = figures.with_band(plot, 0.0, bound)
    text = "Largest standard deviation over the members of the force on an atom; above the band frames are not trusted."
    return Section("Do the members agree?", text, (replace(plot, wide=True),))


def _failure(summary: Mapping[str, Any]) -> Section:
    f = summary["failure"]
    rows = [
        ("what", f["reason"]),
        ("step", f["step"]),
        ("time / fs", f["time_fs"]),
        ("atoms (from 0)", ", ".join(map(str, f["atoms"]))),
        ("distance / Å", f["distance"]),
        ("largest force / eV/Å", f["max_force"]),
        ("on atom", f["max_force_atom"]),
        ("term", f["term"]),
    ]
    terms = [(k, v, f["term_forces"].get(k)) for k, v in f["term_energies"].items()]
    blocks: list[Block] = [Table(("", "value"), tuple(rows), "The frame that crossed a bound")]
    if terms:
        blocks.append(Table(("term", "energy / eV", "largest force on these atoms / eV/Å"), tuple(terms), "By term"))
    if f["atoms"]:
        blocks.append(Text("failure.extxyz holds the last sound frame and, where it is finite, the one that failed."))
    return Section("Why it stopped", SOUND, tuple(blocks))


def _choices(summary: Mapping[str, Any]) -> Table:
    keys = ("ensemble", "engine", "replicas", "dt_fs", "n_frames", "n_atoms")
    return Table(("choice", "value"), tuple((k.replace("_", " "), summary[k]) for k in keys), "Choices")
