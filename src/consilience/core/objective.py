"""The weighted sum of terms, its value and gradient with respect to the active blocks, and each term's own share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from consilience.core.params import Model, Raw

Terms = Mapping[str, Any]
Weights = Mapping[str, float]


def _total(raw: Raw, model: Model, terms: dict, obs: dict, weights: dict):
    full = model.with_raw(raw)
    values = {name: terms[name](full, obs[name]).value for name in terms}
    return sum((weights[name] * values[name] for name in terms), jnp.zeros(())), values


_value_and_grad = eqx.filter_jit(jax.value_and_grad(_total, has_aux=True))
_value = eqx.filter_jit(_total)


@dataclass(frozen=True)
class Objective:
    """Terms over one model with their work observations. Weights live here and nowhere else."""

    terms: Terms
    obs: Mapping[str, Any]
    weights: Weights

    def reweighted(self, weights: Weights) -> Objective:
        return Objective(self.terms, self.obs, dict(weights))

    def _args(self, weights: Weights) -> tuple[dict, dict, dict]:
        names = sorted(self.terms)
        return (
            {n: self.terms[n] for n in names},
            {n: self.obs.get(n) for n in names},
            {n: np.asarray(weights.get(n, 0.0), float) for n in names},
        )

    def value(self, model: Model) -> tuple[float, dict[str, float]]:
        """Weighted sum and each term's unweighted value, in nats."""
        total, values = _value({}, model, *self._args(self.weights))
        return float(total), {k: float(v) for k, v in values.items()}

    def value_and_grad(self, raw: Raw, model: Model) -> tuple[float, Raw, dict[str, float]]:
        """Weighted sum at `model` with the active blocks replaced by `raw`, and its gradient with respect to `raw`."""
        (total, values), grad = _value_and_grad(raw, model, *self._args(self.weights))
        return float(total), jax.device_get(grad), {k: float(v) for k, v in values.items()}

    def term_gradients(self, model: Model, active: Iterable[str]) -> dict[str, Raw]:
        """Gradient of each unweighted term with respect to the raw values of the active blocks.

        One evaluation of the same compiled program for each term, with weight one for it and zero for the others.
        """
        raw = model.raw(active)
        out = {}
        for name in self.terms:
            _, grad = _value_and_grad(raw, model, *self._args({name: 1.0}))
            out[name] = jax.device_get(grad)
        return out

    def function(self, model: Model):
        """raw -> (value, gradient) for a solver; the values of the terms are kept in `.last`."""
        return _Bound(self, model)


class _Bound:
    def __init__(self, objective: Objective, model: Model):
        self.objective, self.model, self.last, self.calls = objective, model, {}, 0

    def __call__(self, raw: Raw) -> tuple[float, Raw]:
        value, grad, self.last = self.objective.value_and_grad(raw, self.model)
        self.calls += 1
        return value, grad


def norm(tree: Raw) -> float:
    """Euclidean norm over all arrays of a tree."""
    return float(jnp.sqrt(sum(jnp.sum(jnp.square(jnp.asarray(x))) for x in jax.tree.leaves(tree))))
