"""The ways to sample chains of beads, each with what it says about the free energy along a coordinate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from consilience.jobs.common.dynamics_options import SimulateOptions
from consilience.jobs.common.start import Start
from consilience.units import BOLTZMANN, KCAL_MOL

WIDTHS = {"rg": 0.2, "rmsd": 0.25, "q": 0.02}  # of hills, Å or 1
HEIGHT, FACTOR = 0.3, 10.0  # kT, bias factor
PACE = 500  # steps between hills or trades
BINS = 40
Outcome = tuple[Any, list[dict[str, Any]] | None, dict[str, Any]]  # run, free energy, more of the summary


def plain(
    start: Start, energy: Any, observe: Any, options: SimulateOptions, common: dict[str, Any], state: Any,
    on_block: Callable[..., None],
) -> Outcome:  # fmt: skip
    """Dynamics of independent replicas."""
    from consilience.md.simulate import simulate

    run = simulate(
        energy, start.positions, start.masses, steps=options.steps, ensemble=options.ensemble,
        temperature=options.temperature, replicas=options.replicas, state=state, on_block=on_block, keep=False,
        block=_block(len(start.numbers) * options.replicas), **common,
    )  # fmt: skip
    return run, None, {}


def exchange(
    start: Start, energy: Any, observe: Any, options: SimulateOptions, common: dict[str, Any], state: Any,
    on_block: Callable[..., None],
) -> Outcome:  # fmt: skip
    """Replica exchange between --temperature and --t-max."""
    from consilience.md.exchange import ladder, replica_exchange

    assert options.t_max is not None
    kelvin = ladder(options.temperature, options.t_max, options.replicas)
    done = replica_exchange(
        energy, start.positions, start.masses, temperatures=kelvin, steps=options.steps, swap_every=PACE,
        on_round=lambda piece: on_block(piece, {}), keep=False, **common,
    )  # fmt: skip
    climbed = [int(np.sum(np.abs(np.diff(np.argmax(done.walkers == w, 1))))) for w in range(len(kelvin))]
    found = {"temperatures": kelvin, "acceptance": done.acceptance, "rungs_climbed": climbed}
    return done.run, None, {k: [float(v) if np.isfinite(v) else None for v in a] for k, a in found.items()}


def metadynamics(
    start: Start, energy: Any, observe: Any, options: SimulateOptions, common: dict[str, Any], state: Any,
    on_block: Callable[..., None],
) -> Outcome:  # fmt: skip
    """Well-tempered metadynamics; the error is the spread of the last tenths of the run."""
    from consilience.md.metadynamics import empty_grid, metadynamics

    assert options.cv is not None
    kt, width = BOLTZMANN * options.temperature, WIDTHS[options.cv]
    bias = empty_grid(observe.coordinate, *_range(options.cv, observe, start), wall=20 * kt / width**2 / 25)
    done = metadynamics(
        energy, start.positions, start.masses, bias, steps=options.steps, height=HEIGHT * kt, width=width,
        factor=FACTOR, pace=PACE, temperature=options.temperature, replicas=options.replicas,
        on_round=lambda piece: on_block(piece, {}), keep=False, **common,
    )  # fmt: skip
    last = done.history[len(done.history) // 2 :]
    last = last - last.min(1, keepdims=True) if len(last) else last
    error = last.std(0) if len(last) > 1 else np.full(len(done.grid), np.nan)
    rows = _rows(observe.cv, done.grid, done.free_energy, error)
    return done.run, rows, {"hills": int(done.run.n_steps // PACE * options.replicas)}


def umbrella(
    start: Start, energy: Any, observe: Any, options: SimulateOptions, common: dict[str, Any], state: Any,
    on_block: Callable[..., None],
) -> Outcome:  # fmt: skip
    """Harmonic windows, one after the other, each of --steps; put together by MBAR."""
    from consilience.md.umbrella import umbrella

    assert options.cv is not None
    low, high = _range(options.cv, observe, start)
    centres = np.linspace(low, high, options.replicas)
    k = BOLTZMANN * options.temperature / (centres[1] - centres[0]) ** 2
    settle = options.steps // 5
    whole = options.steps + settle

    def keep(window: int, piece: Any) -> None:
        before = keep.windows * (whole + options.every)
        keep.windows += 1
        shifted = replace(piece, step=piece.step + before, time=piece.time + before * options.dt)
        on_block(shifted, {}, window=np.full((1, len(piece)), float(window + 1)))

    keep.windows = 0
    every = common.pop("every")
    seed = common.pop("seed")
    done = umbrella(
        energy, start.positions, start.masses, observe.coordinate, centres, k, steps=options.steps, settle=settle,
        bins=np.linspace(low, high, BINS + 1), every=every, seed=seed, temperature=options.temperature,
        on_window=keep, **common,
    )  # fmt: skip
    failed = [r for r in done.runs if r.failure is not None]
    run = failed[0] if failed else done.runs[-1]
    run = replace(
        run, n_steps=sum(r.n_steps for r in done.runs), min_distance=min(r.min_distance for r in done.runs),
        max_force=max(r.max_force for r in done.runs),
    )  # fmt: skip
    p = done.profile
    rows = _rows(observe.cv, 0.5 * (p.bins[1:] + p.bins[:-1]), p.free_energy, p.error)
    found = {"windows": list(done.centres), "overlap": [float(v) for v in done.overlap],
             "independent_samples": [len(s) for s in done.samples]}  # fmt: skip
    return run, rows, found


METHODS: dict[str, Callable[..., Outcome]] = {
    "md": plain, "remd": exchange, "metad": metadynamics, "umbrella": umbrella,
}  # fmt: skip


def _range(cv: str, observe: Any, start: Start) -> tuple[float, float]:
    """What is sampled of a coordinate: Q from 0 to 1; Rg from a globule's (2.2 n^0.38 Å) less a fifth to a coil's
    (2.0 n^0.6 Å; Kohn et al. 2004); RMSD from 0 to a coil's Rg.
    """
    n = len(start.numbers)
    coil, globule = 2.0 * n**0.6, 2.2 * n**0.38
    if cv == "q":
        return 0.0, 1.0
    if cv == "rmsd":
        return 0.0, max(1.2 * coil, 4.0)
    here = float(observe.coordinate(start.positions))
    return min(0.8 * globule, 0.9 * here), max(1.2 * coil, 1.1 * here)


def from_histogram(
    table: dict[str, np.ndarray], options: SimulateOptions, name: str | None
) -> list[dict[str, Any]] | None:
    """Free energy along a column of the observables (F, R) of a run without bias, its first fifth left out.

    Of all replicas of dynamics, of the lowest temperature of exchange; errors from quarters of the run. None where
    there is no such column or fewer than 50 values.
    """
    from consilience.md.statistics import free_energy_profile

    if name is None or options.ensemble == "nve" or options.method not in ("md", "remd"):
        return None
    column = table[name][len(table[name]) // 5 :]
    s = (column[:, :1] if options.method == "remd" else column).ravel()
    if len(s) < 50:
        return None
    bins = np.linspace(s.min(), s.max() + 1e-9, BINS + 1)
    profile = free_energy_profile(s, options.temperature, bins)
    parts = np.array([free_energy_profile(p, options.temperature, bins) for p in np.array_split(s, 4)])
    with np.errstate(invalid="ignore"):
        parts = parts - parts[:, [int(np.argmin(profile))]]
        error = np.array([np.std(c) / 2 if np.isfinite(c).all() else np.nan for c in parts.T])
    return _rows(name, 0.5 * (bins[1:] + bins[:-1]), profile, error)


def _rows(name: str, at: np.ndarray, free: np.ndarray, error: np.ndarray) -> list[dict[str, Any]]:
    """Rows of free_energy.csv; empty cells where nothing was seen."""
    out = []
    for s, f, e in zip(at, free, error, strict=True):
        seen = np.isfinite(f)
        known = seen and np.isfinite(e)
        out.append({name: float(s), "F_kcal_mol": float(f / KCAL_MOL) if seen else None,
                    "error_kcal_mol": float(e / KCAL_MOL) if known else None})  # fmt: skip
    return out


def _block(beads: int) -> int:
    """Steps between visits to the host: a few tenths of a second of work."""
    return int(np.clip(200_000 // max(beads, 1), 200, 10_000))
