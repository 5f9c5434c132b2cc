"""The part of a report on several kinds of evidence: which are used, and what the model is without each term."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from consilience.report.page import Column, Section, Table, Text

WORDS = (
    "Every row is a short refinement on from the final model with one term left out, with the last weights of the "
    "others; the first leaves nothing out. Free data were seen by no fit and no decision. A gain is that of the free "
    "data by having the term, in standard errors of the paired differences; two or more are taken as clear."
)


def evidence_section(summary: Mapping[str, Any]) -> Section | None:
    """The section, or None for a refinement against one kind of data."""
    rows = summary.get("leave_one_out")
    if not rows:
        return None
    evidence = summary.get("evidence", {})
    used = Table(
        (Column("evidence"), Column("weight", "", 3), Column("decision"), Column("applies to")),
        tuple((name, e["weight"], e["reason"], e.get("applies", "its amides")) for name, e in evidence.items()),
        "Evidence besides diffraction and restraints; decided on steer data",
    )
    columns = (
        Column("without"), Column("R-free", "", 4), Column("nll of free reflections", "", 4),
        Column("chi2 of free residues", "per datum", 2), Column("bond r.m.s.Z", "", 2), Column("energy", "kT", 1),
    )  # fmt: skip
    table = Table(
        columns,
        tuple(
            ("nothing" if name == "none" else name, r.get("r_free"), r.get("nll_free"), r.get("chi2_free"),
             r["rmsz"].get("bond"), r.get("energy_kT"))
            for name, r in rows.items()
        ),
        "Leave one term out",
    )  # fmt: skip
    said = tuple(Text(r["words"]) for r in rows.values() if "words" in r)
    return Section("Evidence", WORDS, (used, table, *said))
