"""Jelly body: rigid motion is free, deformation costs what its springs say, and the curvature is the Hessian."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation

from consilience.core.gradcheck import check_gradients
from consilience.core.params import Block, Model
from consilience.examples import example_path
from consilience.structure.jelly import JellyBody, jelly_pairs
from consilience.structure.read import read_structure

XYZ = np.random.default_rng(0).uniform(0, 4, (6, 3))
ALL = np.array([(i, j) for i in range(6) for j in range(i + 1, 6)], np.int32)


def value(term: JellyBody, xyz: np.ndarray) -> float:
    return float(term(Model.of(xyz=Block.of(xyz))).value)


def test_rigid_motion_is_free_and_deformation_is_not() -> None:
    term = JellyBody.of(ALL, XYZ)
    turned = Rotation.from_rotvec([0.3, -1.0, 0.2]).apply(XYZ)
    assert value(term, turned + np.array([5.0, -3.0, 1.0])) < 1e-12
    moved = XYZ + np.random.default_rng(1).normal(0, 0.05, XYZ.shape)
    expected = 0.5 * np.sum(((pdist(moved) - pdist(XYZ)) / 0.02) ** 2)
    assert value(term, moved) == pytest.approx(expected, rel=1e-8)


def test_curvature_and_gradients() -> None:
    term, model = JellyBody.of(ALL, XYZ), Model.of(xyz=Block.of(XYZ))
    exact = jax.hessian(lambda x: term(model.with_raw({"xyz": x})).value)(XYZ).reshape(18, 18)
    found = term.curvature(model)["xyz"].toarray()
    assert np.abs(found - np.asarray(exact)).max() < 1e-6 * np.abs(exact).max()
    moved = Model.of(xyz=Block.of(XYZ + 0.1 * np.random.default_rng(2).normal(size=XYZ.shape)))
    assert max(e.rel_error for e in check_gradients(term, moved, directions=5)) < 1e-6
    together = Model.of(xyz=Block.of(np.zeros((6, 3))))
    assert np.all(np.isfinite(jax.grad(lambda x: term(together.with_raw({"xyz": x})).value)(np.zeros((6, 3)))))


def test_pairs_are_close_and_of_one_conformer() -> None:
    s = read_structure(example_path("crystal/start.pdb")).without_hydrogens()
    pairs = jelly_pairs(s)
    d = np.linalg.norm(s.xyz[pairs[:, 0]] - s.xyz[pairs[:, 1]], axis=1)
    assert len(pairs) > len(s) and d.max() < 4.2
    assert not np.any((s.altloc[pairs[:, 0]] == "A") & (s.altloc[pairs[:, 1]] == "B"))
    water = np.array([r.is_water() for c in s.hierarchy[0] for r in c for _ in r])
    assert water.any() and not water[pairs].any()
