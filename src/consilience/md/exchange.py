"""Replica exchange in temperature: copies at several temperatures that trade configurations by Metropolis' rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from consilience.core.errors import InputError
from consilience.md.record import Trajectory
from consilience.md.simulate import Simulation, simulate
from consilience.units import BOLTZMANN

PERMUTED = ("positions", "velocities", "forces", "energy", "code", "next.positions", "next.velocities")
LISTS = ("list.index", "list.mask", "list.shift", "list.overflow", "list.reference")


@dataclass(frozen=True)
class Exchange:
    """run: the last piece; trajectory: rows are temperatures, not walkers; scalars alone where frames went elsewhere.

    temperatures (R,) K; tried, accepted (R - 1,): trades between neighbours; walkers (rounds, R): which of the copies
    was at each temperature.
    """

    run: Simulation
    trajectory: Trajectory
    temperatures: np.ndarray
    tried: np.ndarray
    accepted: np.ndarray
    walkers: np.ndarray

    @property
    def acceptance(self) -> np.ndarray:
        """Accepted fraction (R - 1,) of the trades between neighbours; nan where none was tried."""
        return np.where(self.tried > 0, self.accepted / np.maximum(self.tried, 1), np.nan)


def ladder(low: float, high: float, count: int) -> np.ndarray:
    """Temperatures (count,) K in geometric progression, which gives even acceptance at constant heat capacity."""
    if not (0 < low < high and count >= 2):
        raise InputError("replica exchange needs two temperatures or more", found=f"{count} from {low} to {high} K")
    return np.geomspace(low, high, count)


def replica_exchange(
    energy: Any,
    positions: Any,
    masses: Any,
    *,
    temperatures: Any,
    steps: int,
    swap_every: int = 500,
    seed: int = 0,
    on_round: Callable[[Trajectory], None] | None = None,
    keep: bool = True,
    **options: Any,
) -> Exchange:
    """Langevin dynamics at `temperatures` (R,), K, that try to trade every `swap_every` steps (Sugita & Okamoto 1999).

    Pairs (0, 1), (2, 3)... and (1, 2), (3, 4)... take turns; a trade is accepted with probability
    min(1, exp((1/kT_i - 1/kT_j)(E_i - E_j))), E potential energies, and velocities are scaled by sqrt(T_new/T_old), so
    that each temperature keeps its canonical distribution exactly. `options`: of `simulate`. A failure ends the run.
    """
    kelvin = np.asarray(temperatures, float)
    if kelvin.ndim != 1 or len(kelvin) < 2 or not (kelvin > 0).all():
        raise InputError("replica exchange needs two positive temperatures or more", found=str(temperatures))
    beta, count = 1 / (BOLTZMANN * kelvin), len(kelvin)
    rng = np.random.default_rng([seed, 11])
    tried, accepted = np.zeros((2, count - 1), int)
    walker, walkers, pieces = np.arange(count), [], []
    state, turn, done = None, 0, 0
    common = {**options, "temperature": kelvin, "ensemble": "nvt", "replicas": count, "seed": seed}
    while True:
        done = min(steps, done + swap_every)
        run = simulate(energy, positions, masses, steps=done, block=swap_every, state=state, **common)
        if on_round is not None:
            on_round(run.trajectory)
        pieces.append(run.trajectory if keep else run.trajectory.scalars())
        walkers.append(walker.copy())
        if run.status != "ok" or done >= steps:
            break
        order = np.arange(count)
        potential = run.state["energy"]
        for i in range(turn % 2, count - 1, 2):
            tried[i] += 1
            if np.log(rng.random()) < (beta[i] - beta[i + 1]) * (potential[i] - potential[i + 1]):
                accepted[i] += 1
                order[[i, i + 1]] = order[[i + 1, i]]
        walker, turn = walker[order], turn + 1
        state = traded(run.state, order, kelvin)
    return Exchange(run, Trajectory.joined(pieces), kelvin, tried, accepted, np.array(walkers))


def traded(state: dict[str, np.ndarray], order: np.ndarray, kelvin: np.ndarray) -> dict[str, np.ndarray]:
    """The state whose replica r is the old replica order[r], at the temperature of r; noise stays with temperatures."""
    if np.array_equal(order, np.arange(len(order))):
        return state
    out = {k: v[order] if k in PERMUTED or k in LISTS else v for k, v in state.items()}
    out["velocities"] = out["velocities"] * np.sqrt(kelvin / kelvin[order])[:, None, None]
    out["rule"] = np.zeros(1)  # of none: the half step ahead is made anew
    return out
