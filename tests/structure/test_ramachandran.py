"""Ramachandran regions: textbook conformations, periodicity, and what real well-refined models look like."""

from __future__ import annotations

import numpy as np
import pytest

from consilience.structure.ramachandran import density, levels, region, residue_kind

TEXTBOOK = [
    # conformations that every textbook plot shows inside its core
    (-63, -42, "general", "favoured"),  # alpha helix
    (-74, -4, "general", "favoured"),  # 3-10 helix, end of a turn
    (-119, 113, "general", "favoured"),  # parallel sheet
    (-139, 135, "general", "favoured"),  # antiparallel sheet
    (-75, 150, "general", "favoured"),  # polyproline II
    (57, 47, "general", "favoured"),  # left-handed helix
    (-90, 0, "general", "favoured"),  # third residue of a type I turn
    (75, -60, "general", "allowed"),  # classic gamma turn
    (60, -120, "general", "allowed"),  # second residue of a type II' turn, rare but for glycine
    (0, 0, "general", "outlier"),
    (90, -100, "general", "outlier"),
    (-70, -130, "general", "outlier"),
    (100, 120, "general", "outlier"),
    (85, 5, "Gly", "favoured"),  # C-cap of a helix
    (80, 0, "Gly", "favoured"),  # third residue of a type II turn
    (60, -120, "Gly", "favoured"),  # second residue of a type II' turn
    (180, 180, "Gly", "favoured"),
    (0, 90, "Gly", "outlier"),
    (-65, 145, "Pro", "favoured"),
    (-60, -30, "Pro", "favoured"),
    (-120, 130, "Pro", "outlier"),  # the ring fixes phi
    (60, 45, "Pro", "outlier"),
    (-70, 145, "pre-Pro", "favoured"),
    (-60, -45, "pre-Pro", "favoured"),
    (-140, 80, "pre-Pro", "favoured"),  # zeta
    (75, -60, "pre-Pro", "outlier"),
]


@pytest.mark.parametrize(("phi", "psi", "kind", "expected"), TEXTBOOK)
def test_textbook_conformations(phi: float, psi: float, kind, expected: str) -> None:
    assert region(phi, psi, kind) == expected


@pytest.mark.parametrize("kind", ["general", "Gly", "Pro", "pre-Pro"])
def test_density_is_normalised_periodic_and_smooth_at_the_seam(kind) -> None:
    grid = np.arange(-180.0, 180.0, 2.0)
    values = density(grid[:, None], grid[None, :], kind)
    assert np.sum(values) * 4.0 == pytest.approx(1.0, abs=2e-3)
    np.testing.assert_allclose(values, density(grid[:, None] + 360.0, grid[None, :] - 720.0, kind), rtol=1e-9)
    below, above = (density(np.array(-100.0), np.array(psi), kind) for psi in (179.999, -179.999))
    assert below == pytest.approx(above, rel=1e-3)
    favoured, allowed = levels(kind)
    share = [np.sum(values[values >= level]) / np.sum(values) for level in (favoured, allowed)]
    assert share[0] == pytest.approx(0.98, abs=0.002)
    assert share[1] == pytest.approx(0.9995 if kind == "general" else 0.998, abs=0.0005)


def test_glycine_is_symmetric_and_the_others_are_not() -> None:
    rng = np.random.default_rng(0)
    phi, psi = rng.uniform(-180, 180, (2, 50))
    np.testing.assert_allclose(density(phi, psi, "Gly"), density(-phi, -psi, "Gly"), rtol=1e-12)
    assert density(np.array(-63.0), np.array(-42.0), "general") > 5 * density(np.array(63.0), np.array(42.0), "general")


def test_kind_by_names() -> None:
    assert residue_kind("GLY", "PRO") == "Gly"
    assert residue_kind("PRO", "PRO") == "Pro"
    assert residue_kind("ALA", "PRO") == "pre-Pro"
    assert residue_kind("ALA", None) == residue_kind("MSE", "GLY") == "general"
