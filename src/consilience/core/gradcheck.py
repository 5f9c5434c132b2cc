"""Are the gradients right? Float64 central differences along random directions, for every term and block."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import numpy as np

from consilience.core.compiled import light_filter_jit
from consilience.core.params import Model, ravel, unravel
from consilience.core.terms import pin

# central differences: (step, coefficient); the sum of f(k h) c, over h
STENCILS = {2: ((1, 0.5), (-1, -0.5)), 4: ((1, 8 / 12), (-1, -8 / 12), (2, -1 / 12), (-2, 1 / 12))}


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
        if not isinstance(x, (jax.Array, np.ndarray, np.generic)):
            return x  # Python numbers are static
        return np.asarray(x, {"f": np.float64, "c": np.complex128}.get(x.dtype.kind, x.dtype))

    return jax.tree.map(cast, tree)


# one program for value and gradient: a second one would cost more to compile than the few evaluations save
@light_filter_jit
def _value_and_grad(raw, model: Model, term, obs):
    return jax.value_and_grad(lambda r: term(model.with_raw(r), obs).value)(raw)


def check_gradients(
    term: Any,
    model: Model,
    obs: Any = None,
    blocks: Iterable[str] | None = None,
    *,
    directions: int = 20,
    step: float = 2e-5,
    order: Literal[2, 4] = 4,
    seed: int = 0,
) -> list[GradientError]:
    """Compare a term's gradient with central differences of the given order in float64, for each block that it reads.

    Directions are random unit vectors in raw coordinates; a typical entry moves by `step`. The term is pinned first
    (boxes, bins and lists held still). Raises ValueError when a value or gradient is not finite.
    """
    if not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        with jax.enable_x64(True):
            return check_gradients(term, model, obs, blocks, directions=directions, step=step, order=order, seed=seed)
    model, obs = float64(model), float64(obs)
    term = float64(pin(term, model))
    rng = np.random.default_rng(seed)
    names = sorted(blocks if blocks is not None else term.reads)
    raw = model.raw(names)
    _, gradients = _value_and_grad(raw, model, term, obs)
    out = []
    for block in names:
        flat, gradient = ravel(raw[block]), ravel(gradients[block])
        if not np.all(np.isfinite(gradient)):
            raise ValueError(f"gradient of {term.name} with respect to {block} is not finite")
        size = float(np.linalg.norm(gradient))
        errors = []
        for _ in range(directions):
            v = rng.standard_normal(flat.shape)
            v /= np.linalg.norm(v)
            h = step * np.sqrt(flat.size)
            numerical = 0.0
            for k, c in STENCILS[order]:
                value, _ = _value_and_grad({**raw, block: unravel(flat + k * h * v, raw[block])}, model, term, obs)
                numerical += c * float(value) / h
            if not np.isfinite(numerical):
                raise ValueError(f"value of {term.name} near the model is not finite (block {block})")
            difference = abs(float(gradient @ v) - numerical)
            errors.append(difference / size if size > 0 else difference)
        out.append(GradientError(term.name, block, max(errors), tuple(errors)))
    return out
