"""Rows of slots for neighbours, of which many are empty, and the pairs alone: how arrays go from one form to the other.

The dense layers of a network of pairs cost the same for an empty slot as for a pair.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp


class Packing(eqx.Module):
    """The pairs (e,) of a list (m, K): `slot` (e,) of each, counted through the rows, and `pair` (m, K) in each slot.

    Out of bounds, m K or e: no such slot, no such pair. None: the pairs are the slots, and nothing is moved.
    """

    slot: Any
    pair: Any

    def pairs(self, v):
        """Values (m, K, ...) of slots as those of pairs (e, ...); zero where there is no pair."""
        return v if self.slot is None else _pairs(v, self.slot, self.pair)

    def slots(self, v):
        """Values (e, ...) of pairs as those of slots (m, K, ...); zero in empty ones."""
        return v if self.slot is None else _slots(v, self.slot, self.pair)


def packing(mask, room: int) -> Packing:
    """The packing of the slots of a list that are in use, mask (m, K); no more than `room` of them."""
    flat = mask.ravel()
    slot = jnp.nonzero(flat, size=room, fill_value=flat.shape[0])[0]
    pair = jnp.where(flat, jnp.cumsum(flat) - 1, room)
    return Packing(slot, pair.reshape(mask.shape))


@jax.custom_vjp
def _pairs(v, slot, pair):
    return jnp.asarray(v).reshape(-1, *v.shape[2:]).at[slot].get(mode="fill", fill_value=0)


@jax.custom_vjp
def _slots(v, slot, pair):
    return jnp.asarray(v).at[pair].get(mode="fill", fill_value=0)


# each is the transpose of the other: a look-up, where the transpose of a look-up in general is a scattered sum
_pairs.defvjp(lambda v, *way: (_pairs(v, *way), way), lambda way, g: (_slots(g, *way), None, None))
_slots.defvjp(lambda v, *way: (_slots(v, *way), way), lambda way, g: (_pairs(g, *way), None, None))
