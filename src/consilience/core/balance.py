"""Weights of the terms for the blocks that are active now: a pure function of fresh gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from consilience.core.errors import RunError
from consilience.core.objective import Objective
from consilience.core.params import Model, Raw

Metric = Callable[[Raw], float]  # g -> g' P^-1 g


@dataclass(frozen=True)
class Policy:
    """How the terms of a stage are weighted.

    `fixed`: numbers given by the user, obeyed as they are. `ratio`: terms balanced against `reference` so that their
    preconditioned gradients over the active blocks stand as r : 1, within [lo, hi]. All others keep the natural
    weight 1, as every likelihood with known sigmas must.
    """

    ratio: Mapping[str, float] = field(default_factory=dict)
    fixed: Mapping[str, float] = field(default_factory=dict)
    reference: str = ""
    lo: float = 0.05
    hi: float = 10.0
    floor: float = 1e-6


@dataclass(frozen=True)
class Balance:
    """Weights, the raw gradient norm of each term on each active block, and the terms that were left out (and why)."""

    weights: dict[str, float]
    gradient_norms: dict[str, dict[str, float]]
    left_out: dict[str, str]


def balance(
    objective: Objective,
    model: Model,
    active: Iterable[str],
    policy: Policy,
    metric: Mapping[str, Metric] | None = None,
    gradients: Mapping[str, Raw] | None = None,
) -> Balance:
    """Weights for the active blocks: w_t = clip(r_t |P^-1/2 g_data| / max(|P^-1/2 g_t|, floor), lo, hi).

    Gradients are those of each unweighted term with respect to the active blocks only, computed here and now (or given,
    as `objective.term_gradients` returns them), and compared over the active blocks that both the term and the
    reference read. `metric` maps a block to g -> g' P^-1 g of a preconditioner that must not depend on the balanced
    term; without it P is the identity. The floor is relative to the data gradient. A term that reads no active block
    gets weight 0 and is left out.

    Raises RunError for a gradient that is not finite.
    """
    active = tuple(sorted(active))
    metric = metric or {}
    if gradients is None:
        gradients = objective.term_gradients(model, active)
    norms = {t: {p: float(np.sqrt(_square(g[p]))) for p in active} for t, g in gradients.items()}
    for name, per_block in norms.items():
        bad = [p for p, size in per_block.items() if not np.isfinite(size)]
        if bad:
            raise RunError(f"the gradient of the term {name} with respect to {', '.join(bad)} is not finite")
    weights: dict[str, float] = {}
    left_out: dict[str, str] = {}
    for name, term in objective.terms.items():
        blocks = [p for p in active if p in term.reads]
        if not blocks:
            weights[name] = 0.0
            left_out[name] = f"reads none of the active blocks {', '.join(active)}"
        elif name in policy.fixed:
            weights[name] = float(policy.fixed[name])
        elif name in policy.ratio and policy.reference in gradients:
            shared = [p for p in blocks if p in objective.terms[policy.reference].reads]
            data = _preconditioned(gradients[policy.reference], shared, metric)
            own = _preconditioned(gradients[name], shared, metric)
            ratio = policy.ratio[name] * data / max(own, policy.floor * data, 1e-300)
            weights[name] = float(np.clip(ratio, policy.lo, policy.hi)) if shared else 1.0
        else:
            weights[name] = 1.0
    return Balance(weights, norms, left_out)


def _square(x: Any) -> float:
    return float(sum(np.sum(np.square(np.asarray(leaf, float))) for leaf in jax.tree.leaves(x)))


def _preconditioned(gradient: Raw, blocks: list[str], metric: Mapping[str, Metric]) -> float:
    return float(np.sqrt(sum(metric[p](gradient[p]) if p in metric else _square(gradient[p]) for p in blocks)))
