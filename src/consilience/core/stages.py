"""A protocol is a list of stages; a stage frees some blocks, weighs the terms for just those, and runs one solver."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from consilience.core.balance import Policy
from consilience.core.lbfgs import LBFGS


@dataclass(frozen=True)
class Stage:
    """`active` blocks move, all others are frozen. `terms` None: all that read an active block.

    `decide`: the stage is judged by its steer score (rolled back where it worsens beyond `tolerance`, ended early after
    `patience` stages of the same `phase` without a better one); a stage that fits the steer data too cannot be judged
    by them.
    """

    active: tuple[str, ...]
    steps: int
    solver: Any = field(default_factory=LBFGS)
    terms: tuple[str, ...] | None = None
    weights: Policy = field(default_factory=Policy)
    phase: str = "main"
    decide: bool = True
    tolerance: float = float("inf")
    patience: int = 1_000_000


Protocol = tuple[Stage, ...]
