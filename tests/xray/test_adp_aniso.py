"""Restraints on anisotropic displacement against textbook formulas, and their gradients."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from consilience.core.gradcheck import check_gradients
from consilience.core.params import Block, Model, PositiveDefinite
from consilience.xray.adp import Similarity
from consilience.xray.adp_aniso import RIGID_SIGMA, AnisotropicSimilarity, clipped, isotropic

INDEX = np.array([[0, 1], [1, 2], [2, 3], [0, 3]])
SIGMA = np.array([0.25, 0.35, 0.7, 0.5])
RIGID = np.array([[0, 1], [1, 2]])


@pytest.fixture
def term() -> AnisotropicSimilarity:
    xyz = np.random.default_rng(1).uniform(0, 3, (5, 3))
    return AnisotropicSimilarity.of(INDEX, SIGMA, RIGID, xyz, np.array([True, True, True, True, False]))


def tensors(seed: int = 2) -> np.ndarray:
    m = np.random.default_rng(seed).uniform(-0.2, 0.2, (5, 3, 3))
    m = m @ m.transpose(0, 2, 1) + 0.05 * np.eye(3)
    return m[:, [0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]


def model_of(u: np.ndarray) -> Model:
    return Model.of(u=Block.of(u, PositiveDefinite()), b=Block.of(8 * np.pi**2 * u[:, :3].mean(1)))


def full(u: np.ndarray) -> np.ndarray:
    return u[[[0, 3, 4], [3, 1, 5], [4, 5, 2]]]


def divergence(a: np.ndarray, b: np.ndarray) -> float:
    """Kullback-Leibler divergence of N(0, a) from N(0, b), with its logarithms."""
    return 0.5 * (np.trace(np.linalg.inv(b) @ a) - 3 + np.log(np.linalg.det(b) / np.linalg.det(a)))


def test_value_is_the_symmetric_divergence_and_the_rigid_bond(term: AnisotropicSimilarity) -> None:
    u = tensors()
    score = term(model_of(u), None)
    expected = 0.0
    for (i, j), s in zip(INDEX, SIGMA, strict=True):
        a, b = full(u[i]), full(u[j])
        expected += (divergence(a, b) + divergence(b, a)) * 2 / (3 * s**2) / 2
    assert float(score.diagnostics["similarity"]) == pytest.approx(expected, rel=1e-10)
    expected = 0.0
    for k in range(5):
        a, b = full(u[k]), np.eye(3) * np.trace(full(u[k])) / 3
        expected += (divergence(a, b) + divergence(b, a)) * 2 / (3 * term.isotropy[k] ** 2) / 2
    assert float(score.diagnostics["isotropy"]) == pytest.approx(expected, rel=1e-10)
    xyz, expected = np.random.default_rng(1).uniform(0, 3, (5, 3)), 0.0
    for i, j in RIGID:
        z = (xyz[i] - xyz[j]) / np.linalg.norm(xyz[i] - xyz[j])
        expected += 0.5 * ((z @ full(u[i]) @ z - z @ full(u[j]) @ z) / RIGID_SIGMA) ** 2
    assert float(score.diagnostics["rigid"]) == pytest.approx(expected, rel=1e-10)


def test_isotropic_tensors_cost_what_isotropic_atoms_cost(term: AnisotropicSimilarity) -> None:
    b = np.array([5.0, 9.0, 30.0, 12.0, 20.0])
    model = model_of(isotropic(b))
    score = term(model, None)
    assert float(score.diagnostics["similarity"]) == pytest.approx(float(Similarity(INDEX, SIGMA)(model).value))
    assert float(score.diagnostics["isotropy"]) == pytest.approx(0.0, abs=1e-12)


def test_gradients(term: AnisotropicSimilarity) -> None:
    for u in (tensors(), isotropic(np.array([1.0, 500.0, 10.0, 10.0, 2.0]))):
        errors = check_gradients(term, model_of(u), None, directions=5)
        assert max(e.rel_error for e in errors) < 1e-6


def test_curvature_is_the_hessian_of_like_isotropic_atoms(term: AnisotropicSimilarity) -> None:
    """Exact between atoms for each of the six numbers; the coupling of the six within an atom is left out."""
    model = model_of(isotropic(np.full(5, 15.0)))
    raw = model.raw(["u"])
    exact = jax.hessian(lambda r: term(model.with_raw({"u": r}), None).value)(raw["u"]).reshape(30, 30)
    found = term.curvature(model)["u"].toarray()
    apart = np.kron(np.ones((5, 5)), np.eye(6))
    apart[np.kron(np.eye(5), np.diag([1.0, 1, 1, 0, 0, 0])) > 0] = 0  # isotropy couples the diagonal of one atom
    assert np.abs((found - np.asarray(exact)) * apart).max() < 1e-8 * np.abs(exact).max()
    assert np.linalg.eigvalsh(found).min() > 0


def test_clipped_tensors_are_definite_and_others_untouched() -> None:
    u = np.vstack([tensors(), [0.01, 0.02, -0.03, 0.01, 0.0, 0.02]])
    found = clipped(u, 1.0, 500.0)
    assert np.array_equal(found[:5], u[:5])
    assert np.linalg.eigvalsh(full(found[5])).min() * 8 * np.pi**2 == pytest.approx(1.0)
