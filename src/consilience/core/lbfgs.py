"""Preconditioned L-BFGS with backtracking, its loop on the host around one compiled value-and-gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import numpy as np

from consilience.core.params import Raw, ravel, unravel

Apply = Callable[[np.ndarray], np.ndarray]


class LBFGSState(NamedTuple):
    """Point, value, gradient, and the curvature pairs of the last steps (flat vectors)."""

    raw: Raw
    value: float
    gradient: np.ndarray
    pairs: tuple[tuple[np.ndarray, np.ndarray], ...] = ()
    done: bool = False
    step_length: float = 1.0


@dataclass(frozen=True)
class LBFGS:
    """Limited-memory BFGS (Nocedal & Wright 2006, algorithm 7.4) with an initial inverse Hessian per block.

    `precondition[block]` maps a flat gradient to a flat step (default: scaled identity); `max_step[block]` clips every
    component of a step, so that one loose atom does not hold back all others. Armijo backtracking with quadratic
    interpolation; `tolerance` is the relative decrease at which it stops.
    """

    precondition: Mapping[str, Apply] = field(default_factory=dict)
    max_step: Mapping[str, float] = field(default_factory=dict)
    memory: int = 10
    tolerance: float = 1e-6
    backtracks: int = 8

    def init(self, function: Callable[[Raw], tuple[float, Raw]], raw: Raw) -> LBFGSState:
        raw = jax.tree.map(lambda x: np.asarray(x, float), dict(raw))
        value, gradient = function(raw)
        return LBFGSState(raw, float(value), ravel(gradient))

    def step(self, function: Callable[[Raw], tuple[float, Raw]], state: LBFGSState) -> LBFGSState:
        """One accepted step, or the same point with `done` where no step decreases the function."""
        x, g = ravel(state.raw), state.gradient
        pairs = state.pairs
        direction = self._clip(-self._two_loops(g, pairs, state.raw), state.raw)
        slope = g @ direction
        if slope >= 0 and pairs:
            pairs = ()
            direction = self._clip(-self._initial(g, state.raw), state.raw)
            slope = g @ direction
        if slope >= 0:
            return state._replace(done=True)
        t = 1.0
        for _ in range(self.backtracks):
            raw = unravel(x + t * direction, state.raw)
            value, gradient = function(raw)
            if np.isfinite(value) and value <= state.value + 1e-4 * t * slope:
                break
            excess = value - state.value - slope * t
            t *= float(np.clip(-slope * t / (2 * excess), 0.15, 0.6)) if np.isfinite(excess) and excess > 0 else 0.2
        else:
            return state._replace(done=True)
        gradient = ravel(gradient)
        s, y = t * direction, gradient - g
        if s @ y > 1e-8 * np.sqrt((s @ s) * (y @ y)):
            pairs = (*pairs, (s, y))[-self.memory :]
        done = state.value - value < self.tolerance * max(abs(value), 1.0)
        return LBFGSState(raw, float(value), gradient, pairs, bool(done), t)

    def _two_loops(self, g: np.ndarray, pairs, raw: Raw) -> np.ndarray:
        q = g.copy()
        alphas = []
        for s, y in reversed(pairs):
            a = (s @ q) / (s @ y)
            alphas.append(a)
            q -= a * y
        q = self._initial(q, raw, pairs)
        for (s, y), a in zip(pairs, reversed(alphas), strict=True):
            q += s * (a - (y @ q) / (s @ y))
        return q

    def _initial(self, q: np.ndarray, raw: Raw, pairs=()) -> np.ndarray:
        """Initial inverse Hessian: the preconditioner of each block, or Nocedal's scaling where a block has none."""
        out = q.copy()
        for name, part in _parts(raw):
            if name in self.precondition:
                out[part] = self.precondition[name](q[part])
            elif pairs:
                s, y = pairs[-1]
                if s[part] @ y[part] > 0:  # else only the whole step saw positive curvature
                    s, y = s[part], y[part]
                out[part] = q[part] * (s @ y) / (y @ y)
            else:
                out[part] = q[part] / max(np.linalg.norm(q[part]), 1e-300)
        return out

    def _clip(self, direction: np.ndarray, raw: Raw) -> np.ndarray:
        for name, part in _parts(raw):
            if name in self.max_step:
                direction[part] = np.clip(direction[part], -self.max_step[name], self.max_step[name])
        return direction


def _parts(raw: Raw) -> Iterator[tuple[str, slice]]:
    """Where each block lies in the flat vector."""
    start = 0
    for name in sorted(raw):
        stop = start + sum(np.size(x) for x in jax.tree.leaves(raw[name]))
        yield name, slice(start, stop)
        start = stop
