"""Training of a network of beads on what a prior leaves of the forces, or together with that prior."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from consilience.core.balance import Policy
from consilience.core.descent import Optimiser, optimiser
from consilience.core.epochs import Epochs, restored
from consilience.core.fit import Carry, Fit, Prepared, fit
from consilience.core.pace import Pace
from consilience.core.params import Above, Block, Model
from consilience.core.stages import Stage
from consilience.potentials.beads.allegro import Allegro
from consilience.potentials.beads.batch import Packs
from consilience.potentials.beads.prior import Prior
from consilience.potentials.beads.prior_fit import BOUNDS
from consilience.potentials.beads.prior_normal import coefficients
from consilience.potentials.beads.terms import BeadForces, ForceCap, Smoothness, joined, pack_forces
from consilience.potentials.weights import split

CHECKPOINT_EVERY = 20.0  # seconds
STRIDE = 8  # packs in one call of a prediction


@dataclass(frozen=True)
class BeadSchedule:
    """How long and how fast. `batch`: packs of beads in a step. `patience`: epochs without a better steer score.

    force_cap (eV/Å), smoothness (Å): scales of two further terms, and their weights; None: not used.
    """

    epochs: int = 40
    minutes: float | None = None
    batch: int = 8
    learning_rate: float = 2e-3
    optimiser: Optimiser = "adabelief-yogi"
    average: float = 0.995
    clip: float = 1.0
    weight_decay: float = 1e-4
    patience: int = 8
    force_cap: float | None = None
    force_cap_weight: float = 1.0
    smoothness: float | None = None
    smoothness_weight: float = 0.1


@dataclass(frozen=True)
class TrainedNetwork:
    """The network, and the prior where it trained, of the best epoch on the steer set; and the fit that led to it."""

    network: Allegro
    prior: Prior | None
    fit: Fit


def train_network(
    network: Allegro,
    work: Packs,
    steer: Sequence[Packs],
    schedule: BeadSchedule,
    *,
    prior: Prior | None = None,
    seed: int = 0,
    checkpoint: Path | None = None,
    resume: bool = False,
    callback: Callable[[dict[str, Any]], None] = lambda record: None,
) -> TrainedNetwork:
    """Fit the weights to the forces of the work set; the steer sets choose the epoch and end the training.

    steer: one set, or several, of which none may lose: the score is the largest ratio of an r.m.s. error to that of the
    start.
    prior: trains with the network, and then the forces of the sets are whole ones. Raises RunError for a loss that is
    not finite.
    """
    weights, rest = split(network)
    blocks = {"net": Block(jax.tree.map(np.asarray, weights))}
    if prior is not None:
        values = coefficients(prior)
        blocks |= {k: Block.of(v, Above(np.asarray(BOUNDS[k])) if k in BOUNDS else None) for k, v in values.items()}
    active = tuple(sorted(blocks))
    move = optimiser(schedule.optimiser, schedule.learning_rate, clip=schedule.clip, weight_decay=schedule.weight_decay)
    solver = Epochs(move, schedule.batch, schedule.average, seed)
    extra = {"force_cap": schedule.force_cap_weight, "smoothness": schedule.smoothness_weight}
    stage = Stage(active, 1, solver, phase="train", patience=schedule.patience, weights=Policy(fixed=extra))
    pace = Pace(schedule.epochs, schedule.minutes)
    data = jax.tree.map(jax.numpy.asarray, work)
    spread = np.asarray(rms_of(np.zeros_like(work.forces), work))

    began = [rms_of(predicted_forces(network, prior, s), s) for s in steer]

    def prepare(model: Model, carry: Carry, now: Stage | None) -> Prepared:
        now_there = joined(_averaged(model, active, carry), rest, prior)
        each = np.array([rms_of(predicted_forces(*now_there, s), s) for s in steer])
        size = np.array([np.asarray(s.weight).sum() for s in steer])
        scores = {"rms_forces": float(np.sqrt(np.average(each**2, weights=size)))} if len(each) else {}
        kept, finished = pace.step(carry)
        terms: dict[str, Any] = {"forces": BeadForces(rest, prior, spread)}
        if schedule.force_cap is not None:
            terms["force_cap"] = ForceCap(rest, np.asarray(schedule.force_cap))
        if schedule.smoothness is not None:
            terms["smoothness"] = Smoothness(rest, spread, np.asarray(schedule.smoothness))
        return Prepared(
            model,
            terms,
            dict.fromkeys(terms, data),
            kept,
            steer=float(np.max(each / np.maximum(began, 1e-12))) if len(each) else None,
            scores=scores,
            finished=finished,
        )

    result = fit(
        Model.of(**blocks),
        {},
        (stage,) * schedule.epochs,
        prepare=prepare,
        checkpoint=checkpoint,
        checkpoint_every=CHECKPOINT_EVERY,
        resume=resume,
        callbacks=[lambda record, state: callback(record)],
    )
    final = _averaged(result.model, active, result.state.carry)
    found, fitted = joined(final, rest, prior)
    return TrainedNetwork(jax.tree.map(np.asarray, found), jax.tree.map(np.asarray, fitted), result)


def _averaged(model: Model, active: tuple[str, ...], carry: Carry) -> Model:
    mean = restored("average", model.raw(active), carry)
    return model if mean is None else model.with_raw(mean)


@eqx.filter_jit
def _forces(network: Any, packs: Packs, prior: Prior | None):
    return pack_forces(network, packs, prior)


def predicted_forces(network: Any, prior: Prior | None, packs: Packs) -> np.ndarray:
    """Forces (p, n, 3), eV/Å, some packs at a time."""
    count, out = len(packs), []
    for start in range(0, count, STRIDE):
        chosen = np.minimum(np.arange(start, start + STRIDE), count - 1)
        some = jax.tree.map(lambda a, i=chosen: np.asarray(a)[i], packs)
        out.append(np.asarray(_forces(network, some, prior))[: count - start])
    return np.concatenate(out)


def rms_of(found: np.ndarray, packs: Packs) -> float:
    """R.m.s. difference of forces from those of the packs, weighted, eV/Å."""
    r = np.asarray(found, float) - np.asarray(packs.forces)
    weight = np.asarray(packs.weight)
    return float(np.sqrt((weight[..., None] * r * r).sum() / max(3.0 * weight.sum(), 1e-12)))
