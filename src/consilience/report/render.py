"""Turns a Page into one HTML file that needs nothing else: escaped, self-contained, under a strict content policy."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from consilience.core.errors import clean
from consilience.report.figures import PALETTE
from consilience.report.page import Page, Plot, Section, Table, Text, Viewer, format_value
from consilience.report.strict_json import strict_json
from consilience.report.tables import table_data, table_of
from consilience.report.viewer_data import map_data, viewer_data

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
        "viewer": viewer_data(viewers[0]) if viewers else None,
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
        data=Markup(strict_json(data)),
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
            item = {"plot": block, "table": table_data(block.table_fallback or table_of(block))}
            if groups and groups[-1]["kind"] == "plots":
                groups[-1]["items"].append(item)
            else:
                groups.append({"kind": "plots", "items": [item]})
        elif isinstance(block, Table):
            groups.append({"kind": "table", "table": table_data(block)})
        elif isinstance(block, Viewer):
            groups.append({"kind": "viewer", "viewer": block, "maps": [map_data(m) for m in block.maps]})
        elif isinstance(block, Text):
            groups.append({"kind": "text", "paragraphs": _paragraphs(block.text)})
        else:
            raise TypeError(f"a section cannot hold a {type(block).__name__}")
    return {"id": f"section-{index + 1}", "title": section.title, "text": _paragraphs(section.text), "groups": groups}


def _paragraphs(text: str) -> list[str]:
    return [" ".join(p.split()) for p in re.split(r"\n\s*\n", text) if p.strip()]
