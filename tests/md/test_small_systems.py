"""What makes dynamics of small systems fast must change nothing: noise drawn ahead, rare looks, pairs in a square."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from consilience.core.compiled import light_jit
from consilience.forces import forces_from
from consilience.md.autopsy import Bounds, NotBonded
from consilience.md.integrate import NOISE_STEPS, noise, noise_slot, noises
from consilience.md.simulate import simulate
from consilience.neighbours import all_pairs, neighbour_matrix, square_of_pairs

from . import toys

MASS = np.full(30, 39.948)


class Line:
    """Chains in one piece, as `NotBonded` wants them."""

    def separation(self, index):
        return jnp.abs(jnp.asarray(index) - jnp.arange(len(index))[:, None])


class Chain(eqx.Module):
    """Harmonic bonds of 2 Å and a soft repulsion of all else: bonded atoms are always the nearest."""

    def __call__(self, x, neighbours):
        bonds = jnp.sqrt(jnp.sum((x[1:] - x[:-1]) ** 2, -1))
        return 10 * jnp.sum((bonds - 2.0) ** 2) + 0.5 * jnp.sum(1e3 / neighbours.squared(x) ** 6)


def test_noise_of_a_step_is_its_place_in_a_block() -> None:
    key = jax.random.PRNGKey(5)
    drawn = light_jit(noises, static_argnums=2)
    one = light_jit(noise, static_argnums=2)
    block = drawn(key, NOISE_STEPS + 1, (4, 3))
    for step in (NOISE_STEPS + 1, 2 * NOISE_STEPS):
        assert np.array_equal(one(key, step, (4, 3)), block[noise_slot(step)])
        assert np.array_equal(drawn(key, step, (4, 3)), block)
    others = [one(key, s, (4, 3)) for s in (0, 1, NOISE_STEPS, NOISE_STEPS + 1, 2 * NOISE_STEPS + 1)]
    assert len({np.asarray(a).tobytes() for a in others}) == 5


def test_noise_is_normal_and_independent_in_time_and_space() -> None:
    keys = jax.random.split(jax.random.PRNGKey(1), 2)
    draw = light_jit(lambda keys, step: noises(keys, step, (50, 3)))
    z = np.concatenate([draw(keys, 1 + k * NOISE_STEPS) for k in range(60)]).astype(float)
    n = z.size
    assert abs(z.mean()) < 4 / np.sqrt(n) and abs(z.var() - 1) < 4 * np.sqrt(2 / n)
    assert abs((z**4).mean() - 3) < 4 * np.sqrt(96 / n)
    for a, b in ((z[1:], z[:-1]), (z[:, 0], z[:, 1]), (z[..., 1:, :], z[..., :-1, :]), (z[..., 0], z[..., 1])):
        assert abs((a * b).mean()) < 4 / np.sqrt(a.size)


@pytest.mark.parametrize("lists", ["all", "graph"])
@pytest.mark.parametrize("watched", [False, True])
def test_the_shortest_distance_of_rare_looks_is_that_of_all_frames(lists, watched) -> None:
    x = np.cumsum(np.random.default_rng(1).normal(0, 1.3, (30, 3)) + np.array([0.8, 0, 0]), 0)
    energy = Chain() if watched else toys.LennardJones(0.0104, 3.4, 5.0, 6.0)
    x = x * 1.6 if watched else toys.cluster(30, 3.9)
    options = {"steps": 1500, "dt": 5.0, "every": 1, "ensemble": "nvt", "temperature": 100.0, "seed": 4}
    rule = NotBonded(Line()) if watched else None
    run = simulate(
        energy, x, MASS, lists=lists, cutoff=None if lists == "all" else 9.0, skin=0.5, watched=rule,
        bounds=toys.NO_BOUNDS, **options,
    )  # fmt: skip
    d = np.linalg.norm(run.trajectory.positions[0][:, :, None] - run.trajectory.positions[0][:, None], axis=-1)
    apart = np.abs(np.arange(30)[:, None] - np.arange(30)) >= (2 if watched else 1)
    assert run.min_distance == pytest.approx(d[:, apart].min(), rel=1e-9)
    least = d[:, apart].min(1)
    bound = np.sort(least)[len(least) // 50]  # crossed for the first time somewhere on the way
    first = int(np.flatnonzero(least < bound)[0])
    failed = simulate(
        energy, x, MASS, lists=lists, cutoff=None if lists == "all" else 9.0, skin=0.5, watched=rule,
        bounds=Bounds(bound, np.inf, np.inf), **options,
    ).failure  # fmt: skip
    assert failed is not None
    assert failed.step == first
    i, j = failed.atoms
    assert apart[i, j] and failed.distance == pytest.approx(least[first], rel=1e-9)


def test_squares_and_squared_distances_give_the_energy_and_forces_of_pairs() -> None:
    x = toys.cluster(30, 3.9)
    by_vectors = light_jit(forces_from(toys.ARGON))

    class Squared(eqx.Module):
        def __call__(self, x, neighbours):
            s6 = (3.4**2 / neighbours.squared(x)) ** 3
            return jnp.sum(jnp.where(neighbours.mask, 2 * 0.0104 * (s6 * s6 - s6), 0.0))

    by_squares = light_jit(forces_from(Squared()))
    e, f = by_vectors(x, all_pairs(30))
    for lists in (square_of_pairs(30), all_pairs(30), neighbour_matrix(x, 30.0)):
        for evaluate in (by_vectors, by_squares):
            value, forces = evaluate(x, lists)
            assert float(value) == pytest.approx(float(e), rel=1e-12)
            np.testing.assert_allclose(forces, f, atol=1e-12)
