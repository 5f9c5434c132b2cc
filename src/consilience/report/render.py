"""Turns a Page into one HTML file that needs nothing else: escaped, self-contained, under a strict content policy."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from consilience.core.errors import clean
from consilience.report.figures import BLUE_TO_RED, PALETTE
from consilience.report.page import (
    Arrow,
    Coloring,
    Column,
    Map,
    Page,
    Plot,
    Row,
    Section,
    Table,
    Text,
    Viewer,
    format_value,
)

TABLE_ROWS = 200  # rows of a table made from the traces of a plot
BANDS = {"good": "good", "fair": "borderline", "poor": "poor"}
STATUSES = {"ok": "finished", "failed": "failed", "interrupted": "interrupted", "checks_failed": "checks failed"}
# tags that plotly draws as typography; everything else in a string is shown as it is
_TYPOGRAPHY = re.compile(r"&lt;(/?(?:sub|sup|i|b|br))&gt;")


def write_page(path: str | os.PathLike[str], page: Page) -> int:
    """Write the page as one self-contained HTML file, whole or not at all; returns its size in bytes.

    Raises ValueError for a page that cannot be shown (plot ids not unique, two viewers), OSError from the disk.
    """
    path = Path(path)
    data = render_page(page).encode("utf-8")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return len(data)


def render_page(page: Page) -> str:
    """The HTML text of a page (see write_page)."""
    blocks = [b for s in page.sections for b in s.blocks]
    plots = [b for b in blocks if isinstance(b, Plot)]
    viewers = [b for b in blocks if isinstance(b, Viewer)]
    ids = [p.id for p in plots]
    bad = [i for i in ids if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", i) or ids.count(i) > 1]
    if bad:
        raise ValueError(f"plot ids must be unique and made of letters, digits and '-': {sorted(set(bad))}")
    if len(viewers) > 1:
        raise ValueError(f"a page holds at most one 3-D view, found {len(viewers)}")

    data = {
        "palette": PALETTE,
        "plots": [{"id": p.id, "traces": _for_plotly(p.traces), "layout": _for_plotly(p.layout)} for p in plots],
        "viewer": _viewer_data(viewers[0]) if viewers else None,
    }
    scripts = [_asset("assets/boot.js")]
    scripts += [_asset("vendor/plotly-basic.min.js")] if plots else []
    scripts += [_asset("vendor/3Dmol-min.js"), _asset("assets/mesh.js"), _asset("assets/viewer.js")] if viewers else []
    scripts += [_asset("assets/page.js")]
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; "
        "worker-src blob:; connect-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    env = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda x: x if isinstance(x, Markup) else clean(x) if isinstance(x, str) else x,
    )
    return env.from_string(_asset("assets/page.html.j2")).render(
        page=page,
        policy=policy,
        style=Markup(_asset("assets/page.css")),
        boot=Markup(scripts[0]),
        scripts=[Markup(s) for s in scripts[1:]],
        data=Markup(_json(data)),
        sections=[_section(i, s) for i, s in enumerate(page.sections)],
        has_viewer=bool(viewers),
        licences=_licences(plots=bool(plots), viewer=bool(viewers)),
        card_columns=_card_columns(len(page.cards)),
        bands=BANDS,
        status=STATUSES[page.status],
        show=format_value,
    )


def _card_columns(n: int) -> int:
    """Cards per row on a wide screen: rows as even as possible."""
    return n if n <= 5 else min((4, 3, 5), key=lambda c: (-n % c, c != 4))


def _asset(name: str) -> str:
    """A file of this package, safe inside a <script> or <style> element."""
    text = files("consilience.report").joinpath(*name.split("/")).read_text(encoding="utf-8")
    return text if name.endswith(".j2") else re.sub(r"<(?=/script|/style|!--)", r"<\\", text, flags=re.IGNORECASE)


def _licences(*, plots: bool, viewer: bool) -> list[dict[str, str]]:
    """Name and licence text of each script that the page carries."""
    wanted = {"plotly-basic.min.js": plots, "3Dmol-min.js": viewer}
    entries = [e for e in json.loads(_asset("vendor/VENDOR.json")) if wanted[e["file"]]]
    return [
        {
            "name": f"{e['name']} {e['version']} ({e['licence']})",
            "text": "\n".join(_asset(f"vendor/{name}") for name in e["licence_files"]),
        }
        for e in entries
    ]


def _json(data: object) -> str:
    """Strict JSON that cannot end or open a tag: <, > and & and everything beyond ASCII as escapes."""
    text = json.dumps(_plain(data), allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _plain(value: Any) -> Any:
    """JSON types only; numbers to six significant digits, those that are not finite become null."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, Sequence):
        return [_plain(v) for v in value]
    raise TypeError(f"a report cannot hold a {type(value).__name__}")


