"""The report of consil learn: disagreement and errors of mean forces before and after, and what was dropped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from consilience.jobs.common.output import OutputFolder
from consilience.jobs.common.report_parts import footer
from consilience.report import figures
from consilience.report.page import Card, Column, Page, Plot, Section, Table
from consilience.report.render import write_page

ABOUT = (
    "Frames of the members' own dynamics on whose forces they disagree most. Atoms are led to each, the CA are frozen "
    "there, and the force on them is averaged: the mean force, with its standard error. After: the model of the "
    "training that followed. It has seen the labelled frames, but not those set aside (every fifth)."
)


def write_report(folder: OutputFolder, summary: Mapping[str, Any]) -> None:
    """report.html of rounds of learning."""
    rounds = summary["rounds"]
    last = rounds[-1]
    shown = last["unseen"] or last["labelled"]
    which = "frames set aside" if last["unseen"] else "labelled frames, which were trained on"
    cards = (
        Card("error of mean forces", shown["after"]["mean_force_error"],
             f"before {shown['before']['mean_force_error']:.2f}; {which}", None, "", "kcal/mol/Å", 2),
        Card("disagreement", shown["after"]["disagreement"], f"before {shown['before']['disagreement']:.2f}; {which}",
             None, "", "kcal/mol/Å", 2),
        Card("labelled frames", summary["n_labelled"], f"standard error {last['labelled']['standard_error']:.2f} "
             "kcal/mol/Å"),
        Card("dropped frames", summary["n_dropped"], "which atoms cannot reach"),
    )  # fmt: skip
    page = Page(
        "Learning of a potential of beads",
        ", ".join(p["protein"] for p in last["proteins"]),
        "ok" if summary["status"] == "ok" else "checks_failed",
        cards,
        (
            Section("Rounds", ABOUT, (*_bars(rounds), _table(rounds))),
            Section("Frames", "", (_counts(rounds),)),
        ),
        tuple(summary["warnings"]),
        f"consil simulate {folder.path / 'model'} start.pdb --ensemble nvt",
        footer(summary),
    )
    write_page(folder.path / "report.html", page)


def _bars(rounds: Any) -> Iterator[Plot]:
    for key, title in (("mean_force_error", "Error of mean forces"), ("disagreement", "Disagreement")):
        series = {
            f"{name}, {when}": [np.nan if r[name] is None else r[name][when][key] for r in rounds]
            for name in ("labelled", "unseen")
            for when in ("before", "after")
        }
        yield figures.bar(key.replace("_", "-"), [f"round {r['round']}" for r in rounds], series, x_title="round",
                          y_title=f"{title.lower()} / kcal/mol/Å", title=title)  # fmt: skip


def _table(rounds: Any) -> Table:
    columns = ("round", "frames", Column("number"), *(Column(c, "kcal/mol/Å", 2) for c in (
        "mean force, r.m.s.", "its error", "disagreement before", "after", "error before", "error after")))  # fmt: skip
    rows = tuple(
        (r["round"], "labelled" if name == "labelled" else "set aside", one["n_frames"], one["mean_force_rms"],
         one["standard_error"], one["before"]["disagreement"], one["after"]["disagreement"],
         one["before"]["mean_force_error"], one["after"]["mean_force_error"])
        for r in rounds for name in ("labelled", "unseen") if (one := r[name]) is not None
    )  # fmt: skip
    caption = "Errors are root mean squares against mean forces, the standard errors of these taken off."
    return Table(columns, rows, caption)


def _counts(rounds: Any) -> Table:
    columns = ("round", Column("explored"), Column("sound"), Column("broken runs"), Column("picked"), "dropped",
               Column("disagreement, all", "kcal/mol/Å", 2), "weights")  # fmt: skip
    rows = tuple(
        (r["round"], r["explored"], r["sound"], r["runs_failed"], r["picked"],
         ", ".join(f"{k}: {v}" for k, v in r["dropped"].items()) or "none", r["disagreement_explored"],
         ", ".join(f"{k} {v:.3g}" for k, v in r["weights"].items()))
        for r in rounds
    )  # fmt: skip
    return Table(columns, rows, "Weights: of a labelled frame in the training, against 1 of an ordinary one.")
