"""The fit behind `consil train` on beads: a prior by force matching, then a network on what it leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from consilience.coarse.beads import Beads
from consilience.coarse.forcemap import folds
from consilience.core.errors import InputError
from consilience.core.parallel import is_follower
from consilience.jobs.train_beads.forces import forces_of
from consilience.jobs.train_beads.populations import match_populations
from consilience.jobs.train_beads.recipe import BeadRecipe
from consilience.jobs.train_beads.sets import BeadSets, chains_of_beads, frame_weights, sample_of
from consilience.potentials.beads.batch import Sample, packed
from consilience.potentials.beads.chains import NEAR, cos_angles
from consilience.potentials.beads.model import BeadModel, NetworkShape, checked_shape
from consilience.potentials.beads.prior import WEAKEST, Prior, empty_prior, walls
from consilience.potentials.beads.prior_basis import BOND, HARD, SIGMA, SOFT
from consilience.potentials.beads.prior_fit import SEVERAL, FittedPrior, fit_prior, total_of
from consilience.potentials.beads.prior_normal import Normal, normal
from consilience.potentials.beads.training import BeadSchedule, train_network

EXTREME = 5e-4  # share of the angles that may lie beyond the walls


@dataclass(frozen=True)
class Fitted:
    """The model, the record of its epochs, and what the fit of the prior says."""

    model: BeadModel
    prior: FittedPrior | None
    histories: list[dict[str, Any]] = field(default_factory=list)
    epochs: int = 0

    @property
    def idle(self) -> list[int]:
        """Members (from 1) that no epoch made better on the steer frames than they began."""
        return sorted({h["member"] for h in self.histories} - {h["member"] for h in self.histories if h["best"]})


def shape_of(recipe: BeadRecipe, sets: BeadSets) -> NetworkShape:
    """The shape of the network. Raises InputError for values out of range."""
    several = len({round(float(t)) for b in sets.work for t in np.unique(b.temperature)}) > 1
    try:
        return checked_shape({"temperature": several, **recipe.network})
    except (ValueError, TypeError) as err:
        raise InputError("the network cannot be built", "model.network", str(err)) from None


def fit_bead_prior(
    sets: BeadSets, recipe: BeadRecipe, seed: int = 0, say: Callable[[str], None] = lambda line: None
) -> FittedPrior:
    """The prior that explains the work set best, its forces and, where asked for, its populations.

    Raises InputError where sites are asked for of several sequences.
    """
    sequences = {b.residues for b in sets.work}
    if recipe.prior.by == "sites" and len(sequences) > 1:
        raise InputError("a prior of sites is for one sequence", found=f"{len(sequences)} sequences",
                         fix="--set model.prior.by=types")  # fmt: skip
    start = start_of(sets, recipe)
    weights = frame_weights(sets.work, recipe.fractions, recipe.weights)
    alone = len(sequences) == 1 and (recipe.prior.by == "sites" or recipe.prior.populations)
    work = [part for b, w in zip(sets.work, weights, strict=True)
            for part in _normals(start, b, recipe.prior.frames, w, apart=alone)]  # fmt: skip
    some = max(recipe.prior.frames // 3, 100)
    steer = [part for b in sets.steer for part in _normals(start, b, some, None, apart=False)]
    found = fit_prior(start, work, total_of(steer) if steer else None)
    if not recipe.prior.populations:
        return found
    steps = recipe.prior.population_steps
    return match_populations(start, found, total_of(work), sets.work, steps=steps, seed=seed, say=say)


def start_of(sets: BeadSets, recipe: BeadRecipe) -> Prior:
    """The prior that a fit starts from: stiff bonds, excluded volume, and walls where the data end."""
    cosines = [np.asarray(_cosines(b.positions)).ravel() for b in sets.work if b.positions.shape[1] > 2]
    found = np.concatenate(cosines) if cosines else np.array([0.0])
    narrowest, widest = (float(np.arccos(np.quantile(found, q))) for q in (1.0 - EXTREME, EXTREME))
    sites = None
    if recipe.prior.by == "sites":
        sites = tuple(int(t) for t in chains_of_beads(sets.work[0]).types)
    said = recipe.prior
    made = empty_prior(walls(widest, narrowest), pair=said.pair, sites=sites, stiffness=said.stiffness)
    strength = made.excluded_volume if said.epsilon is None else np.full(NEAR, said.epsilon)
    exponents = np.where(np.arange(2, NEAR + 2) <= NEAR, SOFT, HARD)
    strength = np.maximum(strength * (said.sigma / SIGMA) ** exponents, 1.05 * WEAKEST)
    shift = np.asarray(made.bond.shared) + said.stiffness * (BOND - said.length)  # the minimum lies at `length`
    return eqx.tree_at(lambda p: (p.excluded_volume, p.bond.shared), made, (strength, shift))


@jax.jit
def _cosines(x):
    return jax.vmap(cos_angles)(x)


def thinned(count: int, most: int) -> np.ndarray:
    """At most `most` of `count` frames, evenly chosen."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))


