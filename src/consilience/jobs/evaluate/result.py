"""What `consil evaluate` returns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from consilience.jobs.common.html_table import Shown


@dataclass(frozen=True, repr=False)
class EvaluateResult(Shown):
    """What `evaluate` returns: the summary as written and the folder; `predictions` by channel."""

    summary: dict[str, Any]
    folder: Path
    predictions: dict[str, np.ndarray]
