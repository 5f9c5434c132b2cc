"""Beads: frames of one protein at coarse resolution, with the forces of the all-atom model projected on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from consilience.coarse.residues import mass

CA_BOND = 3.8  # Å between neighbouring CA atoms, trans


@dataclass(frozen=True)
class Beads:
    """f frames of one protein or complex of n beads.

    `residues` (n,): three-letter names in capitals (other names in maps of one's own); `chain` (n,) int; `number` (n,)
    int: place in the chain, whose gaps are chain breaks: |number_i - number_j| within a chain is the sequence
    separation. `positions` (f, n, 3) Å; `forces` (f, n, 3) eV/Å or None; `temperature` (f,) K; `trajectory` (f,) int;
    `source` (f,) labels of kinds of frames or None; `box` (f, 3, 3) Å, rows are vectors, or None where not periodic;
    `weights` amu of the beads where they are not those of the residues.
    """

    name: str
    residues: tuple[str, ...]
    chain: np.ndarray
    number: np.ndarray
    positions: np.ndarray
    forces: np.ndarray | None
    temperature: np.ndarray
    trajectory: np.ndarray
    source: tuple[str, ...] | None = None
    box: np.ndarray | None = None
    path: Path = Path()
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def masses(self) -> np.ndarray:
        """(n,) amu: as given, else those of the residues."""
        return np.array([mass(r) for r in self.residues]) if self.weights is None else self.weights

    @property
    def bonds(self) -> np.ndarray:
        """(b, 2) int: pairs of beads that follow one another in a chain."""
        return runs(self.chain, self.number, 2)

    def select(self, index: Sequence[int] | np.ndarray) -> Beads:
        """The frames of the given indices (or boolean mask), in that order."""
        rows = np.asarray(index)
        rows = rows.astype(int) if not rows.size else np.flatnonzero(rows) if rows.dtype == bool else rows
        source = None if self.source is None else tuple(self.source[int(i)] for i in rows)
        return replace(
            self,
            positions=self.positions[rows],
            forces=None if self.forces is None else self.forces[rows],
            temperature=self.temperature[rows],
            trajectory=self.trajectory[rows],
            source=source,
            box=None if self.box is None else self.box[rows],
        )


def runs(chain: np.ndarray, number: np.ndarray, length: int) -> np.ndarray:
    """(m, length) int: beads of which each follows the one before it in its chain; 2: bonds, 3: angles, 4: dihedrals.

    The order of the beads in the arrays does not matter.
    """
    place = {(int(c), int(k)): i for i, (c, k) in enumerate(zip(chain, number, strict=True))}
    found = [[place.get((int(c), int(k) + s), -1) for s in range(length)] for c, k in zip(chain, number, strict=True)]
    rows = [row for row in found if min(row) >= 0]
    return np.array(rows, int).reshape(-1, length)


def unwrapped(beads: Beads) -> Beads:
    """The beads with every chain in one piece: each beside the one before it, by nearest images in a periodic box."""
    if beads.box is None:
        return beads
    order = np.lexsort((beads.number, beads.chain))
    x = beads.positions[:, order]
    steps = np.diff(x, axis=1)
    s = np.einsum("fbk,fkl->fbl", steps, np.linalg.inv(beads.box))
    steps = np.einsum("fbk,fkl->fbl", s - np.round(s), beads.box)
    placed = np.concatenate([x[:, :1], x[:, :1] + np.cumsum(steps, axis=1)], axis=1)
    return replace(beads, positions=placed[:, np.argsort(order)])
