"""Training of a potential: it learns, stops where it should, resumes bit by bit, and reads no frame it should not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import equinox as eqx
import numpy as np
import pytest

from consilience.core.errors import RunError
from consilience.core.pace import Pace
from consilience.frames.frames import Frames
from consilience.potentials import training
from consilience.potentials.build import Architecture, build
from consilience.potentials.dataset import batch_of, element_offsets, energy_scale
from consilience.potentials.labels import Batch
from consilience.potentials.potential import Potential
from consilience.potentials.scores import predicted
from consilience.potentials.training import Schedule, Trained, train
from consilience.potentials.weights import named, split


def oscillators(n: int, seed: int) -> Frames:
    """HF with a harmonic bond, k = 30 eV/Å², and a point-charge dipole."""
    rng = np.random.default_rng(seed)
    u = rng.normal(size=(n, 3))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    stretch = rng.uniform(-0.12, 0.12, n)
    r = 0.92 + stretch
    x = np.stack([np.zeros((n, 3)), r[:, None] * u], 1)
    pull = (30.0 * stretch)[:, None] * u
    return Frames(
        np.tile([9, 1], (n, 1)), x, 15.0 * stretch**2 - 2700.0, np.stack([pull, -pull], 1), 0.4 * r[:, None] * u
    )


WORK, STEER = oscillators(40, 0), oscillators(10, 1)
QUICK = Schedule(epochs=4, batch=4, learning_rate=5e-3)


@cache
def start() -> tuple[Potential, Batch, Batch]:
    a = Architecture("physnet", (1, 9), 3.0, 8, 1, 1, 6, repulsion=False)
    p = build(a, element_offsets(WORK, (1, 9)), energy_scale(WORK))
    # outputs that start near zero keep so small a network on a plateau for a long time
    p = eqx.tree_at(lambda p: p.network.modules[0].output.weight, p, p.network.modules[0].output.weight * 300)
    return p, batch_of(WORK, p, ["energy", "forces"]), batch_of(STEER, p, ["energy", "forces"])


def run(schedule: Schedule = QUICK, **options: Any) -> Trained:
    return train(*start(), schedule, **options)


@cache
def whole() -> Trained:
    return run()


def same(a: Trained, b: Trained) -> None:
    one, other = named(split(a.potential)[0]), named(split(b.potential)[0])
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)
    assert a.sigma == b.sigma


def test_few_frames_are_seen_more_often() -> None:
    def epochs(frames: int, **given: Any) -> int | None:
        return Schedule(**given).settled(frames, 3.0).epochs

    assert epochs(1000) == 600
    assert epochs(200) == 3000  # as many steps
    assert epochs(100_000) == 400
    assert epochs(3) == 60_000  # all of them in each step
    assert epochs(200, epochs=7) == 7
    assert epochs(1000, minutes=5.0) == 6000  # the time decides


def test_frames_of_large_molecules_come_in_smaller_batches() -> None:
    found = [(s.batch, s.epochs) for s in (Schedule().settled(1000, n) for n in (3.0, 9.0, 22.0, 42.0, 500.0))]
    assert found == [(10, 600), (10, 600), (4, 400), (2, 400), (1, 400)]
    assert Schedule(batch=32).settled(1000, 22.0).batch == 32


def test_a_potential_learns() -> None:
    done = run(replace(QUICK, epochs=60))
    first = done.fit.history[0]["scores"]
    assert done.sigma["forces"] < 0.3 * first["rms_forces"]
    assert done.sigma["energy"] < 0.3 * first["rms_energy"]
    _, _, steer = start()
    found = predicted(done.potential, steer)
    rms = np.sqrt(np.mean((found["forces"] - steer.labels["forces"]) ** 2))
    assert done.sigma["forces"] == pytest.approx(rms, rel=1e-6)  # what is said is of the weights that are given
    scores = [h["steer"] for h in done.fit.history]
    assert done.fit.state.steer == min(scores)


def test_the_same_seed_gives_the_same_bits() -> None:
    same(whole(), run())


class Stopped(Exception):
    """Where a test pulls the plug."""


def plug(stop: int) -> Callable[[dict], None]:
    def pull(record: dict) -> None:
        if record["stage"] == stop:
            raise Stopped

    return pull


@pytest.mark.parametrize("stop", [0, 2])
def test_an_interrupted_training_resumes_bit_by_bit(tmp_path: Path, stop: int) -> None:
    file = tmp_path / "state"
    with pytest.raises(Stopped):
        run(checkpoint=file, callback=plug(stop))
    done = run(checkpoint=file, resume=True)
    same(done, whole())
    assert done.fit.history == whole().fit.history


def test_time_ends_a_training_before_its_epochs_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock by which every epoch takes a tenth of a second, and 1.2 s in all."""
    ticks = count(1)
    monkeypatch.setattr(Pace, "elapsed", lambda self, carry: 0.1 * next(ticks))
    done = run(replace(QUICK, epochs=10_000, minutes=0.02))
    assert len(done.fit.history) - 1 == 11
    assert done.fit.history[-1]["stage"] == 10


