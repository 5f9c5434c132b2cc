"""The relaxation term: its rates are those of `predict_rates`, its gradients hold, and its curvature is J'J."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from consilience.core.gradcheck import check_gradients
from consilience.core.params import Block, Model, PositiveDefinite
from consilience.nmr.amide_constants import CSA_ANGLE
from consilience.nmr.amides import amide_atoms, amide_frames
from consilience.nmr.blocks import Motion, matrix, six, tensor_block
from consilience.nmr.predict import predict_rates
from consilience.nmr.term import Observed, Relaxation, jacobians
from consilience.nmr.vectors import amide_vectors
from consilience.structure.rigid import Turns

from .two_domains import RHOMBIC, molecule, relaxation, residues_of, tensor


@cache
def case(residues: int = 4, motion: tuple[float, ...] = (0.9, 0.85, 0.02, 0.6, 0.5)) -> tuple[Any, Model, Observed]:
    structure = molecule(residues)
    data = relaxation(structure, tensor(RHOMBIC))
    atoms = amide_atoms(structure, data.residues)
    model = Model.of(
        xyz=Block.of(structure.xyz),
        diffusion=Block.of(six(tensor(RHOMBIC), np), PositiveDefinite()),
        dynamics=Block.of(np.tile(motion, (len(atoms), 1))),
    )
    return Relaxation.of(atoms, data.columns), model, Observed.of(data)


def test_directions_are_those_of_placed_hydrogens() -> None:
    structure = molecule(6)
    residues = residues_of(structure)
    atoms = amide_atoms(structure, residues)
    assert [structure.hierarchy[0][0][1].name, len(residues)] == ["ALA", 12] and atoms.min() >= 0
    nh, side = (np.asarray(a) for a in amide_frames(jnp.asarray(structure.xyz)[atoms]))
    assert np.allclose(nh, amide_vectors(structure, residues).vectors, atol=1e-12)
    assert np.allclose(np.sum(nh * side, 1), 0, atol=1e-12) and np.allclose(np.linalg.norm(side, axis=1), 1)
    to_c = structure.xyz[atoms[:, 0]] - structure.xyz[atoms[:, 1]]
    assert np.all(np.sum(side * to_c, 1) > 0.5) and np.all(np.sum(nh * to_c, 1) < 0)


def test_rates_are_those_of_predict_rates() -> None:
    term, model, obs = case()
    xyz, motion = jnp.asarray(model["xyz"]), model["dynamics"]
    nh, side = (np.asarray(a) for a in amide_frames(xyz[term.atoms]))
    angle = np.radians(CSA_ANGLE)
    expected = predict_rates(
        nh, matrix(model["diffusion"]), [600.0, 800.0], s2=motion[:, 0] * motion[:, 1], te=motion[:, 3],
        s2f=motion[:, 0], tf=motion[:, 2], rex=motion[:, 4], r=1.02, csa_axis=np.cos(angle) * nh + np.sin(angle) * side,
    )  # fmt: skip
    found = np.asarray(term.predicted(xyz[term.atoms], model["diffusion"], motion))
    assert np.allclose(found, np.concatenate([expected[k] for k in expected], 1), rtol=1e-12)
    score = term(model, obs)
    chi2 = np.sum(((found - obs.value) / obs.sigma) ** 2)
    assert np.isclose(score.value, chi2 / 2) and np.isclose(sum(score.diagnostics.values()) - obs.value.size, chi2)


def test_nothing_depends_on_coordinates_where_tumbling_is_isotropic() -> None:
    term, model, obs = case()
    model = Model({**model.blocks, "diffusion": tensor_block(np.eye(3) * 0.02, "iso")})
    gradient = jax.grad(lambda raw: term(model.with_raw(raw), obs).value)(model.raw(["xyz"]))["xyz"]
    free = Model({**model.blocks, "diffusion": Block.of(six(tensor(RHOMBIC), np), PositiveDefinite())})
    usual = jax.grad(lambda raw: term(free.with_raw(raw), obs).value)(model.raw(["xyz"]))["xyz"]
    assert np.abs(gradient).max() < 1e-9 * np.abs(usual).max()
    moved = model.with_values(xyz=model["xyz"] @ Rotation.from_rotvec([0.3, 0.2, -0.5]).as_matrix())
    assert np.isclose(term(moved, obs).value, term(model, obs).value, rtol=1e-12)


def test_a_turn_of_all_is_a_turn_of_the_tensor() -> None:
    term, model, obs = case()
    turn = Rotation.from_rotvec([0.3, 0.2, -0.5]).as_matrix()
    tensor_now = np.asarray(matrix(model["diffusion"]))
    both = model.with_values(xyz=model["xyz"] @ turn.T, diffusion=six(turn @ tensor_now @ turn.T, np))
    assert np.isclose(term(both, obs).value, term(model, obs).value, rtol=1e-10)


def test_held_out_residues_do_not_count() -> None:
    structure = molecule(4)
    data = relaxation(structure, tensor(RHOMBIC))
    term, model, _ = case()
    rows = np.arange(len(data.residues)) != 2
    changed = data.value.copy()
    changed[2] *= 3
    values = [
        term(model, Observed.of(type(data)(data.residues, data.columns, v, data.sigma), rows)).value
        for v in (data.value, changed)
    ]
    assert values[0] == values[1] < term(model, Observed.of(data)).value


@pytest.mark.parametrize("shape", ["prolate", "oblate", "iso", "rhombic"])
def test_tensor_blocks(shape: Any) -> None:
    values = {"prolate": (1, 1, 2), "oblate": (1, 2, 2), "iso": (1, 1, 1), "rhombic": RHOMBIC}[shape]
    block = tensor_block(tensor(values), shape)
    assert np.allclose(matrix(np.asarray(block.value), np), tensor(values), rtol=1e-9)
    jac, size = jax.jacfwd(block.bijector.forward)(jnp.asarray(block.raw)), np.size(block.raw)
    for e, column in zip(1e-5 * np.eye(size), jac.T, strict=True):
        difference = block.bijector.forward(block.raw + e) - block.bijector.forward(block.raw - e)
        assert np.allclose(difference / 2e-5, column, atol=1e-9)


def test_motion_holds_and_moves() -> None:
    term, model, obs = case()
    n = len(term.atoms)
    held = np.tile([1.0, 1.0, 0.0, 0.0, 0.0], (n, 1))
    free = np.tile([False, True, False, True, True], (n, 1))
    block = Block.of(held, Motion(free, held))
    assert np.array_equal(np.asarray(block.value)[:, [0, 2]], held[:, [0, 2]])
    assert np.all(np.abs(np.asarray(block.value) - held) <= 0.011)
    model = Model({**model.blocks, "dynamics": block})
    assert max(g.rel_error for g in check_gradients(term, model, obs, ["dynamics"], directions=4)) < 1e-7


@pytest.mark.slow
def test_curvature_is_of_gauss_and_newton() -> None:
    term, model, obs = case()
    places = jnp.asarray(model["xyz"])[term.atoms]

    def residuals(xyz):
        return term.residuals(xyz.reshape(-1, 3)[term.atoms], model["diffusion"], model["dynamics"], obs).ravel()

    found = term.curvature(model, obs)
    assert places.shape == (8, 3, 3)
    jac = np.asarray(jax.jacfwd(residuals)(jnp.asarray(model["xyz"]).ravel()))
    assert np.allclose(found["xyz"].toarray(), jac.T @ jac, rtol=1e-9, atol=1e-9 * np.abs(jac.T @ jac).max())
    assert all(np.linalg.eigvalsh(h.toarray()).min() > -1e-6 * h.diagonal().max() for h in found.values())
    body = np.repeat([0, 1], len(model["xyz"]) // 2)
    turns = Turns(body, np.zeros((2, 3)), np.asarray(model["xyz"]))
    rigid = Model({**model.blocks, "xyz": Block(np.zeros((1, 3)), turns)})
    j = jacobians(term, rigid, obs)
    assert j.xyz.shape == (8, 10, 3) and np.all(j.xyz[:4] == 0) and np.abs(j.xyz[4:]).max() > 1
    flat = j.xyz.reshape(-1, 3)
    assert np.allclose(term.curvature(rigid, obs)["xyz"].toarray(), flat.T @ flat)
