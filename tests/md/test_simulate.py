"""Runs: lists that never miss a pair, replicas, going on bit-identically, float32 energies, bad input."""

from __future__ import annotations

import equinox as eqx
import numpy as np
import pytest

from consilience.core.checkpoint import load_checkpoint, save_checkpoint
from consilience.core.compiled import light_jit
from consilience.core.errors import InputError
from consilience.md.simulate import simulate
from consilience.neighbours import Box, nearby, neighbour_matrix
from consilience.units import FS

from . import toys

LJ = toys.LennardJones(0.0104, 3.4, 5.0, 6.0)
MASS = np.full(64, 39.948)
HOT = {"dt": 5.0, "every": 20, "temperature": 150.0}


@pytest.mark.parametrize("skew", [0.0, 0.3])
@pytest.mark.parametrize("pbc", [(True, True, True), (True, False, True)])
def test_lists_in_the_graph_are_those_of_the_host(skew, pbc) -> None:
    """Atoms far out of the cell, cutoffs below and above half of its heights."""
    x, cell = toys.fluid(3, 3.75, skew)
    x = x + np.random.default_rng(0).integers(-2, 3, (len(x), 3)) @ cell
    nearest = []
    for cutoff in (4.5, 9.0):
        box = Box.of(cell, pbc, cutoff)
        assert box is not None
        nearest.append(box.images is None)
        made = light_jit(nearby, static_argnums=2)
        found = made(x, cutoff, 80, box)
        expected = neighbour_matrix(x, cutoff, cell, pbc)
        d, e = (np.sort(np.linalg.norm(np.asarray(a.vectors(x)), axis=-1), 1) for a in (found, expected))
        np.testing.assert_allclose(d[:, : e.shape[1]], e, atol=1e-12)
        assert int(np.sum(found.mask)) == int(expected.mask.sum())
        assert not found.overflow
        assert bool(made(x, cutoff, expected.capacity - 1, box).overflow)
    assert nearest == [True, False]


@pytest.mark.parametrize("kind", ["graph", "host"])
def test_a_list_with_skin_gives_the_trajectory_of_all_pairs(kind) -> None:
    x = toys.cluster(30, 3.9)
    options = {**HOT, "temperature": 60.0, "steps": 1500}
    exact = simulate(LJ, x, MASS[:30], **options, lists="all")
    run = simulate(LJ, x, MASS[:30], **options, lists=kind, cutoff=6.0, skin=0.5)
    assert run.lists["made"] > 20
    np.testing.assert_allclose(run.trajectory.total, exact.trajectory.total, atol=1e-6)
    np.testing.assert_allclose(run.trajectory.positions[:, :20], exact.trajectory.positions[:, :20], atol=1e-8)


def test_lists_of_graph_and_host_agree_in_a_triclinic_cell() -> None:
    x, cell = toys.fluid(4, 3.75, 0.1)
    options = {**HOT, "cell": cell, "pbc": True, "cutoff": 6.0, "skin": 0.6, "steps": 1000}
    a, b = (simulate(LJ, x, MASS, **options, lists=kind) for kind in ("graph", "host"))
    assert a.lists["made"] == b.lists["made"] > 50
    np.testing.assert_allclose(a.trajectory.positions, b.trajectory.positions, atol=1e-9)
    assert np.ptp(a.trajectory.total) < 1e-3 * 64


def test_a_list_that_overflows_is_made_with_more_slots() -> None:
    """Atoms that fall together need more slots than the spread start; the result is that of enough slots at once."""
    x = toys.cluster(30, 5.6)
    options = {"dt": 10.0, "every": 50, "temperature": 1.0, "steps": 1500, "cutoff": 6.0, "skin": 0.5, "lists": "graph"}
    energy = toys.LennardJones(0.05, 4.2, 5.0, 6.0)
    enough = simulate(energy, x, MASS[:30], **options, capacity=29)
    tight = simulate(energy, x, MASS[:30], **options, capacity=13)
    assert enough.lists["grown"] == 0
    assert tight.lists["grown"] >= 1
    assert tight.lists["slots"] > 13
    np.testing.assert_allclose(tight.trajectory.positions[:, :10], enough.trajectory.positions[:, :10], atol=1e-8)
    np.testing.assert_allclose(tight.trajectory.total[:, :10], enough.trajectory.total[:, :10], atol=1e-8)


def test_replicas_are_independent() -> None:
    x = np.stack([toys.cluster(9)] * 3)
    options = {"steps": 200, "dt": 5.0, "ensemble": "nvt", "temperature": [10.0, 20.0, 30.0], "replicas": 3}
    a = simulate(toys.ARGON, x, np.full(9, 39.948), **options)
    x[2] += 0.01 * np.random.default_rng(0).normal(size=(9, 3))
    b = simulate(toys.ARGON, x, np.full(9, 39.948), **options)
    same = [np.array_equal(a.trajectory.positions[r], b.trajectory.positions[r]) for r in range(3)]
    assert same == [True, True, False]
    assert np.abs(a.trajectory.positions[0] - a.trajectory.positions[1]).max() > 0.01
    alone = simulate(toys.ARGON, x[0], np.full(9, 39.948), **{**options, "temperature": 10.0, "replicas": 1})
    np.testing.assert_allclose(alone.trajectory.positions[0], a.trajectory.positions[0], atol=1e-9)


