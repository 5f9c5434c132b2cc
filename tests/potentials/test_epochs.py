"""Stochastic training: a regression with a known answer, resumption bit by bit, early ends, and the free set unread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from consilience.core.descent import Descent, optimiser, rate
from consilience.core.epochs import PROGRESS, Epochs, restored
from consilience.core.errors import InputError, RunError
from consilience.core.fit import Carry, Fit, Prepared, fit
from consilience.core.params import Block, Model
from consilience.core.stages import Stage
from consilience.core.terms import Score

TRUE = np.array([1.5, -0.7, 0.3])


class Line(eqx.Module):
    """Half the mean squared residual of y = x w."""

    name: str = eqx.field(static=True, default="line")

    @property
    def reads(self) -> frozenset[str]:
        return frozenset({"w"})

    def __call__(self, model: Model, obs: Any) -> Score:
        return Score(0.5 * jnp.mean((obs["x"] @ model["w"] - obs["y"]) ** 2), {})


def data(seed: int, n: int = 60, noise: float = 0.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    return {"x": x, "y": x @ TRUE + noise * rng.normal(size=n)}


WORK, STEER, FREE = data(0), data(1), data(2)
# one program for all runs of this file: the solver keeps it, and it does not depend on the seed
PROGRAMS: dict = {}


def solver(seed: int = 0, name: Any = "adam", batch: int = 8, average: float = 0.9) -> Epochs:
    key = (name, average)
    if key not in PROGRAMS:
        PROGRAMS[key] = optimiser(name, 0.1), {}
    transform, compiled = PROGRAMS[key]
    return Epochs(transform, batch, average, seed, compiled)


def loss(w: Any, of: dict[str, np.ndarray]) -> float:
    return float(np.mean((of["x"] @ np.asarray(w) - of["y"]) ** 2))


def averaged(model: Model, carry: Carry) -> np.ndarray:
    mean = restored("average", model.raw(["w"]), carry)
    return np.asarray(model["w"] if mean is None else mean["w"])


def preparation(
    count: int,
    work: dict = WORK,
    steer: dict = STEER,
    free: dict | None = None,
    ends: int = 10**6,
    scores: list[float] | None = None,
) -> Callable[..., Prepared]:
    def prepare(model: Model, carry: Carry, stage: Stage | None) -> Prepared:
        epoch = int(carry.get("epoch", np.asarray(-1))) + 1
        kept = {**carry, "epoch": np.asarray(epoch), PROGRESS: np.asarray([epoch / count, 1 / count])}
        mean = averaged(model, carry)
        score = scores[min(epoch, len(scores) - 1)] if scores else loss(mean, steer)
        shown = {} if free is None else {"loss": loss(mean, free)}
        terms, obs = {"line": Line()}, {"line": work}
        return Prepared(model, terms, obs, kept, score, {"epoch": epoch}, shown, finished=epoch >= ends)

    return prepare


def run(count: int = 30, solve: Epochs | None = None, protocol: tuple[Stage, ...] = (), **options: Any) -> Fit:
    known = {k: options.pop(k) for k in ("work", "steer", "free", "ends", "scores") if k in options}
    protocol = protocol or (Stage(("w",), 1, solve or solver(), phase="train", **options.pop("stage", {})),) * count
    start = Model.of(w=Block(np.zeros(3)), still=Block(np.ones(2)))
    return fit(start, {}, protocol, prepare=preparation(count, **known), **options)


def same(a: Fit, b: Fit) -> None:
    np.testing.assert_array_equal(a.model["w"], b.model["w"])
    assert a.state.carry.keys() == b.state.carry.keys()
    for k, v in a.state.carry.items():
        np.testing.assert_array_equal(v, b.state.carry[k], err_msg=k)


@pytest.mark.parametrize("name", ["adam", "adabelief-yogi"])
def test_a_regression_finds_its_answer(name: str) -> None:
    done = run(60, solver(name=name))
    np.testing.assert_allclose(averaged(done.model, done.state.carry), TRUE, atol=2e-3)
    np.testing.assert_array_equal(done.model["still"], 1.0)
    values = [h["value_after"] for h in done.history[1:]]
    assert values[-1] < 1e-3 * values[0]


def test_steps_are_those_of_a_loop_written_by_hand() -> None:
    """Plain NumPy: the order of the batches, Adam with its rate by progress, and the average of the weights."""
    done = run(2)
    w = mean = np.zeros(3)
    m = v = np.zeros(3)
    t = 0
    for epoch in range(2):
        order = np.random.default_rng([0, epoch]).permutation(60)[:56].reshape(-1, 8)
        for k, rows in enumerate(order):
            x, y = WORK["x"][rows], WORK["y"][rows]
            g = x.T @ (x @ w - y) / 8
            m, v, t = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g, t + 1
            step = float(rate((epoch + k / 7) / 2, 0.1))
            w = w - step * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
            decay = min(0.9, (1 + epoch * 7 + k) / (10 + epoch * 7 + k))
            mean = decay * mean + (1 - decay) * w
    point = done.state
    if point.carry["epoch"] == 2:  # the last epoch was the best
        np.testing.assert_allclose(done.model["w"], w, rtol=1e-9)
        np.testing.assert_allclose(averaged(done.model, point.carry), mean, rtol=1e-9)
    assert done.history[-1]["best"]


def test_the_same_seed_gives_the_same_bits_and_another_one_others() -> None:
    one = run(5)
    same(one, run(5))
    assert np.any(run(5, solver(seed=1)).model["w"] != one.model["w"])


class Stopped(Exception):
    """Where a test pulls the plug."""


@pytest.mark.parametrize("every", [0.0, 1e6])
@pytest.mark.parametrize("stop", [0, 1, 4, 6])
def test_an_interrupted_run_resumes_bit_by_bit(tmp_path: Path, stop: int, every: float) -> None:
    """With rare checkpoints some epochs are repeated, to the same end."""
    whole = run(6, free=FREE)

    def plug(record: dict, state: Prepared) -> None:
        if record["stage"] == stop - 1:
            raise Stopped

    file = tmp_path / "state"
    with pytest.raises(Stopped):
        run(6, free=FREE, callbacks=[plug], checkpoint=file, checkpoint_every=every)
    resumed = run(6, free=FREE, checkpoint=file, checkpoint_every=every, resume=True)
    same(resumed, whole)
    assert resumed.history == whole.history


def test_a_finished_run_resumes_to_itself(tmp_path: Path) -> None:
    file = tmp_path / "state"
    whole = run(4, checkpoint=file, checkpoint_every=1e6)
    seen: list[dict] = []
    again = run(4, checkpoint=file, resume=True, callbacks=[lambda r, s: seen.append(r)])
    same(again, whole)
    assert [r["replayed"] for r in seen] == [True] * 5


def test_a_checkpoint_of_another_length_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "state"
    run(3, checkpoint=file)
    with pytest.raises(InputError, match="another run"):
        run(4, checkpoint=file, resume=True)


def test_finished_ends_a_phase_and_not_the_next_one() -> None:
    first = (Stage(("w",), 1, solver(), phase="train"),) * 6
    last = (Stage(("w",), 1, solver(), phase="last", decide=False),)
    done = run(7, protocol=first + last, ends=3)
    assert [h["phase"] for h in done.history] == ["start", "train", "train", "train", "last"]
    assert done.history[-1]["stage"] == 6


def test_patience_ends_training_and_the_best_epoch_on_the_steer_set_is_kept() -> None:
    scores = [9.0, 5.0, 4.0, 1.0, 2.0, 2.0, 0.5, 0.1]
    seen: list[np.ndarray] = []
    done = run(8, scores=scores, stage={"patience": 2}, callbacks=[lambda r, s: seen.append(np.array(s.model["w"]))])
    assert [h["best"] for h in done.history[1:]] == [True, True, True, False, False]
    np.testing.assert_array_equal(done.model["w"], seen[3])
    assert int(done.state.carry["epoch"]) == 3


def test_the_steer_set_decides_the_epoch_and_not_the_steps() -> None:
    one, other = run(6), run(6, scores=[9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert [h["value_after"] for h in one.history[1:]] == [h["value_after"] for h in other.history[1:]]
    assert np.any(one.model["w"] != other.model["w"])
    assert int(other.state.carry["epoch"]) == 1


def test_nothing_reads_the_free_set() -> None:
    """Other free data, or nonsense, change no bit of the weights, decisions or state."""
    one = run(5, free=FREE)
    nonsense = {"x": np.full((2, 3), 1e300), "y": np.full(2, np.nan)}
    with np.errstate(all="ignore"):
        for free in (data(7), nonsense):
            other = run(5, free=free)
            same(other, one)
            for a, b in zip(one.history, other.history, strict=True):
                assert {k: v for k, v in a.items() if k != "free"} == {k: v for k, v in b.items() if k != "free"}
                assert str(a["free"]) != str(b["free"])


def test_a_loss_that_is_not_finite_ends_the_run() -> None:
    with pytest.raises(RunError, match="not finite in epoch 1"):
        run(2, work={**WORK, "y": WORK["y"] * np.nan})


def test_no_observations_are_refused() -> None:
    with pytest.raises(ValueError, match="no observations"):
        run(1, work={"x": np.zeros((0, 3)), "y": np.zeros(0)})


def test_a_batch_larger_than_the_data_is_all_of_them() -> None:
    few = {k: v[:5] for k, v in WORK.items()}
    done = run(3, solver(batch=64), work=few)
    assert np.isfinite(done.history[-1]["value_after"])


def test_the_rate_rises_falls_and_ends_small() -> None:
    assert float(rate(0.0, 0.1)) == 0.0
    assert float(rate(0.02, 0.1)) == pytest.approx(0.1)
    assert float(rate(0.51, 0.1)) == pytest.approx(0.1 * (0.01 + 0.99 * 0.5))
    assert float(rate(1.0, 0.1)) == pytest.approx(1e-3)


def test_gradients_are_clipped_to_their_norm() -> None:
    def first(size: float) -> float:
        move = optimiser("yogi", 1.0, clip=1.0)
        w = {"w": jnp.zeros(3)}
        return float(move.update({"w": jnp.full(3, size)}, move.init(w), w, progress=0.1)[0]["w"][0])

    assert first(1e3) == pytest.approx(first(1e6), rel=1e-9)
    assert first(0.1) != pytest.approx(first(1e3), rel=1e-3)


def test_descent_over_the_whole_data_finds_the_answer_and_refuses_a_step_that_is_not_finite() -> None:
    start = Model.of(w=Block(np.zeros(3)))
    done = fit(start, {"line": Line()}, (Stage(("w",), 150, Descent(optimiser("adam", 0.1), 150)),), obs={"line": WORK})
    np.testing.assert_allclose(done.model["w"], TRUE, atol=5e-3)
    solve = Descent(optimiser("adam", 0.1), 10)
    state = solve.init(lambda raw: (0.0, raw), {"w": np.zeros(3)})
    after = solve.step(lambda raw: (np.nan, {"w": np.full(3, np.nan)}), state)
    assert after.done and np.all(after.raw["w"] == 0.0)
