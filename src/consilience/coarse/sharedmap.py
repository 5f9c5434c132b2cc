"""A force map for any protein: weights by atom name, residue and place along the chain, fitted on several proteins.

The weight of a group of atoms in the force on a CA bead is a sum of parameters that all proteins share,
    W_Ig = a(offset, kind) + b(offset, atom, residue) + c(offset, atom, end of the chain),
for groups in the bead's own residue and its neighbours along the chain (offset -1, 0, 1), and 0 beyond. A group is a
heavy atom with the hydrogens bound to it, which moves as one where constraints hold it and may always have one weight;
those of other CA atoms have weight 0, and the bead's own 1: the map is valid for every value of the parameters. They
minimise the mean square force on the beads of all proteins, each bead counting alike, with a ridge for each kind of
term, chosen by leaving out proteins one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import solve

from consilience.coarse.atoms import AtomFrames, group_sums, rigid_groups
from consilience.coarse.beadmap import BeadMap
from consilience.coarse.forcemap import ForceMap, folds
from consilience.coarse.topology import Topology
from consilience.core.errors import InputError
from consilience.units import KCAL_MOL

REACH = 1  # residues along the chain; more brings nothing
BACKBONE = ("N", "C", "O", "OXT", "CB")
RIDGES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)  # relative to the mean square force on a group
_KINDS = (1.0, 10.0, 10.0)  # of the ridge, for terms a, b, c: special ones are held back more
_BOUND = 1.35  # Å: hydrogens are bound to the heavy atom within (S-H)
Key = tuple[str, ...]


@dataclass(frozen=True)
class SharedMap:
    """Parameters by feature; `ridges` of the kinds of terms, `fitted` the names of proteins, `validated` the mean
    square force (kcal²/mol²/Å²) on each protein when it was left out, with the other proteins' parameters.
    """

    weights: dict[Key, float]
    ridges: tuple[float, ...] = ()
    fitted: tuple[str, ...] = ()
    validated: dict[str, float] | None = None

    def map_of(self, topology: Topology, beads: BeadMap, groups: np.ndarray) -> ForceMap:
        """The force map of one protein with the given rigid groups. Raises InputError for beads other than CA."""
        features = _Features(topology, beads, groups)
        weights = features.fixed()
        for i, g, keys in features.entries:
            weights[i, g] += sum(self.weights.get(k, 0.0) for k in keys)
        return ForceMap("shared", weights[:, features.groups])

    def coverage(self, topology: Topology, beads: BeadMap, groups: np.ndarray) -> float:
        """The share of (bead, group) pairs whose atom and residue the map was fitted to."""
        entries = _Features(topology, beads, groups).entries
        known = [any(k[0] == "b" and k in self.weights for k in keys) for _, _, keys in entries]
        return float(np.mean(known)) if known else 1.0

    def as_dict(self) -> dict[str, Any]:
        """As it stands in map.json."""
        rows = [[*k, round(v, 6)] for k, v in sorted(self.weights.items())]
        return {
            "columns": ["kind", "offset", "atom", "residue or end", "weight"],
            "weights": rows,
            "ridges": list(self.ridges),
            "fitted": list(self.fitted),
            "validated_rms_kcal_A": {k: v**0.5 for k, v in (self.validated or {}).items()},
        }


def shared_map_of(said: Mapping[str, Any], where: str) -> SharedMap:
    """The map in a map.json. Raises InputError where it is none."""
    rows = said.get("weights")
    if not isinstance(rows, list) or not rows:
        raise InputError("the file holds no shared force map", where, expected="a map.json of consil coarsen")
    weights: dict[Key, float] = {}
    for n, row in enumerate(rows):
        ok = isinstance(row, list) and len(row) == 5 and all(isinstance(w, str) for w in row[:4])
        if not ok or not isinstance(row[4], int | float) or not abs(row[4]) < 1e3:
            raise InputError("a row of the force map is not understood", f"{where}, row {n}", str(row)[:80])
        weights[tuple(row[:4])] = float(row[4])
    fitted = tuple(str(f) for f in said.get("fitted", ()) if isinstance(f, str))
    return SharedMap(weights, fitted=fitted)


def fit_shared(proteins: Sequence[tuple[AtomFrames, BeadMap]]) -> SharedMap:
    """The shared map of least mean square force on several proteins; of one protein, trajectories are left out.

    Frames are weighted by 300 K / T. Raises InputError for beads other than CA.
    """
    made = [(frames, _Features(frames.topology, beads, frames.groups)) for frames, beads in proteins]
    index: dict[Key, int] = {}
    for _, features in made:
        for _, _, keys in features.entries:
            for k in keys:
                index.setdefault(k, len(index))
    if len(made) > 1:
        parts = [(f.name, _normal(f, features, index, np.arange(len(f)))) for f, features in made]
    else:
        frames, features = made[0]
        pieces = folds(frames.trajectory)
        parts = [(f"{frames.name}, part {i}", _normal(frames, features, index, p)) for i, p in enumerate(pieces)]
    kinds = np.array(["abc".index(k[0]) for k in index])
    total = _add([p for _, p in parts])
    best: tuple[float, tuple[float, ...], list[float]] | None = None
    for ridge in RIDGES:
        ridges = np.array(_KINDS) * ridge
        scores = [_score(p, _solve(_subtract(total, p), ridges[kinds])) for _, p in parts]
        value = sum(s * p.beads for s, (_, p) in zip(scores, parts, strict=True)) / total.beads
        if best is None or value < best[0]:
            best = value, tuple(ridges.tolist()), scores
    assert best is not None
    theta = _solve(total, np.array(best[1])[kinds])
    names = [n for n, _ in parts]
    left_out = {n: s / KCAL_MOL**2 for n, s in zip(names, best[2], strict=True)}
    weights = {k: float(theta[i]) for k, i in index.items()}
    return SharedMap(weights, best[1], tuple(f.name for f, _ in made), left_out)


@dataclass(frozen=True)
class _Normal:
    """Mean square force of `beads` beads as a quadratic in the parameters: (c + 2 b.t + t.A.t) / beads / 3."""

    a: np.ndarray
    b: np.ndarray
    c: float
    beads: float
    scale: float  # sum over beads of the mean square force on a group


def _add(parts: Sequence[_Normal]) -> _Normal:
    return _Normal(
        np.sum([p.a for p in parts], 0), np.sum([p.b for p in parts], 0), sum(p.c for p in parts),
        sum(p.beads for p in parts), sum(p.scale for p in parts),
    )  # fmt: skip


def _subtract(total: _Normal, part: _Normal) -> _Normal:
    beads = total.beads - part.beads
    return _Normal(total.a - part.a, total.b - part.b, total.c - part.c, beads, total.scale - part.scale)


def _solve(n: _Normal, ridges: np.ndarray) -> np.ndarray:
    return -solve(n.a + np.diag(ridges * n.scale), n.b, assume_a="pos", check_finite=False)


def _score(n: _Normal, theta: np.ndarray) -> float:
    return float(n.c + 2 * n.b @ theta + theta @ n.a @ theta) / n.beads / 3


def _normal(frames: AtomFrames, features: _Features, index: Mapping[Key, int], rows: np.ndarray) -> _Normal:
    """Normal equations over some frames; every bead of a full protein counts as one."""
    size = features.groups.max() + 1
    s = np.zeros((size, size))
    step = max(1, 4_000_000 // (size * 3))
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        f = group_sums(frames.forces[some], features.groups)
        f = f * np.sqrt(300.0 / frames.temperature[some])[:, None, None].astype(np.float32)
        flat = np.ascontiguousarray(f.transpose(0, 2, 1)).reshape(-1, size)
        s += flat.T @ flat
    share = len(rows) / len(frames)
    s *= share / len(rows)
    m = len(index)
    a, b, c = np.zeros((m, m)), np.zeros(m), 0.0
    per_bead: dict[int, list[tuple[int, int]]] = {}
    for i, g, keys in features.entries:
        per_bead.setdefault(i, []).extend((g, index[k]) for k in keys)
    for i, own in enumerate(features.own):
        pairs = np.array(per_bead.get(i, []), int).reshape(-1, 2)
        used, column = np.unique(pairs[:, 1], return_inverse=True)
        design = np.zeros((size, len(used)))
        np.add.at(design, (pairs[:, 0], column), 1.0)
        a[np.ix_(used, used)] += design.T @ s @ design
        b[used] += design.T @ s[:, own]
        c += s[own, own]
    beads = len(features.own)
    return _Normal(a, b, float(c), beads * share, beads * float(np.diag(s).mean()))


class _Features:
    """Groups of one protein and what each is called from each bead. `groups` (n,), `own` (b,): group of each CA;
    `entries`: (bead, group, keys) for every group with free weights.
    """

    def __init__(self, topology: Topology, beads: BeadMap, groups: np.ndarray):
        if not beads.is_ca:
            fix = "use --forces optimal with a map of one's own beads"
            raise InputError("a shared force map is for CA beads, one for each residue", fix=fix)
        self.groups = rigid_groups(len(topology), np.concatenate([_chained(groups), hydrogen_bonds(topology)]))
        alphas = beads.weights.argmax(1)
        self.own = self.groups[alphas]
        if len(np.unique(self.own)) < len(self.own):
            fix = "simulate with constraints on bonds to hydrogen only"
            raise InputError("constraints tie CA atoms together: there is no valid force map", fix=fix)
        heads = _heads(topology, self.groups)
        taken = set(self.own.tolist())
        ends = _ends(topology, beads)
        self.entries: list[tuple[int, int, list[Key]]] = []
        of_residue: dict[int, list[int]] = {}
        for g, head in enumerate(heads):
            if g not in taken:
                of_residue.setdefault(int(topology.residue[head]), []).append(g)
        place = {(int(c), int(n)): r for r, (c, n) in enumerate(zip(topology.chain, topology.number, strict=True))}
        for i, r in enumerate(beads.residue):
            for step in range(-REACH, REACH + 1):
                other = place.get((int(topology.chain[r]), int(topology.number[r]) + step))
                for g in of_residue.get(other, []) if other is not None else []:
                    name, residue = str(topology.names[heads[g]]), str(topology.residue_names[other])
                    offset = f"{step:+d}" if step else "0"
                    keys: list[Key] = [
                        ("a", offset, name if name in BACKBONE else "side chain", ""),
                        ("b", offset, name, residue),
                    ]
                    if other in ends:
                        keys.append(("c", offset, name, ends[other]))
                    self.entries.append((i, g, keys))

    def fixed(self) -> np.ndarray:
        """(b, g): 1 for the own group of each bead."""
        w = np.zeros((len(self.own), self.groups.max() + 1))
        w[np.arange(len(self.own)), self.own] = 1.0
        return w


def hydrogen_bonds(topology: Topology) -> np.ndarray:
    """(m, 2) int: each hydrogen and the nearest heavy atom of its residue, by the positions of the topology."""
    is_h = np.isin(topology.elements, ("H", "D"))
    found = []
    for r in np.unique(topology.residue[is_h]):
        atoms = np.flatnonzero(topology.residue == r)
        heavy = atoms[~is_h[atoms]]
        if not len(heavy):
            continue
        for h in atoms[is_h[atoms]]:
            d = np.linalg.norm(topology.positions[heavy] - topology.positions[h], axis=1)
            if d.min() < _BOUND + 0.15:
                found.append((int(heavy[d.argmin()]), int(h)))
    return np.array(found, int).reshape(-1, 2)


def _chained(groups: np.ndarray) -> np.ndarray:
    """Pairs that tie each group together."""
    order = np.argsort(groups, kind="stable")
    same = groups[order[1:]] == groups[order[:-1]]
    return np.stack([order[:-1][same], order[1:][same]], axis=1)


def _heads(topology: Topology, groups: np.ndarray) -> np.ndarray:
    """(g,) int: the first heavy atom of each group (a hydrogen where there is none)."""
    is_h = np.isin(topology.elements, ("H", "D"))
    order = np.lexsort((np.arange(len(groups)), is_h, groups))
    return order[np.searchsorted(groups[order], np.arange(groups.max() + 1))]


def _ends(topology: Topology, beads: BeadMap) -> dict[int, str]:
    """Residues that stand first ("N") or last ("C") in their chain or beside a break."""
    known = {(int(topology.chain[r]), int(topology.number[r])) for r in beads.residue}
    out = {}
    for r in beads.residue:
        c, n = int(topology.chain[r]), int(topology.number[r])
        if (c, n - 1) not in known:
            out[int(r)] = "N"
        elif (c, n + 1) not in known:
            out[int(r)] = "C"
    return out
