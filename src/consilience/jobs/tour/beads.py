"""The part of consil tour on beads: a simulated peptide coarse-grained, its force field trained, proven and run."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from consilience.coarse.read import read_beads
from consilience.examples import example_path
from consilience.files import read_bytes
from consilience.jobs.coarsen.job import coarsen
from consilience.jobs.common.dynamics_options import SimulateOptions
from consilience.jobs.common.options import RunOptions, TrainOptions
from consilience.jobs.evaluate.job import evaluate
from consilience.jobs.simulate.job import simulate
from consilience.jobs.train.job import train
from consilience.md.trajectory_read import parse_dcd
from consilience.model import load_model
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


def run_beads(place: Path, inside: RunOptions) -> None:
    """Coarsen, train a hybrid, evaluate it on mean forces, and simulate: in folders of `place`."""
    trajectory, topology = example_path("beads/trajectory.npz"), example_path("beads/topology.pdb")
    made = coarsen([f"{trajectory}:{topology}"], run=replace(inside, output=place / "coarsen"))
    options = TrainOptions(
        model="hybrid", settings=RECIPE, epochs=EPOCHS, valid="0.1", free=f"{made.proteins[0].name}:{FREE}"
    )
    train([place / "coarsen" / "beads.npz"], options=options, run=replace(inside, output=place / "train-beads"))
    model = place / "train-beads" / "model"
    evaluate(model, [example_path("beads/mean_forces.npz")], run=replace(inside, output=place / "evaluate"))
    moves = SimulateOptions(ensemble="nvt", dt=5.0, steps=20_000, every=20)
    simulate([model, topology], options=moves, run=replace(inside, output=place / "simulate-beads"))


def bead_tour(place: Path) -> BeadTour:
    """What the folders of `run_beads` hold, beside the truth."""
    from consilience.coarse.meanforce import read_mean_forces
    from consilience.jobs.train_beads.report import local_plots
    from consilience.jobs.train_beads.scores import row_of, squared
    from consilience.potentials.beads.model import BeadModel

    truth = read_mean_forces(example_path("beads/mean_forces.npz"))
    coarse, trained, scored, ran = (
        json.loads((place / job / "summary.json").read_text())
        for job in ("coarsen", "train-beads", "evaluate", "simulate-beads")
    )
    beads = read_beads(place / "coarsen" / "beads.npz")[0][0]
    dcd = place / "simulate-beads" / "trajectory.dcd"
    frames = parse_dcd(read_bytes(dcd), str(dcd)).positions
    free = beads.select(beads.trajectory == FREE)
    assert free.forces is not None and truth.noise_rms is not None
    alone = BeadModel(load_model(place / "train-beads" / "model").bundle.prior)
    prior = row_of(squared(alone, [free]))
    hybrid, found = trained["table"]["free"], next(iter(scored["mean_force"].values()))
    noise, floor = truth.noise_rms / KCAL_MOL, coarse["noise_floor_kcal_A"]
    square = float(np.mean(free.forces**2)) / KCAL_MOL**2
    limit = 1.0 - noise**2 / square
    failed = sum(not c["passed"] for c in trained["checks"])
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
