"""Least squares within bounds for many small dense problems at once: projected Levenberg-Marquardt, Newton at the end.

Parameters that stand at a bound and want to leave it are held, so solutions on bounds are exact. Everything is
traceable: vmap over problems, jit around all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from consilience.core.cholesky import solve_positive_definite

Residuals = Callable[[jax.Array], jax.Array]
Array = jax.Array | np.ndarray


class Bounded(NamedTuple):
    """Solution x (k,), value = half the sum of squares, and the damping of the last step."""

    x: jax.Array
    value: jax.Array
    damping: jax.Array


def held(x: Array, gradient: Array, lower: Array, upper: Array) -> Array:
    """(k,) bool: at a bound with a gradient that pushes outwards, or without any room."""
    return ((x <= lower) & (gradient >= 0)) | ((x >= upper) & (gradient <= 0)) | (upper <= lower)


def least_squares(
    residuals: Residuals,
    x: jax.Array,
    lower: jax.Array,
    upper: jax.Array,
    *,
    steps: int = 40,
    newton: int = 0,
    damping: float = 1e-2,
) -> Bounded:
    """Minimise half the sum of squares of `residuals(x)` (m,) over lower <= x <= upper (k,).

    `steps` of Levenberg-Marquardt with Marquardt's scaling (1963), then `newton` steps with the full second derivative,
    which converge where the residuals are large. No step is taken that does not lower the value.
    """

    def value_of(x):
        r = residuals(x)
        return 0.5 * jnp.sum(r * r)

    def damped_step(state: Bounded, gradient, matrix, scale) -> Bounded:
        fixed = held(state.x, gradient, lower, upper)
        free = jnp.where(fixed, 0.0, 1.0)
        scale = jnp.maximum(scale, 1e-10 * jnp.max(scale * free) + 1e-30)
        system = matrix * free[:, None] * free + jnp.diag(state.damping * scale * free + (1 - free))
        step = -solve_positive_definite(system, gradient * free) * free
        trial = jnp.clip(state.x + step, lower, upper)
        new = value_of(trial)
        good = new < state.value
        return Bounded(
            jnp.where(good, trial, state.x),
            jnp.where(good, new, state.value),
            jnp.clip(jnp.where(good, state.damping * 0.2, state.damping * 5.0), 1e-14, 1e10),
        )

    def marquardt(state: Bounded, _):
        r, jacobian = residuals(state.x), jax.jacfwd(residuals)(state.x)
        normal = jacobian.T @ jacobian
        return damped_step(state, jacobian.T @ r, normal, jnp.diagonal(normal)), None

    def second_order(state: Bounded, _):
        gradient, hessian = jax.jacfwd(value_of)(state.x), jax.hessian(value_of)(state.x)
        jacobian = jax.jacfwd(residuals)(state.x)
        return damped_step(state, gradient, hessian, jnp.sum(jacobian * jacobian, 0)), None

    x = jnp.clip(x, lower, upper)
    state = Bounded(x, value_of(x), jnp.full((), damping, x.dtype))
    state, _ = jax.lax.scan(marquardt, state, None, length=steps)
    if newton:
        state = state._replace(damping=jnp.full((), 1e-6, x.dtype))
        state, _ = jax.lax.scan(second_order, state, None, length=newton)
    return state
