"""Why a simulation stopped: the step, the atoms, their distance, the largest force and the term that made it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from consilience.forces import forces_from
from consilience.md.lists import Listing
from consilience.units import BOLTZMANN

REASONS = {1: "non-finite energy", 2: "force over its bound", 3: "atoms too close", 4: "temperature over its bound"}


@dataclass(frozen=True)
class Bounds:
    """What no frame of a sound simulation crosses: distances Å, forces eV/Å, kinetic temperature K.

    max_temperature None: 20 times the temperature asked for, at least 10 000 K (few atoms fluctuate widely).
    """

    min_distance: float = 0.4
    max_force: float = 500.0
    max_temperature: float | None = None

    def hottest(self, temperature: float) -> float:
        """The bound on the kinetic temperature of a run at `temperature`, K."""
        return self.max_temperature if self.max_temperature is not None else max(20 * temperature, 1e4)


class NotBonded(eqx.Module):
    """Which pairs are watched in chains of beads: index (n, K) -> (n, K), those two or more apart in the chain.

    chains: anything with `separation(index)`.
    """

    chains: Any

    def __call__(self, index):
        return self.chains.separation(index) >= 2


@dataclass(frozen=True)
class Failure:
    """A frame that crossed a bound. Å, eV, fs, K; atoms are counted from 0; frames are (n, 3)."""

    step: int
    time_fs: float
    replica: int
    reason: str
    atoms: tuple[int, ...]
    distance: float | None
    max_force: float | None
    max_force_atom: int | None
    temperature: float | None
    term: str | None
    term_energies: dict[str, float | None] = field(default_factory=dict)
    term_forces: dict[str, float | None] = field(default_factory=dict)
    last_good: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)), repr=False)
    failed: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)), repr=False)

    def __str__(self) -> str:
        parts = [f"{self.reason} at step {self.step} ({self.time_fs:g} fs), replica {self.replica}"]
        if len(self.atoms) == 2 and self.distance is not None:
            parts.append(f"atoms {self.atoms[0]} and {self.atoms[1]} at {self.distance:.4g} Å")
        if self.max_force is not None:
            parts.append(f"largest force {self.max_force:.4g} eV/Å on atom {self.max_force_atom}")
        elif self.max_force_atom is not None:
            parts.append(f"the force on atom {self.max_force_atom} is not finite")
        if self.term is not None:
            parts.append(f"made by the term '{self.term}'")
        return "; ".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """What a summary holds: plain numbers, None for what is not finite, no frames."""
        keys = ("step", "time_fs", "replica", "reason", "distance", "max_force", "max_force_atom", "temperature")
        out = {k: getattr(self, k) for k in keys}
        out |= {"atoms": list(self.atoms), "term": self.term, "message": str(self)}
        return out | {"term_energies": self.term_energies, "term_forces": self.term_forces}


def autopsy(
    energy: Any,
    listing: Listing,
    *,
    step: int,
    time_fs: float,
    replica: int,
    code: int,
    dof: int,
    kinetic_energy: float,
    failed: tuple[np.ndarray, np.ndarray],
    last_good: tuple[np.ndarray, np.ndarray],
    watched: Any = None,
) -> Failure:
    """Examine a frame that crossed a bound; `failed` and `last_good` are its positions and forces and those before.

    The atoms named are the closest pair where that is the reason, else the two with the largest forces.
    """
    x, forces = failed
    seen_x, seen = failed if np.isfinite(forces).all() and np.isfinite(x).all() else last_good
    size = np.linalg.norm(seen, axis=1)
    order = np.argsort(-np.nan_to_num(size, nan=np.inf, posinf=np.inf), kind="stable")
    atoms = tuple(int(a) for a in order[:2])
    if code == 3:
        atoms = closest_pair(seen_x, listing, order, watched)
    distance = float(_distances(seen_x[atoms[0]], seen_x[atoms[1]][None], listing)[0]) if len(atoms) == 2 else None
    broken = np.flatnonzero(~np.isfinite(forces).all(1))
    worst = int(broken[0]) if len(broken) else int(np.argmax(np.linalg.norm(forces, axis=1)))
    term, energies, by_term = _blame(energy, listing, x, seen_x, list(atoms))
    return Failure(
        step=step,
        time_fs=time_fs,
        replica=replica,
        reason=REASONS[code],
        atoms=atoms,
        distance=_plain(distance),
        max_force=None if len(broken) else float(np.linalg.norm(forces[worst])),
        max_force_atom=worst,
        temperature=_plain(2 * kinetic_energy / (dof * BOLTZMANN)),
        term=term,
        term_energies=energies,
        term_forces=by_term,
        last_good=last_good[0],
        failed=x,
    )


def closest_pair(
    x: np.ndarray, listing: Listing, order: np.ndarray | None = None, watched: Any = None
) -> tuple[int, ...]:
    """The two atoms of x (n, 3) nearest to one another; beyond 2000 atoms among the first 50 of `order` and all.

    watched: of pairs, index (n, K) -> bool (n, K), that count; None: all.
    """
    n = len(x)
    some = np.arange(n) if n <= 2000 or order is None else order[:50]
    counted = np.ones((n, len(some)), bool)
    if watched is not None:
        counted = np.asarray(watched(np.repeat(np.asarray(some, np.int32)[None], n, 0)))
    best, pair = np.inf, tuple(range(min(n, 2)))
    for k, i in enumerate(some):
        d = np.where(counted[:, k], _distances(x[i], x, listing), np.inf)
        d[i] = np.inf
        j = int(np.argmin(d))
        if d[j] < best:
            best, pair = d[j], (min(int(i), j), max(int(i), j))
    return pair


def _distances(a: np.ndarray, b: np.ndarray, listing: Listing) -> np.ndarray:
    """Distances (m,) from a point (3,) to points (m, 3), between nearest images."""
    d = b - a
    if listing.cell is not None:
        turns = np.round(d @ np.linalg.inv(listing.cell)) * np.asarray(listing.pbc)
        d = d - turns @ listing.cell
    return np.linalg.norm(d, axis=1)


@eqx.filter_jit
def _terms(energy, x, neighbours):
    names = sorted(energy.terms(x, neighbours))
    return {k: forces_from(lambda y, k=k: jnp.asarray(energy.terms(y, neighbours)[k]))(x) for k in names}


def _blame(energy, listing: Listing, x: np.ndarray, seen: np.ndarray, atoms: list[int]):
    """The term with the largest force on `atoms`, or the first that is not finite; energies and forces of all terms."""
    if not hasattr(energy, "terms"):
        return None, {}, {}
    x = x if np.isfinite(x).all() else seen
    found = {k: (float(e), np.asarray(f)) for k, (e, f) in _terms(energy, x, listing.single(x)).items()}
    broken = [k for k, (e, f) in found.items() if not (np.isfinite(e) and np.isfinite(f).all())]
    size = {k: float(np.max(np.linalg.norm(f[atoms], axis=1))) for k, (_, f) in found.items()}
    term = broken[0] if broken else max(size, key=lambda k: size[k])
    return term, {k: _plain(e) for k, (e, _) in found.items()}, {k: _plain(v) for k, v in size.items()}


def _plain(value: float | None) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None
