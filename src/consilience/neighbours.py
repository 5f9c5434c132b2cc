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
    `square`: slot k of every atom is atom k (K = n, itself masked), so that vectors need no look-up by index, whose
    gradient is the dearest part of a cheap energy. `room`: no more pairs than so many are in the list, where known.
    """

    index: Any
    mask: Any
    shift: Any = None
    overflow: Any = False
    square: bool = eqx.field(static=True, default=False)
    room: int | None = eqx.field(static=True, default=None)

    def deformed(self, deform) -> Neighbours:
        """The same list in a cell whose vectors are multiplied by `deform` (3, 3), or (n, 3, 3) for each atom's own."""
        shift = None if self.shift is None else self.shift @ deform
        return Neighbours(self.index, self.mask, shift, self.overflow, self.square, self.room)

    def vectors(self, x):
        """Vectors from each atom to its neighbours (n, K, 3), Å; unused slots hold a vector of length 1e3, no zeros."""
        return jnp.where(self.mask[..., None], self.differences(x), jnp.asarray([1e3, 0.0, 0.0], x.dtype))

    def squared(self, x):
        """Squared distances to the neighbours (n, K), Å²; 1e6 in unused slots. Cheaper than by way of `vectors`."""
        d = self.differences(x)
        return jnp.where(self.mask, jnp.sum(d * d, -1), jnp.asarray(1e6, x.dtype))

    def differences(self, x):
        """Vectors to the neighbours (n, K, 3), Å; zero, or a lattice vector, in unused slots."""
        d = x[None] - x[:, None] if self.square else x[self.index] - x[:, None]
        return d if self.shift is None else d + self.shift.astype(x.dtype)

    def counted(self) -> Neighbours:
        """The same list with its `room`, in eighths of its slots, so that few shapes are compiled; not in the graph."""
        eighth = -(-self.mask.size // 8)
        room = eighth * -(-int(np.sum(self.mask)) // eighth)
        return Neighbours(self.index, self.mask, self.shift, self.overflow, self.square, max(room, eighth))

    @property
    def capacity(self) -> int:
        return self.index.shape[1]


def all_pairs(n: int) -> Neighbours:
    """Every other atom is a neighbour; for molecules of up to some 60 atoms. NumPy arrays."""
    others = np.arange(n)[None].repeat(n, 0)
    index = others[~np.eye(n, dtype=bool)].reshape(n, n - 1) if n > 1 else np.zeros((1, 1), int)
    mask = np.ones((n, n - 1), bool) if n > 1 else np.zeros((1, 1), bool)
    return Neighbours(index.astype(np.int32), mask, None, np.asarray(False))


def square_of_pairs(n: int) -> Neighbours:
    """All pairs with a masked slot for each atom itself: n/(n - 1) times the work of `all_pairs`, but no look-ups."""
    return Neighbours(
        np.arange(n, dtype=np.int32)[None].repeat(n, 0), ~np.eye(n, dtype=bool), None, np.asarray(False), True
    )


def heights(cell) -> np.ndarray:
    """Distances (3,) between opposite faces of a cell (3, 3), Å. Raises InputError for a cell without volume."""
    cell = np.asarray(cell, float)
    volume = abs(np.linalg.det(cell)) if cell.shape == (3, 3) and np.isfinite(cell).all() else np.nan
    if not volume > 1e-6:
        raise InputError("the cell has no volume", found=f"{volume:.3g} Å^3", fix="give three independent vectors")
    return volume / np.linalg.norm(np.cross(cell[[1, 2, 0]], cell[[2, 0, 1]]), axis=1)


def periodic_images(cell, pbc, cutoff: float) -> np.ndarray:
    """Lattice translations (s, 3), Å, that can bring an image of the cell's atoms within `cutoff`; the first is zero.

    Right for atoms that lie in the cell (wrapped). Raises InputError for a cell without volume.
    """
    cell, pbc = np.asarray(cell, float), np.asarray(pbc, bool)
    if not pbc.any():
        return np.zeros((1, 3))
    reach = np.where(pbc, np.ceil(cutoff / heights(cell)), 0).astype(int)
    steps = [np.arange(-r, r + 1) for r in reach]
    grid = np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 3)
    grid = grid[np.argsort(np.abs(grid).sum(1), kind="stable")]
    return grid @ cell


class Box(eqx.Module):
    """A periodic cell made ready for lists in the graph: rows of `cell` are lattice vectors, Å; `pbc` is 1.0 or 0.0.

    `images`: translations from `periodic_images`, or None where the nearest image of an atom is the only one that can
    lie within the cutoff: no height of the cell is below twice the cutoff.
    """

    cell: Any
    inverse: Any
    pbc: Any
    images: Any = None

    @staticmethod
    def of(cell, pbc, cutoff: float) -> Box | None:
        """The box for lists up to `cutoff` (Å), or None without periodicity. Raises InputError for a flat cell."""
        pbc = np.asarray(pbc, bool)
        if not pbc.any():
            return None
        cell = np.asarray(cell, float)
        narrow = np.any((heights(cell) < 2 * cutoff) & pbc)
        images = periodic_images(cell, pbc, cutoff) if narrow else None
        return Box(cell, np.linalg.inv(cell), pbc.astype(float), images)

    def turns(self, x):
        """Whole cells (..., 3) to add to positions (..., 3) to bring them into the cell, or vectors to the nearest."""
        return -jnp.floor(x @ self.inverse) * self.pbc

    def nearest(self, d):
        """Lattice translations (..., 3), Å, to add to vectors d (..., 3) to make each that of the nearest image."""
        return -(jnp.round(d @ self.inverse) * self.pbc) @ self.cell


def pairs_within(x, cutoff: float, capacity: int, images=None) -> Neighbours:
    """All neighbours within `cutoff` (Å) of atoms x (n, 3), in the graph, by trying all pairs of atoms and images.

    images: (s, 3) lattice translations from `periodic_images`, for wrapped atoms; None: no periodicity. n² s distances.
    """
    n = x.shape[0]
    translations = jnp.zeros((1, 3), x.dtype) if images is None else jnp.asarray(images, x.dtype)
    s = translations.shape[0]
    d2 = sum((x[None, :, None, k] + translations[None, None, :, k] - x[:, None, None, k]) ** 2 for k in range(3))
    near = jnp.asarray(d2) < cutoff**2  # (i, j, image)
    near = near.at[jnp.arange(n), jnp.arange(n), 0].set(False).reshape(n, n * s)
    chosen, mask, overflow = _first(near, capacity)
    index = jnp.where(mask, chosen // s, jnp.arange(n)[:, None]).astype(jnp.int32)
    shift = None if images is None else jnp.where(mask[..., None], translations[chosen % s], 0.0)
    return Neighbours(index, mask, shift, overflow)


def nearby(x, cutoff: float, capacity: int, box: Box | None = None) -> Neighbours:
    """The list of `pairs_within` for atoms anywhere, in or out of the cell of `box`, in the graph.

    Shifts belong to the positions as given, so that atoms which leave the cell need not be wrapped.
    """
    if box is None:
        return pairs_within(x, cutoff, capacity)
    if box.images is not None:
        turns = box.turns(x) @ box.cell
        found = pairs_within(x + turns, cutoff, capacity, box.images)
        shift = found.shift + turns[found.index] - turns[:, None]
        return Neighbours(found.index, found.mask, jnp.where(found.mask[..., None], shift, 0.0), found.overflow)
    n = x.shape[0]
    c = [x[None, :, k] - x[:, None, k] for k in range(3)]  # component by component: one fused loop, no (n, n, 3)
    whole = [jnp.round(sum(c[k] * box.inverse[k, m] for k in range(3))) * box.pbc[m] for m in range(3)]
    d2 = sum((c[k] - sum(whole[m] * box.cell[m, k] for m in range(3))) ** 2 for k in range(3))
    near = (jnp.asarray(d2) < cutoff**2) & ~jnp.eye(n, dtype=bool)
    chosen, mask, overflow = _first(near, capacity)
    index = jnp.where(mask, chosen, jnp.arange(n)[:, None]).astype(jnp.int32)
    shift = jnp.where(mask[..., None], box.nearest(x[index] - x[:, None]), 0.0)
    return Neighbours(index, mask, shift, overflow)


def _first(near, capacity: int):
    """Places of the first `capacity` true entries of each row of near (n, m), which of these exist, and overflow."""
    count = jnp.cumsum(near, 1, dtype=jnp.int32)
    want = jnp.arange(1, capacity + 1, dtype=jnp.int32)
    chosen = jax.vmap(lambda row: jnp.searchsorted(row, want))(count)
    mask = chosen < near.shape[1]
    return jnp.where(mask, chosen, 0), mask, jnp.max(count[:, -1]) > capacity


def neighbour_matrix(x, cutoff: float, cell=None, pbc=(False, False, False), capacity: int | None = None) -> Neighbours:
    """The list of `pairs_within` made outside the graph (vesin), for any size and any position of the atoms; NumPy.

    capacity: number of slots (None: what is needed, at least 1). Raises InputError for a cell without volume.
    """
    from vesin import NeighborList

    x, pbc = np.asarray(x, float), np.asarray(pbc, bool)
    if pbc.any():
        heights(cell)  # refuses a cell without volume
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