def test_the_steer_set_scales_the_channels() -> None:
    potential, work, steer = start()
    labels = {k: v.copy() for k, v in steer.labels.items()}
    labels["energy"] += np.where(np.arange(len(steer)) % 2, 1.0, -1.0)
    other = train(potential, work, replace_labels(steer, labels), QUICK)
    assert other.sigma["energy"] > 0.4 > 4 * whole().sigma["energy"]


def test_energies_that_run_away_are_met_in_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steer energies of another zero, as if training had driven them off; without that offsets stay."""
    potential, work, steer = start()
    assert np.array_equal(np.asarray(whole().potential.offsets), np.asarray(potential.offsets))
    monkeypatch.setattr(training, "RUNAWAY", 0.5)
    labels = {**steer.labels, "energy": steer.labels["energy"] + 14.0}
    other = train(potential, work, replace_labels(steer, labels), QUICK)
    error = predicted(other.potential, steer)["energy"] - labels["energy"]
    assert abs(error.mean()) < 1e-5 and other.sigma["energy"] < 0.1


def test_a_scale_is_the_likeliest_one() -> None:
    """Against a search for the maximum of the likelihood; a frame that is far off counts less than in the r.m.s."""
    r = np.random.default_rng(0).standard_t(2, size=400)
    tried = np.linspace(0.2, 5.0, 4801)
    minus_log = [np.log(s) + np.mean(np.sqrt(1.0 + (r / s) ** 2)) for s in tried]
    assert training.likely_scale(r) == pytest.approx(tried[np.argmin(minus_log)], abs=1e-3)
    assert training.likely_scale(7.0 * r) == pytest.approx(7.0 * training.likely_scale(r))
    off = np.append(np.random.default_rng(1).standard_normal(200), 100.0)
    assert training.likely_scale(off) < 0.3 * np.sqrt(np.mean(off**2))
    assert training.likely_scale(np.zeros(5)) == 0.0


def test_the_likeliest_scale_is_used_where_it_is_asked_for() -> None:
    """One steer frame that is far off; the scores that are said are r.m.s. either way."""
    potential, work, steer = start()
    labels = {k: v.copy() for k, v in steer.labels.items()}
    labels["forces"][0] += 50.0
    steer = replace_labels(steer, labels)
    likely, rms = (train(potential, work, steer, replace(QUICK, scale=s)) for s in ("likely", "rms"))
    assert likely.sigma["forces"] > 10 and rms.sigma["forces"] > 10
    assert likely.fit.history[-1]["steer"] < rms.fit.history[-1]["steer"] - 0.3


def replace_labels(batch: Batch, labels: dict) -> Batch:
    return Batch(batch.numbers, batch.positions, batch.neighbours, batch.charge, labels, batch.esp_points, batch.pairs)


def test_labels_that_are_missing_are_no_labels() -> None:
    potential, work, steer = start()
    labels = {k: v.copy() for k, v in work.labels.items()}
    labels["forces"][::2] = np.nan
    labels["energy"][1::2] = np.nan
    done = train(potential, replace_labels(work, labels), steer, QUICK)
    assert all(np.isfinite(v).all() for v in named(split(done.potential)[0]).values())
    assert done.sigma["forces"] < 2.0 * whole().sigma["forces"]


def test_a_loss_that_is_not_finite_ends_the_training() -> None:
    potential, work, steer = start()
    broken = Batch(work.numbers, work.positions * np.nan, work.neighbours, work.charge, work.labels)
    with pytest.raises(RunError, match="not finite"):
        train(potential, broken, steer, QUICK)


@pytest.mark.slow
def test_a_channel_that_is_learnt_first_does_not_starve_the_others() -> None:
    """The dipole of this molecule is exactly that of a constant charge, which is learnt in a few steps."""
    potential, _, _ = start()
    channels = ["energy", "forces", "dipole"]
    done = train(potential, *(batch_of(f, potential, channels) for f in (WORK, STEER)), replace(QUICK, epochs=60))
    assert done.sigma["forces"] < 0.3 * done.fit.history[0]["scores"]["rms_forces"]
