"""Small symmetric positive definite systems, unrolled: they vectorise over a batch.

Nothing here calls LAPACK from compiled code: several batched LAPACK calls in one program can wait for one another for
ever on a machine with few cores (seen with jaxlib 0.10.2 on two cores), and for 3 to 8 unknowns this is faster.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp


def solve_positive_definite(a: jax.Array, b: jax.Array) -> jax.Array:
    """x (..., k) with a x = b for symmetric positive definite a (..., k, k), k static and small; axes broadcast.

    A pivot that is not positive is taken as one, so the result stays finite (the caller judges the step).
    """
    k = b.shape[-1]
    low: dict[tuple[int, int], jax.Array] = {}
    y: dict[int, jax.Array] = {}
    for i in range(k):
        for j in range(i):
            s = a[..., i, j]
            for m in range(j):
                s = s - low[i, m] * low[j, m]
            low[i, j] = s / low[j, j]
        pivot, right = a[..., i, i], b[..., i]
        for m in range(i):
            pivot = pivot - low[i, m] ** 2
            right = right - low[i, m] * y[m]
        low[i, i] = jnp.sqrt(jnp.where(pivot > 0, pivot, 1.0))
        y[i] = right / low[i, i]
    x: dict[int, jax.Array] = {}
    for i in reversed(range(k)):
        s = y[i]
        for m in range(i + 1, k):
            s = s - low[m, i] * x[m]
        x[i] = s / low[i, i]
    return jnp.stack(jnp.broadcast_arrays(*(x[i] for i in range(k))), -1)
