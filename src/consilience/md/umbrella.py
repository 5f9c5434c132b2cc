"""Umbrella sampling: windows along a coordinate, put together by MBAR, with errors by bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import jax
import numpy as np

from consilience.core.errors import InputError
from consilience.md.bias import Biased, Harmonic, along
from consilience.md.conservation import correlation_factor
from consilience.md.record import Trajectory
from consilience.md.simulate import Simulation, simulate
from consilience.units import BOLTZMANN


@dataclass(frozen=True)
class Profile:
    """Free energy (b,) and its standard error, eV, in bins (b + 1,) of the coordinate; inf where no frame was."""

    bins: np.ndarray
    free_energy: np.ndarray
    error: np.ndarray


@dataclass(frozen=True)
class Umbrella:
    """centres (K,), k eV; samples: values of the coordinate of each window, independent of one another or nearly so.

    runs: each window's; weights (N,): of all samples, in the order of windows, in the ensemble without bias.
    """

    centres: np.ndarray
    k: float
    samples: tuple[np.ndarray, ...]
    runs: tuple[Simulation, ...]
    weights: np.ndarray
    profile: Profile
    overlap: np.ndarray


def mbar(reduced: np.ndarray, counts: Any, *, tolerance: float = 1e-10, most: int = 10_000) -> np.ndarray:
    """Free energies (K,) over kT of K states from reduced energies (K, N) of all samples in all states; first is 0.

    counts (K,): how many of the samples, in order, came from each state. Shirts & Chodera 2008, J. Chem. Phys. 129,
    124105, eq. 11: Newton's method on their convex objective, guarded by self-consistent steps.
    """
    u, n = np.asarray(reduced, float), np.asarray(counts, float)
    if u.ndim != 2 or n.shape != u.shape[:1] or n.sum() != u.shape[1] or not np.isfinite(u).all():
        raise InputError("energies and counts of states do not fit", found=f"{u.shape} and {n.sum():g} samples")
    f, log_n = np.zeros(len(n)), np.log(np.maximum(n, 1e-300))
    for _ in range(most):
        mixture = _log_sum(f[:, None] + log_n[:, None] - u, axis=0)
        again = -_log_sum(-u - mixture, axis=1)
        again -= again[0]
        w = np.exp(f[:, None] - u - mixture)
        gradient = n * (w.sum(1) - 1)
        nw = n[:, None] * w
        hessian = np.diag(nw.sum(1)) - nw @ nw.T
        step = np.zeros(len(n))
        step[1:] = np.linalg.lstsq(hessian[1:, 1:], gradient[1:], rcond=None)[0]
        newton = f - step
        if np.abs(again - f).max() < tolerance:
            return again
        f = newton if _residual(u, n, log_n, newton) < _residual(u, n, log_n, again) else again
    raise InputError("the windows do not overlap: their free energies do not converge", fix="add windows between them")


def _residual(u: np.ndarray, n: np.ndarray, log_n: np.ndarray, f: np.ndarray) -> float:
    mixture = _log_sum(f[:, None] + log_n[:, None] - u, axis=0)
    return float(np.linalg.norm(n * (np.exp(_log_sum(f[:, None] - u - mixture, axis=1)) - 1)))


def _log_sum(a: np.ndarray, axis: int = -1) -> np.ndarray:
    top = a.max(axis, keepdims=True)
    return np.log(np.exp(a - top).sum(axis)) + top.squeeze(axis)


def weights_of(reduced: np.ndarray, counts: Any, free: np.ndarray) -> np.ndarray:
    """Weights (N,), sum 1, of the samples in the state whose reduced energy is zero everywhere."""
    log_n = np.log(np.maximum(np.asarray(counts, float), 1e-300))
    log = -_log_sum(free[:, None] + log_n[:, None] - reduced, axis=0)
    return np.exp(log - _log_sum(log))


def profile_of(
    samples: Sequence[np.ndarray],
    centres: np.ndarray,
    k: float,
    temperature: float,
    bins: np.ndarray,
    *,
    bootstrap: int = 50,
    seed: int = 0,
) -> tuple[Profile, np.ndarray]:
    """The free energy along a coordinate from samples of harmonic windows, and the weights of the samples.

    Errors: the frames of each window are drawn anew with replacement, `bootstrap` times.
    """
    kt = BOLTZMANN * temperature

    def once(parts: Sequence[np.ndarray], start: np.ndarray | None = None):
        s = np.concatenate(parts)
        u = 0.5 * k * (s[None] - centres[:, None]) ** 2 / kt
        counts = [len(p) for p in parts]
        weight = weights_of(u, counts, mbar(u, counts))
        p = np.histogram(s, bins, weights=weight)[0] / np.diff(bins)
        with np.errstate(divide="ignore"):
            return -kt * np.log(p), weight

    f, weight = once(samples)
    low = int(np.argmin(f))
    rng = np.random.default_rng(seed)
    drawn = np.array([once([p[rng.integers(0, len(p), len(p))] for p in samples])[0] for _ in range(bootstrap)])
    with np.errstate(invalid="ignore"):
        columns = [c[np.isfinite(c)] for c in (drawn - drawn[:, [low]]).T]
    error = np.array([np.std(c) if len(c) else np.inf for c in columns])
    return Profile(bins, f - f[low], error), weight


def independent(s: np.ndarray) -> np.ndarray:
    """Every g-th value of a series, g its statistical inefficiency."""
    return s[:: max(1, int(np.ceil(correlation_factor(s))))]


def umbrella(
    energy: Any,
    positions: Any,
    masses: Any,
    coordinate: Any,
    centres: Any,
    k: float,
    *,
    steps: int,
    bins: np.ndarray,
    settle: int | None = None,
    every: int = 100,
    temperature: float = 300.0,
    seed: int = 0,
    on_window: Callable[[int, Trajectory], None] | None = None,
    **options: Any,
) -> Umbrella:
    """Langevin dynamics of `steps` steps in each harmonic window, one after the other, and their free energy.

    The first window is the one nearest to the start; each begins where its neighbour ended, with `settle` steps (None:
    a fifth of `steps`) that do not count. k: eV per squared unit. `options`: of `simulate`. Raises InputError where
    windows do not overlap; a failure ends the run at its window, without a profile there.
    """
    centres = np.asarray(centres, float)
    if centres.ndim != 1 or len(centres) < 2 or not (np.isfinite(k) and k > 0):
        raise InputError("umbrella sampling needs two windows or more and a positive force constant", found=f"k {k:g}")
    settle = steps // 5 if settle is None else settle
    x0 = np.asarray(positions, float)
    first = int(np.argmin(np.abs(centres - float(coordinate(jax.numpy.asarray(x0))))))
    runs: dict[int, Simulation] = {}
    samples: dict[int, np.ndarray] = {}
    ends = {first: x0}
    for window in [*range(first, len(centres)), *range(first - 1, -1, -1)]:
        came = window if window == first else window - 1 if window > first else window + 1
        biased = Biased(energy, Harmonic(coordinate, centres[window], k))
        run = simulate(
            biased, ends[came], masses, steps=settle + steps, every=every, ensemble="nvt", temperature=temperature,
            seed=seed + window, **options,
        )  # fmt: skip
        runs[window] = run
        ends[window] = run.state["positions"][0]
        kept = run.trajectory.step >= settle
        samples[window] = np.asarray(along(coordinate, run.trajectory.positions[0, kept]))
        if on_window is not None:
            on_window(window, run.trajectory)
        if run.status != "ok":
            break
    order = sorted(samples)
    parts = tuple(independent(samples[w]) for w in order)
    done = centres[order]
    profile, weights = profile_of(parts, done, k, temperature, bins, seed=seed)
    return Umbrella(done, k, parts, tuple(runs[w] for w in order), weights, profile, overlap_of(parts))


def overlap_of(samples: Sequence[np.ndarray]) -> np.ndarray:
    """Common area (K - 1,) of the histograms of neighbouring windows: 0 apart, 1 the same."""
    out = []
    for a, b in pairwise(samples):
        bins = np.linspace(min(a.min(), b.min()), max(a.max(), b.max()) + 1e-12, 31)
        p, q = (np.histogram(v, bins)[0] / len(v) for v in (a, b))
        out.append(float(np.minimum(p, q).sum()))
    return np.array(out)
