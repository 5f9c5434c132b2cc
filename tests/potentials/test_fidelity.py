"""PhysNet, the equivariant network and the electrostatics against their equations, written a second time as loops."""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from consilience.forces import forces_from
from consilience.neighbours import Neighbours, all_pairs
from consilience.potentials.build import Architecture, build
from consilience.potentials.distributed import DistributedCharges
from consilience.potentials.electrostatics import Coulomb, corrected_charges, potential_at
from consilience.potentials.equivariant import EquivariantNetwork, Features
from consilience.potentials.graph import single, stacked
from consilience.potentials.layers import MLP, Dense
from consilience.potentials.physnet import Module, Residual, physnet
from consilience.potentials.potential import Potential
from consilience.potentials.weights import cast

WATER = np.array([[0.02, 0.11, -0.03], [0.95, 0.2, 0.1], [-0.3, 0.93, 0.2]])
Z = np.array([8, 1, 1])
K = 14.3996454784936  # e²/(4 pi eps0), eV Å


# ---- PhysNet (Unke & Meuwly 2019), one atom at a time


def softplus(x: np.ndarray) -> np.ndarray:
    return np.log(np.exp(x) / 2 + 0.5)


def linear(layer: Dense, x: np.ndarray) -> np.ndarray:
    """out_k = sum_j x_j w_jk + b_k."""
    w = np.asarray(layer.weight, float)
    out = np.array([sum(x[j] * w[j, k] for j in range(len(x))) for k in range(w.shape[1])])
    return out if layer.bias is None else out + np.asarray(layer.bias, float)


def residual(block: Residual, x: np.ndarray) -> np.ndarray:
    return x + linear(block.outer, softplus(linear(block.inner, softplus(x))))


def gaussians(r: float, cutoff: float, size: int) -> np.ndarray:
    beta = (2 / size * (1 - math.exp(-cutoff))) ** -2
    mu = [math.exp(-cutoff) + k * (1 - math.exp(-cutoff)) / (size - 1) for k in range(size)]
    return np.array([math.exp(-beta * (math.exp(-r) - m) ** 2) for m in mu])


def physnet_basis(r: float, cutoff: float, size: int) -> np.ndarray:
    u = r / cutoff
    return (1 - 6 * u**5 + 15 * u**4 - 10 * u**3 if u < 1 else 0.0) * gaussians(r, cutoff, size)


def physnet_module(m: Module, features: list[np.ndarray], x: np.ndarray, cutoff: float, size: int):
    new, outputs = [], []
    for i in range(len(x)):
        v = softplus(linear(m.own, softplus(features[i])))
        for j in range(len(x)):
            if j != i:
                g = np.asarray(m.attention, float).T @ physnet_basis(float(np.linalg.norm(x[j] - x[i])), cutoff, size)
                v = v + g * softplus(linear(m.others, softplus(features[j])))
        for block in m.interaction:
            v = residual(block, v)
        f = np.asarray(m.gate, float) * features[i] + linear(m.update, softplus(v))
        for block in m.atomic:
            f = residual(block, f)
        new.append(f)
        for block in m.readout:
            f = residual(block, f)
        outputs.append(linear(m.output, softplus(f)))
    return new, outputs


def test_physnet_is_that_of_its_paper() -> None:
    """Energies, charges, the hierarchy penalty and the Coulomb energy of three atoms (eq. 2-14 there)."""
    rng = np.random.default_rng(1)
    net = physnet(rng, (1, 8), cutoff=3.0, features=5, modules=2, radial_size=6)
    net = jax.tree.map(lambda w: w + 0.3 * rng.normal(size=w.shape), net)  # no weight is zero or one
    potential = cast(Potential(net, np.array([-13.6, -2041.0]), np.asarray(1.0), None, Coulomb(3.0, 8.0)), np.float64)
    net = potential.network
    parts, found = eqx.filter_jit(Potential.energies)(potential, jnp.asarray(WATER), single(Z, charge=1.0))

    kinds = [net.species.index(z) for z in Z]
    features = [np.asarray(net.embedding, float)[k] for k in kinds]
    total, by_module = [np.zeros(2) for _ in Z], []
    for m in net.modules:
        features, outputs = physnet_module(m, features, WATER, 3.0, 6)
        by_module.append(outputs)
        total = [t + o for t, o in zip(total, outputs, strict=True)]
    scale, shift = np.asarray(net.scale, float), np.asarray(net.shift, float)
    final = [scale[k] * t + shift[k] for k, t in zip(kinds, total, strict=True)]
    energy = sum(f[0] for f in final)
    excess = sum(f[1] for f in final) - 1.0
    charges = [f[1] - excess / 3 for f in final]
    penalty = 0.0
    for i in range(3):
        for c in range(2):
            a, b = by_module[1][i][c] ** 2, by_module[0][i][c] ** 2
            penalty += a / (a + b + 1e-7)
    coulomb = 0.0
    for i in range(3):
        for j in range(i):
            coulomb += pair_energy(float(np.linalg.norm(WATER[i] - WATER[j])), charges[i], charges[j], 3.0, 8.0)

    assert float(parts["network"][0]) == pytest.approx(energy, abs=1e-6)
    np.testing.assert_allclose(found.charges, charges, atol=1e-6)
    assert float(found.penalty) == pytest.approx(penalty / 3, abs=1e-6)
    assert float(parts["coulomb"][0]) == pytest.approx(coulomb, abs=1e-6)
    assert float(parts["offsets"][0]) == pytest.approx(2 * -13.6 - 2041.0, abs=1e-9)
    assert float(found.energy[0]) == pytest.approx(energy + coulomb + 2 * -13.6 - 2041.0, abs=1e-6)
    np.testing.assert_allclose(found.dipole[0], sum(q * r for q, r in zip(charges, WATER, strict=True)), atol=1e-6)
    assert abs(energy) > 0.1 and 0.05 < penalty < 6 and abs(coulomb) > 1e-2


