"""Vibrations: a valence force field with known frequencies, and Hessians of quantum chemistry."""

from __future__ import annotations

import json
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from consilience.core.errors import InputError
from consilience.md.vibrations import _apart, check_hessian, normal_modes, vibrations
from consilience.units import CM1, KM_MOL

O, C = 15.99491461956, 12.0


class ValenceCO2(eqx.Module):
    """Bonds k and k12, angle kd (eV/rad²) of a linear triatomic; point charges q, -2q, q."""

    k: float = 100.0
    k12: float = 8.0
    kd: float = 5.0
    length: float = 1.16
    q: float = -0.35

    def __call__(self, x, neighbours):
        a, b = x[0] - x[1], x[2] - x[1]
        ra, rb = jnp.sqrt(a @ a), jnp.sqrt(b @ b)
        da, db = ra - self.length, rb - self.length
        # 2 (1 + cos) = delta² to second order and smooth at the straight angle
        return 0.5 * self.k * (da**2 + db**2) + self.k12 * da * db + self.kd * (1 + a @ b / (ra * rb))

    def dipole(self, x, neighbours):
        return self.q * (x[0] + x[2] - 2 * x[1])


class Quadratic(eqx.Module):
    """The second-order energy and first-order dipole of a stored Hessian, as far as atoms move."""

    x0: Any
    h: Any
    d: Any

    def __call__(self, x, neighbours):
        move = (x - self.x0).ravel()
        return 0.5 * move @ self.h @ move

    def dipole(self, x, neighbours):
        return (x - self.x0).ravel() @ self.d


LINE = (
    np.array([[-1.16, 0, 0], [0, 0, 0], [1.16, 0, 0]]) @ np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
)


def test_a_linear_triatomic_has_its_textbook_frequencies() -> None:
    """Wilson, Decius & Cross 1955: stretches (k + k12)/mO and (k - k12) m, bend 2 kd m / r², m = 1/mO + 2/mC."""
    f = ValenceCO2()
    found = vibrations(f, LINE, [O, C, O])
    m = 1 / O + 2 / C
    bend, sym, anti = (np.sqrt(v) * CM1 for v in (2 * f.kd * m / f.length**2, (f.k + f.k12) / O, (f.k - f.k12) * m))
    assert found.linear
    np.testing.assert_allclose(found.cm1, [bend, bend, sym, anti], atol=1e-6)
    # q (u_O1 + u_O2 - 2 u_C) along a mode with the centre of mass at rest: |dmu/dQ|² = 2 q² m for all but the symmetric
    ir = KM_MOL * 2 * f.q**2 * m
    np.testing.assert_allclose(found.ir_km_mol, [ir, ir, 0, ir], atol=1e-6)
    assert found.zero_point_energy == pytest.approx(0.5 * found.cm1.sum() / 8065.543937, rel=1e-8)


def test_modes_are_normal_and_leave_the_whole_at_rest() -> None:
    m = np.array([O, C, O])
    q = vibrations(ValenceCO2(), LINE, m).modes
    np.testing.assert_allclose(np.einsum("anx,n,bnx->ab", q, m, q), np.eye(4), atol=1e-12)
    np.testing.assert_allclose(np.einsum("n,anx->ax", m, q), 0, atol=1e-12)
    np.testing.assert_allclose(np.cross(LINE, m[None, :, None] * q).sum(1), 0, atol=1e-10)


def test_a_saddle_has_a_negative_frequency() -> None:
    assert vibrations(ValenceCO2(kd=-1.0), LINE, [O, C, O]).cm1[0] < -100


@pytest.mark.parametrize(("name", "count"), [("co2/co2_mp2", 4), ("h2co/h2co_mp2", 6), ("ethanol/ethanol", 21)])
def test_stored_hessians_give_their_frequencies_and_intensities(data_dir, name, count) -> None:
    ref = json.loads((data_dir / "qm" / f"{name}_harmonic.json").read_text())
    x = np.array(ref["R"])
    model = Quadratic(x, np.array(ref["hessian_eV_A2"]), np.array(ref["dipole_derivative_e"]))
    found = vibrations(model, x, ref["masses_amu"])
    assert len(found.cm1) == count
    np.testing.assert_allclose(found.cm1, ref["freq_cm1"], atol=0.1)
    np.testing.assert_allclose(found.ir_km_mol, ref["ir_km_mol"], rtol=5e-3, atol=0.01)


def test_differences_of_forces_confirm_a_smooth_energy() -> None:
    a, b = check_hessian(ValenceCO2(), LINE, [O, C, O])
    assert (a.step, b.step) == (0.002, 0.01)
    assert a.max_cm1 < 0.05
    assert 15 < b.max_difference / a.max_difference < 35  # the square of the ratio of steps: 25


class _Kinked(ValenceCO2):
    def __call__(self, x, neighbours):
        off = jnp.sum((x[0] + x[2] - 2 * x[1]) ** 2)  # vanishes by symmetry
        return super().__call__(x, neighbours) + 0.02 * jnp.sqrt(off + 1e-8)


def test_a_kink_at_a_symmetric_point_is_seen() -> None:
    a, b = check_hessian(_Kinked(), LINE, [O, C, O])
    assert a.max_cm1 > 100
    assert b.max_difference < 35 * a.max_difference


def test_some_atoms_stand_for_many() -> None:
    """Of two atoms, the third held: as smooth, with fewer modes; and the same kink is seen."""
    rows = np.array([0, 1])
    smooth = check_hessian(ValenceCO2(), LINE, [O, C, O], rows=rows)
    kinked = check_hessian(_Kinked(), LINE, [O, C, O], rows=rows)
    whole = check_hessian(ValenceCO2(), LINE, [O, C, O])
    assert smooth[0].max_cm1 < 0.05
    assert smooth[0].max_difference <= whole[0].max_difference
    assert kinked[0].max_cm1 > 100


def test_soft_modes_differ_by_their_squares() -> None:
    found = _apart(np.array([1000.0, 600.0, 5.0, -5.0]), np.array([998.0, 0.0, 0.0, 5.0]))
    np.testing.assert_allclose(found, [2.0, 600.0, 0.25, 0.5])


def test_a_hessian_that_is_not_finite_is_refused() -> None:
    with pytest.raises(InputError, match="finite"):
        normal_modes(np.full((9, 9), np.nan), LINE, [O, C, O])
