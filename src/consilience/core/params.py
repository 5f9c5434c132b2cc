"""Parameter blocks of a model: named arrays, the bijectors that keep them in bounds, and freezing as tree partition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

Raw = dict[str, Any]  # block name -> unconstrained array (or pytree of arrays)


def ravel(tree: Any) -> np.ndarray:
    """All numbers of a tree as one float64 vector, leaves in the order of JAX (dictionaries by sorted key)."""
    leaves = [np.ravel(np.asarray(x, float)) for x in jax.tree.leaves(tree)]
    return np.concatenate(leaves) if leaves else np.zeros(0)


def unravel(flat: np.ndarray, like: Any) -> Any:
    """The inverse of `ravel`: a tree with the shapes of `like`."""
    leaves, structure = jax.tree.flatten(like)
    ends = np.cumsum([np.size(x) for x in leaves])
    parts = [flat[e - np.size(x) : e].reshape(np.shape(x)) for e, x in zip(ends, leaves, strict=True)]
    return jax.tree.unflatten(structure, parts)


def _library(x: Any):
    """NumPy for NumPy arrays, so that looking at a model compiles nothing; JAX for its own."""
    return np if isinstance(x, np.ndarray | np.generic | float) else jnp


class Bijector(eqx.Module):
    """Maps unconstrained raw values to physical ones and back. The identity."""

    def forward(self, raw):
        return raw

    def inverse(self, value):
        return value

    def pull(self, diagonal, raw):
        """Diagonal curvature in the raw values from one in the values; the same where each value has its own."""
        return diagonal


class Positive(Bijector):
    """value = exp(raw) > 0."""

    def forward(self, raw):
        return _library(raw).exp(raw)

    def inverse(self, value):
        return _library(value).log(value)


class Above(Bijector):
    """value = low + exp(raw) > low; `low` is a number or has the shape of the value."""

    low: Any

    def forward(self, raw):
        return self.low + _library(raw).exp(raw)

    def inverse(self, value):
        return _library(value).log(value - self.low)


class Bounded(Bijector):
    """value = low + (high - low) * sigmoid(raw)."""

    low: float
    high: float

    def forward(self, raw):
        return self.low + (self.high - self.low) * jax.nn.sigmoid(raw)

    def inverse(self, value):
        share = (jnp.asarray(value) - self.low) / (self.high - self.low)
        return jnp.log(share) - jnp.log1p(-share)


class Simplex(Bijector):
    """Positive values that sum to 1 along the last axis; raw has one entry less (the last logit is 0)."""

    def forward(self, raw):
        zero = jnp.zeros((*raw.shape[:-1], 1), raw.dtype)
        return jax.nn.softmax(jnp.concatenate([raw, zero], -1), -1)

    def inverse(self, value):
        return jnp.log(value[..., :-1]) - jnp.log(value[..., -1:])


class PositiveDefinite(Bijector):
    """Symmetric positive definite 3 x 3 tensors, (..., 6) as 11 22 33 12 13 23, by their Cholesky factor.

    raw holds log L11, log L22, log L33, L21 / L11, L31 / L11, L32 / L22, dimensionless off the diagonal: smooth
    everywhere, with no singular point where eigenvalues coincide.
    """

    def forward(self, raw):
        xp = _library(raw)
        d1, d2, d3 = (xp.exp(raw[..., i]) for i in range(3))
        l21, l31, l32 = raw[..., 3] * d1, raw[..., 4] * d1, raw[..., 5] * d2
        diagonal = d1 * d1, l21 * l21 + d2 * d2, l31 * l31 + l32 * l32 + d3 * d3
        return xp.stack([*diagonal, d1 * l21, d1 * l31, l21 * l31 + d2 * l32], -1)

    def inverse(self, value):
        xp = _library(value)
        u11, u22, u33, u12, u13, u23 = (value[..., i] for i in range(6))
        d1 = xp.sqrt(u11)
        l21, l31 = u12 / d1, u13 / d1
        d2 = xp.sqrt(u22 - l21 * l21)
        l32 = (u23 - l21 * l31) / d2
        d3 = xp.sqrt(u33 - l31 * l31 - l32 * l32)
        return xp.stack([xp.log(d1), xp.log(d2), xp.log(d3), l21 / d1, l31 / d1, l32 / d2], -1)


class Projected(Bijector):
    """value = raw + P (raw - origin) - (raw - origin): keeps rows of (n, k) in the affine subspaces origin + range(P).

    For atoms on special positions: `projector` (n, k, k), `origin` (n, k).
    """

    projector: Any
    origin: Any

    def forward(self, raw):
        return self.origin + jnp.einsum("nij,nj->ni", self.projector, raw - self.origin)

    def inverse(self, value):
        return value


class Composed(Bijector):
    """value = outer(inner(raw))."""

    inner: Bijector
    outer: Bijector

    def forward(self, raw):
        return self.outer.forward(self.inner.forward(raw))

    def inverse(self, value):
        return self.inner.inverse(self.outer.inverse(value))


class Block(eqx.Module):
    """One named group of parameters that is refined or frozen together."""

    raw: Any
    bijector: Bijector = Bijector()

    @classmethod
    def of(cls, value, bijector: Bijector | None = None) -> Block:
        """A block that holds `value` (physical units).

        Raises ValueError for values that the bijector cannot hold (on a bound, or not finite).
        """
        bijector = bijector or Bijector()
        raw = bijector.inverse(value)
        for leaf in jax.tree.leaves(raw):
            if not isinstance(leaf, Tracer) and not np.all(np.isfinite(np.asarray(leaf))):
                raise ValueError(f"values outside the range of {type(bijector).__name__}, or not finite")
        return cls(raw, bijector)

    @property
    def value(self):
        return self.bijector.forward(self.raw)


class Model(eqx.Module):
    """The parameters of one molecular model, by block. `model["xyz"]` is the physical value."""

    blocks: dict[str, Block]

    @classmethod
    def of(cls, **blocks: Block) -> Model:
        return cls(dict(blocks))

    def __getitem__(self, name: str):
        return self.blocks[name].value

    def __contains__(self, name: str) -> bool:
        return name in self.blocks

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.blocks)

    def raw(self, active: Iterable[str]) -> Raw:
        """Unconstrained values of the active blocks: what a solver moves."""
        active = self._known(active)
        return {name: self.blocks[name].raw for name in sorted(active)}

    def with_raw(self, raw: Mapping[str, Any]) -> Model:
        """The same model with new unconstrained values for some blocks."""
        self._known(raw)
        return Model({k: Block(raw.get(k, b.raw), b.bijector) for k, b in self.blocks.items()})

    def with_values(self, **values) -> Model:
        """The same model with new physical values for some blocks."""
        self._known(values)
        return self.with_raw({k: Block.of(v, self.blocks[k].bijector).raw for k, v in values.items()})

    def partition(self, active: Iterable[str]) -> tuple[Model, Model]:
        """(active, frozen): the same tree twice, arrays of the other kind None; `eqx.combine` joins them."""
        names = self._known(active)
        spec = Model(
            {
                k: Block(jax.tree.map(lambda _, on=k in names: on, b.raw), jax.tree.map(lambda _: False, b.bijector))
                for k, b in self.blocks.items()
            }
        )
        return eqx.partition(self, spec)

    def _known(self, names: Iterable[str]) -> set[str]:
        """The names as a set. Raises KeyError for a block that the model lacks."""
        names = set(names)
        unknown = names - set(self.blocks)
        if unknown:
            raise KeyError(f"no parameter block {', '.join(sorted(unknown))}; there are {sorted(self.blocks)}")
        return names
