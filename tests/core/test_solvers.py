"""Solvers against known minima and SciPy; all have one shape."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from consilience.core.objective import Objective
from consilience.core.params import Block, Model
from consilience.core.precondition import factorised
from consilience.core.solvers import LBFGS, Descent, GaussNewtonCG, LevenbergMarquardt, optimiser

from . import toys


def run(solver, function, raw, steps: int):
    state = solver.init(function, raw)
    for _ in range(steps):
        if np.all(state.done):
            break
        state = solver.step(function, state)
    return state


def valley():
    model = Model.of(x=Block.of(np.array([-1.2, 1.0])))
    return Objective({"valley": toys.Rosenbrock()}, {}, {"valley": 1.0}).function(model), model.raw(["x"])


def decay(raw):
    """Residuals of a sum of an exponential and a constant."""
    t = jnp.linspace(0, 3, 20)
    a, k, c = raw["p"]
    return a * jnp.exp(-k * t) + c - (2.0 * jnp.exp(-1.3 * t) + 0.4 + 0.01 * jnp.sin(9 * t))


def test_lbfgs_finds_the_end_of_the_valley() -> None:
    function, raw = valley()
    state = run(LBFGS(tolerance=0.0), function, raw, 60)
    np.testing.assert_allclose(state.raw["x"], 1.0, atol=1e-5)


def test_lbfgs_never_accepts_a_worse_point() -> None:
    function, raw = valley()
    solver = LBFGS(tolerance=0.0)
    state = solver.init(function, raw)
    for _ in range(30):
        new = solver.step(function, state)
        assert new.value <= state.value
        state = new


def test_lbfgs_clips_the_components_of_a_step() -> None:
    function, raw = valley()
    solver = LBFGS(max_step={"x": 0.01})
    state = solver.step(function, solver.init(function, raw))
    assert 0 < np.max(np.abs(state.raw["x"] - raw["x"])) <= 0.01 + 1e-15


def test_a_preconditioner_makes_a_stiff_problem_easy() -> None:
    import scipy.sparse as sp

    stiff = np.logspace(0, 6, 30)

    def function(raw):
        d = raw["x"] - 1.0
        return 0.5 * float(d @ (stiff * d)), {"x": stiff * d}

    start = {"x": np.zeros(30)}
    apply = factorised({"data": {"x": sp.diags(stiff)}}, {"data": 1.0})
    good = run(LBFGS(precondition=apply, tolerance=0.0), function, start, 3)
    np.testing.assert_allclose(good.raw["x"], 1.0, atol=1e-6)
    plain = run(LBFGS(tolerance=0.0), function, start, 3)
    assert np.max(np.abs(plain.raw["x"] - 1.0)) > 0.1


def test_levenberg_marquardt_agrees_with_scipy() -> None:
    start = jnp.array([1.0, 0.5, 0.0])
    expected = scipy.optimize.least_squares(lambda p: np.asarray(decay({"p": p})), start, xtol=1e-14, gtol=1e-14).x
    state = LevenbergMarquardt().minimise(decay, {"p": start}, 60)
    np.testing.assert_allclose(state.raw["p"], expected, rtol=1e-6)
    assert bool(state.done)


def test_levenberg_marquardt_runs_under_vmap() -> None:
    starts = jnp.array([[1.0, 0.5, 0.0], [3.0, 2.0, 1.0]])
    together = jax.vmap(lambda p: LevenbergMarquardt().minimise(decay, {"p": p}, 60).raw["p"])(starts)
    np.testing.assert_allclose(together[0], together[1], rtol=1e-6)


def test_gauss_newton_with_conjugate_gradients() -> None:
    expected = LevenbergMarquardt().minimise(decay, {"p": jnp.array([1.0, 0.5, 0.0])}, 60).raw["p"]
    state = run(GaussNewtonCG(), decay, {"p": jnp.array([1.8, 1.2, 0.3])}, 40)
    np.testing.assert_allclose(state.raw["p"], expected, rtol=1e-5)


def test_adabelief_then_yogi_descends() -> None:
    function = jax.value_and_grad(lambda raw: jnp.sum((raw["x"] - 2.0) ** 2))
    solver = Descent(optimiser("adabelief-yogi", 0.1), 300)
    state = run(solver, function, {"x": jnp.zeros(3)}, 300)
    np.testing.assert_allclose(state.raw["x"], 2.0, atol=0.02)


def test_descent_stops_at_a_gradient_that_is_not_finite() -> None:
    solver = Descent(optimiser("adabelief-yogi", 0.1), 10)
    raw = {"x": jnp.zeros(2)}
    state = solver.step(lambda r: (jnp.array(jnp.nan), r), solver.init(lambda r: (0.0, r), raw))
    assert state.done
    np.testing.assert_array_equal(state.raw["x"], raw["x"])


@pytest.mark.parametrize("solver", [LBFGS(), Descent(optimiser("adabelief-yogi", 0.1), 10)])
def test_all_solvers_have_one_shape(solver) -> None:
    function, raw = valley()
    state = solver.step(function, solver.init(function, raw))
    assert {"raw", "value", "done"} <= set(state._fields)
