"""Are the gradients right? Float64 central differences along random directions, for every term and block."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from consilience.core.params import Model
from consilience.core.terms import pin

STENCIL = ((1, 8.0), (-1, -8.0), (2, -1.0), (-2, 1.0))  # fourth order: sum / (12 h)


@dataclass(frozen=True)
class GradientError:
    """Worst disagreement found for one term and block: |analytic - numerical| / (|gradient| |direction|)."""

    term: str
    block: str
    rel_error: float
    all_errors: tuple[float, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {"term": self.term, "block": self.block, "rel_error": self.rel_error}


def float64(tree):
    """The tree with every floating array in float64 (complex in complex128)."""

    def cast(x):
        if not eqx.is_array_like(x):
            return x
        kind = np.asarray(x).dtype.kind
        return np.asarray(x, {"f": np.float64, "c": np.complex128}.get(kind, np.asarray(x).dtype))

    return jax.tree.map(cast, tree)


@eqx.filter_jit
def _value(raw, model, term, obs):
    return term(model.with_raw(raw), obs).value


_grad = eqx.filter_jit(jax.grad(lambda raw, model, term, obs: term(model.with_raw(raw), obs).value))


def check_gradients(
    term: Any,
    model: Model,
    obs: Any = None,
    blocks: Iterable[str] | None = None,
    *,
    directions: int = 20,
    step: float = 2e-5,
    seed: int = 0,
) -> list[GradientError]:
    """Compare a term's gradient with fourth-order central differences in float64, for each block that it reads.

    Directions are random unit vectors in raw coordinates; `step` is relative to the size of a typical raw value (at least 1).
    The term is pinned first (boxes, bins and lists held still). Raises ValueError when a value or gradient is not finite.
    """
    if not jax.config.jax_enable_x64:
        with jax.enable_x64(True):
            return check_gradients(term, model, obs, blocks, directions=directions, step=step, seed=seed)
    model, obs = float64(model), float64(obs)
    term = float64(pin(term, model))
    rng = np.random.default_rng(seed)
    out = []
    for block in sorted(blocks if blocks is not None else term.reads):
        raw = model.raw([block])
        flat, unravel = ravel_pytree(raw)
        flat = np.asarray(flat)
        gradient = np.asarray(ravel_pytree(_grad(raw, model, term, obs))[0])
        if not np.all(np.isfinite(gradient)):
            raise ValueError(f"gradient of {term.name} with respect to {block} is not finite")
        size = np.linalg.norm(gradient)
        errors = []
        for _ in range(directions):
            v = rng.standard_normal(flat.shape)
            v /= np.linalg.norm(v)
            h = step * np.sqrt(flat.size)  # a typical entry moves by `step`
            values = [(c, float(_value(unravel(jnp.asarray(flat + k * h * v)), model, term, obs))) for k, c in STENCIL]
            if not np.all(np.isfinite([f for _, f in values])):
                raise ValueError(f"value of {term.name} near the model is not finite (block {block})")
            numerical = sum(c * f for c, f in values) / (12 * h)
            errors.append(abs(float(gradient @ v) - numerical) / max(size, 1e-300) if size > 0 else abs(numerical))
        out.append(GradientError(term.name, block, max(errors), tuple(errors)))
    return out
