"""Sums over pairs by rows: every derivative is that of the plain sum."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from consilience.core.compiled import light_jit
from consilience.forces import forces_from, stress_from
from consilience.neighbours import Neighbours, all_pairs, neighbour_matrix, square_of_pairs
from consilience.pair_sum import pair_sum

CUTOFF = 6.0
CELL = np.array([[13.0, 0, 0], [1.0, 14.0, 0], [-2.0, 0.5, 15.0]])


def charged(r2, q):
    """Any smooth law of pairs that differ: (n, 1) and (n, K) charges of both atoms."""
    own, others = q
    return own * others * jnp.maximum(1.0 - r2 / CUTOFF**2, 0.0) ** 3 / (1.0 + r2)


def by_rows(x, neighbours: Neighbours, q):
    return pair_sum(charged, x, neighbours, (q[:, None], q[neighbours.index]))


def plain(x, neighbours: Neighbours, q):
    return jnp.sum(charged(neighbours.squared(x), (q[:, None], q[neighbours.index])))


def system(kind: str):
    rng = np.random.default_rng(3)
    x, q = rng.uniform(0.0, 9.0, (12, 3)), jnp.asarray(rng.normal(size=12))
    periodic = neighbour_matrix(x, CUTOFF, CELL, (True, True, True), 40)
    lists = {"square": square_of_pairs(12), "all": all_pairs(12), "list": neighbour_matrix(x, CUTOFF, capacity=13),
             "periodic": periodic}[kind]  # fmt: skip
    return jnp.asarray(x), jax.tree.map(jnp.asarray, lists), q


@pytest.mark.parametrize("kind", ["square", "list", "periodic"])
def test_forces_are_those_of_the_plain_sum(kind: str) -> None:
    x, lists, q = system(kind)
    a, b = (light_jit(forces_from(f))(x, lists, q) for f in (by_rows, plain))
    np.testing.assert_allclose(a[0], b[0], rtol=1e-13)
    np.testing.assert_allclose(a[1], b[1], atol=1e-13 * float(jnp.abs(b[1]).max()))


def test_higher_derivatives_are_those_of_the_plain_sum() -> None:
    x, lists, q = system("list")

    def of(f):
        return light_jit(
            lambda x, q: (
                jax.jacfwd(jax.grad(lambda x: f(x, lists, q)))(x),  # forward over reverse
                jax.grad(lambda x: jnp.sum(jax.grad(lambda x: f(x, lists, q))(x) ** 3))(x),  # reverse over reverse
                jax.grad(lambda q: f(x, lists, q))(q),
                jax.grad(lambda q: jnp.sum(jax.grad(lambda x: f(x, lists, q))(x) ** 3))(q),  # as training has it
                jax.vmap(jax.grad(lambda x: f(x, lists, q)))(jnp.stack([x, 1.01 * x])),
            )
        )(x, q)

    for a, b in zip(of(by_rows), of(plain), strict=True):
        assert float(jnp.abs(b).max()) > 1e-3
        np.testing.assert_allclose(a, b, atol=1e-12 * float(jnp.abs(b).max()))


def test_stress_is_that_of_the_plain_sum() -> None:
    x, lists, q = system("periodic")
    a, b = (light_jit(stress_from(lambda x, n, f=f: f(x, n, q)))(x, lists, CELL)[2] for f in (by_rows, plain))
    np.testing.assert_allclose(a, b, atol=1e-13 * float(jnp.abs(b).max()))


def test_a_list_of_half_the_pairs_is_not_whole() -> None:
    """What the sum asks of a list matters: the rows of half a list do not hold its gradient."""
    x, lists, q = system("all")
    half = Neighbours(lists.index, lists.mask & (lists.index > jnp.arange(12)[:, None]))
    a, b = (forces_from(f)(x, half, q)[1] for f in (by_rows, plain))
    assert float(jnp.abs(a - b).max()) > 0.1 * float(jnp.abs(b).max())
