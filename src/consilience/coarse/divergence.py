"""How alike two sets of bead frames are: Jensen-Shannon divergences of local and global coordinates, with their floor.

JS(p, q) = (KL(p | m) + KL(q | m)) / 2 with m = (p + q) / 2, in nats: 0 for equal, ln 2 = 0.693 for distributions that
do not overlap. A set of frames of finite length differs from itself: the same figure between halves of the reference,
as they come from halving its four blocks in three ways, stands beside each value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from consilience.coarse.beads import Beads, runs
from consilience.coarse.forcemap import folds
from consilience.coarse.internal import angles, dihedrals, gyration, lengths, rmsd
from consilience.core.errors import InputError

BINS = 50
_MOST_PAIRS = 400


@dataclass(frozen=True)
class Divergence:
    """Mean over the coordinates of one kind (nats), the same between halves of the reference, and their number."""

    value: float
    reference_block: float
    coordinates: int

    def as_dict(self) -> dict[str, float]:
        return {"value": self.value, "reference_block": self.reference_block}


def divergences(found: Beads, reference: Beads, structure: np.ndarray | None = None) -> dict[str, Divergence]:
    """Divergences by kind: bond, angle, dihedral, distance (separation 3 and more), rg, rmsd (to `structure` (n, 3) Å,
    the first frame of the reference where it is not given).

    Each coordinate has a histogram of its own; kinds that the chain is too short for are left out. Raises InputError
    where the chains differ or the reference has fewer than eight frames.
    """
    if found.residues != reference.residues or not np.array_equal(found.number, reference.number):
        counts = f"{len(found.residues)} beads, the reference {len(reference.residues)}"
        raise InputError("the frames and their reference are of different chains", str(reference.path), counts)
    if len(reference) < 8:
        raise InputError("the reference has too few frames to compare with", str(reference.path), str(len(reference)))
    target = reference.positions[0] if structure is None else structure
    first, second = _coordinates(found, target), _coordinates(reference, target)
    blocks = _blocks(reference.trajectory)
    out = {}
    for kind, b in second.items():
        a = first[kind]
        pairs = [(0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2)]
        halves = [
            _mean(b[np.concatenate([blocks[i], blocks[j]])], b[np.concatenate([blocks[k], blocks[l]])], kind)
            for i, j, k, l in pairs
        ]
        out[kind] = Divergence(_mean(a, b, kind), float(np.mean(halves)), b.shape[1])
    return out


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> float:
    """Divergence in nats of two histograms (counts or densities over the same bins)."""
    p, q = p / p.sum(), q / q.sum()
    m = 0.5 * (p + q)
    with np.errstate(divide="ignore", invalid="ignore"):
        a = np.where(p > 0, p * np.log(p / m), 0.0).sum()
        b = np.where(q > 0, q * np.log(q / m), 0.0).sum()
    return float(max(0.5 * (a + b), 0.0))


def _coordinates(beads: Beads, target: np.ndarray) -> dict[str, np.ndarray]:
    """(f, coordinates) of each kind."""
    x = beads.positions
    i, j = np.triu_indices(len(beads.residues), 1)
    far = (beads.chain[i] != beads.chain[j]) | (np.abs(beads.number[i] - beads.number[j]) >= 3)
    pairs = np.stack([i[far], j[far]], 1)
    pairs = pairs[np.unique(np.linspace(0, len(pairs) - 1, min(len(pairs), _MOST_PAIRS)).astype(int))]
    made = {
        "bond": lengths(x, beads.bonds),
        "angle": angles(x, runs(beads.chain, beads.number, 3)),
        "dihedral": dihedrals(x, runs(beads.chain, beads.number, 4)),
        "distance": lengths(x, pairs),
        "rg": gyration(x, beads.masses)[:, None],
        "rmsd": rmsd(x, target)[:, None],
    }
    return {k: v for k, v in made.items() if v.shape[1]}


def _mean(a: np.ndarray, b: np.ndarray, kind: str) -> float:
    """Mean divergence over coordinates; bins span what both sets cover (a full turn for dihedrals)."""
    values = []
    for k in range(a.shape[1]):
        both = np.concatenate([a[:, k], b[:, k]])
        ends = (-np.pi, np.pi) if kind == "dihedral" else (float(both.min()), float(both.max()) + 1e-9)
        values.append(jensen_shannon(*(np.histogram(s[:, k], BINS, ends)[0].astype(float) for s in (a, b))))
    return float(np.mean(values))


def _blocks(trajectory: np.ndarray) -> Sequence[np.ndarray]:
    """Four blocks: of whole trajectories where there are at least four, else of consecutive frames."""
    parts = folds(trajectory) if len(np.unique(trajectory)) >= 4 else []
    if len(parts) < 4:
        return np.array_split(np.arange(len(trajectory)), 4)
    parts = sorted(parts, key=len)
    return [np.concatenate([parts[0], *parts[4:]]), *parts[1:4]]
