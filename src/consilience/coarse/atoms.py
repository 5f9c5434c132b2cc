"""All-atom frames with forces, as simulations write them: the arrays, their constraints, and rigid groups of atoms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from consilience.coarse.topology import Topology
from consilience.core.errors import Finding

RIGID = 0.01  # Å: a distance whose standard deviation is smaller is held by a constraint
_NEAR = 2.3  # Å: within which constraints are looked for
_LOOK = 200  # frames that are looked at


@dataclass(frozen=True)
class AtomFrames:
    """f frames of n atoms, solvent left out: `positions` (f, n, 3) Å, `forces` (f, n, 3) eV/Å without those of
    constraints, `temperature` (f,) K, `trajectory` (f,) int, `constraints` (m, 2) int: pairs at fixed distances,
    `masses` (n,) amu, `box` (f, 3, 3) Å or None. Positions and forces are float32.
    """

    name: str
    topology: Topology
    positions: np.ndarray
    forces: np.ndarray
    temperature: np.ndarray
    trajectory: np.ndarray
    constraints: np.ndarray
    masses: np.ndarray
    box: np.ndarray | None = None
    path: Path = Path()
    findings: tuple[Finding, ...] = ()

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def groups(self) -> np.ndarray:
        """(n,) int: rigid group of each atom; atoms tied by constraints, directly or through others, share one."""
        return rigid_groups(len(self.topology), self.constraints)

    def select(self, index: Sequence[int] | np.ndarray) -> AtomFrames:
        """The frames of the given indices (or boolean mask)."""
        rows = np.asarray(index)
        rows = rows.astype(int) if not rows.size else rows
        return replace(
            self,
            positions=self.positions[rows],
            forces=self.forces[rows],
            temperature=self.temperature[rows],
            trajectory=self.trajectory[rows],
            box=None if self.box is None else self.box[rows],
        )

    def group_forces(self) -> np.ndarray:
        """(f, g, 3) eV/Å: sum of the forces on each rigid group."""
        return group_sums(self.forces, self.groups)


def rigid_groups(n: int, constraints: np.ndarray) -> np.ndarray:
    """(n,) int: connected components of the graph of constraints, numbered by their first atom."""
    graph = coo_matrix((np.ones(len(constraints)), (constraints[:, 0], constraints[:, 1])), shape=(n, n))
    labels = connected_components(graph, directed=False)[1]
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def group_sums(x: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(f, g, 3): sums of x (f, n, 3) over the atoms of each group."""
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[order], np.arange(groups.max() + 1))
    return np.add.reduceat(x[:, order], starts, axis=1)


def find_constraints(positions: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
    """(m, 2) int: pairs of near atoms whose distance never changes, from frames (f, n, 3) Å that move.

    `groups` (n,): only pairs within the same group (a residue, say) are looked at. Rounding of positions to 0.01 Å, as
    compressed trajectories do, is allowed for.
    """
    x = positions[np.unique(np.linspace(0, len(positions) - 1, min(len(positions), _LOOK)).astype(int))].astype(float)
    n = x.shape[1]
    label = np.zeros(n, int) if groups is None else groups
    found = []
    for g in np.unique(label):
        atoms = np.flatnonzero(label == g)
        first = np.linalg.norm(x[0, atoms][:, None] - x[0, atoms][None], axis=-1)
        i, j = np.nonzero(np.triu(first < _NEAR, 1))
        if not len(i):
            continue
        r = np.linalg.norm(x[:, atoms[i]] - x[:, atoms[j]], axis=-1)
        rigid = r.std(axis=0) < RIGID
        found.append(np.stack([atoms[i[rigid]], atoms[j[rigid]]], axis=1))
    return np.concatenate(found).astype(int) if found else np.zeros((0, 2), int)


def whole(positions: np.ndarray, box: np.ndarray, topology: Topology) -> np.ndarray:
    """Positions (f, n, 3) with every molecule in one piece: each residue beside the one before it, each atom beside
    the first of its residue, by nearest images in the boxes (f, 3, 3); chains beside one another.
    """
    first = np.unique(topology.residue, return_index=True)[1]
    inverse = np.linalg.inv(box)

    def nearest(d: np.ndarray) -> np.ndarray:
        s = np.einsum("f...k,fkl->f...l", d, inverse)
        return np.einsum("f...k,fkl->f...l", s - np.round(s), box)

    x = positions.astype(float)
    anchors = x[:, first]
    steps = nearest(np.diff(anchors, axis=1))
    placed = np.concatenate([anchors[:, :1], anchors[:, :1] + np.cumsum(steps, axis=1)], axis=1)
    apart = nearest(x - anchors[:, topology.residue])
    return (placed[:, topology.residue] + apart).astype(positions.dtype)
