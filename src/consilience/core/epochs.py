"""Stochastic training: one epoch of minibatches in one compiled program, with an average of the weights.

A stage whose solver is `Epochs` runs one epoch. What must outlast it (the moments of the optimiser, the averaged
weights) stands in the carry of the fit as arrays, hence in its checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from consilience.core.objective import Objective
from consilience.core.params import Model

PROGRESS = "progress"  # in the carry: share of the run that is done, and what one epoch adds to it


@dataclass(frozen=True)
class Epochs:
    """Minibatches of `batch` observations in an order drawn from `seed` and the epoch's number.

    `transform`: see `core.descent.optimiser`. `average`: decay of the averaged weights for each step. Observations are
    pytrees whose leaves have a leading axis.
    """

    transform: optax.GradientTransformationExtraArgs
    batch: int
    average: float = 0.99
    seed: int = 0
    compiled: dict = field(default_factory=dict, repr=False, compare=False)  # the program, once made

    def run(self, objective: Objective, model: Model, active: tuple[str, ...], carry: Mapping[str, Any], epoch: int):
        """(raw, arrays for the carry, mean value of the objective over the epoch).

        `carry[PROGRESS]` is (done, step): shares of the whole run. Raises ValueError where there are no observations.
        """
        raw = jax.tree.map(jnp.asarray, model.raw(active))
        leaves = jax.tree.leaves(dict(objective.obs))
        if not leaves or not len(leaves[0]):
            raise ValueError("there are no observations to train on")
        n = len(leaves[0])
        size = min(self.batch, n)
        order = np.random.default_rng([self.seed, epoch]).permutation(n)[: n - n % size].reshape(-1, size)
        state = restored("moments", jax.eval_shape(self.transform.init, raw), carry)
        state = self.transform.init(raw) if state is None else state
        mean = restored("average", raw, carry)
        mean = raw if mean is None else mean
        done, width = (float(x) for x in np.asarray(carry[PROGRESS]))
        steps = len(order)
        progress = done + width * np.arange(steps) / steps
        decay = np.minimum(
            self.average, (1.0 + epoch * steps + np.arange(steps)) / (10.0 + epoch * steps + np.arange(steps))
        )
        if "program" not in self.compiled:
            self.compiled["program"] = eqx.filter_jit(self._program)
        raw, state, mean, value = self.compiled["program"](
            raw, state, mean, model, dict(objective.terms), dict(objective.obs),
            {k: np.asarray(v, float) for k, v in objective.weights.items()}, order, progress, decay,
        )  # fmt: skip
        kept = {**stored("moments", state), **stored("average", mean)}
        return jax.device_get(raw), kept, float(value)

    def _program(self, raw, state, mean, model, terms, obs, weights, order, progress, decay):
        def total(raw, chosen):
            full = model.with_raw(raw)
            return sum((weights[k] * terms[k](full, chosen[k]).value for k in terms), jnp.zeros(()))

        def step(carry, inputs):
            raw, state, mean = carry
            index, share, decay = inputs
            value, gradient = jax.value_and_grad(total)(raw, jax.tree.map(lambda x: x[index], obs))
            updates, state = self.transform.update(gradient, state, raw, progress=share)
            raw = optax.apply_updates(raw, updates)
            mean = jax.tree.map(lambda m, x: (decay * m + (1.0 - decay) * x).astype(x.dtype), mean, raw)
            return (raw, state, mean), value

        (raw, state, mean), values = jax.lax.scan(step, (raw, state, mean), (order, progress, decay))
        return raw, state, mean, jnp.mean(values)


def stored(name: str, tree: Any) -> dict[str, np.ndarray]:
    """A tree as arrays of a carry."""
    return {f"{name}/{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(tree))}


def restored(name: str, like: Any, carry: Mapping[str, Any]) -> Any:
    """The tree shaped as `like` from a carry, or None where it is not there."""
    if f"{name}/0" not in carry:
        return None
    leaves, structure = jax.tree.flatten(like)
    return jax.tree.unflatten(structure, [jnp.asarray(carry[f"{name}/{i}"]) for i in range(len(leaves))])
