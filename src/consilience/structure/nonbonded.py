"""Riding hydrogens, and what a search for contacts needs to know of atoms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Riding:
    """Hydrogens that ride on heavy atoms: x_H = x[parent] + offset. `parent` (h,), `offset` (h, 3) Å, `occ` (h,)."""

    parent: np.ndarray
    offset: np.ndarray
    occ: np.ndarray

    def positions(self, xyz: np.ndarray) -> np.ndarray:
        return xyz[self.parent] + self.offset


@dataclass(frozen=True)
class NonBonded:
    """What the contact search needs of each atom, heavy atoms first, then riding hydrogens.

    `radius` (a,) Å; `polarity` (a,) one of N D A B H (none, donor, acceptor, both, polar hydrogen); `element` (a,)
    atomic number; `altloc` (a,) ord or 0; `near` sorted pair codes i * a + j (i < j) closer than three bonds or in one
    plane; `torsion` those exactly three bonds apart; `metal` (a,) bool.
    """

    radius: np.ndarray
    polarity: np.ndarray
    altloc: np.ndarray
    metal: np.ndarray
    near: np.ndarray
    torsion: np.ndarray
