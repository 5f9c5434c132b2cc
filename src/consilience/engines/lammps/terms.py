"""What LAMMPS is told about a model: beads, and groups of terms with their atoms and numbers (kcal/mol, Å).

Bonds stand here for every pair of a chain up to separation `near`, whether it is bonded or only repulsive: those pairs
are left out of the pair terms, so that energies may depend on the separation. No list relies on the order of an array.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from consilience.core.errors import InputError
from consilience.engines.lammps.formula import Form


@dataclass(frozen=True)
class BeadSystem:
    """Beads of one or more chains.

    names: of the types; masses (types,) amu; types (n,): indices of `names`; chain, number (n,): which chain, and place
    in it, as whole numbers; positions (n, 3) Å; cell (3, 3) Å, lower-triangular, or None: no boundaries.
    """

    names: tuple[str, ...]
    masses: np.ndarray
    types: np.ndarray
    chain: np.ndarray
    number: np.ndarray
    positions: np.ndarray
    cell: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.types)

    def __post_init__(self) -> None:
        n = len(self.types)
        if self.positions.shape != (n, 3) or not np.isfinite(self.positions).all():
            raise InputError("positions of beads must be finite, of shape (n, 3)", found=str(self.positions.shape))
        if self.chain.shape != (n,) or self.number.shape != (n,) or self.masses.shape != (len(self.names),):
            raise InputError("types, chain, number and masses do not fit together")
        if self.cell is not None and np.abs(np.triu(self.cell, 1)).max() > 1e-9:
            fix = "turn cell and beads so that the vectors are (a, 0, 0), (b, b, 0), (c, c, c)"
            raise InputError("LAMMPS cannot take this cell: its vectors are not lower-triangular", fix=fix)

    def near_pairs(self, near: int) -> np.ndarray:
        """Pairs (t, 2) of beads of one chain that are at most `near` apart in it."""
        out: list[tuple[int, int]] = []
        for c in np.unique(self.chain):
            mine = np.flatnonzero(self.chain == c)
            mine = mine[np.argsort(self.number[mine], kind="stable")]
            for a, i in enumerate(mine):
                for j in mine[a + 1 : a + 1 + near]:
                    if self.number[j] - self.number[i] <= near:
                        out.append((int(i), int(j)))
        return np.array(out, int).reshape(-1, 2)

    def extent(self, pairs: np.ndarray) -> float:
        """A distance, Å, that no pair (t, 2) of near beads reaches: the chain between them stretched by a quarter."""
        longest = 0.0
        for c in np.unique(self.chain):
            mine = np.flatnonzero(self.chain == c)
            mine = mine[np.argsort(self.number[mine], kind="stable")]
            steps = np.linalg.norm(np.diff(self.positions[mine], axis=0), axis=1)
            if self.cell is not None:  # a chain that is wrapped
                steps = np.minimum(steps, 4.5 * np.diff(self.number[mine]))
            along = np.full(len(self), np.nan)
            along[mine] = np.concatenate([[0.0], np.cumsum(steps)])
            inside = np.isin(pairs, mine).all(1) if len(pairs) else np.zeros(0, bool)
            if inside.any():
                longest = max(longest, float(np.abs(np.diff(along[pairs[inside]], axis=1)).max()))
        return 1.25 * longest


@dataclass(frozen=True)
class Group:
    """Terms of one form: of r between atoms (t, 2), or of the cosine at the middle one of atoms (t, 3).

    values (t, parameters), with which the form gives kcal/mol.
    """

    form: Form
    atoms: np.ndarray
    values: np.ndarray

    def __post_init__(self) -> None:
        t, size = self.atoms.shape
        if (size, self.form.variable) not in ((2, "r"), (3, "c")) or self.values.shape != (
            t,
            len(self.form.parameters),
        ):
            what = f"atoms {self.atoms.shape} and values {self.values.shape} do not suit the form {self.form.name}"
            raise ValueError(what)


@dataclass(frozen=True)
class DihedralGroup:
    """sum_k (cos_k cos(k phi) + sin_k sin(k phi)) sin^power(theta_1) sin^power(theta_2), kcal/mol.

    atoms (t, 4); cos, sin (t, k + 1) from k = 0 (a constant) on; power 0 to 4; theta: angles at the two middle atoms.
    """

    atoms: np.ndarray
    cos: np.ndarray
    sin: np.ndarray
    power: int = 0


@dataclass(frozen=True)
class PairGroup:
    """Terms of one form of r between types (t, 2), all combinations that occur, up to a cutoff in Å.

    They act between chains, and within a chain beyond the separation `near`. values (t, parameters), to kcal/mol.
    """

    form: Form
    types: np.ndarray
    values: np.ndarray
    cutoff: float


@dataclass(frozen=True)
class Terms:
    """All classical terms of a system."""

    bonds: tuple[Group, ...] = ()
    angles: tuple[Group, ...] = ()
    dihedrals: tuple[DihedralGroup, ...] = ()
    pairs: tuple[PairGroup, ...] = ()
    near: int = 5

    @property
    def forms(self) -> tuple[Form, ...]:
        """The forms that occur, each once."""
        found: dict[str, Form] = {}
        for group in (*self.bonds, *self.angles, *self.pairs):
            if found.setdefault(group.form.name, group.form) != group.form:
                raise ValueError(f"two different forms are called {group.form.name}")
        return tuple(found.values())

    @property
    def cutoff(self) -> float:
        """How far pair terms reach, Å."""
        return max((p.cutoff for p in self.pairs), default=0.0)


Spec = tuple[tuple[str, tuple[float, ...]], ...]


@dataclass(frozen=True)
class Listed:
    """Lists as LAMMPS wants them: `atoms` (t, 2..4), `kinds` (t,) from 0, and what each kind is."""

    atoms: np.ndarray
    kinds: np.ndarray
    specs: tuple[Any, ...]


def listed(groups: tuple[Group, ...], size: int, also: np.ndarray | None = None) -> Listed:
    """Terms on the same atoms joined, equal terms given one kind; `also` (t, size): atoms that are listed anyway."""
    specs: dict[tuple[int, ...], list[tuple[str, tuple[float, ...]]]] = {}
    for row in () if also is None else also:
        specs[_key(row)] = []
    for group in groups:
        for row, values in zip(group.atoms, group.values, strict=True):
            specs.setdefault(_key(row), []).append((group.form.name, tuple(float(v) for v in values)))
    return _numbered({k: tuple(v) for k, v in specs.items()}, size)


def listed_dihedrals(groups: tuple[DihedralGroup, ...]) -> Listed:
    """Dihedrals; the spec of a kind is a tuple of (power, cos, sin)."""
    specs: dict[tuple[int, ...], list[Any]] = {}
    for g in groups:
        for row, c, s in zip(g.atoms, g.cos, g.sin, strict=True):
            key = tuple(int(a) for a in row)
            specs.setdefault(key, []).append((g.power, tuple(map(float, c)), tuple(map(float, s))))
    return _numbered({k: tuple(v) for k, v in specs.items()}, 4)


def listed_pairs(groups: tuple[PairGroup, ...], types: int) -> dict[tuple[int, int], tuple[float, Spec]]:
    """Cutoff and terms of every pair of types, first <= second."""
    out: dict[tuple[int, int], tuple[float, Spec]] = {(a, b): (0.0, ()) for a in range(types) for b in range(a, types)}
    for group in groups:
        for row, values in zip(group.types, group.values, strict=True):
            a, b = sorted(int(t) for t in row)
            cutoff, spec = out[a, b]
            more = (group.form.name, tuple(float(v) for v in values))
            out[a, b] = max(cutoff, group.cutoff), (*spec, more)
    return out


def _key(row: Any) -> tuple[int, ...]:
    """Atoms of a term in one of its two equal directions."""
    forward = tuple(int(a) for a in row)
    return min(forward, forward[::-1])


def _numbered(specs: dict[tuple[int, ...], Any], size: int) -> Listed:
    kinds: dict[Any, int] = {}
    atoms = sorted(specs)
    numbers = [kinds.setdefault(specs[a], len(kinds)) for a in atoms]
    return Listed(np.array(atoms, int).reshape(-1, size), np.array(numbers, int), tuple(kinds))
