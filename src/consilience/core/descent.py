"""First-order solvers from optax: AdaBelief, then Yogi, with warm-up, schedule and clipping."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from consilience.core.params import Raw


class DescentState(NamedTuple):
    """Point, value before the last update, and the optimiser's own state."""

    raw: Raw
    value: float
    opt: optax.OptState
    done: bool = False


@dataclass(frozen=True)
class Descent:
    """Any optax transformation as a solver. The function may be stochastic; no step is refused but a non-finite one."""

    transform: optax.GradientTransformation

    def init(self, function: Callable[[Raw], tuple[Any, Raw]], raw: Raw) -> DescentState:
        return DescentState(raw, float("inf"), self.transform.init(raw))

    def step(self, function: Callable[[Raw], tuple[Any, Raw]], state: DescentState) -> DescentState:
        value, gradient = function(state.raw)
        finite = all(bool(jnp.all(jnp.isfinite(x))) for x in jax.tree.leaves((value, gradient)))
        if not finite:
            return state._replace(value=float(value), done=True)
        updates, opt = self.transform.update(gradient, state.opt, state.raw)
        return DescentState(optax.apply_updates(state.raw, updates), float(value), opt)  # type: ignore[arg-type]


def adabelief_then_yogi(
    learning_rate: float,
    steps: int,
    *,
    switch: float = 0.6,
    warmup: int = 100,
    final: float = 0.01,
    clip: float = 1.0,
    weight_decay: float = 0.0,
) -> optax.GradientTransformation:
    """AdaBelief (Zhuang et al. 2020) for the first `switch` share of the steps, then Yogi (Zaheer et al. 2018).

    Both see gradients clipped to the global norm `clip`; the learning rate warms up linearly, then falls on a cosine to
    `final` times its peak. Both optimisers keep their moments from the first step, so that the switch is smooth.
    """
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, learning_rate, min(warmup, max(1, steps // 10)), max(steps, 2), learning_rate * final
    )
    last = int(switch * steps)
    first_part = optax.chain(optax.scale_by_belief(), optax.scale_by_learning_rate(schedule))
    second_part = optax.chain(optax.scale_by_yogi(), optax.scale_by_learning_rate(schedule))

    def init(params):
        return (jnp.zeros((), jnp.int32), first_part.init(params), second_part.init(params))

    def update(updates, state, params=None):
        count, a, b = state
        ua, a = first_part.update(updates, a, params)
        ub, b = second_part.update(updates, b, params)
        early = count < last
        chosen = jax.tree.map(lambda x, y: jnp.where(early, x, y), ua, ub)
        return chosen, (count + 1, a, b)

    switched = optax.GradientTransformation(init, update)
    decay = [optax.add_decayed_weights(weight_decay)] if weight_decay else []
    return optax.chain(optax.clip_by_global_norm(clip), *decay, switched)
