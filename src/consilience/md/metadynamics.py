"""Well-tempered metadynamics with one coordinate on a grid, by one or many walkers, and free energies from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import numpy as np

from consilience.core.errors import InputError
from consilience.md.bias import Biased, Grid, along
from consilience.md.record import Trajectory
from consilience.md.simulate import Simulation, simulate
from consilience.units import BOLTZMANN


@dataclass(frozen=True)
class Metadynamics:
    """bias: the grid at the end; grid (g,): its points; free_energy (g,) eV.

    values, weights (F, R): of the coordinate in the frames of `trajectory`, and for reweighting (Tiwary & Parrinello
    2015); history (10, g): the free energy after tenths of the run, to see it converge, eV.
    """

    run: Simulation
    trajectory: Trajectory
    bias: Grid
    grid: np.ndarray
    free_energy: np.ndarray
    values: np.ndarray
    weights: np.ndarray
    history: np.ndarray


def empty_grid(coordinate: Any, low: float, high: float, points: int = 201, wall: float = 10.0) -> Grid:
    """A bias of zero. wall: eV per squared unit, outside. Raises InputError for an empty range."""
    if not (np.isfinite([low, high]).all() and low < high):
        raise InputError("the range of the coordinate is empty", found=f"{low:g} to {high:g}")
    return Grid(coordinate, low, high, np.zeros(points), np.zeros(points), wall)


def with_hill(bias: Grid, s: float, height: float, width: float) -> Grid:
    """The bias with a Gaussian of `height` (eV) and `width` at s."""
    x = np.linspace(bias.low, bias.high, len(bias.values))
    hill = height * np.exp(-0.5 * ((x - s) / width) ** 2)
    values, slopes = bias.values + hill, bias.slopes - hill * (x - s) / width**2
    return eqx.tree_at(lambda b: (b.values, b.slopes), bias, (values, slopes))


def free_energy(bias: Grid, factor: float) -> np.ndarray:
    """-factor/(factor - 1) times the bias, eV, zero at its least (Barducci, Bussi & Parrinello 2008)."""
    f = -factor / (factor - 1) * bias.values
    return f - f.min()


def offset(bias: Grid, factor: float, kt: float) -> float:
    """c(t), eV: what the bias adds on average, the reference of weights exp((V(s, t) - c(t)) / kT)."""
    v = bias.values / ((factor - 1) * kt)
    return float(kt * (_log_sum(factor * v) - _log_sum(v)))


def metadynamics(
    energy: Any,
    positions: Any,
    masses: Any,
    bias: Grid,
    *,
    steps: int,
    height: float,
    width: float,
    factor: float = 10.0,
    pace: int = 500,
    temperature: float = 300.0,
    replicas: int = 1,
    on_round: Callable[[Trajectory], None] | None = None,
    keep: bool = True,
    **options: Any,
) -> Metadynamics:
    """Langevin dynamics in a bias that every walker raises each `pace` steps where it is (well-tempered).

    height eV, width in units of the coordinate; a hill is height exp(-V(s) / (kT (factor - 1))) high. `factor`: bias
    factor; infinity would be plain metadynamics and is refused. `options`: of `simulate`. A failure ends the run.
    """
    if not (1 < factor < np.inf and height > 0 and width > 0):
        found = f"factor {factor:g}, height {height:g} eV, width {width:g}"
        raise InputError("hills need a positive height and width and a bias factor over 1", found=found)
    kt = BOLTZMANN * temperature
    common = {**options, "temperature": temperature, "ensemble": "nvt", "replicas": replicas}
    pieces, values, weights, history = [], [], [], []
    state, done = None, 0
    tenth = max(1, steps // pace // 10)
    while True:
        done = min(steps, done + pace)
        run = simulate(Biased(energy, bias), positions, masses, steps=done, block=pace, state=state, **common)
        if on_round is not None:
            on_round(run.trajectory)
        pieces.append(run.trajectory if keep else run.trajectory.scalars())
        s = np.asarray(along(bias.coordinate, np.moveaxis(run.trajectory.positions, 0, 1)))
        v = np.asarray(bias.of(s))
        values.append(s)
        weights.append((v - offset(bias, factor, kt)) / kt)
        if run.status != "ok":
            break
        for here in np.asarray(along(bias.coordinate, run.state["positions"])):
            raised = float(bias.of(here))
            bias = with_hill(bias, float(here), height * np.exp(-raised / (kt * (factor - 1))), width)
        if (done // pace) % tenth == 0:
            history.append(free_energy(bias, factor))
        if done >= steps:
            break
        state = run.state
    log = np.concatenate(weights)
    weight = np.exp(log - log.max()) if log.size else log
    return Metadynamics(
        run,
        Trajectory.joined(pieces),
        bias,
        np.linspace(bias.low, bias.high, len(bias.values)),
        free_energy(bias, factor),
        np.concatenate(values),
        weight,
        np.array(history),
    )


def _log_sum(a: np.ndarray) -> float:
    top = a.max()
    return float(top + np.log(np.sum(np.exp(a - top))))
