"""The direct summation that judges the fast code agrees with gemmi's in every space group.

gemmi evaluates X-ray and electron form factors in single precision (1e-7); with neutrons, where f is constant,
positions, operators, displacement and occupancies are compared to 1e-10.
"""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from consilience.structure.atoms import Structure

from .random_crystals import miller_indices, random_crystal, special_position
from .reference import form_factor, structure_factors

CALCULATORS = {"neutron": gemmi.StructureFactorCalculatorN, "xray": gemmi.StructureFactorCalculatorX}


def _gemmi_sf(structure: Structure, hkl: np.ndarray, calculator: type) -> np.ndarray:
    calc = calculator(structure.cell)
    return np.array([calc.calculate_sf_from_model(structure.hierarchy[0], h) for h in hkl.tolist()])


def test_all_230_groups_agree_with_gemmi() -> None:
    worst = {"neutron": 0.0, "xray": 0.0}
    with_special = 0
    for number in range(1, 231):
        crystal = random_crystal(number, seed=3, n_atoms=3)
        hkl = miller_indices(crystal, 2.6)
        hkl = hkl[:: max(1, len(hkl) // 6)]
        for source, calculator in CALCULATORS.items():
            f, expected = structure_factors(crystal, hkl, source), _gemmi_sf(crystal, hkl, calculator)
            worst[source] = max(worst[source], np.abs(f - expected).max() / np.abs(expected).max())
        first = crystal.hierarchy[0][0][0][0]
        with_special += crystal.cell.is_special_position(first.pos, 1e-4) > 0
    assert worst["neutron"] < 1e-10
    assert worst["xray"] < 1e-6
    assert with_special > 200


@pytest.mark.parametrize("name", ["P 1 1 2", "I 1 2 1", "R 3:R", "R 3 2:H", "P n n n:1", "F d -3 m:2", "C 1 2 1"])
def test_other_settings_agree_with_gemmi(name: str) -> None:
    crystal = random_crystal(name, seed=1)
    assert crystal.spacegroup.xhm() == name
    hkl = miller_indices(crystal, 2.5)[::4]
    expected = _gemmi_sf(crystal, hkl, CALCULATORS["neutron"])
    actual = structure_factors(crystal, hkl, "neutron")
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-10 * np.abs(expected).max())


def test_electron_scattering_agrees_with_gemmi() -> None:
    crystal = random_crystal("P 21 21 21", seed=2, n_atoms=6)
    hkl = miller_indices(crystal, 2.0)
    expected = _gemmi_sf(crystal, hkl, gemmi.StructureFactorCalculatorE)
    actual = structure_factors(crystal, hkl, "electron")
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_models_are_deterministic_and_have_what_they_promise() -> None:
    a, b, other = (random_crystal(19, seed=s, n_atoms=8) for s in (4, 4, 5))
    assert (
        np.array_equal(a.xyz, b.xyz) and np.array_equal(a.u_aniso, b.u_aniso) and not np.array_equal(a.xyz, other.xyz)
    )
    assert a.is_aniso.tolist() == [False, True] * 4
    assert len(set(a.element)) == 8 and a.occ.min() < 1.0
    assert np.all((a.b_iso > 4) & (a.b_iso < 61))
    for u in a.u_aniso[a.is_aniso]:
        assert np.linalg.eigvalsh([[u[0], u[3], u[4]], [u[3], u[1], u[5]], [u[4], u[5], u[2]]]).min() > 0


def test_an_atom_on_a_special_position_counts_once_per_operator() -> None:
    sg = gemmi.SpaceGroup("P 1 2 1")
    point = special_position(sg, np.random.default_rng(0))
    assert point is not None and np.allclose((2 * point)[[0, 2]], np.round((2 * point)[[0, 2]]))
    crystal = random_crystal("P 1 2 1", n_atoms=1)
    hkl = np.array([[0, 1, 0]])
    f = crystal.occ[0] * form_factor("C", 1 / crystal.cell.b**2 * np.ones(1))
    assert abs(structure_factors(crystal, hkl)[0]) == pytest.approx(
        2 * f[0] * np.exp(-crystal.b_iso[0] / (4 * crystal.cell.b**2)), rel=1e-9
    )
    assert special_position(gemmi.SpaceGroup("P 21 21 21"), np.random.default_rng(0)) is None
