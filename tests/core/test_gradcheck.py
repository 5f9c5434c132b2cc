"""The checks find wrong gradients, hidden dependences, and values that are not finite; right terms pass."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from consilience.core.conformance import check_term
from consilience.core.gradcheck import check_gradients
from consilience.core.params import Model
from consilience.core.terms import Score

from . import toys

GOOD = toys.Pull({"x": np.array([1.0, -2.0, 0.5, 3.0]), "b": np.array([5.0, 1.0, 2.0])}, 0.3)


@jax.custom_vjp
def half_right(x):
    return jnp.sum(x**3)


half_right.defvjp(lambda x: (half_right(x), x), lambda x, g: (g * 3 * x**2 * (1 + 1e-5),))


class Broken(eqx.Module):
    """A term with one of several faults."""

    fault: str = eqx.field(static=True)
    name: str = eqx.field(static=True, default="broken")

    @property
    def reads(self) -> frozenset[str]:
        return frozenset({"x"})

    def __call__(self, model: Model, obs: Any = None) -> Score:
        x = model["x"]
        if self.fault == "gradient":
            return Score(half_right(x), {})
        if self.fault == "hidden":
            return Score(jnp.sum(x**2) * model["b"][0], {})
        return Score(jnp.sum(jnp.sqrt(x - x)), {})


@pytest.mark.parametrize("order", [2, 4])
def test_right_gradients_pass(order: int) -> None:
    found = check_gradients(GOOD, toys.model(), order=order)  # type: ignore[arg-type]
    assert {g.block for g in found} == {"x", "b"}
    assert max(g.rel_error for g in found) < (1e-8 if order == 4 else 1e-7)
    assert len(found[0].all_errors) == 20


def test_a_gradient_wrong_by_one_in_a_hundred_thousand_is_found() -> None:
    (found,) = check_gradients(Broken("gradient"), toys.model())
    assert 1e-6 < found.rel_error < 1e-4


def test_conformance() -> None:
    assert check_term(GOOD, toys.model()).passed
    assert "off by" in check_term(Broken("gradient"), toys.model()).failures[0]
    assert "depends on block b" in check_term(Broken("hidden"), toys.model()).failures[0]
    assert any("not finite" in f for f in check_term(Broken("root"), toys.model()).failures)
