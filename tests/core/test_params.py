"""Parameter blocks: bijectors, freezing, and vectors."""

from __future__ import annotations

import equinox as eqx
import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consilience.core.params import (
    Block,
    Bounded,
    Model,
    Positive,
    PositiveDefinite,
    Projected,
    Simplex,
    ravel,
    unravel,
)

values = st.integers(0, 10_000).map(np.random.default_rng)


def tensors(rng: np.random.Generator, n: int = 3) -> np.ndarray:
    root = rng.normal(size=(n, 3, 3))
    full = root @ root.transpose(0, 2, 1) + 0.05 * np.eye(3)
    return full[:, [0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]


@given(values)
def test_bijectors_are_inverted(rng: np.random.Generator) -> None:
    simplex = rng.dirichlet(np.ones(4), size=2)
    for bijector, value in [
        (Positive(), rng.uniform(0.1, 50, 5)),
        (Bounded(-1.0, 2.0), rng.uniform(-0.99, 1.99, 5)),
        (Simplex(), simplex),
        (PositiveDefinite(), tensors(rng)),
    ]:
        raw = bijector.inverse(value)
        np.testing.assert_allclose(bijector.forward(raw), value, rtol=1e-9, atol=1e-12)


@given(values)
def test_any_raw_value_is_allowed(rng: np.random.Generator) -> None:
    raw = rng.normal(scale=2, size=(4, 6))
    u = np.asarray(PositiveDefinite().forward(raw))
    full = u[:, np.array([[0, 3, 4], [3, 1, 5], [4, 5, 2]])]
    assert np.all(np.linalg.eigvalsh(full) > -1e-12 * np.abs(full).max())
    assert np.all(np.asarray(Positive().forward(raw)) > 0)
    share = np.asarray(Simplex().forward(raw))
    np.testing.assert_allclose(share.sum(-1), 1.0)


def test_numpy_and_jax_agree() -> None:
    raw = np.random.default_rng(1).normal(size=(3, 6))
    for bijector in (Positive(), PositiveDefinite()):
        traced = jax.jit(lambda r, b=bijector: b.forward(r))(raw)
        np.testing.assert_allclose(bijector.forward(raw), traced, rtol=1e-12)
        assert isinstance(bijector.forward(raw), np.ndarray)


def test_projection_holds_atoms_on_their_element() -> None:
    projector = np.array([np.diag([1.0, 0.0, 0.0])])
    held = Projected(projector, np.array([[5.0, 1.0, 2.0]]))
    np.testing.assert_allclose(held.forward(np.array([[7.0, 8.0, 9.0]])), [[7.0, 1.0, 2.0]])


def test_values_that_a_bijector_cannot_hold_are_refused() -> None:
    for value, bijector in ((np.array([0.0]), Positive()), (np.array([2.0]), Bounded(0.0, 2.0))):
        with np.errstate(all="ignore"), pytest.raises(ValueError, match="outside the range"):
            Block.of(value, bijector)


def test_freezing_is_a_partition_of_the_tree() -> None:
    model = Model.of(x=Block.of(np.arange(3.0)), b=Block.of(np.ones(2), Positive()))
    active, frozen = model.partition(["b"])
    assert active.blocks["x"].raw is None and frozen.blocks["b"].raw is None
    assert eqx.tree_equal(eqx.combine(active, frozen), model)
    assert set(model.raw(["x"])) == {"x"}
    with pytest.raises(KeyError, match="no parameter block q"):
        model.raw(["q"])
    moved = model.with_values(b=np.array([3.0, 4.0]))
    np.testing.assert_allclose(moved["b"], [3.0, 4.0])
    np.testing.assert_array_equal(moved["x"], model["x"])


def test_vectors_and_trees() -> None:
    tree = {"b": np.arange(6.0).reshape(2, 3), "a": (np.array(7.0), np.array([8.0]))}
    flat = ravel(tree)
    np.testing.assert_array_equal(flat, [7, 8, 0, 1, 2, 3, 4, 5])
    assert eqx.tree_equal(unravel(flat, tree), tree)
