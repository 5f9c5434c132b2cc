"""Sums of energies of pairs whose gradient is a sum over the row of each atom, with nothing scattered.

The gradient of looked-up positions adds to places named by an index, the dearest part of a cheap energy on a CPU. A
list that holds each pair in the rows of both its atoms needs no such thing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from consilience.neighbours import Neighbours


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def pair_sum(function: Callable[[Any, Any], Any], x, neighbours: Neighbours, terms):
    """Sum of function(r2, terms) -> (n, K) eV over all slots of a list; r2 (n, K) Å², 1e6 where there is no neighbour.

    `function` works element by element in r2, gives zero at 1e6, and the same for a pair from either of its atoms: half
    the energy of the pair. `terms`: a pytree of its coefficients. The list is whole: if it holds j in the row of i, it
    holds i in the row of j. Differentiable any number of times in x, shifts and terms.
    """
    return jnp.sum(function(neighbours.squared(x), terms))


@partial(pair_sum.defjvp, symbolic_zeros=True)
def _pair_sum_jvp(function, primals, tangents):
    x, neighbours, terms = primals
    dx, moved, dterms = tangents
    d = neighbours.differences(x)
    r2 = neighbours.squared(x)
    value, slope = jax.jvp(lambda r2: function(r2, terms), (r2,), (jnp.ones_like(r2),))
    pull = (2.0 * slope)[..., None] * d  # of each slot on its neighbour
    change = jnp.zeros((), value.dtype)
    if not isinstance(dx, SymbolicZero):
        change += jnp.sum(dx * (-2.0 * jnp.sum(pull, 1)))  # both atoms of a pair, each from its own row
    if neighbours.shift is not None and not isinstance(moved.shift, SymbolicZero):
        change += jnp.sum(pull * moved.shift)
    given, structure = jax.tree.flatten(terms)
    steps = jax.tree.leaves(dterms, is_leaf=lambda a: isinstance(a, SymbolicZero))
    moving = [k for k, step in enumerate(steps) if not isinstance(step, SymbolicZero)]
    if moving:

        def of_terms(some):
            leaves = list(given)
            for k, leaf in zip(moving, some, strict=True):
                leaves[k] = leaf
            return jnp.sum(function(r2, jax.tree.unflatten(structure, leaves)))

        change += jax.jvp(of_terms, ([given[k] for k in moving],), ([steps[k] for k in moving],))[1]
    return jnp.sum(value), change
