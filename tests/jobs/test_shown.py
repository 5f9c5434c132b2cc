"""What a result shows of itself: its figures, not its arrays; names of files and messages as text, never as HTML."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from consilience.core.errors import Finding
from consilience.jobs.check.file_report import FileReport
from consilience.jobs.check.job import CheckResult
from consilience.jobs.common.html_table import Shown

VERBS = ("check", "coarsen", "evaluate", "export", "learn", "optimize", "refine", "relaxation", "simulate", "spectrum",
         "tour", "train")  # fmt: skip
HOSTILE = "<img src=x onerror=alert(1)>"


@dataclass(frozen=True, repr=False)
class Result(Shown):
    summary: dict[str, Any]
    folder: Path
    array: np.ndarray


def test_a_result_is_short() -> None:
    summary = {"schema": 1, "verb": "refine", "r_free": 0.18531234, "shells": [1, 2], "space_group": HOSTILE}
    result = Result(summary, Path("run1"), np.zeros(100_000))
    assert repr(result) == f"Result in run1\n  verb = refine\n  r_free = 0.18531\n  space_group = {HOSTILE}"
    shown = result._repr_html_()
    assert "<th>r_free</th><td>0.18531</td>" in shown and "<img" not in shown and "shells" not in shown


def test_a_check_is_short() -> None:
    report = FileReport(f"folder/{HOSTILE}.mtz", "mtz", [Finding("warn", "no free set", found=HOSTILE)], content=None)
    result = CheckResult((report,), 0.1)
    assert "warn" in repr(result) and len(repr(result)) < 200
    shown = result._repr_html_()
    assert "no free set" in shown and "<img" not in shown and "folder" not in shown


def test_every_result_is_short() -> None:
    """Results of all verbs, not only of the one above, show figures and no arrays."""
    for name in VERBS:
        job = import_module(f"consilience.jobs.{name}.job")
        kinds = [v for k, v in vars(job).items() if k.endswith("Result") and v.__module__.startswith(job.__package__)]
        assert len(kinds) == 1, name
        made = kinds[0].__new__(kinds[0])
        fields = {"summary": {"verb": name}, "folder": Path("run"), "files": (), "checks": (), "wall_s": 0.0}
        for key, value in fields.items():
            object.__setattr__(made, key, value) if key in kinds[0].__dataclass_fields__ else None
        assert len(repr(made)) < 200 and made._repr_html_()
