"""Tables as the template needs them, and the numbers of a plot as a table."""

from __future__ import annotations

from typing import Any

import numpy as np

from consilience.report.page import Column, Plot, Row, Table, format_value
from consilience.report.strict_json import plain

TABLE_ROWS = 200  # rows of a table made from the traces of a plot


def table_data(table: Table) -> dict[str, Any]:
    """Columns and rows as text and sorting keys. Raises ValueError for a row of another length."""
    columns = [c if isinstance(c, Column) else Column(c) for c in table.columns]
    rows = []
    for row in table.rows[: table.max_rows]:
        row = row if isinstance(row, Row) else Row(tuple(row))
        if len(row.cells) != len(columns):
            raise ValueError(f"a row of {len(row.cells)} cells in a table of {len(columns)} columns")
        cells = [
            {"text": format_value(v, c.digits), "number": _is_number(v), "sort": plain(v) if _is_number(v) else None}
            for v, c in zip(row.cells, columns, strict=True)
        ]
        rows.append({"cells": cells, "goto": row.goto})
    numeric = [all(r["cells"][i]["number"] or r["cells"][i]["text"] == "–" for r in rows) for i in range(len(columns))]
    return {
        "columns": [{"column": c, "numeric": n and bool(rows)} for c, n in zip(columns, numeric, strict=True)],
        "rows": rows,
        "caption": table.caption,
        "hidden": max(0, len(table.rows) - table.max_rows),
        "goto": any(r["goto"] for r in rows),
    }


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, (bool, np.bool_))


def table_of(plot: Plot) -> Table:
    """The numbers of a plot as a table: one x column where all traces share it, else one pair per trace."""
    traces = [t for t in plot.traces if "y" in t]
    x_title, y_title = (plot.layout.get(a, {}).get("title", {}).get("text", a[0]) for a in ("xaxis", "yaxis"))
    if not traces:
        return Table(("value",), ())
    xs = [list(t.get("x", range(len(t["y"])))) for t in traces]
    ys = [list(t["y"]) for t in traces]
    names = [str(t.get("name", y_title)) for t in traces]
    if all(x == xs[0] for x in xs):
        columns, lists = (x_title, *names), [xs[0], *ys]
    else:
        columns = tuple(c for n in names for c in (f"{n}: {x_title}", f"{n}: {y_title}"))
        lists = [v for pair in zip(xs, ys, strict=True) for v in pair]
    colours = [t.get("marker", {}).get("color") for t in traces]
    if len(traces) == 1 and colours[0] is not None and not isinstance(colours[0], str):
        columns, lists = (x_title, y_title, names[0]), [xs[0], ys[0], list(colours[0])]
    length = max(len(v) for v in lists)
    rows = tuple(tuple(v[i] if i < len(v) else None for v in lists) for i in range(length))
    return Table(columns, rows, max_rows=TABLE_ROWS)
