"""Parameter blocks of a fit to relaxation data: a tensor of one shape, and internal motion within its bounds."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from consilience.core.params import Bijector, Block, Positive, PositiveDefinite
from consilience.nmr.modelfree import PARAMETERS, TF_MAX
from consilience.nmr.tumbling import Shape, numbers_of

MOTION = PARAMETERS[:5]  # columns of the block "dynamics": s2f, s2s, tf (ns), ts (ns), rex (s^-1 at the lowest field)
TOP = np.array([1.0, 1.0, TF_MAX, np.inf, np.inf])  # their upper bounds; all lower bounds are 0
_INSIDE, _SMALLEST = 2e-3, np.array([0.0, 0.0, 0.0, 1e-3, 1e-2])


class Motion(Bijector):
    """(n, 5) internal motion of each residue as MOTION: those that are `free` (n, 5) bool move, others are `held`.

    Order parameters and tf by the logistic function, ts and Rex by the exponential. Values on a bound are held exactly;
    free ones start just inside.
    """

    free: Any
    held: Any

    def forward(self, raw):
        bounded = np.isfinite(TOP)
        share = jax.nn.sigmoid(raw) * np.where(bounded, TOP, 1.0)
        moving = jnp.where(bounded, share, jnp.exp(jnp.where(bounded, 0.0, raw)))
        return jnp.where(self.free, moving, self.held)

    def inverse(self, value):
        value = np.asarray(value, float)
        bounded = np.isfinite(TOP)
        share = np.clip(value / np.where(bounded, TOP, 1.0), _INSIDE, 1 - _INSIDE)
        raw = np.where(bounded, np.log(share / (1 - np.where(bounded, share, 0.5))), 0.0)
        raw = np.where(bounded, raw, np.log(np.maximum(value, np.maximum(_SMALLEST, 1e-300))))
        return np.where(np.asarray(self.free), raw, 0.0)


class AxialTensor(Bijector):
    """Axially symmetric tensors as 11 22 33 12 13 23 rad^2/ns from raw (4,): log D across, and a vector w on the axis.

    Prolate: D (1 + w w'), oblate: D (1 - w w' / (1 + w w)); `oblate` is 0 or 1.
    """

    oblate: int = eqx.field(static=True)

    def forward(self, raw):
        across, w = jnp.exp(raw[0]), raw[1:4]
        outer = jnp.outer(w, w)
        d = across * (jnp.eye(3) - outer / (1 + w @ w) if self.oblate else jnp.eye(3) + outer)
        return six(d)

    def inverse(self, value):
        return numbers_of(matrix(np.asarray(value), np), "oblate" if self.oblate else "prolate")


class IsotropicTensor(Bijector):
    """D times the unit tensor, as six numbers, from raw (1,) = log D."""

    def forward(self, raw):
        return jnp.exp(raw[0]) * jnp.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])

    def inverse(self, value):
        return Positive().inverse(np.asarray(value)[:3].mean(keepdims=True))


def tensor_block(diffusion: np.ndarray, shape: Shape) -> Block:
    """The block "diffusion" of a shape, nearest to a tensor (3, 3) rad^2/ns."""
    kinds = {"iso": IsotropicTensor(), "prolate": AxialTensor(0), "oblate": AxialTensor(1)}
    return Block.of(six(np.asarray(diffusion), np), kinds.get(shape, PositiveDefinite()))


def six(d, xp=jnp):
    """11 22 33 12 13 23 of a symmetric (3, 3) tensor."""
    return xp.stack([d[0, 0], d[1, 1], d[2, 2], d[0, 1], d[0, 2], d[1, 2]])


def matrix(numbers, xp=jnp):
    """(3, 3) from 11 22 33 12 13 23."""
    a, b, c, d, e, f = (numbers[i] for i in range(6))
    return xp.stack([xp.stack([a, d, e]), xp.stack([d, b, f]), xp.stack([e, f, c])])
