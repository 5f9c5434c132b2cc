"""What `consil train` returns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consilience.jobs.common.html_table import Shown


@dataclass(frozen=True, repr=False)
class TrainResult(Shown):
    """What `train` returns: the summary as written, the folder, and the trained model."""

    summary: dict[str, Any]
    folder: Path
    model: Any = None
