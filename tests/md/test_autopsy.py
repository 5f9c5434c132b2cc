"""A simulation that goes wrong stops at once and says where, who and why."""

from __future__ import annotations

import json

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from consilience.md.autopsy import Bounds
from consilience.md.simulate import simulate

from . import toys

MASS = np.full(9, 39.948)


@pytest.fixture(scope="module")
def crashed():
    """Atoms 2 and 7 fall into one another from the first step on."""
    trap = toys.Trap(toys.ARGON, 2e5, np.array([2, 7]))
    return trap, simulate(trap, toys.cluster(9), MASS, steps=5000, dt=2.0, every=5, temperature=20.0, block=400)


def test_the_pair_the_term_and_the_step_are_named(crashed) -> None:
    _, run = crashed
    f = run.failure
    assert run.status == "failed"
    assert f is not None
    assert sorted(f.atoms) == [2, 7]
    assert f.term == "wall"
    assert f.step == run.n_steps
    assert f.max_force is not None
    assert f.max_force_atom in (2, 7)
    assert f.distance == pytest.approx(np.linalg.norm(f.failed[2] - f.failed[7]))
    assert "wall" in str(f)
    assert json.loads(json.dumps(f.as_dict(), allow_nan=False))["atoms"] in ([2, 7], [7, 2])


def test_the_frames_before_and_of_the_failure_are_kept(crashed) -> None:
    """The same run recorded at every step without bounds passes through both."""
    trap, run = crashed
    f = run.failure
    options = {"dt": 2.0, "every": 1, "temperature": 20.0, "bounds": toys.NO_BOUNDS}
    t = simulate(trap, toys.cluster(9), MASS, steps=f.step, **options).trajectory
    np.testing.assert_allclose(f.last_good, t.positions[0, f.step - 1], atol=1e-7)
    np.testing.assert_allclose(f.failed, t.positions[0, f.step], atol=1e-7)
    assert run.trajectory.step[-1] < f.step
    assert np.isfinite(run.trajectory.potential).all()


def test_each_bound_gives_its_reason() -> None:
    trap = toys.Trap(toys.ARGON, 2e5, np.array([2, 7]))
    reasons = []
    bounds = [Bounds(1.5, np.inf, np.inf), Bounds(0.0, 3.0, np.inf), Bounds(0.0, np.inf, 500.0)]
    for b in bounds:
        f = simulate(trap, toys.cluster(9), MASS, steps=2000, dt=0.5, temperature=20.0, bounds=b).failure
        assert f is not None
        assert sorted(f.atoms) == [2, 7]
        reasons.append(f.reason)
    assert reasons == ["atoms too close", "force over its bound", "temperature over its bound"]


class _Broken(eqx.Module):
    """Not a number as soon as atom 4 has moved by 0.3 Å."""

    start: np.ndarray

    def __call__(self, x, neighbours):
        return toys.ARGON(x, neighbours) + 0 * jnp.sum(jnp.sqrt(0.09 - jnp.sum((x[4] - self.start) ** 2)))


@pytest.mark.parametrize("lists", ["all", "graph", "host"])
def test_an_energy_that_is_not_finite_names_the_atom(lists) -> None:
    x = toys.cluster(9)
    run = simulate(
        _Broken(x[4].copy()), x, MASS, steps=3000, dt=5.0, temperature=40.0, lists=lists, cutoff=30.0, replicas=2
    )
    f = run.failure
    assert f is not None
    assert f.reason == "non-finite energy"
    assert f.max_force_atom == 4
    assert f.max_force is None
    assert np.linalg.norm(f.failed[4] - x[4]) >= 0.3 > np.linalg.norm(f.last_good[4] - x[4])
    assert np.isfinite(run.trajectory.total).all()


def test_a_bad_start_fails_at_step_zero() -> None:
    x = toys.cluster(9)
    x[3] = x[5] + [0.1, 0, 0]
    f = simulate(toys.ARGON, x, MASS, steps=10).failure
    assert f is not None
    assert f.step == 0
    assert sorted(f.atoms) == [3, 5]


def test_a_sound_run_reports_its_extremes() -> None:
    run = simulate(toys.ARGON, toys.cluster(9), MASS, steps=100, dt=5.0, every=1, temperature=20.0)
    x = run.trajectory.positions[0]
    d = np.linalg.norm(x[:, :, None] - x[:, None], axis=-1) + 1e3 * np.eye(9)
    assert run.min_distance == pytest.approx(d.min(), rel=1e-9)
    assert run.failure is None
