"""Inversion, noise, divergences and mean-force errors against distributions and forces that are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from consilience.coarse.beads import Beads
from consilience.coarse.divergence import divergences, jensen_shannon
from consilience.coarse.internal import angles, dihedrals, gyration, rmsd
from consilience.coarse.inversion import invert, inverted, write_prior
from consilience.coarse.meanforce import (
    MeanForces,
    compare_mean_forces,
    explained_limit,
    explained_variance,
    mean_force_error,
    read_mean_forces,
)
from consilience.coarse.noise import _angle, _dihedral, residual_noise
from consilience.core.errors import InputError
from consilience.units import BOLTZMANN, KCAL_MOL

from .conftest import STIFFNESS, chain

KT = BOLTZMANN * 300.0


def free_chain(frames: int = 4000, beads: int = 7, seed: int = 0) -> Beads:
    """Freely jointed: directions are uniform, lengths have r² times a normal density."""
    rng = np.random.default_rng(seed)
    u = rng.standard_normal((frames, beads - 1, 3))
    u /= np.linalg.norm(u, axis=-1, keepdims=True)
    r = np.linspace(3.3, 4.3, 2001)
    p = r**2 * np.exp(-0.5 * STIFFNESS * KCAL_MOL * (r - 3.8) ** 2 / KT)
    steps = u * np.interp(rng.random((frames, beads - 1, 1)), np.cumsum(p) / p.sum(), r)
    x = np.concatenate([np.zeros((frames, 1, 3)), np.cumsum(steps, 1)], 1)
    made = chain(2, beads)
    return Beads(**{**vars(made), "positions": x, "forces": None, "temperature": np.full(frames, 300.0),
                    "trajectory": np.arange(frames) // 500})  # fmt: skip


def test_jacobians_are_removed(tmp_path: Path) -> None:
    """A free chain has no angle or dihedral potential, and its bonds give back the spring that made them."""
    made = {(v.kind, v.cls): v for v in invert([free_chain()])}
    bond = made["bond", "*"]
    good = bond.count > 200
    curve = np.polyfit(bond.r[good], bond.value[good], 2, w=np.sqrt(bond.count[good]))
    assert 2 * curve[0] == pytest.approx(STIFFNESS * KCAL_MOL, rel=0.06)
    assert -curve[1] / (2 * curve[0]) == pytest.approx(3.8, abs=0.004)
    for kind in ("angle", "dihedral"):
        v = made[kind, "*"]
        good = v.count > 50
        error = KT / np.sqrt(v.count[good])
        level = np.average(v.value[good], weights=1 / error**2)
        assert good.mean() > 0.9 and np.mean(((v.value[good] - level) / error) ** 2) < 1.5  # flat within its errors
    assert ("angle", "ALA") in made and ("dihedral", "ALA-*") in made and ("distance", "5+") in made
    write_prior(tmp_path / "prior.json", list(made.values()))
    terms = json.loads((tmp_path / "prior.json").read_text())["terms"]
    first = next(t for t in terms if t["kind"] == "bond")
    assert first["unit"] == "Å" and len(first["r"]) == len(first["value"]) == len(first["count"])
    np.testing.assert_allclose(first["value"], bond.value[bond.count > 0] / KCAL_MOL, atol=1e-4)


def test_distances_of_an_ideal_gas_are_flat() -> None:
    rng = np.random.default_rng(0)
    r = 20.0 * rng.random(400_000) ** (1 / 3)
    v = inverted("distance", "5+", r[r > 2.4], 300.0)
    good = (v.count > 300) & (v.r < 19.9)
    assert np.ptp(v.value[good]) < 0.3 * KT


def test_gradients_of_the_basis_and_internal_coordinates() -> None:
    rng = np.random.default_rng(1)
    x = 2 * rng.standard_normal((1, 5, 3))
    fours, triples = np.array([[0, 1, 2, 3], [4, 2, 0, 1]]), np.array([[0, 1, 2], [3, 0, 4]])
    np.testing.assert_allclose(_dihedral(x, fours)[0], dihedrals(x, fours), atol=1e-12)
    np.testing.assert_allclose(_angle(x, triples)[0], np.cos(angles(x, triples)), atol=1e-12)
    for function, members in ((_dihedral, fours), (_angle, triples)):
        gradients = function(x, members)[1]
        v, h = rng.standard_normal(x.shape), 1e-5
        numerical = (function(x + h * v, members)[0] - function(x - h * v, members)[0]) / (2 * h)
        terms = [np.einsum("fmk,fmk->fm", g, v[:, members[:, c]]) for c, g in enumerate(gradients)]
        np.testing.assert_allclose(np.sum(terms, 0), numerical, rtol=1e-7, atol=1e-8)


def test_rmsd_and_gyration() -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((3, 6, 3))
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    moved = x[0] @ turn + 5.0
    np.testing.assert_allclose(rmsd(np.stack([moved, moved * [1, 1, -1]]), x[0])[0], 0.0, atol=1e-6)
    assert rmsd((moved * [1, 1, -1])[None], x[0])[0] > 0.1  # a mirror image is another structure
    np.testing.assert_allclose(gyration(x, np.ones(6)) ** 2, x.var(1).sum(1))


def test_noise_is_found_below_the_signal() -> None:
    """White noise of 0.2 eV/Å on bond forces: the residual is that noise."""
    made = chain(600, 6)
    assert made.forces is not None
    rng = np.random.default_rng(0)
    noisy = Beads(**{**vars(made), "forces": made.forces + 0.2 * rng.standard_normal(made.forces.shape)})
    assert residual_noise(noisy) == pytest.approx(0.2, rel=0.05)
    found = residual_noise(made)
    assert found is not None and found < 0.02
    assert residual_noise(chain(5, 6)) is None


def test_divergences_and_their_floor() -> None:
    assert jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 2.0])) == pytest.approx(np.log(2))
    assert jensen_shannon(np.array([1.0, 3.0]), np.array([2.0, 6.0])) == 0.0
    p, q = np.array([0.5, 0.5]), np.array([0.9, 0.1])
    m = (p + q) / 2
    by_hand = 0.5 * (p * np.log(p / m)).sum() + 0.5 * (q * np.log(q / m)).sum()
    assert jensen_shannon(p, q) == pytest.approx(by_hand)
    a, b = free_chain(2000), free_chain(2000, seed=1)
    same = divergences(a, b)
    assert set(same) == {"bond", "angle", "dihedral", "distance", "rg", "rmsd"}
    assert all(d.value < 1.5 * d.reference_block for d in same.values())
    hot = Beads(**{**vars(a), "positions": 1.02 * a.positions})
    far = divergences(hot, b)
    assert far["bond"].value > 5 * far["bond"].reference_block and far["angle"].value < 2 * far["angle"].reference_block
    with pytest.raises(InputError, match="different chains"):
        divergences(chain(20, 5), b)


def test_errors_against_mean_forces(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    k, n = 400, 6
    truth, error = 0.35 * rng.standard_normal((k, n, 3)), np.full((k, n, 3), 0.05)
    measured = truth + error * rng.standard_normal(truth.shape)
    np.savez(tmp_path / "m.npz", R=rng.standard_normal((k, n, 3)), F_mean=measured / KCAL_MOL, F_sem=error / KCAL_MOL,
             noise_rms=np.full(k, 0.3) / KCAL_MOL, temp=300)  # fmt: skip
    reference = read_mean_forces(tmp_path / "m.npz")
    assert reference.rms == pytest.approx(0.35, rel=0.05) and reference.noise_rms == pytest.approx(0.3)
    assert reference.explained_limit == pytest.approx(0.35**2 / (0.35**2 + 0.3**2), abs=0.03)
    shared = 0.1 * rng.standard_normal(truth.shape)
    good, bad = truth + shared, truth + shared + 0.05 * rng.standard_normal(truth.shape)
    found = mean_force_error(good, reference)
    assert abs(found.value - 0.1) < 4 * found.standard_error and found.raw > found.value
    gain = compare_mean_forces(good, bad, reference)
    assert abs(gain.gain - (np.hypot(0.1, 0.05) - 0.1)) < 5 * gain.standard_error + 1e-3 and gain.sigmas > 5
    assert compare_mean_forces(good, good, reference).sigmas == 0.0
    noisy = truth + 0.3 * rng.standard_normal(truth.shape)
    assert explained_variance(truth, noisy) == pytest.approx(explained_limit(0.3, np.sqrt(0.35**2 + 0.09)), abs=0.03)
    with pytest.raises(InputError, match="no F_sem"):
        np.savez(tmp_path / "x.npz", R=truth, F_mean=truth)
        read_mean_forces(tmp_path / "x.npz")
    assert isinstance(reference, MeanForces)


def test_real_mean_forces(data_dir: Path) -> None:
    reference = read_mean_forces(data_dir / "cg" / "chignolin_meanforce.npz")
    assert reference.noise_rms is not None and reference.explained_limit is not None
    assert reference.noise_rms / KCAL_MOL == pytest.approx(7.99, abs=0.01) and 0.5 < reference.explained_limit < 0.55
    nothing = mean_force_error(np.zeros_like(reference.mean), reference)
    assert nothing.value == pytest.approx(reference.rms, rel=1e-9)
