"""How a result shows itself in a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any


class Shown:
    """How the result of a job shows itself: a few lines in a terminal, a table in a notebook.

    For dataclasses with `summary` and `folder` (and `repr=False`: arrays are not to fill the screen).
    """

    summary: dict[str, Any]
    folder: Path

    def __repr__(self) -> str:
        lines = "".join(f"\n  {k} = {_text(v)}" for k, v in _plain(self.summary).items())
        return f"{type(self).__name__} in {self.folder}{lines}"

    def _repr_html_(self) -> str:
        return summary_table(self.summary, self.folder / "report.html")


def summary_table(summary: Mapping[str, Any], report: Path) -> str:
    """The plain figures of a summary as an HTML table, and where the report lies."""
    rows = "".join(f"<tr><th>{escape(k)}</th><td>{escape(_text(v))}</td></tr>" for k, v in _plain(summary).items())
    return f"<table>{rows}</table><p>{escape(str(report))}</p>"


def _plain(summary: Mapping[str, Any]) -> dict[str, str | int | float]:
    return {k: v for k, v in summary.items() if isinstance(v, str | int | float) and k != "schema"}


def _text(value: str | int | float) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def check_table(result: Any) -> str:
    """Files of a check with what was noticed, and the laws of models, as HTML tables."""
    rows = []
    for report in result.files:
        notes = "<br>".join(escape(": ".join(t for t in (f.level, f.what, f.found) if t)) for f in report.findings)
        cells = (escape(Path(report.file).name), escape(report.kind_name), escape(report.level), notes)
        rows.append("<tr>" + "".join(f"<td>{c}</td>" for c in cells) + "</tr>")
    laws = "".join(
        f"<tr><td>{escape(c.name)}</td><td>{c.value:.3g}</td><td>{c.tolerance:.3g}</td>"
        f"<td>{'holds' if c.passed else 'does not hold'}</td></tr>"
        for c in result.checks
    )
    return f"<table>{''.join(rows)}</table>" + (f"<table>{laws}</table>" if laws else "")
