"""Training of a potential: the loop of the core with an epoch for each stage, scales learned from the steer set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import equinox as eqx
import jax
import numpy as np

from consilience.core.descent import Optimiser, optimiser
from consilience.core.epochs import Epochs, restored
from consilience.core.fit import Carry, Fit, Prepared, fit
from consilience.core.pace import Pace
from consilience.core.params import Block, Model
from consilience.core.stages import Stage
from consilience.frames.frames import CHANNELS
from consilience.potentials.labels import Batch, ReferenceData, data_of
from consilience.potentials.potential import Potential
from consilience.potentials.scores import predicted
from consilience.potentials.weights import split

MAX_EPOCHS = 100_000
STEPS, LEAST_EPOCHS = 60_000, 400
LARGEST_BATCH, BATCH_ATOMS = 10, 90  # frames, and atoms: a large molecule says more in a frame, and costs more
CHECKPOINT_EVERY = 20.0  # seconds
RUNAWAY = 3.0  # times the spread of the energies, and their mean error at the start: what training must not reach
FLOOR = {  # of the scales, in their units
    "energy": 1e-5, "forces": 1e-4, "stress": 1e-7, "dipole": 1e-5, "charges": 1e-4, "esp": 1e-5
}  # fmt: skip


@dataclass(frozen=True)
class Schedule:
    """How long and how fast. `minutes` (wall time, compilation included) ends a run before `epochs` do.

    `epochs` and `batch` (frames in a step): None for what `settled` makes of the data.
    `weights`: factors of the channels, which are 1. `patience`: epochs without a better steer score. `scale` of a
    channel: the r.m.s. residual on the steer set, or the likeliest one, which a few frames far off hardly change.
    """

    epochs: int | None = None
    minutes: float | None = None
    batch: int | None = None
    learning_rate: float = 1e-3
    optimiser: Optimiser = "adabelief-yogi"
    average: float = 0.99
    clip: float = 10.0
    weight_decay: float = 0.0
    weights: Mapping[str, float] = field(default_factory=dict)
    penalty: float = 0.01
    patience: int = MAX_EPOCHS
    scale: Literal["rms", "likely"] = "rms"

    def settled(self, frames: int, atoms: float) -> Schedule:
        """With `batch` and `epochs` for a number of frames and of atoms in the mean frame, where none were given.

        A step sees some 90 atoms, ten frames at most. Epochs are given by steps: 200 frames need as many as 1000, in
        five times the epochs. Where a time was given it shall decide: then there are more.
        """
        batch = self.batch or max(1, min(LARGEST_BATCH, round(BATCH_ATOMS / max(atoms, 1.0))))
        if self.epochs is not None:
            return replace(self, batch=batch)
        epochs = max(LEAST_EPOCHS, -(-STEPS // max(1, frames // batch)))
        return replace(self, batch=batch, epochs=epochs if self.minutes is None else min(10 * epochs, MAX_EPOCHS))


@dataclass(frozen=True)
class Trained:
    """The potential of the best epoch on the steer set, and the fit that led to it."""

    potential: Potential
    fit: Fit
    sigma: dict[str, float]


def train(
    potential: Potential,
    work: Batch,
    steer: Batch,
    schedule: Schedule,
    *,
    seed: int = 0,
    checkpoint: Path | None = None,
    resume: bool = False,
    callback: Callable[[dict[str, Any]], None] = lambda record: None,
) -> Trained:
    """Fit the weights to the work set; the steer set scales the channels and chooses the epoch.

    Each channel's scale is that of its residuals on the steer set with the averaged weights, so that all channels weigh
    as data of that precision. Raises RunError for a loss that is not finite.
    """
    schedule = schedule.settled(len(work), float(np.mean(np.sum(work.numbers > 0, 1))))
    assert schedule.batch is not None and schedule.epochs is not None
    weights, rest = split(potential)
    channels = [c for c in CHANNELS if c in work.labels and schedule.weights.get(c, 1.0) > 0]
    known = [c for c in channels if c in steer.labels]
    model = Model.of(net=Block(jax.tree.map(np.asarray, weights)))
    move = optimiser(schedule.optimiser, schedule.learning_rate, clip=schedule.clip, weight_decay=schedule.weight_decay)
    solver = Epochs(move, schedule.batch, schedule.average, seed)
    count = schedule.epochs
    stage = Stage(("net",), 1, solver, phase="train", patience=schedule.patience)
    pace, spread = Pace(count, schedule.minutes), spreads(potential, work, channels)
    data = {"molecules": jax.tree.map(jax.numpy.asarray, work)}
    limit = RUNAWAY * max(abs(_mean_error(predicted(potential, steer), steer)), spread.get("energy", 0.0))

    def prepare(model: Model, carry: Carry, now: Stage | None) -> Prepared:
        mean = restored("average", model.raw(["net"]), carry)
        averaged = model["net"] if mean is None else mean["net"]
        balanced, found = centred(eqx.combine(averaged, rest), steer, rest, limit)
        left = {c: _residuals(found, steer, c) for c in known}
        rms = {c: root_mean_square(r) for c, r in left.items()}
        scale = {c: max(rms[c] if schedule.scale == "rms" else likely_scale(r), FLOOR[c]) for c, r in left.items()}
        sigma = abreast({c: scale.get(c, spread[c]) for c in channels}, spread)
        kept, finished = pace.step(carry)
        arrays = {c: np.asarray(s) for c, s in sigma.items()}  # not numbers, which would be compiled in
        extra = {c: np.asarray(w) for c, w in schedule.weights.items()}
        term = ReferenceData(balanced, arrays, extra, np.asarray(schedule.penalty))
        counts = _counts(steer, known)
        score = sum(counts[c] * np.log(scale[c]) for c in known) / max(sum(counts.values()), 1.0)
        return Prepared(
            model,
            {"molecules": term},
            data,
            kept,
            steer=float(score) if known else None,
            scores={f"rms_{c}": r for c, r in rms.items()},
            finished=finished,
        )

    result = fit(
        model,
        {},
        (stage,) * count,
        prepare=prepare,
        checkpoint=checkpoint,
        checkpoint_every=CHECKPOINT_EVERY,
        resume=resume,
        callbacks=[lambda record, state: callback(record)],
    )
    carry = result.state.carry
    mean = restored("average", result.model.raw(["net"]), carry)
    final = result.model["net"] if mean is None else mean["net"]
    sigma = {k.removeprefix("rms_"): float(v) for k, v in result.state.scores.items()}
    balanced, _ = centred(eqx.combine(final, rest), steer, rest, limit)
    return Trained(eqx.combine(jax.tree.map(np.asarray, final), balanced), result, sigma)


def centred(potential: Potential, steer: Batch, rest: Any, limit: float) -> tuple[Any, dict[str, np.ndarray]]:
    """`rest` with the energies of all elements shifted by one number where steer energies are off by more than `limit`,
    eV per atom, in the mean; and what the potential then says of the steer frames.

    Forces know nothing of that number, but change it when they move the weights: in large cells by more than energies,
    one datum among hundreds of forces, could take back.
    """
    found = predicted(potential, steer)
    shift = _mean_error(found, steer)
    if abs(shift) <= limit:
        return rest, found
    atoms = (steer.numbers > 0).sum(1)
    moved = eqx.tree_at(lambda r: r.offsets, rest, np.asarray(rest.offsets, float) - shift)
    return moved, {**found, "energy": found["energy"] - shift * atoms}


def _mean_error(found: Mapping[str, np.ndarray], batch: Batch) -> float:
    """Mean error of known energies, eV per atom; 0 where none are."""
    r = _residuals(found, batch, "energy") if "energy" in batch.labels else np.zeros(0)
    return float(np.mean(r)) if r.size else 0.0


AHEAD = 3.0  # how much more precisely than its companions a channel may be weighed, relative to its spread
CHARGED = ("dipole", "charges", "esp")


def abreast(sigma: Mapping[str, float], spread: Mapping[str, float]) -> dict[str, float]:
    """Scales of which none runs ahead: of that of the forces, and among what depends on charges of any of the others.

    A channel that is learnt at once, such as a dipole that charges make exactly, would get an ever larger weight and
    drown all others: the forces, or the potential whose charges must still find their places.
    """
    share = {c: s / spread[c] for c, s in sigma.items()}
    out = {}
    for c, s in sigma.items():
        companions = [d for d in share if d == "forces" or (c in CHARGED and d in CHARGED)]
        slowest = max((share[d] for d in companions), default=0.0)
        out[c] = max(s, slowest / AHEAD * spread[c])
    return out


def spreads(potential: Potential, batch: Batch, channels: list[str]) -> dict[str, float]:
    """Standard deviation of the labels of each channel; of energies per atom and without those of the elements."""
    table = np.zeros(120)
    table[list(potential.species)] = np.asarray(potential.offsets, float)
    out = {}
    for c in channels:
        label = np.asarray(batch.labels[c], float)
        if c == "energy":
            label = (label - table[batch.numbers].sum(1)) / np.maximum((batch.numbers > 0).sum(1), 1)
        known = label[np.isfinite(label)]
        out[c] = max(float(known.std()), 10 * FLOOR[c]) if known.size else 1.0
    return out


def _residuals(found: Mapping[str, np.ndarray], batch: Batch, channel: str) -> np.ndarray:
    """Known residuals of a channel, flat; energies per atom."""
    label = batch.labels[channel]
    known = np.isfinite(label)
    real = batch.numbers > 0
    if channel in ("forces", "charges"):
        known = known & (real[..., None] if channel == "forces" else real)
    r = found[channel] - np.where(known, label, 0.0)
    if channel == "energy":
        r = r / np.maximum(real.sum(1), 1)
    return r[known]


def root_mean_square(r: np.ndarray) -> float:
    """Of residuals r; 1.0 without any."""
    return float(np.sqrt(np.mean(r**2))) if r.size else 1.0


def likely_scale(r: np.ndarray, rounds: int = 100) -> float:
    """The scale s that makes residuals r most likely under exp(1 - sqrt(1 + (r/s)²)) / s: mean of x²/sqrt(1 + x²) = 1.

    x = r / s. A few frames that are far off hardly change it, as they would change the r.m.s. 1.0 without residuals.
    """
    square = np.square(np.asarray(r, float))
    if not square.size:
        return 1.0
    s2 = float(np.mean(square))
    for _ in range(rounds):
        if not s2 > 0.0:
            break
        s2 = float(np.mean(square / np.sqrt(1.0 + square / s2)))
    return float(np.sqrt(s2))


def _counts(batch: Batch, channels: list[str]) -> dict[str, float]:
    atoms = float((batch.numbers > 0).sum() / len(batch))
    return {c: data_of(atoms)[c] for c in channels}