@pytest.mark.parametrize(("kind", "ensemble"), [("all", "nvt"), ("graph", "nvt"), ("host", "nve")])
def test_going_on_gives_the_same_bits(tmp_path, kind, ensemble) -> None:
    x = toys.cluster(13)
    options = {**HOT, "temperature": 20.0, "ensemble": ensemble, "lists": kind, "cutoff": 6.0, "skin": 0.4}
    options |= {"block": 300, "seed": 7, "bounds": None}
    energy, m = (toys.ARGON if kind == "all" else LJ), np.full(13, 39.948)
    whole = simulate(energy, x, m, steps=1000, **options)
    stopped = simulate(energy, x, m, steps=1000, **options, on_block=lambda frames, state: frames.step[-1] >= 300)
    assert stopped.status == "interrupted"
    assert stopped.n_steps == 300
    save_checkpoint(tmp_path / "state", stopped.state, {})
    later = simulate(energy, x, m, steps=1000, **options, state=load_checkpoint(tmp_path / "state")[0])
    short = simulate(energy, x, m, steps=650, **options)  # an end within a block
    longer = simulate(energy, x, m, steps=1000, **options, state=short.state)
    for end in (later, longer):
        assert end.status == "ok"
        assert all(np.array_equal(end.state[k], whole.state[k]) for k in whole.state)
    for name in ("step", "positions", "velocities", "potential", "kinetic"):
        parts = [getattr(s.trajectory, name) for s in (stopped, later)]
        axis = 0 if name == "step" else 1
        assert np.array_equal(np.concatenate(parts, axis), getattr(whole.trajectory, name))


def test_frames_are_those_of_their_steps() -> None:
    x, m = toys.cluster(9), np.full(9, 39.948)
    fine = simulate(toys.ARGON, x, m, steps=47, dt=5.0, every=1, temperature=20.0, block=10).trajectory
    coarse = simulate(toys.ARGON, x, m, steps=47, dt=5.0, every=6, temperature=20.0, block=11).trajectory
    assert list(fine.step) == list(range(48))
    assert list(coarse.step) == list(range(0, 48, 6))
    np.testing.assert_allclose(coarse.positions, fine.positions[:, ::6], atol=1e-12)
    np.testing.assert_allclose(coarse.time, coarse.step * 5.0)
    kinetic = 0.5 * np.sum(m[:, None] * (fine.velocities / FS) ** 2, (-2, -1))
    np.testing.assert_allclose(kinetic, fine.kinetic, rtol=1e-12)
    speed = (fine.positions[:, 2:] - fine.positions[:, :-2]) / 10.0
    np.testing.assert_allclose(speed, fine.velocities[:, 1:-1], atol=1e-5)
    assert fine.temperature[0, 0] == pytest.approx(20.0, rel=1e-9)


def test_blocks_go_to_the_callback_and_may_be_left_to_it() -> None:
    x, m = toys.cluster(9), np.full(9, 39.948)
    seen = []
    run = simulate(
        toys.ARGON, x, m, steps=95, dt=5.0, every=10, block=40, keep=False, dipoles=False,
        on_block=lambda frames, state: seen.append(frames),
    )  # fmt: skip
    assert [list(s.step) for s in seen] == [[0, 10, 20, 30, 40], [50, 60, 70, 80], [90]]
    assert run.trajectory.positions.shape == (1, 10, 0, 3)
    assert len(run.trajectory.potential[0]) == 10
    assert run.conservation is not None


def test_a_float32_energy_drifts_little() -> None:
    x, m = toys.cluster(9), np.full(9, 39.948)
    single = toys.LennardJones(0.0104, 3.4, single=True)
    runs = [
        simulate(e, x, m, steps=20000, dt=5.0, every=20, temperature=20.0).conservation for e in (single, toys.ARGON)
    ]
    a, b = runs
    assert a is not None
    assert b is not None
    assert a.rms < 1.2 * b.rms
    assert abs(a.drift) < 1e-4


def test_new_parameters_need_no_compilation() -> None:
    x, m = toys.cluster(9), np.full(9, 39.948)
    traces = []

    class Counting(eqx.Module):
        epsilon: np.ndarray

        def __call__(self, x, neighbours):
            traces.append(0)
            return toys.LennardJones(self.epsilon, 3.4)(x, neighbours)

    simulate(Counting(np.asarray(0.0104)), x, m, steps=20, dt=5.0)
    before = len(traces)
    run = simulate(Counting(np.asarray(0.0100)), x, m, steps=30, dt=4.0, temperature=10.0, seed=2)
    assert run.status == "ok"
    assert len(traces) == before


def test_dipoles_are_recorded() -> None:
    x, m = toys.cluster(9), np.full(9, 39.948)
    well = toys.Well(1.0, x, np.linspace(-1, 1, 9)[:, None])
    t = simulate(well, x, m, steps=50, every=10, dipoles=True, replicas=2).trajectory
    assert t.dipole is not None
    np.testing.assert_allclose(t.dipole, np.sum(well.charge * t.positions, 2), atol=1e-12)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"positions": np.full((9, 3), np.nan)}, "not finite"),
        ({"masses": np.r_[np.ones(8), 0.0]}, "masses must be positive"),
        ({"masses": np.ones(4)}, "do not fit"),
        ({"dt": -1.0}, "dt is too small"),
        ({"dt": np.nan}, "dt is too small"),
        ({"every": 0}, "every is too small"),
        ({"pbc": True}, "need a cell"),
        ({"pbc": True, "cell": np.zeros((3, 3)), "cutoff": 3.0}, "no volume"),
        ({"pbc": True, "cell": np.eye(3)}, "need a cutoff"),
        ({"cutoff": -2.0}, "cutoff must be positive"),
        ({"temperature": -5.0}, "must not be negative"),
        ({"dipoles": True}, "no dipole"),
        ({"state": {}}, "does not belong"),
    ],
)
def test_bad_input_is_refused(change, what) -> None:
    args = {"energy": toys.ARGON, "positions": toys.cluster(9), "masses": np.ones(9), "steps": 10} | change
    with pytest.raises(InputError, match=what):
        simulate(**args)
