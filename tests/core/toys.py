"""Small terms with known answers for the tests of the core."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from consilience.core.params import Block, Model, Positive
from consilience.core.terms import Score


class Pull(eqx.Module):
    """c / 2 sum ((value - target) / sigma)^2 over some blocks."""

    target: dict[str, np.ndarray]
    sigma: float = 1.0
    scale: float = 1.0
    name: str = eqx.field(static=True, default="pull")

    @property
    def reads(self) -> frozenset[str]:
        return frozenset(self.target)

    def __call__(self, model: Model, obs: Any = None) -> Score:
        parts = [jnp.sum(((model[k] - t) / self.sigma) ** 2) for k, t in sorted(self.target.items())]
        return Score(0.5 * self.scale * sum(parts), {})


class Rosenbrock(eqx.Module):
    """The valley of Rosenbrock (1960) in x (2,); minimum 0 at (1, 1)."""

    name: str = eqx.field(static=True, default="valley")

    @property
    def reads(self) -> frozenset[str]:
        return frozenset({"x"})

    def __call__(self, model: Model, obs: Any = None) -> Score:
        x = model["x"]
        return Score(100.0 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2, {})


def model(seed: int = 0) -> Model:
    """Blocks x (4,) and b (3,) > 0."""
    rng = np.random.default_rng(seed)
    return Model.of(x=Block.of(rng.normal(size=4)), b=Block.of(rng.uniform(1, 3, 3), Positive()))
