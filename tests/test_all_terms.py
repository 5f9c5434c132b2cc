"""Every term of the library passes the conformance suite and stays finite at the hard points: one row for each term."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import numpy as np
import pytest

from consilience.core.conformance import check_term
from consilience.core.fit import Prepared
from consilience.core.gradcheck import check_gradients
from consilience.core.objective import Objective
from consilience.core.params import Block, Model, PositiveDefinite
from consilience.core.stages import Stage
from consilience.nmr.amides import amide_atoms
from consilience.nmr.blocks import six
from consilience.nmr.term import Observed, Relaxation

from .nmr.two_domains import AXIAL, ISOTROPIC, RHOMBIC, molecule, relaxation, tensor
from .problems import built_in

Case = tuple[Any, Any, Any]  # term, model, observations


@cache
def crystal(target: str = "ml", adp: str = "iso") -> Prepared:
    problem = built_in("intensities" if target == "mli" else "data", target=target, adp=adp, jelly=True)
    stage = Stage(("xyz", "b" if adp == "iso" else "u"), 1)
    ready = problem.prepare(problem.start(), {}, stage)
    rng = np.random.default_rng(0)  # nowhere special: springs stretched, tensors tilted, B scattered
    model = ready.model
    moved = {"xyz": model["xyz"] + 0.05 * rng.normal(size=model["xyz"].shape)}
    if adp != "iso":
        moved["u"] = model["u"] * rng.uniform(0.9, 1.1, model["u"].shape)
    else:
        moved["b"] = model["b"] * rng.uniform(0.7, 1.4, model["b"].shape)
    return Prepared(model.with_values(**moved), ready.terms, ready.obs)


def of(name: str, *kind: str) -> Callable[[], Case]:
    def make() -> Case:
        state = crystal(*kind)
        return state.terms[name], state.model, state.obs.get(name)

    return make


@cache
def relaxation_case(values: tuple[float, ...] = RHOMBIC, rigid: bool = False) -> Case:
    """Rates of eight amides off their true tensor; `rigid`: S2 = 1, te = 0."""
    structure = molecule(4)
    data = relaxation(structure, tensor(RHOMBIC))
    motion = (1.0, 1.0, 0.0, 0.0, 0.0) if rigid else (0.9, 0.85, 0.02, 0.6, 0.5)
    atoms = amide_atoms(structure, data.residues)
    model = Model.of(
        xyz=Block.of(structure.xyz),
        diffusion=Block.of(six(tensor(values, 9.0), np), PositiveDefinite()),
        dynamics=Block.of(np.tile(motion, (len(atoms), 1))),
    )
    return Relaxation.of(atoms, data.columns), model, Observed.of(data)


TERMS: dict[str, Callable[[], Case]] = {
    "diffraction, amplitudes": of("xray"),
    "diffraction, least squares": of("xray", "ls"),
    "diffraction, intensities": of("xray", "mli"),
    "diffraction, anisotropic": of("xray", "ml", "aniso"),
    "geometry": of("geometry"),
    "similarity of B": of("adp"),
    "similarity of U": of("adp", "ml", "aniso"),
    "jelly body": of("jelly"),
    "relaxation": relaxation_case,
    "relaxation, axial tensor": lambda: relaxation_case(AXIAL),
    "relaxation, rigid amides": lambda: relaxation_case(RHOMBIC, True),
}


@pytest.mark.parametrize("name", TERMS)
def test_conformance(name: str) -> None:
    report = check_term(*TERMS[name]())
    assert report.passed, report.failures
    for pair in report.gradients:
        assert np.median(pair.all_errors) < 1e-9, pair.as_dict()
        assert pair.rel_error < 1e-6


HARD: dict[str, Callable[[Any], dict[str, np.ndarray]]] = {
    "all atoms in one point": lambda m: {"xyz": np.zeros_like(m["xyz"])},
    "all atoms on a line": lambda m: {"xyz": m["xyz"] * np.array([1.0, 0.0, 0.0])},
    "all atoms in a plane": lambda m: {"xyz": m["xyz"] * np.array([1.0, 1.0, 0.0])},
    "far from the origin": lambda m: {"xyz": m["xyz"] + 1e4},
    "no occupancy: F = 0": lambda m: {"occ": np.zeros_like(m["occ"])},
    "sharp and smeared": lambda m: {"b": np.where(np.arange(len(m["b"])) % 2, 1.0, 500.0)},
}


@pytest.mark.parametrize("where", HARD)
@pytest.mark.parametrize("name", ["diffraction, amplitudes", "diffraction, intensities", "geometry", "jelly body"])
def test_finite_at_the_hard_points(name: str, where: str) -> None:
    term, model, obs = TERMS[name]()
    model = model.with_values(**HARD[where](model))
    value, gradient, _ = Objective({name: term}, {name: obs}, {name: 1.0}).value_and_grad(model.raw(term.reads), model)
    assert np.isfinite(value)
    assert all(np.all(np.isfinite(g)) for g in jax.tree.leaves(gradient))


@pytest.mark.parametrize("values", [RHOMBIC, AXIAL, ISOTROPIC], ids=["rhombic", "axial", "isotropic"])
@pytest.mark.parametrize("where", list(HARD)[:4])
def test_relaxation_is_finite_at_the_hard_points(where: str, values: tuple[float, ...]) -> None:
    for rigid in (False, True):
        term, model, obs = relaxation_case(values, rigid)
        model = model.with_values(**HARD[where](model))
        value, gradient, _ = Objective({"nmr": term}, {"nmr": obs}, {"nmr": 1.0}).value_and_grad(
            model.raw(term.reads), model
        )
        assert np.isfinite(value)
        assert all(np.all(np.isfinite(g)) for g in jax.tree.leaves(gradient))
        if where == "all atoms in one point":
            assert np.all(gradient["xyz"] == 0.0)


@pytest.mark.parametrize("values", [AXIAL, ISOTROPIC], ids=["axial", "isotropic"])
def test_relaxation_in_float64_where_eigenvalues_coincide(values: tuple[float, ...]) -> None:
    term, model, obs = relaxation_case(values, True)
    for pair in check_gradients(term, model, obs, ["diffusion", "dynamics"]):
        assert pair.rel_error < 1e-6