def _for_plotly(value: Any) -> Any:
    """The same data with text that plotly would read as markup made literal (hover templates are the author's)."""
    if isinstance(value, str):
        text = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return _TYPOGRAPHY.sub(r"<\1>", text)
    if isinstance(value, Mapping):
        return {k: v if k == "hovertemplate" else _for_plotly(v) for k, v in value.items()}
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        return value
    if isinstance(value, (Sequence, np.ndarray)):
        return [_for_plotly(v) for v in value]
    return value


def _section(index: int, section: Section) -> dict[str, Any]:
    """What the template needs: neighbouring plots are gathered into one grid."""
    groups: list[dict[str, Any]] = []
    for block in section.blocks:
        if isinstance(block, Plot):
            item = {"plot": block, "table": _table(block.table_fallback or _table_of(block))}
            if groups and groups[-1]["kind"] == "plots":
                groups[-1]["items"].append(item)
            else:
                groups.append({"kind": "plots", "items": [item]})
        elif isinstance(block, Table):
            groups.append({"kind": "table", "table": _table(block)})
        elif isinstance(block, Viewer):
            groups.append({"kind": "viewer", "viewer": block, "maps": [_map_data(m) for m in block.maps]})
        elif isinstance(block, Text):
            groups.append({"kind": "text", "paragraphs": _paragraphs(block.text)})
        else:
            raise TypeError(f"a section cannot hold a {type(block).__name__}")
    return {"id": f"section-{index + 1}", "title": section.title, "text": _paragraphs(section.text), "groups": groups}


def _paragraphs(text: str) -> list[str]:
    return [" ".join(p.split()) for p in re.split(r"\n\s*\n", text) if p.strip()]


def _table(table: Table) -> dict[str, Any]:
    columns = [c if isinstance(c, Column) else Column(c) for c in table.columns]
    rows = []
    for row in table.rows[: table.max_rows]:
        row = row if isinstance(row, Row) else Row(tuple(row))
        if len(row.cells) != len(columns):
            raise ValueError(f"a row of {len(row.cells)} cells in a table of {len(columns)} columns")
        cells = [
            {"text": format_value(v, c.digits), "number": _is_number(v), "sort": _plain(v) if _is_number(v) else None}
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


def _table_of(plot: Plot) -> Table:
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


def _viewer_data(viewer: Viewer) -> dict[str, Any]:
    chosen = viewer.color_by if isinstance(viewer.color_by, tuple) else (viewer.color_by,)
    return {
        "format": viewer.format,
        "hydrogens": viewer.hydrogens,
        "structure": _packed(viewer.structure_text.encode("utf-8")),
        "maps": [_map_data(m) | {"data": m.volume.base64()} for m in viewer.maps],
        "arrows": [_arrow_data(a) for a in viewer.arrows],
        "colorings": [_coloring_data(c) for c in chosen],
        "scale": BLUE_TO_RED,
    }


def _map_data(map_: Map) -> dict[str, Any]:
    volume = map_.volume
    colours = (map_.colour,) * len(map_.levels) if isinstance(map_.colour, str) else map_.colour
    if len(colours) != len(map_.levels) or not map_.levels:
        raise ValueError(f"map {map_.label!r}: {len(map_.levels)} levels, {len(colours)} colours")
    return {
        "label": map_.label,
        "levels": map_.levels,
        "colours": colours,
        "visible": map_.visible,
        "shape": volume.codes.shape,
        "to_xyz": volume.to_xyz,
        "step": volume.step,
        "offset": volume.offset,
        "sigma": volume.sigma,
    }


def _arrow_data(arrow: Arrow) -> dict[str, Any]:
    ends = np.array([arrow.start, arrow.end], float)
    if ends.shape != (2, 3) or not np.isfinite(ends).all() or not re.fullmatch("#[0-9a-fA-F]{6}", arrow.colour):
        raise ValueError(f"arrow {arrow.label!r}: ends must be three finite coordinates, its colour #rrggbb")
    return asdict(arrow)


def _coloring_data(coloring: str | Coloring) -> dict[str, Any]:
    if isinstance(coloring, Coloring):
        values = {f"{chain}|{resi}": float(v) for (chain, resi), v in coloring.values.items()}
        return {**asdict(coloring), "values": values, "kind": "values"}
    labels = {"b": "B factor", "chain": "chain", "element": "element", "secondary": "secondary structure"}
    if coloring not in labels:
        raise ValueError(f"color_by {coloring!r}: expected one of {sorted(labels)} or a Coloring")
    return {"kind": coloring, "label": labels[coloring], "unit": "Å²" if coloring == "b" else ""}


def _packed(data: bytes) -> str:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return base64.b64encode(packer.compress(data) + packer.flush()).decode("ascii")
