"""Geometry optimisation to the accuracy of forces, also where energies are large or rough."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from consilience.core.errors import InputError
from consilience.md.optimise import optimise

from . import toys
from .test_vibrations import LINE, ValenceCO2


class Offset(eqx.Module):
    """Another energy upon an absolute energy of thousands of eV, as quantum chemistry has it."""

    inner: Any
    offset: float = -5115.054

    def __call__(self, x, neighbours):
        return self.inner(x, neighbours) + self.offset


def test_a_shaken_molecule_returns_to_its_geometry() -> None:
    rng = np.random.default_rng(0)
    found = optimise(Offset(ValenceCO2()), LINE + rng.normal(0, 0.15, LINE.shape))
    assert found.converged
    assert found.max_force < 1e-5
    d = np.linalg.norm(found.positions[[0, 2]] - found.positions[1], axis=1)
    np.testing.assert_allclose(d, 1.16, atol=1e-6)
    assert np.linalg.norm(found.positions[0] - found.positions[2]) == pytest.approx(2.32, abs=1e-5)
    assert len(found.path) == found.steps + 1 == len(found.energies)
    assert (np.diff(found.energies) < 1e-9).all()
    assert found.evaluations < 60
    moves = np.linalg.norm(np.diff(found.path, axis=0), axis=2)
    assert moves.max() <= 0.2 + 1e-12


def test_thirteen_atoms_find_the_icosahedron() -> None:
    """The global minimum of 13 Lennard-Jones atoms is -44.326801 eps (Hoare & Pal 1971)."""
    golden = (1 + 5**0.5) / 2
    corners = [[0, a, b * golden] for a in (-1, 1) for b in (-1, 1)]
    x = np.array([[0, 0, 0], *(np.roll(c, k) for k in range(3) for c in corners)]) * 2.0
    lj = toys.LennardJones(0.0104, 3.4)
    found = optimise(lj, x + np.random.default_rng(1).normal(0, 0.2, x.shape))
    assert found.converged
    assert found.energy / 0.0104 == pytest.approx(-44.326801, abs=1e-6)
    long = optimise(lj, x + 0.1 * x, tolerance=1e-9)
    assert long.max_force < 1e-9


@pytest.mark.parametrize("lists", ["graph", "host"])
def test_a_periodic_solid_with_lists(lists) -> None:
    x, cell = toys.fluid(4, 3.75, 0.1)
    lj = toys.LennardJones(0.0104, 3.4, 5.0, 6.0)
    found = optimise(lj, x, cell=cell, pbc=True, cutoff=6.0, skin=0.5, lists=lists)
    assert found.converged
    assert np.linalg.norm(found.forces.sum(0)) < 1e-10


def test_limited_memory_for_many_atoms(monkeypatch) -> None:
    from consilience.md import optimise as module

    x = toys.cluster(13)
    lj = toys.LennardJones(0.0104, 3.4)
    monkeypatch.setattr(module, "DENSE_LIMIT", 5)
    limited = module.optimise(lj, x)
    assert limited.converged
    assert limited.max_force < 1e-5


class Single(eqx.Module):
    inner: Any

    def __call__(self, x, neighbours):
        return self.inner(x.astype(jnp.float32), neighbours).astype(jnp.float32)


def test_a_float32_energy_converges_as_far_as_its_forces_allow() -> None:
    found = optimise(
        Single(Offset(ValenceCO2(), 0.0)), LINE + np.random.default_rng(0).normal(0, 0.1, (3, 3)), tolerance=2e-3
    )
    assert found.converged


def test_a_start_that_is_not_finite_is_refused() -> None:
    x = toys.cluster(9)
    x[3] = x[4]
    with pytest.raises(InputError, match="no finite energy"):
        optimise(toys.Morse(1.0, 1.0, jnp.nan), x)
    with pytest.raises(InputError, match="finite"):
        optimise(toys.ARGON, np.full((4, 3), np.nan))
