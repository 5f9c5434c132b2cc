"""Frames: molecules with their reference energies, forces, dipoles, charges and potentials, padded to one shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np

from consilience.core.errors import Finding

CHANNELS = ("energy", "forces", "stress", "dipole", "charges", "esp")  # what a potential can be fitted to


@dataclass(frozen=True)
class Key:
    """Where an array came from: `quantity` was read from `key` of `file` and multiplied by `factor`.

    `unit` is the unit of the values in the file; `said` tells who named it: "file", "user", "physics" or "" (assumed).
    """

    quantity: str
    key: str
    unit: str = ""
    factor: float = 1.0
    said: str = ""
    file: str = ""


@dataclass(frozen=True)
class Frames:
    """f frames of up to n atoms.

    `numbers` (f, n): atomic numbers, 0 marks padding (always last); padded entries of other arrays are 0.
    `positions` (f, n, 3) Å; `energy` (f,) eV; `forces` (f, n, 3) eV/Å; `dipole` (f, 3) e Å; `charges` (f, n) e;
    `total_charge` (f,) e; `stress` (f, 3, 3) eV/Å^3 (tension positive); `momenta` (f, n, 3) sqrt(amu eV);
    `esp` (f, p) V at `esp_xyz` (f, p, 3) Å; `cell` (f, 3, 3) Å, rows are vectors, zero where a frame has none; `pbc`
    (f, 3) bool. An array is None where no frame has the quantity; where some lack it (or have fewer points) their
    entries are NaN, and whoever fits masks them. `groups`: labels of frames (f,), e.g. "T" (K), "kind", "traj".
    `keys` says where each array came from and how it was converted.
    """

    numbers: np.ndarray
    positions: np.ndarray
    energy: np.ndarray | None = None
    forces: np.ndarray | None = None
    dipole: np.ndarray | None = None
    charges: np.ndarray | None = None
    total_charge: np.ndarray | None = None
    stress: np.ndarray | None = None
    momenta: np.ndarray | None = None
    esp: np.ndarray | None = None
    esp_xyz: np.ndarray | None = None
    cell: np.ndarray | None = None
    pbc: np.ndarray | None = None
    groups: dict[str, np.ndarray] = field(default_factory=dict)
    keys: tuple[Key, ...] = ()
    files: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def mask(self) -> np.ndarray:
        """(f, n) bool: atoms that are there."""
        return self.numbers > 0

    @property
    def natoms(self) -> np.ndarray:
        """(f,) int: number of atoms of each frame."""
        return self.mask.sum(1)

    @property
    def elements(self) -> tuple[int, ...]:
        """The atomic numbers that occur, ascending."""
        return tuple(int(z) for z in np.unique(self.numbers) if z > 0)

    @property
    def is_periodic(self) -> bool:
        """Whether any frame is periodic in any direction."""
        return self.pbc is not None and bool(self.pbc.any())

    def select(self, indices: Sequence[int] | np.ndarray) -> Frames:
        """The frames of the given indices (or boolean mask), in that order, with what is known about all of them."""
        rows = np.asarray(indices)
        rows = rows.astype(int) if not rows.size else rows
        changed = {a: getattr(self, a)[rows] for a in ARRAYS if getattr(self, a) is not None}
        return replace(self, **changed, groups={k: v[rows] for k, v in self.groups.items()})


ARRAYS = tuple(f.name for f in fields(Frames) if f.name not in ("groups", "keys", "files", "findings"))
_ATOMIC = ("numbers", "positions", "forces", "charges", "momenta")
_POINTS = ("esp", "esp_xyz")


def join(parts: Sequence[Frames]) -> Frames:
    """All frames in one, padded to the largest; what only some parts have is NaN (no cell: zero) in the others."""
    if len(parts) == 1:
        return parts[0]
    arrays = {name: _joined(name, parts) for name in ARRAYS}
    names = dict.fromkeys(k for p in parts for k in p.groups)
    groups = {}
    for k in names:
        is_text = any(k in p.groups and p.groups[k].dtype.kind == "U" for p in parts)
        empty = "" if is_text else np.nan
        pieces = [p.groups.get(k, np.full(len(p), empty)) for p in parts]
        groups[k] = np.concatenate([x.astype(str) for x in pieces] if is_text else pieces)
    return Frames(
        **arrays,  # type: ignore[arg-type]
        groups=groups,
        keys=tuple(k for p in parts for k in p.keys),
        files=tuple(f for p in parts for f in p.files),
        findings=tuple(f for p in parts for f in p.findings),
    )


def _joined(name: str, parts: Sequence[Frames]) -> np.ndarray | None:
    given = [getattr(p, name) for p in parts]
    if all(a is None for a in given):
        return None
    n = max(p.numbers.shape[1] for p in parts)
    some = next(a for a in given if a is not None)
    points = max(a.shape[1] for a in given if a is not None) if name in _POINTS else 0
    out = []
    for part, a in zip(parts, given, strict=True):
        absent = 0 if name in ("cell", "pbc") else np.nan
        width = n if name in _ATOMIC else points
        tail = some.shape[2:] if name in (*_ATOMIC, *_POINTS) else some.shape[1:]
        shape = (len(part), width, *tail) if name in (*_ATOMIC, *_POINTS) else (len(part), *tail)
        if a is None:
            filled = np.full(shape, absent, some.dtype)
            if name in _ATOMIC:
                filled[:, part.numbers.shape[1] :] = 0
                filled[:, : part.numbers.shape[1]][~part.mask] = 0
        else:
            filled = np.full(shape, 0 if name in _ATOMIC else absent, some.dtype)
            filled[tuple(slice(s) for s in a.shape)] = a
        out.append(filled)
    return np.concatenate(out)
