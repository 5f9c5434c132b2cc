"""First-order descent: AdaBelief, then Yogi, or Adam, with warm-up, a cosine schedule and clipping, by progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from consilience.core.params import Raw

Optimiser = Literal["adabelief-yogi", "adabelief", "yogi", "adam"]


def rate(progress, peak: float, *, warmup: float = 0.02, final: float = 0.01):
    """Learning rate at a share `progress` of the whole run: linear to `peak`, then a cosine to `final` times it."""
    rise = jnp.clip(progress / warmup, 0.0, 1.0)
    fall = 0.5 * (1.0 + jnp.cos(jnp.pi * jnp.clip((progress - warmup) / (1.0 - warmup), 0.0, 1.0)))
    return peak * rise * (final + (1.0 - final) * fall)


def optimiser(
    name: Optimiser,
    learning_rate: float,
    *,
    switch: float = 0.6,
    clip: float = 10.0,
    weight_decay: float = 0.0,
    warmup: float = 0.02,
    final: float = 0.01,
) -> optax.GradientTransformationExtraArgs:
    """The transformation; its `update(gradients, state, params, progress=p)` takes the share of the run that is done.

    AdaBelief (Zhuang et al. 2020), then from `switch` on Yogi (Zaheer et al. 2018); both keep their moments from the
    first step, so that the change is smooth. Gradients are clipped to the global norm `clip`. Raises ValueError for an
    unknown name.
    """
    parts: dict[str, Callable[[], optax.GradientTransformation]] = {
        "adabelief": optax.scale_by_belief,
        "yogi": optax.scale_by_yogi,
        "adam": optax.scale_by_adam,
    }
    names = name.split("-")
    if not all(n in parts for n in names):
        raise ValueError(f"no optimiser {name}; there are {', '.join(parts)} and adabelief-yogi")
    used = [parts[n]() for n in names]
    clipping = optax.clip_by_global_norm(clip)

    def init(params):
        return tuple(part.init(params) for part in used)

    def update(updates, state, params=None, *, progress=0.0, **_):
        clipped, _none = clipping.update(updates, clipping.init(params), params)
        found = [part.update(clipped, s, params) for part, s in zip(used, state, strict=True)]
        chosen = found[0][0]
        if len(found) == 2:
            chosen = jax.tree.map(lambda a, b: jnp.where(progress < switch, a, b), chosen, found[1][0])
        if weight_decay:
            chosen = jax.tree.map(lambda u, p: u + weight_decay * p, chosen, params)
        size = rate(progress, learning_rate, warmup=warmup, final=final)
        return jax.tree.map(lambda u: (-size * u).astype(u.dtype), chosen), tuple(s for _, s in found)

    return optax.GradientTransformationExtraArgs(init, update)


class DescentState(NamedTuple):
    """Point, value before the last update, and the optimiser's own state."""

    raw: Raw
    value: float
    opt: Any
    steps: int = 0
    done: bool = False


@dataclass(frozen=True)
class Descent:
    """A solver over the whole of the data: `total` steps of an `optimiser`; only a non-finite step is refused."""

    transform: optax.GradientTransformationExtraArgs
    total: int

    def init(self, function: Callable[[Raw], tuple[Any, Raw]], raw: Raw) -> DescentState:
        return DescentState(raw, float("inf"), self.transform.init(raw))

    def step(self, function: Callable[[Raw], tuple[Any, Raw]], state: DescentState) -> DescentState:
        value, gradient = function(state.raw)
        finite = all(bool(np.all(np.isfinite(np.asarray(x)))) for x in jax.tree.leaves((value, gradient)))
        if not finite:
            return state._replace(value=float(value), done=True)
        progress = state.steps / self.total
        updates, opt = self.transform.update(gradient, state.opt, state.raw, progress=progress)
        raw = optax.apply_updates(state.raw, updates)
        return DescentState(raw, float(value), opt, state.steps + 1)  # type: ignore[arg-type]
