"""What a potential sees: atoms of one or many molecules, and for each atom its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from consilience.neighbours import Neighbours, all_pairs


class Graph(eqx.Module):
    """A batch of m molecules with n atoms in all, padding included (atomic number 0, no neighbours).

    numbers (n,) int; neighbours: within the cutoff, indices into all n atoms; molecule (n,) int: which molecule an atom
    belongs to; charge (m,): total charges, e; pairs: neighbours for electrostatics, which reach further (None: the same
    as `neighbours`).
    """

    numbers: Any
    neighbours: Neighbours
    molecule: Any
    charge: Any
    pairs: Neighbours | None = None

    @property
    def real(self):
        """True for atoms, False for padding."""
        return self.numbers > 0

    def deformed(self, deform) -> Graph:
        """The same graph where periodic shifts of atom i's neighbours are multiplied by deform[i] (n, 3, 3)."""
        pairs = None if self.pairs is None else self.pairs.deformed(deform)
        return Graph(self.numbers, self.neighbours.deformed(deform), self.molecule, self.charge, pairs)

    def per_molecule(self, per_atom):
        """Sum of (n, ...) over the atoms of each molecule: (m, ...)."""
        return jax.ops.segment_sum(per_atom, self.molecule, self.charge.shape[0], indices_are_sorted=True)


def single(numbers, neighbours: Neighbours | None = None, charge: float = 0.0) -> Graph:
    """The graph of one molecule; all pairs are neighbours unless a list is given."""
    n = len(numbers)
    every = all_pairs(n)
    return Graph(
        np.asarray(numbers, np.int32),
        every if neighbours is None else neighbours,
        np.zeros(n, np.int32),
        np.asarray([charge], float),
        every if neighbours is None or neighbours.shift is None else neighbours,
    )


def stacked(numbers, neighbours: Neighbours, charge, pairs: Neighbours | None = None) -> Graph:
    """One graph from b molecules padded to the same size: numbers (b, n), lists with a leading axis b, charge (b,).

    Positions (b, n, 3) belong to it as (b n, 3).
    """
    b, n = numbers.shape
    molecule = jnp.repeat(jnp.arange(b, dtype=jnp.int32), n, total_repeat_length=b * n)
    return Graph(
        numbers.reshape(-1),
        _flattened(neighbours, n),
        molecule,
        charge,
        None if pairs is None else _flattened(pairs, n),
    )


def _flattened(lists: Neighbours, n: int) -> Neighbours:
    b, _, k = lists.index.shape
    index = lists.index + n * jnp.arange(b, dtype=lists.index.dtype)[:, None, None]
    shift = None if lists.shift is None else lists.shift.reshape(b * n, k, 3)
    return Neighbours(index.reshape(b * n, k), lists.mask.reshape(b * n, k), shift, jnp.any(lists.overflow))


def padded(lists: Sequence[Neighbours], n: int) -> Neighbours:
    """Lists of several molecules as one with a leading axis, padded to n atoms and the largest capacity. NumPy."""
    k = max(one.capacity for one in lists)
    b = len(lists)
    index = np.broadcast_to(np.arange(n, dtype=np.int32)[None, :, None], (b, n, k)).copy()
    mask = np.zeros((b, n, k), bool)
    shifted = any(one.shift is not None for one in lists)
    shift = np.zeros((b, n, k, 3)) if shifted else None
    for i, one in enumerate(lists):
        rows, cols = one.index.shape
        index[i, :rows, :cols] = one.index
        mask[i, :rows, :cols] = one.mask
        if shift is not None and one.shift is not None:
            shift[i, :rows, :cols] = one.shift
    return Neighbours(index, mask, shift, np.zeros(b, bool))
