"""Boltzmann inversion of bonds, angles, dihedrals and distances with their Jacobians: starting values of a prior.

V(q) = -kT ln(p(q) / J(q)) with J = r² for a distance, sin(theta) for an angle and 1 for a dihedral: the histogram of
beads without any interaction is J, not a constant. What is inverted is the potential of mean force of one coordinate,
with all others averaged: a start for a fit, not a potential energy.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from consilience.coarse.beads import Beads, runs
from consilience.coarse.internal import angles, dihedrals, lengths
from consilience.files import write_atomic
from consilience.units import BOLTZMANN, KCAL_MOL

Kind = Literal["bond", "angle", "dihedral", "distance"]
KINDS: tuple[Kind, ...] = ("bond", "angle", "dihedral", "distance")
_LIMITS = {"bond": (2.4, 5.2), "angle": (0.0, np.pi), "dihedral": (-np.pi, np.pi), "distance": (2.4, 20.0)}
_BINS = {"bond": 112, "angle": 90, "dihedral": 72, "distance": 176}
UNITS = {"bond": "Å", "angle": "rad", "dihedral": "rad", "distance": "Å"}
_FAR = 5  # separations from here on are one class of distances
_ENOUGH = 500  # values that a class of its own must have
_MOST_PAIRS = 20_000_000  # distances that are computed at most


@dataclass(frozen=True)
class Inversion:
    """One histogram and its potential. `cls`: "*" (all), a residue (of the middle of an angle), residues of the middle
    bond of a dihedral ("GLY-*"), or a sequence separation of distances ("3", "5+", "chains").

    `r` (m,): middles of bins; `count` (m,): values in each; `value` (m,) eV, 0 at its lowest, infinite in empty bins.
    """

    kind: Kind
    cls: str
    r: np.ndarray
    value: np.ndarray
    count: np.ndarray
    temperature: float

    @property
    def mean(self) -> float:
        """Mean of the coordinate (the circular one for a dihedral)."""
        w = self.count / max(self.count.sum(), 1)
        if self.kind == "dihedral":
            return float(np.angle(np.sum(w * np.exp(1j * self.r))))
        return float(np.sum(w * self.r))


def invert(proteins: Sequence[Beads]) -> list[Inversion]:
    """All classes of coordinates that have enough values, at the temperature with the most frames (its own kT)."""
    temperature = most_frequent([p.temperature for p in proteins])
    values: dict[tuple[Kind, str], list[np.ndarray]] = {}
    total = sum(int((np.abs(p.temperature - temperature) < 0.5).sum()) * len(p.residues) ** 2 // 2 for p in proteins)
    for p in proteins:
        rows = np.flatnonzero(np.abs(p.temperature - temperature) < 0.5)
        if len(rows):
            _collect(p, rows, max(1, -(-total // _MOST_PAIRS)), values)
    out = []
    for (kind, cls), parts in sorted(values.items(), key=lambda item: (KINDS.index(item[0][0]), item[0][1])):
        q = np.concatenate([v.ravel() for v in parts])
        if cls == "*" or len(q) >= _ENOUGH:
            out.append(inverted(kind, cls, q, temperature))
    return out


def inverted(kind: Kind, cls: str, q: np.ndarray, temperature: float) -> Inversion:
    """Histogram and potential of values q of one coordinate (Å or rad) at a temperature, K."""
    low, high = _LIMITS[kind]
    if kind == "bond":  # beads of maps of one's own lie elsewhere
        low, high = min(low, float(q.min()) - 0.2), max(high, float(q.max()) + 0.2)
    count, edges = np.histogram(q, _BINS[kind], (low, high))
    r = 0.5 * (edges[1:] + edges[:-1])
    if kind in ("bond", "distance"):
        jacobian = (edges[1:] ** 3 - edges[:-1] ** 3) / 3  # its integral over each bin
    elif kind == "angle":
        jacobian = np.cos(edges[:-1]) - np.cos(edges[1:])
    else:
        jacobian = np.diff(edges)
    with np.errstate(divide="ignore"):
        value = -BOLTZMANN * temperature * np.log(count / jacobian)
    finite = np.isfinite(value)
    if finite.any():
        value = value - value[finite].min()
    return Inversion(kind, cls, r, value, count, temperature)


def most_frequent(temperatures: Sequence[np.ndarray]) -> float:
    """The temperature (K, to 1 K) that most frames have."""
    values, counts = np.unique(np.round(np.concatenate(temperatures)), return_counts=True)
    return float(values[np.argmax(counts)])


def _collect(p: Beads, rows: np.ndarray, stride: int, into: dict[tuple[Kind, str], list[np.ndarray]]) -> None:
    def put(kind: Kind, cls: str, q: np.ndarray) -> None:
        if q.size:
            into.setdefault((kind, cls), []).append(q)

    x = p.positions[rows]
    put("bond", "*", lengths(x, p.bonds))
    triples = runs(p.chain, p.number, 3)
    if len(triples):
        q = angles(x, triples)
        put("angle", "*", q)
        for m, j in enumerate(triples[:, 1]):
            put("angle", p.residues[int(j)], q[:, m])
    fours = runs(p.chain, p.number, 4)
    if len(fours):
        q = dihedrals(x, fours)
        put("dihedral", "*", q)
        for m, (j, k) in enumerate(fours[:, 1:3]):
            put("dihedral", f"{p.residues[int(j)]}-*", q[:, m])
            put("dihedral", f"*-{p.residues[int(k)]}", q[:, m])
    n = len(p.residues)
    i, j = np.triu_indices(n, 1)
    apart = np.where(p.chain[i] == p.chain[j], np.abs(p.number[i] - p.number[j]), -1)
    some = x[::stride]
    for cls, chosen in (
        *((str(s), apart == s) for s in range(2, _FAR)),
        (f"{_FAR}+", apart >= _FAR),
        ("chains", apart < 0),
    ):
        pairs = np.stack([i[chosen], j[chosen]], 1)
        for k in range(0, len(pairs), 2000):
            put("distance", cls, lengths(some, pairs[k : k + 2000]).astype(np.float32))


def write_prior(path: str | Path, found: Sequence[Inversion]) -> None:
    """prior.json: every inversion as {kind, class, unit, r, value (kcal/mol), count}, empty bins left out."""
    terms = []
    for v in found:
        full = v.count > 0
        terms.append(
            {
                "kind": v.kind,
                "class": v.cls,
                "unit": UNITS[v.kind],
                "r": [round(float(x), 5) for x in v.r[full]],
                "value": [round(float(x) / KCAL_MOL, 5) for x in v.value[full]],
                "count": [int(c) for c in v.count[full]],
            }
        )
    about = "Boltzmann inversion, Jacobians r^2, sin(theta), 1 removed; value in kcal/mol, 0 at its lowest"
    temperature = found[0].temperature if found else None
    said = {"schema_version": 1, "about": about, "temperature_k": temperature, "terms": terms}
    write_atomic(path, json.dumps(said) + "\n")
