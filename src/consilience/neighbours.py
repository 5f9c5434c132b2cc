"""Which atoms are near which: a matrix of neighbours with K slots for each atom, by all pairs, in or out of the graph.

Slots that are not used point at the atom itself and are masked. A list that does not fit its capacity says so in
`overflow`; whoever uses it must look, take a larger capacity and repeat the work.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from consilience.core.errors import InputError


class Neighbours(eqx.Module):
    """Neighbour j of atom i in slot k: `index` (n, K) int, `mask` (n, K) bool, `shift` (n, K, 3) Å or None.

    The vector from i to its neighbour is x[index] + shift - x. `overflow`: some atom has more neighbours than slots.
    """

    index: Any
    mask: Any
    shift: Any = None
    overflow: Any = False

    def deformed(self, deform) -> Neighbours:
        """The same list in a cell whose vectors are multiplied by `deform` (3, 3)."""
        shift = None if self.shift is None else self.shift @ deform
        return Neighbours(self.index, self.mask, shift, self.overflow)

    def vectors(self, x):
        """Vectors from each atom to its neighbours (n, K, 3), Å; unused slots hold a vector of length 1e3, no zeros."""
        d = x[self.index] - x[:, None]
        if self.shift is not None:
            d = d + self.shift.astype(x.dtype)
        return jnp.where(self.mask[..., None], d, jnp.asarray([1e3, 0.0, 0.0], x.dtype))

    @property
    def capacity(self) -> int:
        return self.index.shape[1]


def all_pairs(n: int) -> Neighbours:
    """Every other atom is a neighbour; for molecules of up to some 60 atoms. NumPy arrays."""
    others = np.arange(n)[None].repeat(n, 0)
    index = others[~np.eye(n, dtype=bool)].reshape(n, n - 1) if n > 1 else np.zeros((1, 1), int)
    mask = np.ones((n, n - 1), bool) if n > 1 else np.zeros((1, 1), bool)
    return Neighbours(index.astype(np.int32), mask, None, np.asarray(False))


def periodic_images(cell, pbc, cutoff: float) -> np.ndarray:
    """Lattice translations (s, 3), Å, that can bring an image of the cell's atoms within `cutoff`; the first is zero.

    Right for atoms that lie in the cell (wrapped). Raises InputError for a cell without volume.
    """
    cell, pbc = np.asarray(cell, float), np.asarray(pbc, bool)
    if not pbc.any():
        return np.zeros((1, 3))
    volume = abs(np.linalg.det(cell))
    if not volume > 1e-6:
        raise InputError("the cell has no volume", found=f"{volume:.3g} Å^3", fix="give three independent vectors")
    heights = volume / np.linalg.norm(np.cross(cell[[1, 2, 0]], cell[[2, 0, 1]]), axis=1)
    reach = np.where(pbc, np.ceil(cutoff / heights), 0).astype(int)
    steps = [np.arange(-r, r + 1) for r in reach]
    grid = np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 3)
    grid = grid[np.argsort(np.abs(grid).sum(1), kind="stable")]
    return grid @ cell


def pairs_within(x, cutoff: float, capacity: int, images=None) -> Neighbours:
    """All neighbours within `cutoff` (Å) of atoms x (n, 3), in the graph, by trying all pairs of atoms and images.

    images: (s, 3) lattice translations from `periodic_images`, for wrapped atoms; None: no periodicity. n² s distances.
    """
    n = x.shape[0]
    translations = jnp.zeros((1, 3), x.dtype) if images is None else jnp.asarray(images, x.dtype)
    s = translations.shape[0]
    d = x[None, :, None] + translations[None, None] - x[:, None, None]  # (i, j, image, 3)
    near = jnp.sum(d * d, -1) < cutoff**2
    near = near.at[jnp.arange(n), jnp.arange(n), 0].set(False).reshape(n, n * s)
    place = jnp.cumsum(near, 1) - 1
    found = place[:, -1] + 1
    slot = jnp.where(near & (place < capacity), place, capacity)
    candidates = jnp.broadcast_to(jnp.arange(n * s), (n, n * s))
    rows = jnp.arange(n)[:, None]
    chosen = jnp.full((n, capacity + 1), -1).at[rows, slot].set(candidates)[:, :capacity]
    mask = chosen >= 0
    index = jnp.where(mask, chosen // s, rows).astype(jnp.int32)
    shift = None if images is None else jnp.where(mask[..., None], translations[chosen % s], 0.0)
    return Neighbours(index, mask, shift, jnp.max(found) > capacity)


def neighbour_matrix(x, cutoff: float, cell=None, pbc=(False, False, False), capacity: int | None = None) -> Neighbours:
    """The list of `pairs_within` made outside the graph (vesin), for any size and any position of the atoms; NumPy.

    capacity: number of slots (None: what is needed, at least 1). Raises InputError for a cell without volume.
    """
    from vesin import NeighborList

    x, pbc = np.asarray(x, float), np.asarray(pbc, bool)
    if pbc.any():
        periodic_images(cell, pbc, cutoff)  # refuses a cell without volume
    box = np.asarray(cell, float) if pbc.any() else np.eye(3)
    found = NeighborList(cutoff=cutoff, full_list=True).compute(x, box, pbc.tolist(), "ijS")
    i, j, steps = (np.asarray(a) for a in found)
    order = np.lexsort((j, i))
    i, j, steps = i[order], j[order], steps[order]
    n = len(x)
    count = np.bincount(i.astype(int), minlength=n)
    slots = capacity or max(1, int(count.max(initial=0)))
    place = np.arange(len(i)) - np.repeat(np.cumsum(count) - count, count)
    kept = place < slots
    index = np.repeat(np.arange(n, dtype=np.int32)[:, None], slots, 1)
    mask = np.zeros((n, slots), bool)
    index[i[kept], place[kept]] = j[kept]
    mask[i[kept], place[kept]] = True
    shift = None
    if pbc.any():
        shift = np.zeros((n, slots, 3))
        shift[i[kept], place[kept]] = steps[kept] @ box
    return Neighbours(index, mask, shift, np.asarray(bool((~kept).any())))
