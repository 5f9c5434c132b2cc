"""The properties that weights must have, on toys; tests/jobs has them on a crystal."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from consilience.core.balance import Balance, Policy, balance
from consilience.core.errors import RunError
from consilience.core.objective import Objective
from consilience.core.params import Block, Model

from . import toys

POLICY = Policy(ratio={"prior": 1.0}, reference="data", lo=1e-3, hi=1e3)


def objective(scale: float = 1.0, blocks: tuple[str, ...] = ("x",)) -> Objective:
    targets = {"x": np.array([1.0, -2.0, 0.5, 3.0]), "b": np.array([5.0, 1.0, 2.0])}
    data = toys.Pull(targets, 0.3, name="data")
    prior = toys.Pull({k: 0 * targets[k] for k in blocks}, 1.0, scale, name="prior")
    return Objective({"data": data, "prior": prior}, {}, {})


def weights(active=("x",), policy: Policy = POLICY, model: Model | None = None, **kind) -> Balance:
    return balance(objective(**kind), model or toys.model(), active, policy)


def test_the_formula() -> None:
    model = toys.model()
    x = np.asarray(model["x"])
    data = np.linalg.norm((x - np.array([1.0, -2.0, 0.5, 3.0])) / 0.3**2)
    assert weights().weights["prior"] == pytest.approx(data / np.linalg.norm(x), rel=1e-12)
    doubled = replace(POLICY, ratio={"prior": 2.0})
    assert weights(policy=doubled).weights["prior"] == pytest.approx(2 * weights().weights["prior"], rel=1e-12)


def test_frozen_parameters_change_no_bit() -> None:
    model = toys.model()
    first = weights(model=model).weights
    other = model.with_values(b=np.array([9.0, 2.0, 40.0]))
    more = Model({**model.blocks, "extra": Block.of(np.ones(7))})
    assert weights(model=other).weights == first
    assert weights(model=more).weights == first


def test_weights_have_no_memory() -> None:
    first = weights().weights
    weights(model=toys.model(7))
    weights(active=("b",))
    assert weights().weights == first


def test_a_term_scaled_by_c_gets_weight_one_over_c() -> None:
    first = weights().weights["prior"]
    for c in (0.2, 30.0):
        assert weights(scale=c).weights["prior"] == pytest.approx(first / c, rel=1e-12)


def test_a_fresh_process_finds_the_same() -> None:
    code = "import json, tests.core.test_balance as t; print(json.dumps(t.weights().weights))"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == weights().weights


def test_degenerate_starts_are_bounded() -> None:
    at_rest = toys.model().with_values(x=np.zeros(4))  # the prior has no gradient at all here
    assert weights(model=at_rest).weights["prior"] == POLICY.hi
    fitted = toys.model().with_values(x=np.array([1.0, -2.0, 0.5, 3.0]))
    assert weights(model=fitted).weights["prior"] == POLICY.lo


def test_gradients_of_inactive_blocks_do_not_count() -> None:
    both = weights(active=("b", "x"), blocks=("x",))
    alone = weights(active=("x",), blocks=("x",))
    assert both.weights["prior"] == alone.weights["prior"]  # compared over what the prior reads


def test_a_term_without_an_active_block_is_left_out_and_said_so() -> None:
    found = weights(active=("b",))
    assert found.weights["prior"] == 0.0
    assert "reads none of the active blocks b" in found.left_out["prior"]


def test_the_users_weights_are_obeyed() -> None:
    assert weights(policy=replace(POLICY, fixed={"prior": 123456.0})).weights["prior"] == 123456.0
    assert weights(policy=Policy()).weights == {"data": 1.0, "prior": 1.0}


def test_raw_norms_are_reported() -> None:
    x = np.asarray(toys.model()["x"])
    assert weights().gradient_norms["prior"]["x"] == pytest.approx(np.linalg.norm(x), rel=1e-12)


def test_a_gradient_that_is_not_finite_stops_the_run() -> None:
    broken = objective()
    broken.terms["data"].target["x"][1] = np.nan  # type: ignore[index]
    with pytest.raises(RunError, match="data with respect to x is not finite"):
        balance(broken, toys.model(), ("x",), POLICY)
