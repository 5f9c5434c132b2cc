"""Envelopes, radial bases and the short-range repulsion against formulas written a second time."""

from __future__ import annotations

import math
from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from consilience.neighbours import all_pairs
from consilience.potentials.graph import single
from consilience.potentials.radial import bessel, envelope, exponential_gaussians, physnet_envelope
from consilience.potentials.repulsion import COVALENT, ZBL, zbl_pair

from .broken import pair_curve_error


def one_sided(f: Callable, x: float, side: float, order: int) -> float:
    """Derivative of f at x from points on one side of it."""
    h = side * 1e-2
    k = np.arange(9)
    values = np.asarray(f(jnp.asarray(x + h * k)))
    return float(np.polyfit(h * k, values, 8)[::-1][order] * math.factorial(order))


@pytest.mark.parametrize(("f", "smooth"), [(envelope, 3), (physnet_envelope, 2)])
def test_envelopes_are_smooth_at_both_ends(f: Callable, smooth: int) -> None:
    assert float(f(jnp.asarray(0.0))) == 1.0
    assert float(f(jnp.asarray(1.0))) == 0.0
    np.testing.assert_array_equal(f(jnp.asarray([1.0, 1.1, 1e3])), 0.0)
    np.testing.assert_array_equal(f(jnp.asarray([0.0, -0.1])), 1.0)
    assert float(f(jnp.asarray(0.5))) == pytest.approx(0.5, abs=1e-14)
    for order in range(1, smooth + 1):
        assert abs(one_sided(f, 0.0, 1.0, order)) < 1e-4
        assert abs(one_sided(f, 1.0, -1.0, order)) < 1e-4
    assert abs(one_sided(f, 0.0, 1.0, smooth + 1)) > 10.0  # the next derivative jumps, so the test can see a jump
    assert abs(one_sided(f, 1.0, -1.0, smooth + 1)) > 10.0
    assert np.all(np.diff(np.asarray(f(jnp.linspace(0.0, 1.0, 200)))) < 0)


def test_bessel_functions_vanish_at_the_cutoff_and_are_orthonormal() -> None:
    r = jnp.linspace(1e-6, 4.0, 4001)
    b = np.asarray(bessel(r, 4.0, 5))
    np.testing.assert_allclose(b[-1], 0.0, atol=1e-14)
    np.testing.assert_allclose(b[1000, 2], math.sqrt(0.5) * math.sin(3 * math.pi * float(r[1000]) / 4) / float(r[1000]))
    weight = np.full(4001, 4.0 / 4000)
    weight[[0, -1]] /= 2
    np.testing.assert_allclose(np.einsum("r,ra,rb->ab", weight * np.asarray(r) ** 2, b, b), np.eye(5), atol=1e-5)
    assert np.all(np.isfinite(bessel(jnp.asarray([1e-12]), 4.0, 5)))


def test_exponential_gaussians_follow_the_paper() -> None:
    """Unke & Meuwly 2019, eq. 7 and 8, number by number."""
    cutoff, size = 6.0, 7
    for r in (0.3, 1.1, 2.6, 5.9, 6.0, 7.5):
        x = r / cutoff
        phi = 1 - 6 * x**5 + 15 * x**4 - 10 * x**3 if r < cutoff else 0.0
        assert float(physnet_envelope(jnp.asarray(x))) == pytest.approx(phi, abs=1e-14)
        found = phi * np.asarray(exponential_gaussians(jnp.asarray([r]), cutoff, size))[0]
        for k in range(size):
            mu = math.exp(-cutoff) + k * (1 - math.exp(-cutoff)) / (size - 1)
            beta = 1 / (2 / size * (1 - math.exp(-cutoff))) ** 2
            assert found[k] == pytest.approx(phi * math.exp(-beta * (math.exp(-r) - mu) ** 2), rel=1e-10, abs=1e-14)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_bases_keep_the_precision_of_distances(kind: type) -> None:
    """A number of NumPy would make a network of float32 compute in float64, at a third of the speed."""
    r = jnp.asarray([0.5, 1.5], kind)
    assert exponential_gaussians(r, 5.0, 8).dtype == bessel(r, 5.0, 8).dtype == envelope(r).dtype == kind


repulsion = eqx.filter_jit(ZBL())


def test_the_pair_curve_is_that_of_ziegler_biersack_and_littmark() -> None:
    assert pair_curve_error(zbl_pair) < 5e-6  # a0 is given to six figures there, and stands in an exponent


def test_wrong_constants_of_the_repulsion_are_seen() -> None:
    """What went wrong in another program: hartree for eV Å, the length in Å as if in bohr, 1/r for r, pairs twice."""
    assert pair_curve_error(lambda r, a, b: 27.2114 / 14.399645 * zbl_pair(r, a, b)) > 0.5
    assert pair_curve_error(lambda r, a, b: 0.529177 * zbl_pair(0.529177 * r, a, b)) > 0.1
    assert pair_curve_error(lambda r, a, b: zbl_pair(1.0 / r, a, b)) > 0.5
    assert pair_curve_error(lambda r, a, b: 2.0 * zbl_pair(r, a, b)) > 0.5


def test_the_repulsion_counts_each_pair_once_and_falls_to_zero_at_its_end() -> None:
    numbers = np.array([6, 8])
    graph = single(numbers)
    end = COVALENT[6] + COVALENT[8]

    def energy(r: float) -> np.ndarray:
        return np.asarray(repulsion(jnp.asarray([[0.0, 0, 0], [0, r, 0]]), graph))

    curve = [energy(r).sum() for r in np.linspace(0.05, end, 40)]
    assert np.all(np.diff(curve) < 0)
    assert curve[-1] == 0.0
    assert energy(end + 0.3).sum() == 0.0
    x = 0.5
    switch = 1 - x**4 * (35 - 84 * x + 70 * x**2 - 20 * x**3)
    np.testing.assert_allclose(energy(0.5 * end).sum(), float(zbl_pair(0.5 * end, 6.0, 8.0)) * switch, rtol=1e-12)
    np.testing.assert_allclose(energy(0.5 * end)[0], energy(0.5 * end)[1], rtol=1e-12)


def test_three_atoms_are_three_pairs_and_padding_is_none() -> None:
    x = np.array([[0.0, 0, 0], [0.9, 0, 0], [0.2, 0.7, 0]])
    z = np.array([6, 8, 1])
    pairs = [repulsion(jnp.asarray(x[[i, j]]), single(z[[i, j]])).sum() for i, j in ((0, 1), (0, 2), (1, 2))]
    np.testing.assert_allclose(repulsion(jnp.asarray(x), single(z)).sum(), sum(pairs), rtol=1e-12)
    lists = all_pairs(5)
    mask = lists.mask & (np.arange(5) < 3)[:, None] & (lists.index < 3)
    padded = single(np.array([6, 8, 1, 0, 0]), type(lists)(lists.index, mask))
    np.testing.assert_allclose(
        repulsion(jnp.asarray(np.vstack([x, np.zeros((2, 3))])), padded).sum(), sum(pairs), rtol=1e-12
    )
