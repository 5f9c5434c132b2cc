"""--rigid-first: a model that was turned and shifted as a whole comes back; rotations against scipy."""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from consilience.examples import example_path
from consilience.jobs.common.options import RefineOptions, RunOptions
from consilience.jobs.refine.job import refine
from consilience.structure.read import read_structure
from consilience.structure.rigid import rotation
from consilience.structure.write import write_pdb


def test_rotation_is_scipys() -> None:
    for w in np.random.default_rng(0).uniform(-1, 1, (5, 3)):
        expected = Rotation.from_quat([*(w / 2), 1.0]).as_matrix()
        assert np.allclose(rotation(jnp.asarray(w)), expected, atol=1e-12)
    assert np.array_equal(rotation(jnp.zeros(3)), np.eye(3))


def test_turned_and_shifted_model_comes_back(tmp_path: Path) -> None:
    true = read_structure(example_path("crystal/true.pdb")).without_hydrogens()
    centre = true.xyz.mean(0)
    turn = Rotation.from_rotvec(np.radians([2.0, -3.0, 2.5])).as_matrix()
    moved = (true.xyz - centre) @ turn.T + centre + np.array([0.5, -0.4, 0.3])
    write_pdb(true.with_atoms(xyz=moved), tmp_path / "moved.pdb")
    options = RefineOptions(adp="iso", rigid_first=True, cycles=0)
    files = [tmp_path / "moved.pdb", example_path("crystal/data.mtz")]
    done = refine(files, options=options, run=RunOptions(output=tmp_path / "run"))
    before = np.sqrt(np.mean(np.sum((moved - true.xyz) ** 2, axis=1)))
    after = np.sqrt(np.mean(np.sum((done.refined.structure.xyz - true.xyz) ** 2, axis=1)))
    assert before > 0.7 and after < 0.12, (before, after)


@pytest.mark.slow
def test_a_turned_domain_comes_back(tmp_path: Path) -> None:
    true = read_structure(example_path("crystal/true.pdb")).without_hydrogens()
    late = np.array([c.name == "A" and r.seqid.num > 19 for c in true.hierarchy[0] for r in c for _ in r])
    hinge = true.xyz[late][0]
    turn = Rotation.from_rotvec(np.radians([6.0, 4.0, -5.0])).as_matrix()
    moved = np.where(late[:, None], (true.xyz - hinge) @ turn.T + hinge, true.xyz)
    write_pdb(true.with_atoms(xyz=moved), tmp_path / "moved.pdb")
    options = RefineOptions(adp="iso", domains="A:1-19;A:20-42", cycles=0, d_min=4.0)
    files = [tmp_path / "moved.pdb", example_path("crystal/data.mtz")]
    done = refine(files, options=options, run=RunOptions(output=tmp_path / "run"))
    before, after = (
        np.sqrt(np.mean(np.sum((x - true.xyz)[late] ** 2, axis=1))) for x in (moved, done.refined.structure.xyz)
    )
    assert before > 1.0 and after < 0.2, (before, after)
