"""Parts that the reports of several jobs share: the model's text for the 3-D view, truth tables, bands, the footer."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Any, Literal

from consilience.report.page import Band, Column, Table, format_value
from consilience.structure.atoms import Structure

TRUTH = "The data were simulated from a model that is known, so every result has its true value."


def truth_table(truth: Mapping[str, tuple[Any, Any, str]]) -> Table:
    """{label: (found, true, unit)} as a table."""
    rows = tuple((label, found, true, unit) for label, (found, true, unit) in truth.items())
    return Table(("quantity", Column("found"), Column("true"), "unit"), rows)


def band(value: float | None, good: float, fair: float) -> Band | None:
    """How a figure is judged that should be small: "good" up to `good`, "fair" up to `fair`; None stays None."""
    if value is None:
        return None
    return "good" if value <= good else "fair" if value <= fair else "poor"


def structure_text(structure: Structure) -> tuple[str, Literal["pdb", "cif"]]:
    """The model as the viewer takes it: PDB where its names fit there, else mmCIF."""
    st = structure.hierarchy.clone()
    st.setup_entities()
    chains = list(st[0])
    short = all(len(c.name) <= 1 for c in chains) and all(len(r.name) <= 3 for c in chains for r in c)
    if short and len(structure) < 100_000 and all((r.seqid.num or 0) < 10_000 for c in chains for r in c):
        return st.make_pdb_string(), "pdb"
    return st.make_mmcif_document().as_string(), "cif"


def footer(summary: Mapping[str, Any]) -> str:
    """Versions, seed, time and memory in one line."""
    parts = [f"consilience {metadata.version('consilience')}", f"jax {metadata.version('jax')}"]
    parts += [f"gemmi {metadata.version('gemmi')}"]
    for label, key, unit in (
        ("seed", "seed", ""),
        ("time", "wall_s", " s"),
        ("of it compiling", "compile_s", " s"),
        ("memory", "peak_rss_mb", " MB"),
    ):
        if summary.get(key) is not None:
            parts.append(f"{label} {format_value(summary[key])}{unit}")
    return " · ".join([*parts, "inputs and their sha256: manifest.json"])
