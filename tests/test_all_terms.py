"""Every term of the library passes the conformance suite and stays finite at the hard points: one row for each term."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import equinox as eqx
import jax
import numpy as np
import pytest

from consilience.core.conformance import check_term
from consilience.core.fit import Prepared
from consilience.core.gradcheck import check_gradients
from consilience.core.objective import Objective
from consilience.core.params import Block, Model, PositiveDefinite
from consilience.core.stages import Stage
from consilience.frames.frames import Frames
from consilience.nmr.amides import amide_atoms
from consilience.nmr.blocks import six
from consilience.nmr.term import Observed, Relaxation
from consilience.potentials.beads.batch import Sample, packed
from consilience.potentials.beads.energy import bead_energy
from consilience.potentials.beads.model import BeadModel, NetworkShape
from consilience.potentials.beads.prior_fit import ForceMatching, Shrinkage
from consilience.potentials.beads.prior_normal import coefficients, flat, normal
from consilience.potentials.beads.terms import BeadForces, ForceCap, Smoothness
from consilience.potentials.build import Architecture, build
from consilience.potentials.dataset import batch_of
from consilience.potentials.labels import ReferenceData
from consilience.potentials.physnet import physnet
from consilience.potentials.weights import split

from . import tiny_beads as beads
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


@cache
def molecules_case(network: Any) -> Case:
    """Water and H2 (padded), with labels of every kind; H2 lacks its energy, dipole, some forces and the potential."""
    rng = np.random.default_rng(0)
    numbers = np.array([[8, 1, 1], [1, 1, 0]])
    x = np.array([[[0.0, 0, 0], [0.97, 0.1, 0], [-0.3, 0.9, 0]], [[0.0, 0, 0], [0.1, 0, 0.78], [0, 0, 0]]])
    forces, charges = rng.normal(size=(2, 3, 3)), rng.normal(size=(2, 3))
    forces[1, 1], forces[1, 2], charges[1, 2] = np.nan, 0.0, 0.0
    data = Frames(
        numbers, x, np.array([-2070.0, np.nan]), forces, np.array([[0.2, 0.3, 0.1], [np.nan] * 3]), charges,
        esp=np.array([[0.3, -0.2], [np.nan, np.nan]]), esp_xyz=np.array([[[0, 0, 3.0], [3, 0, 0]], [[np.nan] * 3] * 2]),
    )  # fmt: skip
    sites = 2 if network == "equivariant" else 0
    shape = Architecture(network, (1, 8), 3.0, 4, 1, 1, 4, sites, electrostatics=True, coulomb_cutoff=6.0)
    potential = build(shape, [-13.6, -2041.0], 1.5)
    if network == "physnet":  # with fewer blocks
        small = physnet(
            rng, (1, 8), cutoff=3.0, features=4, modules=2, radial_size=4, interaction_residuals=1, atomic_residuals=0
        )
        potential = replace(potential, network=small)
    weights, rest = split(potential)
    weights = jax.tree.map(lambda w: w + 0.2 * rng.normal(size=w.shape), weights)  # no layer without a say
    channels = {"energy": 0.1, "forces": 0.5, "dipole": 0.2, "charges": 0.1, "esp": 0.2}
    sigma = {k: np.asarray(v) for k, v in channels.items()}
    term = ReferenceData(rest, sigma, {"esp": np.asarray(0.5)}, np.asarray(0.01))
    return term, Model.of(net=Block(weights)), batch_of(data, potential, list(channels))


@cache
def prior_case(kind: str) -> Case:
    """Forces of a chain of six beads, by their normal equations; or how far coefficients are from others."""
    energy = bead_energy(beads.chains(), beads.known_prior())
    x = np.stack([beads.helix(6) + 0.2 * np.random.default_rng(i).normal(size=(6, 3)) for i in range(10)])
    prior = energy.prior.prior
    values = coefficients(prior)
    c, names = np.asarray(flat(values)), tuple(values)
    model = Model.of(**{k: Block.of(jax.tree.map(np.asarray, v)) for k, v in values.items()})
    if kind == "shrinkage":
        return Shrinkage(c + 0.1, np.ones_like(c), names), model, None
    return ForceMatching(np.asarray(0.3), names), model, normal(prior, energy.chains, x, 0.3 * x[::-1])


@cache
def network_case(kind: str) -> Case:
    """An Allegro network on frames of two chains in one pack, with the prior where that trains too."""
    rng = np.random.default_rng(0)
    shape = NetworkShape(cutoff=8.0, features=4, channels=2, layers=1, radial_size=4, temperature=True)
    weights, rest = split(BeadModel(None, (shape.build(),)).cast(64).networks[0])
    weights = jax.tree.map(lambda w: w + 0.2 * rng.normal(size=w.shape), weights)
    samples = []
    for names in (("GLY", "TRP", "LYS", "PRO"), ("ALA", "ALA", "GLU")):
        x = np.stack([beads.helix(len(names)) + 0.2 * rng.normal(size=(len(names), 3)) for _ in range(2)])
        samples.append(Sample(beads.chains(names), x, rng.normal(size=x.shape), np.ones(2), np.array([300.0, 450.0])))
    packs = packed(samples, 10.0, size=12)
    blocks = {"net": Block(weights)}
    if kind == "cap":
        return ForceCap(rest, np.asarray(0.05)), Model.of(**blocks), packs
    if kind == "smoothness":
        return Smoothness(rest, np.asarray(0.3), np.asarray(0.05)), Model.of(**blocks), packs
    prior = beads.known_prior() if kind == "both" else None
    if prior is not None:
        blocks |= {k: Block.of(jax.tree.map(np.asarray, v)) for k, v in coefficients(prior).items()}
    return BeadForces(rest, prior, np.asarray(0.3)), Model.of(**blocks), packs


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
    "molecules, equivariant": lambda: molecules_case("equivariant"),
    "molecules, PhysNet": lambda: molecules_case("physnet"),
    "prior of beads": lambda: prior_case("forces"),
    "prior of beads, shrinkage": lambda: prior_case("shrinkage"),
    "network of beads": lambda: network_case("alone"),
    "network and prior of beads": lambda: network_case("both"),
    "network of beads, cap of forces": lambda: network_case("cap"),
    "network of beads, smoothness": lambda: network_case("smoothness"),
}
HEAVY = {
    "diffraction, anisotropic",
    "diffraction, intensities",
    "diffraction, least squares",
    "molecules, equivariant",
    "molecules, PhysNet",
    "network and prior of beads",
    "network of beads, cap of forces",
    "network of beads, smoothness",
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in HEAVY else n for n in TERMS])
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


def test_what_is_not_known_of_a_molecule_has_no_say() -> None:
    """Labels of padding and any number in place of a missing label leave the value as it is."""
    term, model, obs = molecules_case("physnet")
    function = Objective({"m": term}, {"m": obs}, {"m": 1.0})
    value, gradient, _ = function.value_and_grad(model.raw(["net"]), model)
    assert np.isfinite(value)
    assert all(np.all(np.isfinite(g)) for g in jax.tree.leaves(gradient))
    changed = {k: np.array(v) for k, v in obs.labels.items()}
    changed["forces"][1, 2], changed["charges"][1, 2] = 1e3, -1e3
    other = eqx.tree_at(lambda o: o.labels, obs, changed)
    again, _, _ = Objective({"m": term}, {"m": other}, {"m": 1.0}).value_and_grad(model.raw(["net"]), model)
    assert float(again) == float(value)
    changed["forces"][1, 0] += 1.0
    third = eqx.tree_at(lambda o: o.labels, obs, changed)
    assert float(Objective({"m": term}, {"m": third}, {"m": 1.0}).value_and_grad(model.raw(["net"]), model)[0]) != value
