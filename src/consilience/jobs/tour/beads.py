"""The part of consil tour on beads: a simulated peptide coarse-grained, its force field trained, proven and run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from consilience.examples import example_path
from consilience.files import read_bytes
from consilience.jobs.coarsen.job import coarsen
from consilience.jobs.common.dynamics_options import SimulateOptions
from consilience.jobs.common.options import RunOptions, TrainOptions
from consilience.jobs.evaluate.job import evaluate
from consilience.jobs.simulate.job import simulate
from consilience.jobs.train.job import train
from consilience.md.trajectory_read import parse_dcd
from consilience.units import KCAL_MOL

FREE = 3  # the trajectory that nothing is fitted to
RECIPE = ("model.prior.by=sites", "model.prior.population_steps=10000", "features=16", "model.network.channels=4",
          "batch=2", "simulation.steps=2000", "simulation.replicas=1")  # fmt: skip
EPOCHS = 10
UNIT = "kcal/mol/Å"


@dataclass(frozen=True)
class BeadTour:
    """Rows of (job, quantity, found, true, unit, ok), and what a page shows of them beside: a table and plots."""

    rows: tuple[tuple[str, str, float, float, str, bool], ...]
    table: Any
    plots: tuple[Any, ...]


def bead_tour(inside: RunOptions, place: Path) -> BeadTour:
    """Coarsen, train a hybrid, evaluate it on mean forces, and simulate: in folders of `place`."""
    from consilience.coarse.meanforce import read_mean_forces

    trajectory, topology = example_path("beads/trajectory.npz"), example_path("beads/topology.pdb")
    truth = read_mean_forces(example_path("beads/mean_forces.npz"))
    made = coarsen([f"{trajectory}:{topology}"], run=replace(inside, output=place / "coarsen"))
    beads = place / "coarsen" / "beads.npz"
    name = made.proteins[0].name
    options = TrainOptions(model="hybrid", settings=RECIPE, epochs=EPOCHS, valid="0.1", free=f"{name}:{FREE}")
    trained = train([beads], options=options, run=replace(inside, output=place / "train-beads"))
    model = place / "train-beads" / "model"
    scored = evaluate(model, [example_path("beads/mean_forces.npz")], run=replace(inside, output=place / "evaluate"))
    found = next(iter(scored.summary["mean_force"].values()))
    moves = SimulateOptions(ensemble="nvt", dt=5.0, steps=20_000, every=20)
    ran = simulate([model, topology], options=moves, run=replace(inside, output=place / "simulate-beads")).summary
    dcd = place / "simulate-beads" / "trajectory.dcd"
    frames = parse_dcd(read_bytes(dcd), str(dcd)).positions
    return _told(made.summary, trained, found, truth, made.proteins[0], ran, frames)


def _told(
    coarse: dict[str, Any],
    trained: Any,
    found: dict[str, Any],
    truth: Any,
    beads: Any,
    ran: dict[str, Any],
    frames: np.ndarray,
) -> BeadTour:
    from consilience.jobs.train_beads.report import local_plots
    from consilience.jobs.train_beads.scores import row_of, squared
    from consilience.potentials.beads.model import BeadModel

    free = beads.select(beads.trajectory == FREE)
    alone = BeadModel(trained.model.prior)
    prior = row_of(squared(alone, [free]))
    hybrid = trained.summary["table"]["free"]
    noise, floor = truth.noise_rms / KCAL_MOL, coarse["noise_floor_kcal_A"]
    square = float(np.mean(free.forces**2)) / KCAL_MOL**2
    limit = 1.0 - noise**2 / square
    failed = sum(not c["passed"] for c in trained.summary["checks"])
    share = hybrid["explained_variance"]
    error, before, size = found["rmse_kcal_A"], found["prior_rmse_kcal_A"], found["rms_mean_force_kcal_A"]
    rows = (
        ("coarsen", "noise of bead forces, from the trajectories", floor, noise, UNIT, abs(floor / noise - 1) < 0.25),
        ("train", "explained variance of unseen bead forces", share, limit, "", share > 0.7 * limit),
        ("evaluate", "mean-force error of the prior", before, 0.0, UNIT, before < 0.6 * size),
        ("evaluate", "mean-force error of the hybrid", error, 0.0, UNIT, error < before + 0.2),
        ("train", "laws of the bead model that do not hold", failed, 0.0, "", failed == 0),
        ("simulate", "spread of CA-CA bonds", _spread(frames), _spread(beads.positions), "Å", ran["stable"]),
    )
    return BeadTour(rows, _table(prior, hybrid, before, error, limit, noise, ran), local_plots(beads, frames))


def _spread(x: np.ndarray) -> float:
    """R.m.s. deviation of bonds from their means in frames (f, n, 3) of one chain, Å."""
    bonds = np.linalg.norm(np.diff(x, axis=1), axis=-1)
    return float(np.sqrt(((bonds - bonds.mean(0)) ** 2).mean()))


def _table(prior: Any, hybrid: Any, before: float, error: float, limit: float, noise: float, ran: Any) -> Any:
    from consilience.report.page import Column, Table

    head = ("model", Column("explained variance", digits=3), Column("force error", UNIT, 2),
            Column("mean-force error", UNIT, 2), Column("dynamics"), Column("closest beads", "Å", 2))  # fmt: skip
    return Table(
        head,
        (
            ("prior", prior["explained_variance"], prior["force_rmse_kcal_A"], before, "", None),
            ("hybrid", hybrid["explained_variance"], hybrid["force_rmse_kcal_A"], error,
             "stable" if ran["stable"] else "not stable", ran["min_distance"]),
            ("exact", limit, noise, 0.0, "", None),
        ),
    )  # fmt: skip
