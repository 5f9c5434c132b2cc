"""Forces are minus the gradient, with the energy's own sign; stress is the derivative by strain."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from consilience.forces import forces_from, stress_from
from consilience.neighbours import neighbour_matrix
from consilience.units import EV_PER_A3_IN_GPA

X = jnp.asarray([[1.0, 0.0, 0.0], [0.0, -2.0, 0.0]])


def spring(x, k, *, power=2):
    return k * jnp.sum(x**power)


def test_a_force_points_downhill_and_the_energy_keeps_its_sign() -> None:
    energy, force = forces_from(spring)(X, 3.0)
    assert float(energy) == 15.0
    np.testing.assert_array_equal(force, -6.0 * X)
    energy, force = forces_from(spring)(X, 3.0, power=4)
    np.testing.assert_array_equal(force, -12.0 * X**3)


def test_what_else_an_energy_returns_is_kept() -> None:
    (energy, aux), force = forces_from(lambda x: (jnp.sum(x), {"dipole": x[0]}), has_aux=True)(X)
    assert float(energy) == -1.0
    np.testing.assert_array_equal(aux["dipole"], X[0])
    np.testing.assert_array_equal(force, -jnp.ones((2, 3)))


def test_systems_that_do_not_see_one_another_have_their_own_forces() -> None:
    energy, force = forces_from(lambda x: jnp.sum(x**2, (1, 2)))(jnp.stack([X, 2 * X]))
    np.testing.assert_array_equal(energy, [5.0, 20.0])
    np.testing.assert_array_equal(force, -2 * jnp.stack([X, 2 * X]))


def pairs(x, lists):
    """Morse-like pairs: not zero at the cutoff, which a list that strains with the cell does not mind."""
    r = jnp.sqrt(jnp.sum(lists.vectors(x) ** 2, -1))
    return 0.5 * jnp.sum(jnp.where(lists.mask, (1 - jnp.exp(-1.2 * (r - 1.9))) ** 2, 0.0))


def test_stress_is_the_slope_of_the_energy_by_strain() -> None:
    cell = np.array([[3.0, 0.0, 0.0], [0.8, 2.9, 0.0], [-0.4, 0.5, 3.4]])
    x = np.random.default_rng(0).uniform(size=(3, 3)) @ cell
    lists = neighbour_matrix(x, 4.0, cell, (True,) * 3)
    energy, force, stress = stress_from(pairs)(jnp.asarray(x), lists, jnp.asarray(cell))
    assert float(energy) == pytest.approx(float(pairs(jnp.asarray(x), lists)))
    np.testing.assert_allclose(force, forces_from(pairs)(jnp.asarray(x), lists)[1], atol=1e-12)
    np.testing.assert_allclose(stress, stress.T, atol=1e-14)
    volume = abs(np.linalg.det(cell))
    h = 1e-4
    for i in range(3):
        for j in range(3):
            e = []
            for s in (h, -h):
                strain = np.zeros((3, 3))
                strain[i, j] += s / 2
                strain[j, i] += s / 2
                deform = np.eye(3) + strain
                # the list is made again: the strained crystal, not the strained list, has this energy
                again = neighbour_matrix(x @ deform, 4.0, cell @ deform, (True,) * 3, lists.capacity)
                assert np.array_equal(again.index, lists.index)
                e.append(float(pairs(jnp.asarray(x @ deform), again)))
            assert float(stress[i, j]) == pytest.approx((e[0] - e[1]) / (2 * h) / volume, abs=1e-7)


def test_stress_is_positive_under_tension() -> None:
    """Two atoms in a box at more than their distance pull the box together: positive in ASE's sign."""
    cell = np.diag([2.5, 50.0, 50.0])
    x = np.array([[0.1, 0.1, 0.1]])
    lists = neighbour_matrix(x, 3.0, cell, (True,) * 3)
    stress = np.asarray(stress_from(pairs)(jnp.asarray(x), lists, jnp.asarray(cell))[2])
    slope = 2 * (1 - np.exp(-1.2 * 0.6)) * 1.2 * np.exp(-1.2 * 0.6)  # eV/Å, of the one bond in the cell
    assert stress[0, 0] == pytest.approx(slope * 2.5 / cell.diagonal().prod(), rel=1e-10)
    assert EV_PER_A3_IN_GPA == pytest.approx(160.2176634)
