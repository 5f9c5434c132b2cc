"""How the neighbours of moving atoms are kept current: all pairs, or lists made in the graph or by the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from consilience.core.errors import InputError
from consilience.neighbours import Box, Neighbours, all_pairs, heights, nearby, neighbour_matrix, square_of_pairs

Kind = Literal["all", "graph", "host"]
ALL_PAIRS_LIMIT = 60  # atoms; beyond, pairs past the cutoff cost more than a list
GRAPH_LIMIT = 1000  # atoms; beyond, n² distances cost more than the way through the host
SQUARE = 24  # atoms; from here on the square of all pairs is at most some 4 % more work than the pairs alone


class Lists(eqx.Module):
    """Neighbours of every replica (leading axis R; none with all pairs), the positions (R, n, 3) and a count.

    The positions are those that the lists were made for, the count () says how many times lists were made.
    """

    neighbours: Neighbours
    reference: Any
    made: Any


@dataclass(frozen=True)
class Listing:
    """The rule by which lists are made. cutoff, skin: Å; cell: (3, 3) or None; a list holds pairs within cutoff + skin.

    The energy must vanish for pairs beyond its own cutoff: lists (and all pairs) may hold some.
    """

    kind: Kind
    cutoff: float = np.inf
    skin: float = 1.0
    cell: np.ndarray | None = None
    pbc: tuple[bool, bool, bool] = (False, False, False)

    @staticmethod
    def choose(n: int, cutoff: float | None, skin: float, cell, pbc, kind: Kind | Literal["auto"] = "auto") -> Listing:
        """The rule for n atoms. Raises InputError for a cutoff or skin that cannot be, or a cell without volume."""
        a, b, c = (bool(p) for p in np.broadcast_to(np.asarray(pbc, bool), 3))
        periodic = (a, b, c)
        if any(periodic):
            if cell is None:
                raise InputError("periodic boundaries need a cell", fix="give the lattice vectors (3, 3)")
            heights(cell)
        if cutoff is None and (any(periodic) or kind in ("graph", "host")):
            raise InputError("neighbour lists need a cutoff", fix="give the cutoff of the energy function in Å")
        if cutoff is not None and not (0 < cutoff < np.inf):
            raise InputError("the cutoff must be positive", found=f"{cutoff} Å")
        if not (0 < skin < np.inf):
            raise InputError("the skin of the neighbour list must be positive", found=f"{skin} Å")
        if kind == "all" and any(periodic):
            raise InputError(
                "all pairs are no list for a periodic cell", fix="choose lists in the graph or by the host"
            )
        if kind == "auto":
            small = cutoff is None or n <= ALL_PAIRS_LIMIT
            kind = "all" if small and not any(periodic) else "graph" if n <= GRAPH_LIMIT else "host"
        cell = np.asarray(cell, float) if any(periodic) else None
        return Listing(kind, np.inf if cutoff is None else float(cutoff), float(skin), cell, periodic)

    @property
    def reach(self) -> float:
        """Cutoff plus skin, Å."""
        return self.cutoff + self.skin

    def rule(self) -> np.ndarray:
        """Cutoff, skin and periodic cell as numbers: lists made by another rule are of no use."""
        cell = np.zeros((3, 3)) if self.cell is None else self.cell
        return np.array([self.cutoff, self.skin, *self.pbc, *cell.ravel()], float)

    def box(self) -> Box | None:
        """The cell as lists in the graph want it."""
        return None if self.kind != "graph" else Box.of(self.cell, self.pbc, self.reach)

    def make(self, positions: np.ndarray, capacity: int | None = None) -> Lists:
        """Lists by the host for positions (R, n, 3); with spare slots, or `capacity` slots (overflow is marked)."""
        n = positions.shape[1]
        if self.kind == "all":
            return Lists(every_pair(n), positions, np.asarray(0))
        found = [neighbour_matrix(x, self.reach, self.cell, self.pbc) for x in positions]
        if capacity is None:
            capacity = spare(max(f.capacity for f in found))
        if all(f.capacity <= capacity for f in found):
            found = [padded(f, capacity) for f in found]
        else:
            found = [neighbour_matrix(x, self.reach, self.cell, self.pbc, capacity) for x in positions]
        shift = None if found[0].shift is None else np.stack([f.shift for f in found])
        index, mask, overflow = (np.stack([getattr(f, k) for f in found]) for k in ("index", "mask", "overflow"))
        return Lists(Neighbours(index, mask, shift, overflow), positions, np.asarray(1))

    def single(self, x: np.ndarray) -> Neighbours:
        """A list of just the pairs within the cutoff for one configuration (n, 3)."""
        return every_pair(len(x)) if self.kind == "all" else neighbour_matrix(x, self.cutoff, self.cell, self.pbc)


def every_pair(n: int) -> Neighbours:
    """All pairs of n atoms, in the form that is cheaper for so many."""
    return square_of_pairs(n) if n >= SQUARE else all_pairs(n)


def spare(needed: int) -> int:
    """Slots for lists that now need `needed`: a quarter more, in steps of 8, so that few shapes are compiled."""
    return 8 * int(np.ceil((1.25 * needed + 2) / 8))


def padded(neighbours: Neighbours, capacity: int) -> Neighbours:
    """The same list (n, K) with `capacity` slots, more than K; NumPy."""
    index, mask = np.asarray(neighbours.index), np.asarray(neighbours.mask)
    n, k = index.shape
    more = capacity - k
    index = np.concatenate([index, np.repeat(np.arange(n, dtype=np.int32)[:, None], more, 1)], 1)
    mask = np.concatenate([mask, np.zeros((n, more), bool)], 1)
    shift = neighbours.shift
    shift = None if shift is None else np.concatenate([np.asarray(shift), np.zeros((n, more, 3))], 1)
    return Neighbours(index, mask, shift, neighbours.overflow)


def stale(reference, positions, skin):
    """Has any atom of any replica moved more than half the skin since the list was made?"""
    return jnp.max(jnp.sum((positions - reference) ** 2, -1)) > (0.5 * skin) ** 2


def remade(lists: Lists, positions, reach, box: Box | None) -> Lists:
    """Lists made in the graph for positions (R, n, 3), with the capacity of `lists`."""
    capacity = lists.neighbours.index.shape[-1]
    found = jax.lax.map(lambda x: nearby(x, reach, capacity, box), positions)  # one by one: n² distances are many
    return Lists(found, positions, lists.made + 1)
