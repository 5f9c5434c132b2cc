"""What LAMMPS is told about a model: beads, and groups of terms with their atoms and numbers (kcal/mol, Å).

Nothing relies on the order of an array: lists go by the tags of beads, and separations along a chain by the chain and
the place in it that each bead carries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from consilience.core.errors import InputError
from consilience.engines.lammps.forms import Form


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
            raise ValueError(f"{self.atoms.shape} atoms and {self.values.shape} values for the form {self.form.name}")


@dataclass(frozen=True)
class DihedralGroup:
    """sum_k (cos_k cos(k phi) + sin_k sin(k phi)) sin^power(theta_1) sin^power(theta_2), kcal/mol.

    atoms (t, 4); cos, sin (t, k + 1) from k = 0 (a constant) on; power: 0 or more; theta: angles at the middle atoms.
    """

    atoms: np.ndarray
    cos: np.ndarray
    sin: np.ndarray
    power: int = 0


@dataclass(frozen=True)
class PairGroup:
    """Terms of one form of r between beads of types (t, 2), at one separation along the chain, up to a cutoff in Å.

    separation: `Terms.far` stands for other chains and all that is at least so far apart. values (t, parameters), to
    kcal/mol. The form must vanish at its cutoff by itself, and smoothly.
    """

    form: Form
    types: np.ndarray
    separation: int
    values: np.ndarray
    cutoff: float

    def __post_init__(self) -> None:
        if self.form.variable != "r" or self.values.shape != (len(self.types), len(self.form.parameters)):
            raise ValueError(f"{self.types.shape} types and {self.values.shape} values for the form {self.form.name}")


@dataclass(frozen=True)
class Terms:
    """All classical terms of a system; pairs closer along the chain than `far` have terms of their own."""

    bonds: tuple[Group, ...] = ()
    angles: tuple[Group, ...] = ()
    dihedrals: tuple[DihedralGroup, ...] = ()
    pairs: tuple[PairGroup, ...] = ()
    far: int = 6

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

    @property
    def links(self) -> int:
        """Bonds between the outermost beads of the longest listed term."""
        return 3 if self.dihedrals else 2 if self.angles else 1


Spec = tuple[tuple[str, tuple[float, ...]], ...]  # forms by name, with their numbers


@dataclass(frozen=True)
class Listed:
    """Lists as LAMMPS wants them: `atoms` (t, 2..4), `kinds` (t,) from 0, and what each kind is."""

    atoms: np.ndarray
    kinds: np.ndarray
    specs: tuple[Any, ...]


def listed(groups: tuple[Group, ...], size: int) -> Listed:
    """Terms on the same atoms joined, equal terms given one kind."""
    specs: dict[tuple[int, ...], list[tuple[str, tuple[float, ...]]]] = {}
    for group in groups:
        for row, values in zip(group.atoms, group.values, strict=True):
            forward = tuple(int(a) for a in row)
            key = min(forward, forward[::-1])
            specs.setdefault(key, []).append((group.form.name, tuple(float(v) for v in values)))
    return _numbered({k: tuple(v) for k, v in specs.items()}, size)


def listed_dihedrals(groups: tuple[DihedralGroup, ...]) -> Listed:
    """Dihedrals; the spec of a kind is a tuple of (power, cos, sin)."""
    specs: dict[tuple[int, ...], list[Any]] = {}
    for g in groups:
        for row, c, s in zip(g.atoms, g.cos, g.sin, strict=True):
            key = tuple(int(a) for a in row)
            specs.setdefault(key, []).append((g.power, tuple(map(float, c)), tuple(map(float, s))))
    return _numbered({k: tuple(v) for k, v in specs.items()}, 4)


@dataclass(frozen=True)
class PairSpec:
    """The terms between two types: their reach in Å, and forms at each separation that has any."""

    cutoff: float
    at: dict[int, Spec]


def listed_pairs(groups: tuple[PairGroup, ...], types: int) -> dict[tuple[int, int], PairSpec]:
    """The terms of every pair of types, first <= second."""
    out = {(a, b): PairSpec(0.0, {}) for a in range(types) for b in range(a, types)}
    for group in groups:
        for row, values in zip(group.types, group.values, strict=True):
            a, b = sorted(int(t) for t in row)
            before = out[a, b]
            more = (group.form.name, tuple(float(v) for v in values))
            at = {**before.at, group.separation: (*before.at.get(group.separation, ()), more)}
            out[a, b] = PairSpec(max(before.cutoff, group.cutoff), at)
    return out


def _numbered(specs: dict[tuple[int, ...], Any], size: int) -> Listed:
    kinds: dict[Any, int] = {}
    atoms = sorted(specs)
    numbers = [kinds.setdefault(specs[a], len(kinds)) for a in atoms]
    return Listed(np.array(atoms, int).reshape(-1, size), np.array(numbers, int), tuple(kinds))
