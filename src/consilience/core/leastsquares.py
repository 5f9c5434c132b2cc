"""Least-squares solvers: Levenberg-Marquardt for small dense problems (vmappable), Gauss-Newton with CG for large."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.scipy.sparse.linalg
from jax.flatten_util import ravel_pytree

from consilience.core.params import Raw

Residuals = Callable[[Raw], jax.Array]


class LeastSquaresState(NamedTuple):
    """Point, value = half the sum of squares, damping, and whether the last step was taken and the end reached."""

    raw: Raw
    value: jax.Array
    damping: jax.Array
    accepted: jax.Array
    done: jax.Array


def _half_square(r: jax.Array) -> jax.Array:
    return 0.5 * jnp.vdot(r, r)


def _next(state: LeastSquaresState, raw: Any, value: jax.Array, rtol: float, up: float, down: float):
    """Accept or refuse a trial point and adapt the damping; traceable, so that it runs under vmap and scan."""
    good = jnp.isfinite(value) & (value < state.value)
    keep = jax.tree.map(lambda new, old: jnp.where(good, new, old), raw, state.raw)
    damping = jnp.clip(jnp.where(good, state.damping * down, state.damping * up), 1e-12, 1e12)
    small = good & (state.value - value <= rtol * (jnp.abs(value) + 1e-300))
    stuck = ~good & (damping >= 1e10)
    return LeastSquaresState(keep, jnp.where(good, value, state.value), damping, good, state.done | small | stuck)


@dataclass(frozen=True)
class LevenbergMarquardt:
    """Damped Gauss-Newton with Marquardt's scaling (Marquardt 1963); `function` returns residuals.

    Pure: one step can be vmapped over problems and scanned over steps.
    """

    rtol: float = 1e-12
    damping: float = 1e-3

    def init(self, function: Residuals, raw: Raw) -> LeastSquaresState:
        value = _half_square(function(raw))
        one = jnp.ones_like(value)
        return LeastSquaresState(raw, value, self.damping * one, one > 0, one < 0)

    def step(self, function: Residuals, state: LeastSquaresState) -> LeastSquaresState:
        x, unravel = ravel_pytree(state.raw)
        r = function(state.raw)
        jacobian = jax.jacfwd(lambda v: function(unravel(v)))(x)
        normal = jacobian.T @ jacobian
        diagonal = jnp.diagonal(normal)
        diagonal = jnp.maximum(diagonal, 1e-12 * jnp.max(diagonal) + 1e-300)
        step = jnp.linalg.solve(normal + state.damping * jnp.diag(diagonal), -(jacobian.T @ r))
        raw = unravel(x + step)
        new = _next(state, raw, _half_square(function(raw)), self.rtol, 4.0, 0.25)
        return jax.tree.map(lambda a, b: jnp.where(state.done, b, a), new, state)

    def minimise(self, function: Residuals, raw: Raw, steps: int = 100) -> LeastSquaresState:
        """Fixed number of steps in one scan (finished problems stand still)."""
        state = self.init(function, raw)
        return jax.lax.scan(lambda s, _: (self.step(function, s), None), state, None, length=steps)[0]


@dataclass(frozen=True)
class GaussNewtonCG:
    """Gauss-Newton by preconditioned conjugate gradients with step halving; `function` returns residuals.

    The normal matrix is never formed: products by forward and reverse mode. `precondition` maps a flat vector to a flat
    vector.
    """

    rtol: float = 1e-10
    damping: float = 1e-6
    iterations: int = 50
    precondition: Callable[[jax.Array], jax.Array] | None = None

    def init(self, function: Residuals, raw: Raw) -> LeastSquaresState:
        return LevenbergMarquardt(self.rtol, self.damping).init(function, raw)

    def step(self, function: Residuals, state: LeastSquaresState) -> LeastSquaresState:
        x, unravel = ravel_pytree(state.raw)

        def residual(v):
            return function(unravel(v))

        r, push = jax.linearize(residual, x)
        pull = jax.linear_transpose(push, x)
        gradient = pull(r)[0]

        def normal(v):
            return pull(push(v))[0] + state.damping * v

        step, _ = jax.scipy.sparse.linalg.cg(normal, -gradient, maxiter=self.iterations, M=self.precondition, tol=1e-6)
        value, length = jnp.inf, 1.0
        raw = state.raw
        for length in (1.0, 0.5, 0.25, 0.125, 0.0625):
            raw = unravel(x + length * step)
            value = _half_square(function(raw))
            if bool(value < state.value):
                break
        return _next(state, raw, jnp.asarray(value), self.rtol, 10.0, 0.3)
