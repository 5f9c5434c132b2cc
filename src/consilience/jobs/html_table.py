"""How a result shows itself in a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any


def summary_table(summary: Mapping[str, Any], report: Path) -> str:
    """The plain figures of a summary as an HTML table, and where the report lies."""
    shown = {k: v for k, v in summary.items() if isinstance(v, str | int | float) and k != "schema"}
    rows = "".join(f"<tr><th>{escape(k)}</th><td>{escape(_text(v))}</td></tr>" for k, v in shown.items())
    return f"<table>{rows}</table><p>{escape(str(report))}</p>"


def _text(value: str | int | float) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
