"""The one shape of everything iterative: `init(function, raw) -> state`, `step(function, state) -> state`.

A function takes raw blocks and returns (value, gradient), or residuals where a solver says so. States are named tuples
with the fields `raw` (the current point), `value` and `done`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from consilience.core.descent import Descent, optimiser
from consilience.core.lbfgs import LBFGS
from consilience.core.leastsquares import GaussNewtonCG, LevenbergMarquardt
from consilience.core.params import Raw

__all__ = ["LBFGS", "Descent", "GaussNewtonCG", "LevenbergMarquardt", "Solver", "optimiser"]


class Solver(Protocol):
    """What a stage runs."""

    def init(self, function: Callable[[Raw], Any], raw: Raw) -> Any: ...

    def step(self, function: Callable[[Raw], Any], state: Any) -> Any: ...
