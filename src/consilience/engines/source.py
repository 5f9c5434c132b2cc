"""Energy, forces and more of an energy function at given positions, with lists kept while atoms move little.

All numbers are float64 whatever the setting of JAX in the calling program, which is left as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import numpy as np

from consilience.core.errors import InputError
from consilience.forces import forces_from, stress_from
from consilience.md.engine import evaluate
from consilience.md.lists import Listing, Lists
from consilience.neighbours import Neighbours


@dataclass(frozen=True)
class Found:
    """energy eV; forces (n, 3) eV/Å; stress (3, 3) eV/Å³, tension positive, where the cell is periodic."""

    energy: float
    forces: np.ndarray
    stress: np.ndarray | None = None


class Source:
    """Evaluates energy(positions (n, 3), neighbours) -> eV, an Equinox module.

    `cutoff` (Å): how far lists must reach (None: the energy's own `cutoff`; without one all pairs). Lists hold pairs
    within cutoff + `skin` and are made anew when an atom has moved more than half the skin or the cell has changed.
    """

    def __init__(self, energy: Any, *, cutoff: float | None = None, skin: float = 1.0):
        self.energy, self.skin = energy, skin
        self.cutoff = getattr(energy, "cutoff", None) if cutoff is None else cutoff
        self.made = 0
        self._lists: Lists | None = None
        self._key: bytes = b""

    def __call__(self, positions: Any, cell: Any = None, pbc: Any = False, *, stress: bool = False) -> Found:
        """Energy and forces; with `stress` also the stress. Raises InputError for bad positions or cells."""
        x = checked(positions)
        with jax.enable_x64(True):
            neighbours = self.neighbours(x, cell, pbc)
            if stress and np.any(pbc):
                found = _with_stress(self.energy, x, neighbours, np.asarray(cell, float))
                return Found(float(found[0]), np.asarray(found[1], float), np.asarray(found[2], float))
            if stress:
                raise InputError("stress needs periodic boundaries", fix="give a cell and pbc")
            value, forces = with_forces(self.energy, x, neighbours)
            return Found(float(value), np.asarray(forces, float))

    def value(self, name: str, positions: Any, cell: Any = None, pbc: Any = False) -> np.ndarray:
        """What a method of the energy gives, "dipole" (3,) e Å or "charges" (n,) e. InputError where it has none."""
        if not hasattr(self.energy, name):
            raise InputError(f"this energy has no {name}")
        x = checked(positions)
        with jax.enable_x64(True):
            return np.asarray(_method(self.energy, x, self.neighbours(x, cell, pbc), name), float)

    def many(self, positions: Any, cell: Any = None, pbc: Any = False) -> tuple[np.ndarray, np.ndarray]:
        """Energies (f,) and forces (f, n, 3) of frames (f, n, 3) of the same atoms in the same cell, in one program."""
        x = np.asarray(positions, float)
        if x.ndim != 3 or x.shape[2] != 3 or not np.isfinite(x).all():
            raise InputError("frames must be finite, of shape (f, n, 3)", found=str(x.shape))
        if not len(x):
            return np.zeros(0), np.zeros(x.shape)
        with jax.enable_x64(True):
            listing = Listing.choose(x.shape[1], self.cutoff, self.skin, cell, pbc)
            value, forces = _batch(self.energy, x, listing.make(x))
        return np.asarray(value, float), np.asarray(forces, float)

    def neighbours(self, x: np.ndarray, cell: Any = None, pbc: Any = False) -> Neighbours:
        """The list for positions (n, 3): the last one, or a new one where it does not hold."""
        periodic = bool(np.any(pbc))
        pbc = np.broadcast_to(np.asarray(pbc, bool), 3)
        box = np.asarray(cell, float) if periodic and cell is not None else None
        key = pbc.tobytes() + (b"" if box is None else box.tobytes()) + str(x.shape).encode()
        old = self._lists
        same = old is not None and key == self._key
        if same and old is not None and old.neighbours.index.ndim == 3:
            same = np.max(np.sum((x - old.reference[0]) ** 2, 1)) <= (0.5 * self.skin) ** 2
        if old is None or not same:
            listing = Listing.choose(len(x), self.cutoff, self.skin, box, pbc)
            slots = None if old is None or old.neighbours.index.ndim == 2 else old.neighbours.index.shape[-1]
            new = listing.make(x[None], slots if key == self._key else None)
            if np.any(new.neighbours.overflow):
                new = listing.make(x[None])
            self._lists, self._key, old = new, key, new
            self.made += 1
        found = old.neighbours
        return found if found.index.ndim == 2 else jax.tree.map(lambda a: a[0], found)


def checked(positions: Any) -> np.ndarray:
    """Positions (n, 3) as finite float64. Raises InputError, with the atom."""
    x = np.asarray(positions, float)
    if x.ndim != 2 or x.shape[1] != 3 or not len(x):
        raise InputError("positions must be of shape (n, 3)", found=str(x.shape))
    if not np.isfinite(x).all():
        atom = int(np.flatnonzero(~np.isfinite(x).all(1))[0])
        raise InputError("positions that are not finite", f"atom {atom}", str(x[atom]))
    return x


@eqx.filter_jit
def with_forces(energy, x, neighbours):
    """Energy and forces with a given list; the precision is that of the caller's setting."""
    return forces_from(energy)(x, neighbours)


@eqx.filter_jit
def _with_stress(energy, x, neighbours, cell):
    return stress_from(energy)(x, neighbours, cell)


@eqx.filter_jit
def _method(energy, x, neighbours, name: str):
    return getattr(energy, name)(x, neighbours)


@eqx.filter_jit
def _batch(energy, x, lists):
    return evaluate(energy, x, lists)
