"""For the tests of people who write their own term: one assertion that proves it, at its model and at hard points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from consilience.core.conformance import TermReport, check_term
from consilience.core.objective import Objective
from consilience.core.params import Model

__all__ = ["assert_term", "check_term"]


def assert_term(
    term: Any,
    model: Model,
    obs: Any = None,
    *,
    hard_points: Mapping[str, Mapping[str, Any]] | None = None,
    directions: int = 20,
    tolerance: float = 1e-6,
    seed: int = 0,
) -> TermReport:
    """Prove a term in a test: the conformance suite at `model`, finite value and gradients at the hard points.

    term, obs: as `fit` takes them. hard_points: by name, the values of blocks where a careless term breaks, in the
    blocks' units, e.g. {"atoms in one point": {"xyz": np.zeros((n, 3))}}. tolerance: relative, of gradients in float64
    against central differences along `directions` random directions. Returns what was measured.

    Raises AssertionError that lists everything that does not hold; KeyError for a block that the model lacks.
    """
    report = check_term(term, model, obs, directions=directions, tolerance=tolerance, seed=seed)
    wrong = list(report.failures)
    if not set(getattr(term, "reads", ())) - set(model.names):
        wrong += [line for name, at in (hard_points or {}).items() for line in _broken(term, model, obs, name, at)]
    if wrong:
        name = getattr(term, "name", type(term).__name__)
        raise AssertionError(f"the term {name} is not sound:\n  " + "\n  ".join(wrong))
    return report


def _broken(term: Any, model: Model, obs: Any, name: str, at: Mapping[str, Any]) -> list[str]:
    there = model.with_values(**{k: np.asarray(v) for k, v in at.items()})
    function = Objective({"term": term}, {"term": obs}, {"term": 1.0})
    value, gradient, _ = function.value_and_grad(there.raw(term.reads), there)
    out = [] if np.isfinite(value) else [f"{name}: the value is {value}"]
    for block, g in sorted(gradient.items()):
        if not all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(g)):
            out.append(f"{name}: the gradient in {block} is not finite")
    return out
