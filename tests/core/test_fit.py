"""The loop: stages, roll-back, the best state, early stop, free scores kept away, and bit-identical resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consilience.core.balance import Policy
from consilience.core.errors import InputError, RunError
from consilience.core.fit import Carry, Prepared, fit
from consilience.core.lbfgs import LBFGS
from consilience.core.params import Model
from consilience.core.stages import Stage

from . import toys

TARGET = np.array([1.0, -2.0, 0.5, 3.0])
SLOW = LBFGS(max_step={"x": 0.1, "b": 0.1})


def prepare_with(scores: list[float] | None = None):
    """A preparation whose carry counts, and whose steer score is the distance or, by count, a given list."""

    def prepare(model: Model, carry: Carry, stage: Stage | None) -> Prepared:
        count = int(carry.get("count", 0))
        distance = float(np.linalg.norm(np.asarray(model["x"]) - TARGET))
        steer = scores[count] if scores and count < len(scores) else distance
        pull = toys.Pull({"x": TARGET + 0.01 * count, "b": np.array([5.0, 1.0, 2.0])}, 0.3)
        return Prepared(
            model, {"pull": pull}, {}, {"count": np.array(count + 1)}, steer, {"count": count}, {"secret": distance}
        )

    return prepare


def stages(n: int, **options: Any) -> tuple[Stage, ...]:
    return tuple(Stage((("x", "b")[i % 2],), 2, SLOW, **options) for i in range(n))


def test_stages_move_their_active_block_only() -> None:
    start = toys.model()
    pull = toys.Pull({"x": TARGET, "b": np.array([5.0, 1.0, 2.0])}, 0.3)
    done = fit(start, {"pull": pull}, (Stage(("b",), 50),))
    np.testing.assert_array_equal(done.model["x"], start["x"])
    np.testing.assert_allclose(done.model["b"], [5.0, 1.0, 2.0], rtol=1e-2)
    assert done.history[-1]["value_after"] < done.history[-1]["value_before"]


def test_a_stage_that_worsens_the_steer_score_is_rolled_back() -> None:
    start = toys.model()
    done = fit(start, {}, stages(1, tolerance=0.0), prepare=prepare_with([1.0, 2.0, 2.0]))
    assert not done.history[-1]["accepted"]
    np.testing.assert_array_equal(done.model["x"], start["x"])


def test_the_best_state_is_kept() -> None:
    start = toys.model()
    models: list[np.ndarray] = []

    def keep(record: dict, state: Prepared) -> None:
        models.append(np.asarray(state.model["x"]))

    done = fit(start, {}, stages(5), prepare=prepare_with([5.0, 4.0, 1.0, 3.0, 3.0, 2.0]), callbacks=[keep])
    np.testing.assert_array_equal(done.model["x"], models[2])


def test_patience_ends_a_phase() -> None:
    done = fit(toys.model(), {}, stages(6, patience=2), prepare=prepare_with([5.0, 1.0, 3.0, 3.0, 3.0, 3.0, 3.0]))
    assert len(done.history) == 4  # start, better, worse, worse


def test_a_controller_never_sees_a_free_score() -> None:
    seen: list[dict] = []

    def controller(history: list[dict], stage: Stage) -> Policy:
        seen.extend(history)
        return stage.weights

    fit(toys.model(), {}, stages(3), prepare=prepare_with(), controller=controller)
    assert seen and not any("free" in h or "secret" in str(h) for h in seen)


class Stopped(Exception):
    """Where a test pulls the plug."""


@pytest.mark.parametrize("stop", range(6))
def test_an_interrupted_run_resumes_bit_by_bit(tmp_path: Path, stop: int) -> None:
    protocol = (*stages(4), *stages(2, phase="final", decide=False))
    whole = fit(toys.model(), {}, protocol, prepare=prepare_with())
    calls = 0

    def plug(record: dict, state: Prepared) -> None:
        nonlocal calls
        if calls == stop:
            raise Stopped
        calls += 1

    file = tmp_path / "state"
    with pytest.raises(Stopped):
        fit(toys.model(), {}, protocol, prepare=prepare_with(), callbacks=[plug], checkpoint=file)
    resumed = fit(toys.model(), {}, protocol, prepare=prepare_with(), checkpoint=file, resume=True)
    for block in ("x", "b"):
        np.testing.assert_array_equal(resumed.model[block], whole.model[block])
    assert resumed.history == whole.history


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "state"
    fit(toys.model(), {}, stages(2), prepare=prepare_with(), checkpoint=file)
    with pytest.raises(InputError, match="another run"):
        fit(toys.model(), {}, stages(3), prepare=prepare_with(), checkpoint=file, resume=True)
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(InputError, match="cannot be read"):
        fit(toys.model(), {}, stages(2), prepare=prepare_with(), checkpoint=file, resume=True)
    file.write_bytes(bytes(data[: len(data) // 2]))
    with pytest.raises(InputError, match="cannot be read"):
        fit(toys.model(), {}, stages(2), prepare=prepare_with(), checkpoint=file, resume=True)
    assert [p.name for p in tmp_path.iterdir()] == ["state"]


def test_a_gradient_that_is_not_finite_stops_the_run() -> None:
    pull = toys.Pull({"x": TARGET * np.nan}, 0.3)
    with pytest.raises(RunError, match="not finite"):
        fit(toys.model(), {"pull": pull}, (Stage(("x",), 5),))
