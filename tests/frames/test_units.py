"""Units: labels, and what physics finds in data without them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from consilience.core.errors import InputError
from consilience.frames.evidence import gather
from consilience.frames.read import read_frames
from consilience.frames.unit_labels import dimension_of, factor, parse_units
from consilience.units import BOHR, DEBYE, HARTREE, KCAL_MOL, KJ_MOL


@pytest.mark.parametrize(
    ("label", "dimension", "value"),
    [
        ("eV", "energy", 1.0),
        ("kcal mol^-1", "energy", KCAL_MOL),
        ("Hartree", "energy", HARTREE),
        ("a.u.", "energy", HARTREE),
        ("kcal/mol/Ang", "forces", KCAL_MOL),
        ("kJ mol-1 nm-1", "forces", KJ_MOL / 10),
        ("Hartree / Bohr", "forces", HARTREE / BOHR),
        ("eV Angstrom^-1", "forces", 1.0),
        ("Debye", "dipole", DEBYE),
        ("e*bohr", "dipole", BOHR),
        ("e Å", "dipole", 1.0),
        ("hartree/e", "esp", HARTREE),
        ("GPa", "stress", 1 / 160.2176634),
        ("furlong", "length", None),
        ("eV", "forces", None),
    ],
)
def test_labels(label: str, dimension: str, value: float | None) -> None:
    found = factor(label, dimension)  # type: ignore[arg-type]
    assert found == value or found == pytest.approx(value, rel=1e-12)


def test_what_a_user_may_write() -> None:
    assert parse_units("kcal/mol") == {"energy": "kcal/mol", "forces": "kcal/mol/Å"}
    assert parse_units("hartree/bohr, bohr") == {"forces": "hartree/bohr", "length": "bohr", "energy": "hartree"}
    assert parse_units("energy=hartree, forces=eV/Å") == {"energy": "hartree", "forces": "eV/Å"}
    assert parse_units("positions: nm")["length"] == "nm"
    assert parse_units("atomic")["dipole"] == "e bohr"
    assert parse_units('{"E": "kJ/mol"}') == {"E": "kJ/mol"}
    for wrong in ("parsec", "energy=K/day", "{1"):
        with pytest.raises(InputError):
            parse_units(wrong)
    assert dimension_of("kcal/mol/Å") == "forces" and dimension_of("F") is None


UNITS = {  # factors that our values are divided by: energy, forces, positions
    "kcal/mol": (KCAL_MOL, KCAL_MOL, 1.0),
    "kJ/mol": (KJ_MOL, KJ_MOL, 1.0),
    "kJ/mol, kJ/mol/nm, nm": (KJ_MOL, KJ_MOL / 10, 10.0),
    "kJ/mol, kJ/mol/nm": (KJ_MOL, KJ_MOL / 10, 1.0),
    "atomic": (HARTREE, HARTREE / BOHR, BOHR),
    "hartree/bohr": (HARTREE, HARTREE / BOHR, 1.0),
    "energy=hartree, forces=eV/Å": (HARTREE, 1.0, 1.0),
    "energy=eV, forces=kcal/mol/Å": (1.0, KCAL_MOL, 1.0),
    "meV": (1e-3, 1e-3, 1.0),
    "bohr": (1.0, 1.0, BOHR),
}


@pytest.mark.parametrize("units", UNITS)
@pytest.mark.parametrize("named", [True, False])
def test_units_are_found_and_converted(tmp_path: Path, formaldehyde: dict, units: str, named: bool) -> None:
    e, f, r = UNITS[units]
    path = tmp_path / "x.npz"
    x = formaldehyde
    np.savez(path, Z=x["Z"], R=x["R"] / r, E=x["E"] / e, F=x["F"] / f)
    frames = read_frames(path, units=units.replace("atomic", "atomic") if named else None)
    warned = [w for w in frames.findings if w.level == "warn"]
    assert not warned if named else len(warned) in (1, 2)
    assert all("--units" in w.fix for w in warned)
    assert frames.energy is not None and frames.forces is not None
    np.testing.assert_allclose(frames.energy, x["E"], rtol=1e-8)
    np.testing.assert_allclose(frames.forces, x["F"], rtol=1e-8)
    np.testing.assert_allclose(frames.positions, x["R"], rtol=1e-8, atol=1e-12)
    assert {k.said for k in frames.keys if k.factor != 1.0} == {"user" if named else "physics"}


def test_shifted_energies_are_told_by_stiffness(findings: Callable, formaldehyde: dict) -> None:
    e, f = formaldehyde["E"] - formaldehyde["E"].mean(), formaldehyde["F"]
    assert not findings(E=e)
    (found,) = findings(E=e / KCAL_MOL, F=f / KCAL_MOL)
    assert "kcal/mol" in found.what
    (found, *_) = findings(E=None, F=f / KCAL_MOL)
    assert "kcal/mol/Å" in found.what


def test_a_label_in_the_file_wins_and_is_doubted(tmp_path: Path, formaldehyde: dict) -> None:
    path = tmp_path / "x.npz"
    x = {k: formaldehyde[k] for k in "ZREF"}
    np.savez(path, **{**x, "E": x["E"] / KCAL_MOL, "F": x["F"] / KCAL_MOL}, units=np.array("kcal/mol/A, A"))
    frames = read_frames(path)
    assert not [f for f in frames.findings if f.level != "note"]
    np.testing.assert_allclose(frames.energy, x["E"])  # type: ignore[arg-type]
    np.savez(path, **x, energy_unit=np.array("kcal/mol"), F_unit=np.array("kcal/mol/Å"))
    (doubt,) = [f for f in read_frames(path).findings if f.level == "warn"]
    assert "do not look as labelled" in doubt.what
    np.savez(path, **{**x, "E": x["E"]}, units=np.array("fathoms"))
    assert [f.what for f in read_frames(path).findings if f.level == "warn"] == ["unknown unit"]


def test_slopes_of_wrong_forces(findings: Callable, formaldehyde: dict) -> None:
    e, f = formaldehyde["E"], formaldehyde["F"]
    assert not findings()
    (found,) = findings(F=-f)
    assert found.level == "error" and "sign" in found.what
    (found,) = findings(F=2 * f)
    assert found.level == "warn" and "factor of 2" in found.what
    (found,) = findings(F=f / 2)
    assert "forces half" in found.what
    (found,) = findings(E=e / 4)
    assert "per atom" in found.what
    (found,) = findings(E=np.random.default_rng(0).permutation(e))
    assert "do not follow" in found.what
    (found,) = findings(F=10 * f)  # between two units: a factor, no unit
    assert "factor of 9.9" in found.what or "factor of 10" in found.what


def test_few_clean_frames_raise_no_alarm(tmp_path: Path, formaldehyde: dict) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "x.npz"
    for size in (1, 2, 3, 4, 6, 10, 20) * 4:
        rows = rng.choice(40, size, replace=False)
        np.savez(path, **{k: v[rows] if len(v) == 40 else v for k, v in formaldehyde.items()})
        assert [f.what for f in read_frames(path).findings if f.level != "note"] == []


def test_evidence_does_not_depend_on_orientation(formaldehyde: dict) -> None:
    rng = np.random.default_rng(3)
    x, f, n = formaldehyde["R"], formaldehyde["F"], len(formaldehyde["R"])
    numbers = np.tile(formaldehyde["Z"], (n, 1))
    turn = np.linalg.qr(rng.standard_normal((n, 3, 3)))[0]
    turn *= np.linalg.det(turn)[:, None, None]
    plain = gather(numbers, x, formaldehyde["E"], f)
    turned = gather(numbers, x @ turn + rng.standard_normal((n, 1, 3)), formaldehyde["E"], f @ turn)
    assert plain.slope is not None and turned.slope is not None
    assert abs(np.log(plain.slope.value)) < plain.slope.tolerance
    assert turned.slope.value == pytest.approx(plain.slope.value, rel=1e-6)
    assert turned.stiffness == pytest.approx(plain.stiffness, rel=1e-6)
    assert plain.total == pytest.approx(27.3, abs=0.3)


ESP_UNITS = {
    "dipole in debye": {"D": 1 / DEBYE},
    "dipole in e bohr": {"D": 1 / BOHR},
    "ESP in hartree": {"esp": 1 / HARTREE},
    "ESP in kcal/mol": {"esp": 1 / KCAL_MOL},
    "points in bohr": {"esp_xyz": 1 / BOHR},
    "all atomic": {"esp": 1 / HARTREE, "esp_xyz": 1 / BOHR, "D": 1 / BOHR},
}


@pytest.mark.parametrize("case", ESP_UNITS)
def test_units_of_dipoles_and_potentials(tmp_path: Path, formaldehyde: dict, case: str) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, **{**formaldehyde, **{k: formaldehyde[k] * v for k, v in ESP_UNITS[case].items()}})
    frames = read_frames(path)
    assert [f.level for f in frames.findings if f.level != "note"]
    for name, key in (("dipole", "D"), ("esp", "esp"), ("esp_xyz", "esp_xyz")):
        np.testing.assert_allclose(getattr(frames, name), formaldehyde[key], rtol=1e-5, atol=1e-8)


def test_real_data(data_dir: Path) -> None:
    for path in sorted((data_dir / "qm").rglob("*.npz")):
        loud = [f for f in read_frames(path).findings if f.level != "note"]
        if "md17" not in str(path):
            assert not loud, path
            continue
        frames = read_frames(path)
        (found,) = loud
        assert "kcal/mol" in found.what
        with np.load(path) as file:  # the factor 0.0433641 stands beside these data
            np.testing.assert_allclose(frames.forces, file["F"] * 0.0433641, rtol=1e-5)  # type: ignore[arg-type]
        quiet = read_frames(path, units="kcal/mol")
        assert not [f for f in quiet.findings if f.level != "note"]
