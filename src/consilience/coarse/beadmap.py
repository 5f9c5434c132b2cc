"""Which atoms make which bead: the CA map, and maps of one's own from a file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from consilience.coarse.topology import Topology
from consilience.core.errors import InputError
from consilience.residues import RESIDUES


@dataclass(frozen=True)
class BeadMap:
    """b beads of n atoms: R = sum of `weights` (b, n) times r; each row sums to 1.

    `names` (b,): residues of the beads (or names of one's own); `chain`, `number` (b,) int as in Beads; `residue` (b,)
    int: the residue of the topology a bead stands in (its first); `is_ca`: beads are CA atoms, one for each residue.
    """

    weights: np.ndarray
    names: tuple[str, ...]
    chain: np.ndarray
    number: np.ndarray
    residue: np.ndarray
    is_ca: bool = False

    def positions(self, x: np.ndarray) -> np.ndarray:
        """(f, b, 3) of atoms (f, n, 3), float64."""
        used = np.flatnonzero(self.weights.any(0))
        return np.einsum("bn,fnk->fbk", self.weights[:, used], x[:, used].astype(float), optimize=True)


def alpha_map(topology: Topology) -> BeadMap:
    """One bead at the CA atom of every amino-acid residue. Raises InputError where there are none, or unknown ones."""
    ca = topology.alphas
    if not len(ca):
        found = ", ".join(dict.fromkeys(topology.residue_names.tolist()))[:80]
        fix = "give a map of your own (--map FILE)"
        raise InputError("the topology has no CA atoms", str(topology.path), found, "amino-acid residues", fix)
    residue = topology.residue[ca]
    if len(np.unique(residue)) < len(ca):
        twice = int(residue[np.flatnonzero(np.diff(residue) == 0)[0]])
        where = f"{topology.path}, residue {topology.residue_names[twice]} {twice} (counted from 0)"
        raise InputError("a residue has two CA atoms (alternative conformations?)", where)
    names = topology.residue_names[residue]
    unknown = [str(n) for n in names if n not in RESIDUES]
    if unknown:
        found = ", ".join(dict.fromkeys(unknown))
        fix = "rename it after the residue it stands for, or give a map of your own (--map FILE)"
        raise InputError("residues that are none of the twenty have CA atoms", str(topology.path), found, fix=fix)
    weights = np.zeros((len(ca), len(topology)))
    weights[np.arange(len(ca)), ca] = 1.0
    return BeadMap(weights, tuple(names.tolist()), topology.chain[residue], topology.number[residue], residue, True)
