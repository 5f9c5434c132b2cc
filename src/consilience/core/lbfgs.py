"""Preconditioned L-BFGS with backtracking, its loop on the host around one compiled value-and-gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from consilience.core.params import Raw

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
    component of a step, so that one loose atom does not hold back all others. Armijo backtracking with quadratic interpolation;
    `tolerance` is the relative decrease at which it stops.
    """

    precondition: Mapping[str, Apply] = field(default_factory=dict)
    max_step: Mapping[str, float] = field(default_factory=dict)
    memory: int = 10
    tolerance: float = 1e-6
    backtracks: int = 8

    def init(self, function: Callable[[Raw], tuple[float, Raw]], raw: Raw) -> LBFGSState:
        raw = {k: np.asarray(v, float) for k, v in raw.items()}
        value, gradient = function(raw)
        return LBFGSState(raw, value, _flat(gradient))

    def step(self, function: Callable[[Raw], tuple[float, Raw]], state: LBFGSState) -> LBFGSState:
        """One accepted step, or the same point with `done` where no step decreases the function."""
        x, g = _flat(state.raw), state.gradient
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
            raw = _unflat(x + t * direction, state.raw)
            value, gradient = function(raw)
            if np.isfinite(value) and value <= state.value + 1e-4 * t * slope:
                break
            excess = value - state.value - slope * t
            t *= min(0.6, max(0.15, -slope * t / (2 * excess))) if np.isfinite(excess) and excess > 0 else 0.2
        else:
            return state._replace(done=True)
        gradient = _flat(gradient)
        s, y = t * direction, gradient - g
        if s @ y > 1e-8 * np.sqrt((s @ s) * (y @ y)):
            pairs = (*pairs, (s, y))[-self.memory :]
        done = state.value - value < self.tolerance * max(abs(value), 1.0)
        return LBFGSState(raw, value, gradient, pairs, done, t)

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
        start = 0
        for name in sorted(raw):
            part = slice(start, start + raw[name].size)
            start = part.stop
            if name in self.precondition:
                out[part] = self.precondition[name](q[part])
            elif pairs:
                s, y = pairs[-1][0][part], pairs[-1][1][part]
                out[part] = q[part] * max((s @ y) / max(y @ y, 1e-300), 1e-12)
            else:
                out[part] = q[part] / max(np.linalg.norm(q[part]), 1e-300)
        return out

    def _clip(self, direction: np.ndarray, raw: Raw) -> np.ndarray:
        start = 0
        for name in sorted(raw):
            part = slice(start, start + raw[name].size)
            start = part.stop
            if name in self.max_step:
                direction[part] = np.clip(direction[part], -self.max_step[name], self.max_step[name])
        return direction


def _flat(raw: Raw) -> np.ndarray:
    return np.concatenate([np.ravel(np.asarray(raw[k], float)) for k in sorted(raw)])


def _unflat(flat: np.ndarray, like: Raw) -> Raw:
    out, start = {}, 0
    for k in sorted(like):
        out[k] = flat[start : start + like[k].size].reshape(like[k].shape)
        start += like[k].size
    return out
