"""Spherical harmonics and Clebsch-Gordan tensors: e3nn as an independent reference, and what defines them."""

from __future__ import annotations

from itertools import product

import e3nn_jax as e3nn
import jax.numpy as jnp
import numpy as np
import pytest

from consilience.potentials.harmonics import clebsch_gordan, part, spherical_harmonics

RNG = np.random.default_rng(0)
UNIT = RNG.normal(size=(40, 3))
UNIT /= np.linalg.norm(UNIT, axis=1, keepdims=True)
TRIANGLES = [t for t in product(range(4), repeat=3) if abs(t[0] - t[1]) <= t[2] <= t[0] + t[1]]


def harmonics(u: np.ndarray, l: int) -> np.ndarray:
    return np.asarray(spherical_harmonics(jnp.asarray(u), 3))[..., part(l)]


def wigner(l: int, rotation: np.ndarray) -> np.ndarray:
    """The matrix D with Y(R u) = D Y(u), fitted to many points."""
    return np.linalg.lstsq(harmonics(UNIT, l), harmonics(UNIT @ rotation.T, l), rcond=None)[0].T


def rotation() -> np.ndarray:
    q = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]
    return q * np.linalg.det(q)


@pytest.mark.parametrize("l", range(4))
def test_harmonics_are_those_of_e3nn(l: int) -> None:
    irreps = e3nn.Irreps(f"{l}{'eo'[l % 2]}")
    theirs = e3nn.spherical_harmonics(irreps, jnp.asarray(UNIT), normalize=True, normalization="component").array
    np.testing.assert_allclose(harmonics(UNIT, l), np.asarray(theirs), atol=1e-6)


@pytest.mark.parametrize("l", range(4))
def test_harmonics_rotate_by_an_orthogonal_matrix_and_have_their_parity(l: int) -> None:
    r = rotation()
    d = wigner(l, r)
    np.testing.assert_allclose(harmonics(UNIT @ r.T, l), harmonics(UNIT, l) @ d.T, atol=1e-12)  # 40 points, 7 unknowns
    np.testing.assert_allclose(d @ d.T, np.eye(2 * l + 1), atol=1e-12)
    np.testing.assert_allclose(harmonics(-UNIT, l), (-1) ** l * harmonics(UNIT, l), atol=1e-14)
    np.testing.assert_allclose(np.sum(harmonics(UNIT, l) ** 2, 1), 2 * l + 1, atol=1e-12)


def test_harmonics_are_orthogonal_on_the_sphere() -> None:
    """Exact quadrature: Gauss-Legendre in z, equal steps in the angle; mean of Y_a Y_b is 1 for a = b, else 0."""
    z, w = np.polynomial.legendre.leggauss(8)
    phi = 2 * np.pi * np.arange(16) / 16
    s = np.sqrt(1 - z**2)
    u = np.stack([np.outer(s, np.cos(phi)), np.outer(s, np.sin(phi)), np.outer(z, np.ones(16))], -1)
    y = np.asarray(spherical_harmonics(jnp.asarray(u), 3))
    np.testing.assert_allclose(np.einsum("i,ija,ijb->ab", w / 32, y, y), np.eye(16), atol=1e-12)


@pytest.mark.parametrize("ls", TRIANGLES, ids=str)
def test_couplings_are_those_of_e3nn(ls: tuple[int, int, int]) -> None:
    theirs = np.asarray(e3nn.clebsch_gordan(*ls))
    np.testing.assert_allclose(clebsch_gordan(*ls), theirs / np.linalg.norm(theirs), atol=1e-7)


@pytest.mark.parametrize("ls", TRIANGLES, ids=str)
def test_couplings_commute_with_rotations_and_are_orthogonal(ls: tuple[int, int, int]) -> None:
    c = clebsch_gordan(*ls)
    r = rotation()
    a, b, d = (wigner(l, r) for l in ls)
    np.testing.assert_allclose(np.einsum("ia,jb,ijk->abk", a, b, c), np.einsum("abm,km->abk", c, d), atol=1e-11)
    each = np.einsum("abi,abj->ij", c, c)
    np.testing.assert_allclose(each, np.eye(2 * ls[2] + 1) / (2 * ls[2] + 1), atol=1e-12)


def test_couplings_of_one_pair_are_complete() -> None:
    """The couplings of l1 = 2 and l2 = 1 to all l3 together span all products."""
    whole = np.concatenate([np.sqrt(2 * l + 1) * clebsch_gordan(2, 1, l).reshape(15, -1) for l in (1, 2, 3)], 1)
    np.testing.assert_allclose(whole @ whole.T, np.eye(15), atol=1e-12)


def test_vectors_couple_to_their_dot_and_cross_products() -> None:
    np.testing.assert_allclose(clebsch_gordan(1, 1, 0)[..., 0], np.eye(3) / np.sqrt(3), atol=1e-14)
    levi_civita = np.zeros((3, 3, 3))
    levi_civita[[0, 1, 2], [1, 2, 0], [2, 0, 1]] = 1
    levi_civita[[1, 2, 0], [0, 1, 2], [2, 0, 1]] = -1
    np.testing.assert_allclose(clebsch_gordan(1, 1, 1), levi_civita / np.sqrt(6), atol=1e-14)


def test_what_does_not_couple_is_refused() -> None:
    with pytest.raises(ValueError, match="do not couple"):
        clebsch_gordan(1, 1, 3)
    with pytest.raises(ValueError, match="l_max"):
        spherical_harmonics(jnp.ones(3), 4)
