"""Normal equations of force matching: what frames say about the coefficients of a bead prior, once and for all.

The prior is linear in its coefficients, so that the squared error of its forces is a quadratic form in them. Sets of
frames add; a score on other frames is another such form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse

from consilience.potentials.beads import prior_basis as basis
from consilience.potentials.beads.chains import NEAR, Chains, bond_lengths, cos_angles
from consilience.potentials.beads.prior import Prior, dihedral_terms

CHUNK = 3e7  # numbers of a design matrix held at once


class Normal(eqx.Module):
    """|F - D c|² = c'A c - 2 b'c + total over `count` force components; c: coefficients as `flat` orders them.

    matrix (p, p), vector (p,), total (), count (); eV²/Å² and so on.
    """

    matrix: Any
    vector: Any
    total: Any
    count: Any

    def __add__(self, other: Normal) -> Normal:
        return jax.tree.map(lambda a, b: a + b, self, other)

    def times(self, factor: float) -> Normal:
        """The same frames, counted `factor` times."""
        return jax.tree.map(lambda a: factor * a, self)

    def error(self, c):
        """Mean squared error of a force component, eV²/Å²."""
        return (c @ (self.matrix @ c) - 2.0 * (self.vector @ c) + self.total) / self.count

    def explained(self, c) -> float:
        """Explained variance: 1 - squared error / squared forces."""
        return float(1.0 - self.error(c) * self.count / self.total)


LINEAR = ("bond", "stiffness", "angle", "dihedral", "excluded_volume", "pair")


def coefficients(prior: Prior) -> dict[str, Any]:
    """The coefficients of a prior by kind of term, as trees of arrays."""
    return {k: getattr(prior, k) for k in LINEAR if getattr(prior, k) is not None}


def with_coefficients(prior: Prior, values: dict[str, Any]) -> Prior:
    """The prior with other coefficients."""
    names = [k for k in LINEAR if getattr(prior, k) is not None]
    return eqx.tree_at(lambda p: [getattr(p, k) for k in names], prior, [values[k] for k in names])


def flat(values: dict[str, Any]):
    """One vector of all coefficients."""
    return jnp.concatenate([jnp.ravel(jnp.asarray(a)) for a in jax.tree.leaves(values)])


@dataclass(frozen=True)
class _Kind:
    """Terms of one kind in one protein: their beads (t, m), their basis, and a number for each of them (t,)."""

    beads: np.ndarray
    basis: Callable[..., Any]  # (beads (m, 3), number) -> (k,)
    number: np.ndarray


def _bond(x, _):
    d = bond_lengths(x)[0] - basis.BOND
    return jnp.stack([d, 0.5 * d * d])


def _angle(x, _):
    return basis.multiples(cos_angles(x)[0], basis.ANGLES)


def _dihedral(x, _):
    return dihedral_terms(x)[0]


def _pair(x, separation):
    r2 = jnp.sum((x[1] - x[0]) ** 2)
    return jnp.concatenate([basis.core(r2, separation > NEAR)[None], basis.bumps(r2)])


def _kinds(chains: Chains) -> dict[str, _Kind]:
    n = len(chains.types)
    out = {}
    for name, count, function in (("bond", 2, _bond), ("angle", 3, _angle), ("dihedral", 4, _dihedral)):
        beads = np.arange(max(n - count + 1, 0))[:, None] + np.arange(count)
        out[name] = _Kind(beads, function, np.zeros(len(beads)))
    i, j = np.triu_indices(n, 1)
    separation = np.asarray(chains.separation(np.broadcast_to(np.arange(n)[None], (n, n))))[i, j]
    pairs = np.stack([i, j], 1)[separation >= 2]
    out["pair"] = _Kind(pairs, _pair, separation[separation >= 2])
    return out


def _instance_coefficients(values: dict[str, Any], prior: Prior, chains: Chains, kinds: dict[str, _Kind]):
    """Coefficients of all terms of a protein, flat, in the order of the columns of the design."""
    prior = with_coefficients(prior, values)
    ready = prior.prepared(chains)
    pairs = kinds["pair"]
    t = jnp.asarray(chains.types)
    first, second = t[pairs.beads[:, 0]], t[pairs.beads[:, 1]]
    separation = pairs.number
    strength = jnp.asarray(prior.excluded_volume)[np.clip(separation - 2, 0, NEAR - 1)]
    k = len(basis.CENTRES)
    own = jnp.zeros((len(separation), k)) if prior.pair is None else prior.pair(first, second, separation)
    return jnp.concatenate(
        [
            jnp.ravel(jnp.concatenate([ready.bond, ready.stiffness[:, None]], 1)),
            jnp.ravel(ready.angle),
            jnp.ravel(ready.dihedral),
            jnp.ravel(jnp.concatenate([strength[:, None], own], 1)),
        ]
    )


@jax.jit
def _walls(prior: Prior, chains: Chains, x):
    def energy(x):
        return jnp.sum(chains.linked(3) * prior.walls(cos_angles(x)))

    return -jax.vmap(jax.grad(energy))(x)


def normal(prior: Prior, chains: Chains, positions: np.ndarray, forces: np.ndarray, weights=None) -> Normal:
    """What frames (f, n, 3) Å with forces eV/Å of one protein say; `weights` (f,): how often each counts (None: once).

    The walls of the prior are not fitted: their forces are taken off the data.
    """
    kinds = _kinds(chains)
    n, count = len(chains.types), len(positions)
    weights = np.ones(count) if weights is None else np.asarray(weights, float)
    like = coefficients(prior)
    leaves, tree = jax.tree.flatten(like)
    sizes = np.cumsum([np.size(a) for a in leaves])[:-1]

    def instances(c):
        parts = jnp.split(c, sizes)
        values = jax.tree.unflatten(tree, [p.reshape(np.shape(a)) for p, a in zip(parts, leaves, strict=True)])
        return _instance_coefficients(values, prior, chains, kinds)

    p = sum(np.size(a) for a in leaves)
    share = np.asarray(jax.jit(jax.jacfwd(instances))(jnp.zeros(p)))  # (columns of the design, p)
    used = np.flatnonzero(np.abs(share).sum(0))
    share = sparse.csr_array(share[:, used])
    matrix, vector, total = np.zeros((len(used), len(used))), np.zeros(len(used)), 0.0
    step = max(1, min(256, int(CHUNK / (3 * n * max(len(used), 1)))))
    for start in range(0, count, step):
        chosen = np.minimum(np.arange(start, start + step), count - 1)  # one shape, compiled once
        x = np.asarray(positions[chosen], float)
        f = np.asarray(forces[chosen], float) - np.asarray(_walls(prior, chains, x))
        root = np.sqrt(np.where(np.arange(start, start + step) < count, weights[chosen], 0.0))
        products: Any = _design(kinds, x) @ share
        design = products.toarray() * np.repeat(root, 3 * n)[:, None]
        target = (f * root[:, None, None]).ravel()
        matrix += design.T @ design
        vector += design.T @ target
        total += float(target @ target)
    full, right = np.zeros((p, p)), np.zeros(p)
    full[np.ix_(used, used)], right[used] = matrix, vector
    return Normal(full, right, np.asarray(total), np.asarray(3.0 * n * weights.sum()))


def _design(kinds: dict[str, _Kind], x: np.ndarray) -> sparse.csr_array:
    """Forces of every basis function of every term: (f 3 n, columns)."""
    f, n, _ = x.shape
    rows, columns, values, start = [], [], [], 0
    for kind in kinds.values():
        if not len(kind.beads):
            continue
        gradient = np.asarray(_gradients(x[:, kind.beads], kind.number, basis=kind.basis))  # (f, t, k, m, 3)
        t, k = gradient.shape[1:3]
        frame = 3 * n * np.arange(f)[:, None, None, None, None]
        row = frame + 3 * kind.beads[None, :, None, :, None] + np.arange(3)
        column = start + k * np.arange(t)[:, None, None, None] + np.arange(k)[:, None, None]
        rows.append(np.broadcast_to(row, gradient.shape).ravel())
        columns.append(np.broadcast_to(column[None], gradient.shape).ravel())
        values.append(-gradient.ravel())
        start += t * k
    where = np.concatenate(rows), np.concatenate(columns)
    return sparse.csr_array((np.concatenate(values), where), shape=(3 * n * f, start))


@partial(jax.jit, static_argnames="basis")
def _gradients(x, number, *, basis: Callable[..., Any]):
    over_terms = jax.vmap(jax.jacrev(basis), (0, 0))
    return jax.vmap(over_terms, (0, None))(x, number)
