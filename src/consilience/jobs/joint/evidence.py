"""What a refinement takes besides diffraction and restraints: evidence with its blocks, its term, and its scores."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from consilience.core.params import Block, Model


@dataclass(frozen=True)
class Standing:
    """How a model does by one kind of evidence: `work`, `steer`, `free` scores by name for people.

    `steer_nats` (s,) of each independent group of observations (a residue), `steer_count` observations in all, for
    decisions; `free_nats` (f,) likewise, for the final scorer alone.
    """

    work: dict[str, float]
    steer: dict[str, float] = field(default_factory=dict)
    free: dict[str, float] = field(default_factory=dict)
    steer_nats: np.ndarray = field(default_factory=lambda: np.zeros(0))
    steer_count: int = 0
    free_nats: np.ndarray = field(default_factory=lambda: np.zeros(0))


class Evidence(Protocol):
    """One more kind of evidence in a refinement. `name` is that of its term; what it returns follows its arguments.

    `tried`: the weights with which it stands trial, in turn.
    """

    @property
    def name(self) -> str: ...

    @property
    def tried(self) -> tuple[float, ...]: ...

    def blocks(self) -> dict[str, Block]:
        """Blocks of the model that it brings, at their start."""
        ...

    def term(self, model: Model) -> Any:
        """Its term with lists made for this model."""
        ...

    def observed(self, final: bool) -> Any:
        """Work observations of the term, in the final stages those for decisions too."""
        ...

    def standing(self, model: Model) -> Standing:
        """Scores of a model."""
        ...
