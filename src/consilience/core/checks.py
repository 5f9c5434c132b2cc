"""One proof about a model or a run: a number, the tolerance it was held against, and whether it held."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Check:
    """`value` must not exceed `tolerance`, nor fall below `least`. `about` says in words what was measured."""

    name: str
    value: float
    tolerance: float
    about: str = ""
    least: float = -math.inf

    @property
    def passed(self) -> bool:
        return math.isfinite(self.value) and self.least <= self.value <= self.tolerance

    def as_dict(self) -> dict[str, Any]:
        """The entry in summary.json["checks"]."""
        out: dict[str, Any] = {
            "name": self.name, "value": self.value, "tolerance": self.tolerance, "passed": self.passed,
            "about": self.about,
        }  # fmt: skip
        return out if math.isinf(self.least) else {**out, "least": self.least}
