"""Laplace's variances and shares of precision against a dense inverse."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import numpy as np
import pytest
import scipy.sparse as sp

from consilience.core.errors import RunError
from consilience.core.laplace import _floating, conjugate_gradients, laplace
from consilience.core.objective import Objective
from consilience.core.params import Block, Model, Projected
from consilience.core.terms import Score


class Quadratic(eqx.Module):
    """x' A x / 2 over the blocks xyz (n, 3) and, if it says so, b (n,)."""

    matrix: Any
    with_b: bool = eqx.field(static=True, default=False)

    @property
    def reads(self) -> frozenset[str]:
        return frozenset({"xyz", "b"} if self.with_b else {"xyz"})

    def __call__(self, model: Model, obs: Any = None) -> Score:
        import jax.numpy as jnp

        x = jnp.ravel(model["xyz"])
        x = jnp.concatenate([jnp.ravel(model["b"]), x]) if self.with_b else x
        return Score(0.5 * x @ self.matrix @ x, {})

    def curvature(self, model: Model, obs: Any = None) -> dict[str, Any]:
        n = model["xyz"].size
        return {"xyz": sp.diags(np.diag(self.matrix)[-n:]).tocsc()}


def definite(rng: np.random.Generator, n: int) -> np.ndarray:
    a = rng.normal(size=(n, n))
    return a @ a.T / n + np.diag(rng.uniform(0.5, 20.0, n))


@pytest.fixture(params=["exact", pytest.param("probes", marks=pytest.mark.slow)])
def off(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    """How far a number may be off: by whole Hessians, and by random probes."""
    if request.param == "exact":
        return 2e-3  # differences of gradients, float32
    monkeypatch.setattr("consilience.core.laplace.DENSE", 0)
    return 0.2


def test_variances_and_shares(off: float) -> None:
    rng, n = np.random.default_rng(0), 6
    a, b = definite(rng, 4 * n), definite(rng, 3 * n)
    model = Model.of(xyz=Block.of(rng.normal(size=(n, 3))), b=Block.of(rng.normal(size=n)))
    objective = Objective({"data": Quadratic(a, True), "prior": Quadratic(b)}, {}, {"data": 1.0, "prior": 0.3})
    h = a.copy()
    h[n:, n:] += 0.3 * b
    inverse = np.linalg.inv(h)
    prior = np.zeros_like(h)
    prior[n:, n:] = 0.3 * b
    spread = a.copy()
    spread[n:, n:] += 0.09 * b
    found = laplace(objective, model, ("xyz", "b"), "xyz", probes=400)
    expected = np.diag(inverse @ spread @ inverse)[n:].reshape(n, 3)
    assert np.max(np.abs(found.variance / expected - 1)) < off
    shares = np.diag(prior @ inverse)[n:].reshape(n, 3)
    assert np.max(np.abs(found.share["prior"] - shares)) < off
    assert np.allclose(found.share["prior"] + found.share["data"], 1)
    assert found.indefinite == 0


def test_natural_weights_give_the_inverse_hessian_and_other_blocks_count(off: float) -> None:
    rng, n = np.random.default_rng(2), 5
    a = definite(rng, 4 * n)
    model = Model.of(xyz=Block.of(rng.normal(size=(n, 3))), b=Block.of(rng.normal(size=n)))
    objective = Objective({"data": Quadratic(a, True)}, {}, {"data": 1.0})
    both = laplace(objective, model, ("xyz", "b"), "xyz", probes=400).variance
    assert np.max(np.abs(both / np.diag(np.linalg.inv(a))[n:].reshape(n, 3) - 1)) < off
    known = laplace(objective, model, ("xyz",), "xyz", probes=400).variance
    assert np.max(np.abs(known / np.diag(np.linalg.inv(a[n:, n:])).reshape(n, 3) - 1)) < off


def test_atoms_on_special_positions_move_only_where_they_may(off: float) -> None:
    rng, n = np.random.default_rng(1), 4
    a = definite(rng, 3 * n)
    along = np.tile(np.eye(3), (n, 1, 1))
    along[0] = np.outer([0, 0.6, 0.8], [0, 0.6, 0.8])
    x = rng.normal(size=(n, 3))
    model = Model.of(xyz=Block.of(x, Projected(along, x)))
    found = laplace(Objective({"data": Quadratic(a)}, {}, {"data": 1.0}), model, ("xyz",), "xyz", probes=400)
    basis = np.zeros((3 * n, 3 * n - 2))
    basis[1:3, 0] = [0.6, 0.8]
    basis[3:, 1:] = np.eye(3 * n - 3)
    expected = np.diag(basis @ np.linalg.inv(basis.T @ a @ basis) @ basis.T).reshape(n, 3)
    assert found.variance[0, 0] < 1e-12
    assert np.max(np.abs(found.variance.ravel()[1:] / expected.ravel()[1:] - 1)) < off


def test_a_floating_origin_counts_as_known(off: float) -> None:
    """Terms that see differences of positions alone, but for z: the centre adds nothing to the variance in x and y."""
    rng, n = np.random.default_rng(3), 5
    a = definite(rng, 3 * n)
    centre = np.zeros((3 * n, 2))
    centre[0::3, 0] = centre[1::3, 1] = n**-0.5
    inside = np.eye(3 * n) - centre @ centre.T
    assert _unseen(a).shape == (3 * n, 0)
    a = inside @ a @ inside
    unseen = _unseen(a)
    assert np.allclose(unseen @ unseen.T, centre @ centre.T, atol=1e-9)
    model = Model.of(xyz=Block.of(rng.normal(size=(n, 3))))
    found = laplace(Objective({"data": Quadratic(a)}, {}, {"data": 1.0}), model, ("xyz",), "xyz", probes=400)
    expected = np.diag(np.linalg.pinv(a)).reshape(n, 3)
    assert np.max(np.abs(found.variance / expected - 1)) < off


def _unseen(hessian: np.ndarray) -> np.ndarray:
    """Directions in which the positions of this Hessian move as a whole and no term tells."""
    n = len(hessian)
    same = (lambda v: (np.reshape(v, n),), lambda v: np.reshape(v, (n // 3, 3)))
    return _floating(np.ones(n, bool), (n // 3, 3), lambda v: hessian @ v, *same)[0]


def test_negative_curvature_is_noticed(off: float) -> None:
    a = np.diag([1.0, 2.0, -1.0])
    x, convex = conjugate_gradients(lambda v: a @ v, np.ones(3), lambda v: v)
    assert not convex and np.all(np.isfinite(x))
    saddle = np.diag([1.0, 2.0, -1.0, 1.0, -2.0, -0.5])
    model = Model.of(xyz=Block.of(np.ones((2, 3))))
    with pytest.raises(RunError, match="no minimum"):
        laplace(Objective({"data": Quadratic(saddle)}, {}, {"data": 1.0}), model, ("xyz",), "xyz")