def _normals(prior: Prior, beads: Beads, most: int, weight: np.ndarray | None, *, apart: bool) -> list[Normal]:
    """What at most so many frames of a protein say, of those that count.

    apart: its trajectories (or groups of them) by themselves; of a few trajectories, blocks in time.
    """
    counted = np.arange(len(beads)) if weight is None else np.flatnonzero(weight)
    chosen = counted[thinned(len(counted), most)]
    assert beads.forces is not None
    parts = [chosen] if len(chosen) else []
    if apart and parts:
        of = beads.trajectory[chosen]
        parts = [chosen[rows] for rows in folds(of if len(np.unique(of)) >= SEVERAL else np.zeros_like(of))]
    chains = chains_of_beads(beads)
    return [normal(prior, chains, beads.positions[p], beads.forces[p], None if weight is None else weight[p])
            for p in parts]  # fmt: skip


def fit_beads(
    kind: str,
    sets: BeadSets,
    recipe: BeadRecipe,
    *,
    members: int = 1,
    precision: int = 32,
    seed: int = 0,
    checkpoint: Callable[[int], Path | None] = lambda member: None,
    resume: bool = False,
    callback: Callable[[int, dict[str, Any]], None] = lambda member, record: None,
    say: Callable[[str], None] = lambda line: None,
) -> Fitted:
    """A model of `kind` "prior", "allegro" or "hybrid". Raises InputError for recipes that do not fit the data."""
    found = None if kind == "allegro" else fit_bead_prior(sets.of_prior, recipe, seed, say)
    prior = None if found is None else found.prior
    if kind == "prior":
        assert found is not None
        return Fitted(BeadModel(prior), found)
    shape = shape_of(recipe, sets)
    schedule = BeadSchedule(**recipe.schedule)
    if schedule.minutes is not None:
        schedule = replace(schedule, minutes=schedule.minutes / members)
    frozen = prior if prior is not None and not recipe.prior_trains else None
    weights = frame_weights(sets.work, recipe.fractions, recipe.weights)
    rng = np.random.default_rng([seed, 7])
    work = packed([_left(b, frozen, w, recipe.noise, rng) for b, w in zip(sets.work, weights, strict=True)],
                  _reach(shape, prior, recipe), seed=seed if recipe.order is None else recipe.order)  # fmt: skip
    left = [_left(b, frozen, None, 0.0, rng) for b in sets.steer]
    others = not {b.name for b in sets.steer} & {b.name for b in sets.work}
    apart = [[s] for s in left] if others else [left]
    steer = [packed(some, _reach(shape, prior, recipe)) for some in apart]
    kept, histories, epochs = [], [], 0
    for i in range(members):
        network = replace_precision(shape.build(seed + i), precision)
        done = train_network(
            network,
            work,
            steer,
            schedule,
            prior=prior if recipe.prior_trains else None,
            seed=seed + i,
            checkpoint=None if is_follower() else checkpoint(i),
            resume=resume,
            callback=lambda record, i=i: callback(i, record),
        )
        kept.append(done.network)
        if done.prior is not None:
            prior = done.prior
        histories += [{"member": i + 1, **_row(r)} for r in done.fit.history if r["stage"] >= 0]
        epochs = max(epochs, sum(r["stage"] >= 0 for r in done.fit.history))
    return Fitted(BeadModel(prior, tuple(kept), shape), found, histories, epochs)


def replace_precision(network: Any, bits: int) -> Any:
    """The network in float32 or float64."""
    return BeadModel(None, (network,)).cast(bits).networks[0]


def _reach(shape: NetworkShape, prior: Prior | None, recipe: BeadRecipe) -> float:
    return max(shape.cutoff, prior.cutoff) if recipe.prior_trains and prior is not None else shape.cutoff


def _row(record: dict[str, Any]) -> dict[str, Any]:
    return {"epoch": record["stage"] + 1, "loss": record["value_after"], "steer": record["steer"],
            "best": record["best"], **record["scores"]}  # fmt: skip


def _left(
    beads: Beads, prior: Prior | None, weight: np.ndarray | None, noise: float, rng: np.random.Generator
) -> Sample:
    """What a prior leaves of the forces of a protein."""
    assert beads.forces is not None
    forces = beads.forces
    if prior is not None:
        energy = BeadModel(prior).energy(chains_of_beads(beads))
        forces = forces - forces_of(energy, beads.positions)
    sample = sample_of(beads, forces, weight)
    if noise > 0:
        moved = beads.positions + noise * rng.normal(size=beads.positions.shape)
        sample = replace(sample, positions=moved)
    return sample
