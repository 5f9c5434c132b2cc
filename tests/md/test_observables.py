"""Observables of chains against independent formulas: a singular value decomposition, differences, known shapes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from consilience.core.compiled import light_jit
from consilience.core.errors import InputError
from consilience.md import observables as ob

RNG = np.random.default_rng(4)


def walk(n: int = 12) -> np.ndarray:
    step = RNG.normal(size=(n, 3))
    return np.cumsum(3.8 * step / np.linalg.norm(step, axis=1)[:, None], 0)


def kabsch(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(0), y - y.mean(0)
    u, s, vt = np.linalg.svd(x.T @ y)
    s[-1] *= np.sign(np.linalg.det(u) * np.linalg.det(vt))
    return float(np.sqrt(max(0.0, np.sum(x**2) + np.sum(y**2) - 2 * s.sum()) / len(x)))


def rotation() -> np.ndarray:
    q, _ = np.linalg.qr(RNG.normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))


def helix(n: int = 16) -> np.ndarray:
    t = np.radians(100.0) * np.arange(n)
    return np.stack([2.3 * np.cos(t), 2.3 * np.sin(t), 1.5 * np.arange(n)], 1)


def strand(n: int = 8) -> np.ndarray:
    i = np.arange(n)
    return np.stack([3.3 * i, 0.9 * (-1.0) ** i, 0.4 * np.sin(i)], 1)


def test_rmsd_is_that_of_kabsch() -> None:
    y = walk()
    frames = np.stack([y @ rotation() + RNG.normal(size=3) + w * RNG.normal(size=y.shape) for w in (0.1, 1, 5, 20)])
    found = light_jit(ob.rmsd)(jnp.asarray(frames), y)
    np.testing.assert_allclose(found, [kabsch(x, y) for x in frames], rtol=1e-6)
    mirror = y * [1, 1, -1]
    assert float(ob.rmsd(jnp.asarray(mirror), y)) == pytest.approx(kabsch(mirror, y), rel=1e-6)
    assert float(ob.rmsd(jnp.asarray(mirror), y)) > 1
    assert float(ob.rmsd(jnp.asarray(y @ rotation() + 3.0), y)) < 2e-4


@pytest.mark.parametrize("name", ["rmsd", "rg", "q", "ends"])
def test_gradients_are_differences_and_finite_at_the_reference(name) -> None:
    y = helix(12)
    contacts = ob.native_contacts(y)
    f = {
        "rmsd": lambda x: ob.rmsd(x, y),
        "rg": lambda x: ob.radius_of_gyration(x, np.arange(1.0, 13.0)),
        "q": lambda x: ob.native_fraction(x, contacts),
        "ends": ob.end_to_end,
    }[name]
    both = light_jit(jax.value_and_grad(f))
    x, v = jnp.asarray(y + RNG.normal(0, 0.7, y.shape)), RNG.normal(size=y.shape)
    h = 1e-5
    slope = (both(x + h * v)[0] - both(x - h * v)[0]) / (2 * h)
    assert float(jnp.sum(both(x)[1] * v)) == pytest.approx(float(slope), rel=1e-6)
    value, at_reference = both(jnp.asarray(y))
    assert np.isfinite(value)
    assert np.isfinite(at_reference).all()


def test_sizes_of_known_shapes() -> None:
    rod = np.zeros((2, 3))
    rod[1, 0] = 4.0
    assert float(ob.radius_of_gyration(rod)) == pytest.approx(2.0)
    assert float(ob.radius_of_gyration(rod, [3.0, 1.0])) == pytest.approx(np.sqrt(3.0))
    assert float(ob.end_to_end(rod)) == pytest.approx(4.0)


def test_native_fraction_falls_from_one_to_zero() -> None:
    y = helix(16)
    c = ob.native_contacts(y, separation=3)
    d = np.linalg.norm(y[c.pairs[:, 0]] - y[c.pairs[:, 1]], axis=1)
    np.testing.assert_allclose(c.distances, d)
    assert np.all((d < 8) & (np.diff(c.pairs, axis=1)[:, 0] >= 3))
    q = [float(ob.native_fraction(jnp.asarray(y * s), c)) for s in (1.0, 1.2, 2.0)]
    assert q[0] > 0.99
    assert q[1] == pytest.approx(0.5, abs=1e-9)
    assert q[2] < 0.01
    with pytest.raises(InputError, match="no contacts"):
        ob.native_contacts(strand(8) * 3)
    two = ob.native_contacts(
        np.concatenate([strand(4), strand(4) + np.array([0, 5.0, 0])]), chain=[0] * 4 + [1] * 4, number=[0, 1, 2, 3] * 2
    )
    assert np.all((two.pairs[:, 0] < 4) & (two.pairs[:, 1] >= 4))


def test_overlap_of_contact_maps() -> None:
    y = helix(16)
    assert ob.contact_overlap(y, y, separation=3) == 1.0
    assert ob.contact_overlap(np.stack([y, 10 * y]), y, separation=3).tolist() == [1.0, 0.0]


def test_secondary_structure_of_ideal_chains() -> None:
    assert "".join(ob.secondary_structure(helix())) == 16 * "H"
    assert "".join(ob.secondary_structure(strand())) == 8 * "E"
    assert "H" not in ob.secondary_structure(helix() * [1, 1, -1])  # a left-handed helix is none
    both = np.stack([helix(8), strand(8)])
    assert ["".join(r) for r in ob.secondary_structure(both)] == [8 * "H", 8 * "E"]
    assert "".join(ob.secondary_structure(strand(3))) == "CCC"


def test_the_sign_of_a_dihedral() -> None:
    x = np.array([[1.0, 0, 0], [0, 0, 0], [0, 0, 1], [0, 1.0, 1]])
    assert float(ob.dihedrals(jnp.asarray(x))[0]) == pytest.approx(np.pi / 2)
    assert np.degrees(np.asarray(ob.dihedrals(jnp.asarray(helix())))).mean() == pytest.approx(50, abs=3)
