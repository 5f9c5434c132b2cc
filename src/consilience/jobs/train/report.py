"""The report of a training: errors on every set, learning curves, agreement, the card, and the molecule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from consilience.jobs.common.output import OutputFolder
from consilience.jobs.common.report_parts import footer
from consilience.report.figures import line, scatter
from consilience.report.page import Band, Card, Column, Page, Plot, Section, Table, Text, format_value
from consilience.report.render import write_page

POINTS = 3000  # in a scatter plot


def write_report(
    folder: OutputFolder,
    summary: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
    model: Any,
    sets: Mapping[str, Any],
    channels: tuple[str, ...],
) -> None:
    """report.html of a training."""
    from consilience.potentials.dataset import batch_of
    from consilience.potentials.ensemble import mean_prediction

    unseen = "free" if "free" in sets else "valid"
    row, card = summary["table"][unseen], summary["card"]
    batch = batch_of(sets[unseen], model.potential, channels)
    found = mean_prediction(model.members, batch)
    checks = summary["checks"]
    holding = sum(c["passed"] for c in checks)
    cards = [
        Card(
            "force error",
            row.get("force_mae_mev_A"),
            f"mean, {unseen} frames",
            _band(row.get("force_rel")),
            "",
            "meV/Å",
        ),
        Card("energy error", row.get("energy_mae_mev_atom"), f"mean, {unseen} frames", None, "", "meV/atom"),
        Card("checks that hold", holding, f"of {len(checks)}", "good" if holding == len(checks) else "poor"),
        Card("parameters", summary["n_parameters"], f"{summary['epochs']} epochs"),
    ]
    sections = [
        Section("Errors", _words(unseen), (error_table(summary["table"]),)),
        Section("Learning", "", (_learning(history),)),
        Section("Agreement", "", tuple(agreement_plots(found, batch, unseen))),
        Section("What was proven", PROOF, (law_table(checks), *_nve(card))),
        Section("Data", "", (_data(summary["data"]),)),
    ]
    page = Page(
        f"Training of a potential: {summary['model']}",
        ", ".join(sets["train"].files),
        "ok" if summary["status"] == "ok" else "checks_failed",
        tuple(cards),
        tuple(sections),
        folder.warnings,
        f"consil simulate {folder.path / 'model'} start.xyz",
        footer({**summary, **folder.timings()}),
    )
    write_page(folder.path / "report.html", page)


PROOF = (
    "Each law was measured on the trained weights in float64, on a training molecule. A force that is not minus the "
    "gradient of the energy, a jump at the cutoff or a kink at a symmetric geometry would stand here as a check that "
    "does not hold."
)


def _words(unseen: str) -> str:
    seen = "they chose the epoch and the scales" if unseen == "valid" else "nothing was decided by them"
    return f"Mean absolute errors unless named otherwise. The {unseen} frames were not fitted; {seen}."


def _band(relative: float | None) -> Band | None:
    if relative is None:
        return None
    return "good" if relative < 0.02 else "fair" if relative < 0.1 else "poor"


def error_table(table: Mapping[str, Mapping[str, float]]) -> Table:
    """Errors by row, sets by column."""
    keys = list(dict.fromkeys(k for row in table.values() for k in row))
    rows = tuple((k, *(row.get(k) for row in table.values())) for k in keys)
    return Table(("error", *(Column(name) for name in table)), rows)


def _learning(history: Sequence[Mapping[str, Any]]) -> Plot:
    first = [h for h in history if h["member"] == 1]
    curves = {k.removeprefix("rms_"): [h[k] for h in first] for k in first[0] if k.startswith("rms_")}
    caption = "Averaged weights on the validation frames; energy in eV/atom, forces eV/Å, dipole e Å, esp V."
    return line(
        "learning", [h["epoch"] for h in first], curves, x_title="epoch", y_title="r.m.s. error", caption=caption,
        log_y=True,
    )  # fmt: skip


def agreement_plots(found: Mapping[str, Any], batch: Any, name: str) -> list[Plot]:
    """A scatter plot of the model against the reference for each channel."""
    rng = np.random.default_rng(0)
    out = []
    for channel in (c for c in ("forces", "energy", "stress", "dipole", "esp") if c in batch.labels):
        a, b = np.asarray(batch.labels[channel]).ravel(), np.asarray(found[channel]).ravel()
        known = np.isfinite(a)
        if channel == "forces":
            known &= np.repeat((batch.numbers > 0).ravel(), 3)
        a, b = a[known], b[known]
        if channel == "energy":
            a, b = a - a.mean(), b - a.mean()
        pick = rng.permutation(len(a))[:POINTS]
        unit = {"forces": "eV/Å", "energy": "eV", "stress": "eV/Å³", "dipole": "e Å", "esp": "V"}[channel]
        out.append(
            scatter(
                f"agreement-{channel}", {name: (a[pick], b[pick])}, x_title=f"reference {channel}, {unit}",
                y_title=f"model, {unit}", diagonal=True,
            )
        )  # fmt: skip
    return out


def law_table(checks: Sequence[Mapping[str, Any]]) -> Table:
    """Every law that was measured, and whether it holds."""
    rows = tuple(
        ("holds" if c["passed"] else "does not hold", c["name"], c["value"], c["tolerance"], c["about"]) for c in checks
    )
    return Table(("", "law", Column("measured"), Column("tolerance"), "about"), rows)


def _nve(card: Mapping[str, Any]) -> list[Any]:
    rms = card.get("nve_rms_mev_atom") or {}
    if not rms:
        return []
    drift = card["nve_drift_mev_atom_ps"]
    words = "; ".join(
        f"{dt} fs: spread {format_value(v)}, drift {format_value(drift[dt])} per ps" for dt, v in rms.items()
    )
    return [Text(f"Total energy at constant energy, 300 K, meV/atom: {words}.")]


def _data(data: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = tuple(
        (name, d["key"], d["count"], d["unit"], d["mean"], d["std"], d["file_unit"]) for name, d in data.items()
    )
    return Table(
        ("array", "key", Column("numbers"), "unit", Column("mean"), Column("spread"), "unit in the file"), rows
    )
