"""What a report page is made of: cards, sections, plots, tables and the 3-D view, as plain frozen data.

A page knows no domain: each job turns its results into these records, and every report then looks and behaves alike.

    from consilience.report import figures
    from consilience.report.page import Card, Column, Goto, Map, Page, Row, Section, Table, Viewer
    from consilience.report.render import write_page
    from consilience.report.volume import crop_map

    curves = {"R-work": work, "R-free": free}  # arrays over cycles
    plot = figures.line("r-cycle", cycles, curves, x_title="cycle", y_title="R factor", title="R per cycle")
    worst = Table((Column("residue"), Column("z", digits=1)), (Row(("A 45 ARG", 5.2), Goto("A", 45)),), "Outliers")
    card = Card("R-free", 0.1853, "R-work 0.151", "good", "typical at 2.0 Å: 0.20-0.25", digits=4)
    blocks = (plot, worst, Viewer(pdb_text, maps=(Map(crop_map(grid, xyz), (1.5,), "#3f7fd0", "2mFo-DFc"),)))
    write_page("out/report.html", Page("Refinement of 1dur", cards=(card,), sections=(Section("Fit", "", blocks),)))
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from consilience.report.volume import Volume

Band = Literal["good", "fair", "poor"]
Value = str | int | float | bool | None
Status = Literal["ok", "failed", "interrupted", "checks_failed"]
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Card:
    """One headline number. `band` and `reference` answer "is this good?"; `note` is the small print.

    `digits`: fixed number of decimals (None: four significant figures). None and NaN show as a dash.
    """

    label: str
    value: Value
    note: str = ""
    band: Band | None = None
    reference: str = ""
    unit: str = ""
    digits: int | None = None


@dataclass(frozen=True)
class Goto:
    """A residue that the 3-D view flies to; `chain` and `resi` as they stand in the viewer's structure text."""

    chain: str
    resi: int
    icode: str = ""


@dataclass(frozen=True)
class Column:
    """A table column: `digits` fixes the decimals of its numbers (None: four significant figures)."""

    label: str
    unit: str = ""
    digits: int | None = None


@dataclass(frozen=True)
class Row:
    """A table row; with `goto` it can be clicked and the 3-D view then centres on that residue."""

    cells: tuple[Value, ...]
    goto: Goto | None = None


@dataclass(frozen=True)
class Table:
    """Rows under sortable columns; only the first `max_rows` are written, and the page says so."""

    columns: tuple[Column | str, ...]
    rows: tuple[Row | tuple[Value, ...], ...]
    caption: str = ""
    max_rows: int = 200


@dataclass(frozen=True)
class Plot:
    """A plotly figure: `traces` and `layout` as plotly.js takes them (basic bundle: scatter, bar, pie).

    Colours may be palette tokens ("@blue", "@good", ... see figures.PALETTE), which follow the dark and light look.
    Arrays may be numpy; NaN becomes a gap. `id`: letters, digits, "-"; unique in a page. Without `table_fallback`
    the page makes the table for screen readers and copying from the traces.
    """

    id: str
    traces: tuple[Mapping[str, Any], ...]
    layout: Mapping[str, Any] = field(default_factory=dict)
    caption: str = ""
    table_fallback: Table | None = None
    title: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Map:
    """A density map in the 3-D view: one switch, one slider, one mesh per level.

    `levels`: in units of the map's sigma, e.g. (1.5,) or (3.0, -3.0); `colour`: one "#rrggbb" per level (a single
    string serves all). A slider moves all levels of the map together, keeping their signs.
    """

    volume: Volume
    levels: tuple[float, ...]
    colour: str | tuple[str, ...]
    label: str
    visible: bool = True


@dataclass(frozen=True)
class Coloring:
    """A value per residue to paint on the model; `low` and `high` are the ends of the scale (None: 2-98 %)."""

    label: str
    values: Mapping[tuple[str, int], float]
    unit: str = ""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Arrow:
    """A labelled rod in the 3-D view from `start` to `end` (x, y, z in Å of the structure), the label at its end.

    `heads`: 0 for an axis without direction, 1 for an arrow, 2 for heads at both ends.
    """

    start: tuple[float, float, float]
    end: tuple[float, float, float]
    label: str = ""
    colour: str = "#6a737d"
    heads: Literal[0, 1, 2] = 1
    radius: float = 0.35


@dataclass(frozen=True)
class Viewer:
    """The model (cartoon, ligands and ions as sticks and spheres) with its maps; one per page.

    `color_by`: one or several of "b" (B factor), "chain", "element", "secondary" or Coloring; the reader chooses.
    `arrows` stand in the model while the whole of it is shown; their switch is called `arrows_label`. `hydrogens`: show
    hydrogen atoms too, as for a small molecule.
    """

    structure_text: str
    format: Literal["pdb", "cif"] = "pdb"
    maps: tuple[Map, ...] = ()
    color_by: str | Coloring | tuple[str | Coloring, ...] = "b"
    caption: str = ""
    title: str = "Model and density"
    arrows: tuple[Arrow, ...] = ()
    arrows_label: str = "Axes"
    hydrogens: bool = False


@dataclass(frozen=True)
class Text:
    """Plain paragraphs, separated by blank lines; no markup of any kind is interpreted."""

    text: str


Block = Plot | Table | Viewer | Text


@dataclass(frozen=True)
class Section:
    """A heading, an introduction in plain words, and its blocks (plots stand side by side where there is room)."""

    title: str
    text: str = ""
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True)
class Page:
    """A whole report. `next_command`: what the user would type next; `footer`: versions, seed, time."""

    title: str
    subtitle: str = ""
    status: Status = "ok"
    cards: tuple[Card, ...] = ()
    sections: tuple[Section, ...] = ()
    warnings: tuple[str, ...] = ()
    next_command: str = ""
    footer: str = ""


def format_value(value: object, digits: int | None = None) -> str:
    """A number as a person reads it: fixed `digits`, else four significant figures; None and NaN give a dash."""
    if value is None:
        return "–"
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        return f"{int(value):,}".replace(",", "\u202f") if abs(int(value)) >= 10000 else str(int(value))
    if not isinstance(value, (float, np.floating)):
        return str(value)
    x = float(value)
    if math.isnan(x):
        return "–"
    if math.isinf(x):
        return "∞" if x > 0 else "−∞"
    if digits is not None:
        text = f"{x:.{digits}f}"
        text = text.lstrip("-") if float(text) == 0.0 else text
    elif x == 0.0:
        text = "0"
    elif 1e-3 <= abs(x) < 1e6:
        text = f"{x:.4g}" if abs(x) < 1e4 else f"{x:.0f}"
    else:
        mantissa, exponent = f"{x:.1e}".split("e")
        text = f"{mantissa} × 10{str(int(exponent)).translate(_SUPERSCRIPT)}"
    return text.replace("-", "−")
