"""Relaxed geometries: BFGS on the host around one compiled energy and force, to the accuracy of the forces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import numpy as np

from consilience.core.errors import InputError, RunError
from consilience.forces import forces_from
from consilience.md.lists import Kind, Listing, Lists

DENSE_LIMIT = 400  # atoms; beyond, the inverse Hessian is kept as the last pairs of steps
MEMORY = 50


@dataclass(frozen=True)
class Optimised:
    """A relaxed geometry: positions (n, 3) Å, energy eV, forces (n, 3) eV/Å; path (k, n, 3) with energies (k,)."""

    positions: np.ndarray
    energy: float
    forces: np.ndarray
    max_force: float
    converged: bool
    steps: int
    evaluations: int
    path: np.ndarray
    energies: np.ndarray


@eqx.filter_jit
def _evaluate(energy, x, neighbours):
    return forces_from(energy)(x, neighbours)


def optimise(
    energy: Any,
    positions: Any,
    *,
    tolerance: float = 1e-5,
    max_steps: int = 1000,
    max_move: float = 0.2,
    cell: Any = None,
    pbc: Any = False,
    cutoff: float | None = None,
    skin: float = 1.0,
    lists: Kind | str = "auto",
) -> Optimised:
    """Minimise energy(positions, neighbours) from positions (n, 3) until no force is larger than `tolerance`, eV/Å.

    BFGS (Nocedal & Wright 2006, section 6.1; with many atoms limited memory, section 7.2) with steps of at most
    `max_move` Å for any atom. A step is taken if the energy falls enough, or, near the minimum where energies are equal
    within rounding, if the slope shows it (the approximate Wolfe condition of Hager & Zhang 2005). The cell is fixed.
    Raises InputError where the start has no finite energy and forces, RunError where no step leads to one.
    """
    x = np.array(positions, float)
    if x.ndim != 2 or x.shape[1] != 3 or not np.isfinite(x).all():
        raise InputError("positions must be finite, of shape (n, 3)", found=str(x.shape))
    source = _Source(energy, Listing.choose(len(x), cutoff, skin, cell, pbc, lists))  # type: ignore[arg-type]
    value, g = source(x)
    if not (np.isfinite(value) and np.isfinite(g).all()):
        bad = np.flatnonzero(~np.isfinite(g.reshape(-1, 3)).all(1))
        where = f"atom {bad[0]}" if len(bad) else ""
        raise InputError("the start has no finite energy and forces", where, fix="move atoms that lie upon others")
    path, energies = [x.copy()], [value]
    inverse = _Dense(x.size) if len(x) <= DENSE_LIMIT else _Limited()
    steps = 0
    while _largest(g) > tolerance and steps < max_steps:
        direction = inverse.times(-g)
        slope = float(g @ direction)
        if not slope < -1e-8 * np.linalg.norm(g) * np.linalg.norm(direction):
            inverse.forget()
            direction = inverse.times(-g)
            slope = float(g @ direction)
        direction, slope = _bounded(direction, slope, max_move)
        taken = _search(source, x, value, direction, slope)
        if taken is None:
            if inverse.fresh:
                break  # not even along the force: the energy is as low as its rounding allows
            inverse.forget()
            continue
        move, value, new = taken
        inverse.learn(move, new - g)
        x, g = x + move.reshape(x.shape), new
        path.append(x.copy())
        energies.append(value)
        steps += 1
    largest = _largest(g)
    return Optimised(
        x,
        value,
        -g.reshape(-1, 3),
        largest,
        largest <= tolerance,
        steps,
        source.count,
        np.stack(path),
        np.array(energies),
    )


def _largest(g: np.ndarray) -> float:
    return float(np.max(np.linalg.norm(g.reshape(-1, 3), axis=1)))


def _bounded(direction: np.ndarray, slope: float, max_move: float) -> tuple[np.ndarray, float]:
    scale = min(1.0, max_move / max(_largest(direction), 1e-300))
    return scale * direction, scale * slope


def _search(source: _Source, x: np.ndarray, value: float, direction: np.ndarray, slope: float):
    """A step along `direction`, the energy and gradient there, or None where no step of use is found."""
    t, seen_finite = 1.0, False
    rounding = 1e-13 * max(1.0, abs(value)) + 1e-7 * abs(slope)
    for _ in range(25):
        new, g = source(x + (t * direction).reshape(x.shape))
        if np.isfinite(new) and np.isfinite(g).all():
            seen_finite = True
            end = g @ direction
            if new <= value + 1e-4 * t * slope or (new <= value + source.rounding(rounding) and end <= -0.8 * slope):
                return t * direction, new, g
            excess = new - value - slope * t
            t *= float(np.clip(-slope * t / (2 * excess), 0.1, 0.5)) if excess > 0 else 0.5
        else:
            t *= 0.2
    if not seen_finite:
        raise RunError("the optimisation reached a place where the energy is not finite in every direction tried")
    return None


class _Source:
    """Energy and gradient (3n,), float64, with lists made anew when an atom has moved more than half the skin."""

    def __init__(self, energy, listing: Listing):
        self.energy, self.listing, self.count = energy, listing, 0
        self._lists: Lists | None = None
        self._noise = 0.0

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        old = self._lists
        if not np.isfinite(x).all():
            return np.nan, np.full(x.size, np.nan)
        if old is None or (
            self.listing.kind != "all"
            and np.max(np.sum((x - old.reference[0]) ** 2, 1)) > (0.5 * self.listing.skin) ** 2
        ):
            slots = None if old is None else old.neighbours.index.shape[-1]
            old = self.listing.make(x[None], slots)
            if np.any(old.neighbours.overflow):
                old = self.listing.make(x[None])
            self._lists = old
        one = old.neighbours
        if one.index.ndim == 3:
            one = type(one)(one.index[0], one.mask[0], None if one.shift is None else one.shift[0])
        value, forces = _evaluate(self.energy, x, one)
        self.count += 1
        if value.dtype.itemsize < 8 or forces.dtype.itemsize < 8:
            self._noise = 1e-6 * abs(float(value))
        return float(value), -np.asarray(forces, float).ravel()

    def rounding(self, of_float64: float) -> float:
        """How far energies of the same place may differ: larger for an energy that is not float64."""
        return max(of_float64, self._noise)


class _Dense:
    """The inverse Hessian as a matrix; before the first step a length of 0.03 Å² per eV."""

    def __init__(self, size: int):
        self.size = size
        self.forget()

    def forget(self) -> None:
        self.fresh, self.matrix = True, 0.03 * np.eye(self.size)

    def times(self, g: np.ndarray) -> np.ndarray:
        return self.matrix @ g

    def learn(self, s: np.ndarray, y: np.ndarray) -> None:
        sy = s @ y
        if sy <= 1e-10 * np.linalg.norm(s) * np.linalg.norm(y):
            return
        if self.fresh:
            self.matrix = (sy / (y @ y)) * np.eye(self.size)
            self.fresh = False
        hy = self.matrix @ y
        self.matrix += np.outer(s, s) * (sy + y @ hy) / sy**2 - (np.outer(hy, s) + np.outer(s, hy)) / sy


class _Limited:
    """The inverse Hessian as the last pairs of steps and gradient changes (two loops)."""

    def __init__(self):
        self.forget()

    def forget(self) -> None:
        self.fresh, self.pairs = True, []

    def times(self, g: np.ndarray) -> np.ndarray:
        if not self.pairs:
            return 0.03 * g
        q, alphas = g.copy(), []
        for s, y in reversed(self.pairs):
            alphas.append((s @ q) / (s @ y))
            q = q - alphas[-1] * y
        s, y = self.pairs[-1]
        q = q * (s @ y) / (y @ y)
        for (s, y), a in zip(self.pairs, reversed(alphas), strict=True):
            q = q + s * (a - (y @ q) / (s @ y))
        return q

    def learn(self, s: np.ndarray, y: np.ndarray) -> None:
        if s @ y > 1e-10 * np.linalg.norm(s) * np.linalg.norm(y):
            self.pairs = [*self.pairs, (s, y)][-MEMORY:]
            self.fresh = False