def test_the_origins_network_is_not_physnet() -> None:
    """What the fidelity test above would see: one module instead of two, or outputs of the last module only."""
    net = physnet(np.random.default_rng(1), (1, 8), cutoff=3.0, features=5, modules=2, radial_size=6)
    net = eqx.tree_at(lambda n: [m.output.weight for m in n.modules], net, [m.output.weight * 300 for m in net.modules])
    lists = all_pairs(3)
    vectors = lists.vectors(jnp.asarray(WATER))
    whole = eqx.filter_jit(net)(vectors, jnp.asarray(Z), lists)[0]
    first = eqx.filter_jit(eqx.tree_at(lambda n: n.modules, net, net.modules[:1]))(vectors, jnp.asarray(Z), lists)[0]
    assert np.abs(whole - first).max() > 1e-3


# ---- the equivariant network, one edge at a time


def silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


def perceptron(net: MLP, x: np.ndarray) -> np.ndarray:
    for layer in net.layers[:-1]:
        x = silu(linear(layer, x))
    return linear(net.layers[-1], x)


def septic(x: float) -> float:
    x = min(max(x, 0.0), 1.0)
    return 1 - x**4 * (35 - 84 * x + 70 * x**2 - 20 * x**3)


def equivariant_features(net: EquivariantNetwork, z: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scalars (n, F) and vectors (n, 3, F) after one interaction of degree l = 1."""
    n, (layer,) = len(x), net.interactions
    radii = {1: 0.32, 8: 0.63}
    s = [np.asarray(net.embedding, float)[net.species.index(k)] for k in z]
    f = len(s[0])
    scalars, vectors = [], []
    for i in range(n):
        ds, dv = np.zeros(f), np.zeros((3, f))
        for j in range(n):
            if j == i:
                continue
            d = x[j] - x[i]
            r = float(np.linalg.norm(d))
            share = r / (radii[int(z[i])] + radii[int(z[j])])
            smooth = septic(r / net.cutoff) * (1 - septic((share - 0.5) / 0.2))
            k = math.pi * np.arange(1, net.radial_size + 1) / net.cutoff
            basis = math.sqrt(2 / net.cutoff) * np.sin(k * r) / r
            if net.radial == "exponential":
                basis = gaussians(r, net.cutoff, net.radial_size)
            basis = np.append(basis, 1.0) * smooth
            weight = perceptron(layer.sender, s[j]) * linear(layer.radial, basis)
            ds += weight[:f] / math.sqrt(10)
            dv += np.outer(math.sqrt(3) * d / r, weight[f:]) / math.sqrt(10)
        here = s[i] + ds
        left = np.array([linear(layer.left[0], dv[c]) for c in range(3)])
        right = np.array([linear(layer.right[0], dv[c]) for c in range(3)])
        square, inner = (right**2).sum(0) / 3, (left * right).sum(0) / 3
        gates = perceptron(layer.update, np.concatenate([here, np.sqrt(1 + square) - 1]))
        scalars.append(here + gates[:f] + gates[f : 2 * f] * inner)
        vectors.append(dv + gates[2 * f : 3 * f] * left)
        if layer.bounded:
            for made in (scalars, vectors):
                mean = sum(float(v) ** 2 for v in made[-1].ravel()) / made[-1].size
                made[-1] = made[-1] / (1 + mean**2 / 16) ** 0.25
    return np.array(scalars), np.array(vectors)


@pytest.mark.parametrize(("radial", "bounded"), [("bessel", False), ("exponential", True)])
def test_the_equivariant_network_is_its_equations(radial: Any, bounded: bool) -> None:
    a = Architecture(
        "equivariant", (1, 8), 2.5, features=4, layers=1, l_max=1, radial_size=5, radial=radial, bounded=bounded
    )
    potential = build(a)
    net = cast(potential, np.float64).network
    net = eqx.tree_at(lambda n: n.output.layers[-1].bias, net, np.array([0.3, -0.2]))
    lists = single(Z).neighbours
    out, features, penalty = eqx.filter_jit(net)(lists.vectors(jnp.asarray(WATER)), jnp.asarray(Z), lists)
    scalars, vectors = equivariant_features(net, Z, WATER)
    np.testing.assert_allclose(features.scalars, scalars, atol=1e-10)
    np.testing.assert_allclose(features.vectors, vectors, atol=1e-10)
    np.testing.assert_allclose(out, [perceptron(net.output, s) for s in scalars], atol=1e-10)
    assert float(penalty) == 0.0
    assert np.abs(vectors).max() > 0.1


def test_features_have_an_end_on_geometries_like_no_other() -> None:
    """Large weights, as training makes them, and atoms that meet: products of products, with an end."""
    for bounded in (True, False):
        made = build(Architecture("equivariant", (1, 8), 4.0, features=8, layers=3, l_max=2, bounded=bounded))
        net = jax.tree.map(lambda w: 2.0 * w, cast(made, np.float64).network)
        lists = single(Z).neighbours
        found = net.features(lists.vectors(jnp.asarray(WATER)), jnp.asarray(Z), lists)
        size = [float(jnp.sqrt(jnp.mean(v**2, -1)).max()) for v in (found.scalars, found.tensors.reshape(3, -1))]
        assert max(size) <= 2.0 + 1e-12 if bounded else min(size) > 3.0


# ---- electrostatics


def pair_energy(r: float, q1: float, q2: float, damping: float, cutoff: float) -> float:
    """Eq. 13 of the paper, with the smoother envelope for both switches."""
    near = septic(2 * r / damping)
    return K * q1 * q2 * (near / math.sqrt(r * r + 1) + (1 - near) / r) * septic(2 * r / cutoff - 1)


@jax.jit
def site_energy(x, off, q):
    return jnp.sum(Coulomb(4.0, 10.0)(x, x[:, None] + off, q, single(np.ones(len(x), int))))


def coulomb(x, q, off=None):
    x, q = np.asarray(x, float), np.asarray(q, float)
    return site_energy(x, np.zeros((len(x), 1, 3)) if off is None else off, q[:, None] if q.ndim == 1 else q)


def test_the_coulomb_energy_is_quadratic_in_the_charges_and_zero_without() -> None:
    q = np.array([0.4, -0.7, 0.2])
    one = float(coulomb(WATER, q))
    assert float(coulomb(WATER, 0 * q)) == 0.0
    assert float(coulomb(WATER, 2 * q)) == pytest.approx(4 * one, rel=1e-14)
    assert float(coulomb(WATER, -q)) == pytest.approx(one, rel=1e-14)
    assert abs(one) > 0.1


@pytest.mark.parametrize("r", [0.2, 0.9, 1.7, 2.0, 3.0, 4.9, 6.0, 8.0, 9.9, 10.0, 11.0])
def test_a_pair_of_charges_has_the_energy_of_the_paper(r: float) -> None:
    found = float(coulomb([[0.0, 0, 0], [0, 0, r]], [0.5, -0.8]))
    assert found == pytest.approx(pair_energy(r, 0.5, -0.8, 4.0, 10.0), rel=1e-9, abs=1e-15)
    if 2.0 <= r <= 5.0:  # beyond the damping and inside half the cutoff: points
        assert found == pytest.approx(K * 0.5 * -0.8 / r, rel=1e-9)
    if r >= 10.0:
        assert found == 0.0


def test_distributed_charges_interact_site_by_site_and_not_within_an_atom() -> None:
    x = np.array([[0.0, 0, 0], [4.3, 0.5, 0]])
    off = 0.2 * np.random.default_rng(3).normal(size=(2, 2, 3))
    q = np.array([[0.4, -0.1], [-0.5, 0.3]])
    expected = 0.0
    for a in range(2):
        for b in range(2):
            r = float(np.linalg.norm(x[1] + off[1, b] - x[0] - off[0, a]))
            expected += K * q[0, a] * q[1, b] / r
    assert float(coulomb(x, q, off)) == pytest.approx(expected, rel=1e-9)


def test_near_atoms_are_single_charges_for_each_other_whatever_their_sites() -> None:
    """Up to half the damping, 2 Å here: else forces would say where sites have to be, and not the potential outside."""
    x = np.array([[0.0, 0, 0], [1.4, 0.5, 0]])
    off = 0.9 * np.random.default_rng(4).normal(size=(2, 3, 3))
    q = np.array([[0.4, -0.1, 0.2], [-0.5, 0.3, -0.4]])
    expected = pair_energy(float(np.linalg.norm(x[1] - x[0])), 0.5, -0.6, 4.0, 10.0)
    assert float(coulomb(x, q, off)) == pytest.approx(expected, rel=1e-9)
    assert np.all(jax.grad(site_energy, 1)(x, off, q) == 0.0)


def test_the_force_between_charges_is_smooth_to_the_cutoff_and_where_sites_meet() -> None:
    energy_force = jax.jit(forces_from(site_energy))
    q, off = np.ones((2, 1)), np.zeros((2, 1, 3))
    r = np.concatenate([np.linspace(0.05, 10.3, 300), [10 - 1e-6, 10 + 1e-6]])
    force = [float(energy_force(np.array([[0.0, 0, 0], [0, 0, s]]), off, q)[1][1, 2]) for s in r]
    assert np.abs(np.diff(force[:300])).max() < 0.5  # eV/Å, for steps of 0.034 Å
    assert max(np.abs(force[300:])) < 1e-8
    meeting = np.array([[[1.5, 0, 0]], [[-1.5, 0, 0]]])
    x = np.array([[0.0, 0, 0], [3.0, 0, 0]])
    assert np.isfinite(energy_force(x, meeting, q)[1]).all()
    assert np.isfinite(jax.jit(jax.hessian(site_energy))(x, meeting, q)).all()


def test_corrected_charges_sum_to_the_total_charge_of_each_molecule() -> None:
    numbers = np.array([[8, 1, 1, 0], [6, 8, 0, 0]])
    none = Neighbours(np.zeros((2, 4, 1), np.int32), np.zeros((2, 4, 1), bool), None, np.zeros(2, bool))
    graph = stacked(jnp.asarray(numbers), none, jnp.asarray([-1.0, 2.0]))
    raw = np.random.default_rng(0).normal(size=8)
    q = np.asarray(corrected_charges(jnp.asarray(raw), graph)).reshape(2, 4)
    np.testing.assert_allclose(q.sum(1), [-1.0, 2.0], atol=1e-14)
    assert np.all(q[numbers == 0] == 0.0)
    np.testing.assert_allclose(np.diff(q[0, :3]), np.diff(raw[:3]), atol=1e-14)  # the same shift for each atom
    right = corrected_charges(jnp.asarray(q.ravel()), graph)
    np.testing.assert_allclose(right, q.ravel(), atol=1e-15)


def test_the_potential_of_charges_is_in_volts() -> None:
    v = potential_at(jnp.asarray([[0.0, 0, 2.0]]), jnp.asarray([[0.0, 0, 0], [0, 0, 1.0]]), jnp.asarray([1.0, -0.5]))
    assert float(v[0]) == pytest.approx(K / 2 - 0.5 * K / 1, rel=1e-9)


def distributed() -> DistributedCharges:
    made = build(Architecture("equivariant", (1, 8), features=6, layers=1, sites=3)).charges
    assert isinstance(made, DistributedCharges)
    return eqx.tree_at(lambda d: d.directions.weight, made, made.directions.weight * 100)


def test_distributed_charges_sum_exactly_and_stay_within_reach() -> None:
    rng = np.random.default_rng(2)
    model = distributed()
    features = Features(jnp.asarray(rng.normal(size=(3, 6))), jnp.asarray(rng.normal(size=(3, 3, 6))))
    q = jnp.asarray([-0.8, 0.3, 0.5])
    sites, charges = model(jnp.asarray(WATER), q, features, single(Z))
    np.testing.assert_allclose(charges.sum(1), q, atol=1e-15)
    away = np.linalg.norm(sites - WATER[:, None], axis=-1)
    assert 0.9 * model.reach < away.max() <= model.reach
    _, charges = model(jnp.asarray(WATER), q, features, single(np.array([8, 1, 0])))
    assert np.all(charges[2] == 0.0)


def test_sites_move_smoothly_where_their_direction_vanishes() -> None:
    """No unit vector is taken: at zero the displacement is linear in the feature, with finite derivatives."""
    model = distributed()
    scalars = jnp.asarray(np.random.default_rng(2).normal(size=(3, 6)))

    def away(t):
        features = Features(scalars, t * jnp.ones((3, 3, 6)))
        return model(jnp.zeros((3, 3)), jnp.zeros(3), features, single(Z))[0]

    first, second = jax.jit(lambda t: (jax.jacfwd(away)(t), jax.jacfwd(jax.jacfwd(away))(t)))(0.0)
    assert np.isfinite(first).all() and np.abs(first).max() > 0
    assert np.isfinite(second).all()
    h = 1e-6
    near = jax.jit(away)
    np.testing.assert_allclose((near(h) - near(-h)) / (2 * h), first, rtol=1e-5, atol=1e-8)
