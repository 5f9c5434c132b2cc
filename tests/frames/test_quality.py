"""Every defect of labels and geometries is named, and clean data are passed in silence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from consilience.core.errors import InputError


def test_clean_frames(findings: Callable) -> None:
    assert findings() == []
    assert findings(cell=np.eye(3) * 30.0, pbc=np.ones(3, bool)) == []


def changed(a: np.ndarray, place: tuple, value: float) -> np.ndarray:
    out = a.copy()
    out[place] = value
    return out


@pytest.mark.parametrize(
    ("key", "place", "value", "level", "words"),
    [
        ("E", (7,), np.nan, "error", "energy: not finite"),
        ("E", (7,), np.inf, "error", "energy: not finite"),
        ("E", (7,), 0.0, "warn", "energy outlier"),
        ("E", (7,), 1e300, "error", "absurd"),
        ("F", (7, 1, 0), np.nan, "error", "forces: not finite"),
        ("F", (7, 1, 0), 9.0, "warn", "net sum"),
        ("F", (7,), 0.0, "warn", "zero in 1 frame"),
        ("R", (7, 1, 0), np.nan, "error", "positions are not finite"),
        ("R", (7, 2, 0), 1e5, "warn", "far from all others"),
        ("R", (7, 2, 0), 1e9, "error", "absurd positions"),
        ("D", (7, 0), np.nan, "error", "dipole: not finite"),
    ],
)
def test_one_bad_value(
    findings: Callable, formaldehyde: dict, key: str, place: tuple, value: float, level: str, words: str
) -> None:
    found = findings(**{key: changed(formaldehyde[key], place, value)})
    hits = [f for f in found if words in f.what]
    assert hits and hits[0].level == level, found
    assert "frame 7 (counted from 0)" in hits[0].where


def test_overlap_names_frame_pair_and_distance(findings: Callable, formaldehyde: dict) -> None:
    x = formaldehyde["R"].copy()
    x[5, 2] = x[5, 1] + [0.0, 0.0, 0.05]
    error = next(f for f in findings(R=x) if f.level == "error")
    assert "overlapping" in error.what and "frame 5" in error.where
    assert "O 1" in error.found and "H 2" in error.found and "0.05 Å" in error.found


def test_small_energy_errors_are_seen_against_the_forces(findings: Callable, formaldehyde: dict) -> None:
    found = findings(E=changed(formaldehyde["E"], (7,), formaldehyde["E"][7] + 2.0))
    assert any("not consistent" in f.what and "frame 7" in f.where for f in found)


def test_forces_of_other_frames_or_atoms(findings: Callable, formaldehyde: dict) -> None:
    f = formaldehyde["F"]
    for wrong in (f[::-1], f[:, [1, 0, 2, 3]]):
        assert any("torque" in x.what for x in findings(F=wrong))


def test_constant_zero_and_coarse_labels(findings: Callable, formaldehyde: dict) -> None:
    e, f = formaldehyde["E"], formaldehyde["F"]
    assert any("distinct energies" in x.what for x in findings(E=np.full_like(e, e[0])))
    assert any("zero in all frames" in x.what for x in findings(F=0 * f))
    assert any("half precision" in x.what for x in findings(F=f.astype(np.float16)))
    assert any("float32" in x.what for x in findings(E=(e - 4e5).astype(np.float32)))


def test_duplicates(findings: Callable, formaldehyde: dict) -> None:
    rows = np.r_[0:20, 0:20]
    twice = {k: v[rows] for k, v in formaldehyde.items() if len(v) == 40}
    (found,) = findings(**twice)
    assert "20 of 40 frames are exact duplicates" in found.what and "20 = 0" in found.found
    twice["E"] = np.r_[twice["E"][:20], twice["E"][20:] + 0.1]
    assert any("different energies" in f.what for f in findings(**twice))


def test_missing_labels(findings: Callable) -> None:
    assert any("no energy in any frame" in f.what and "F" in f.found for f in findings(E=None))
    assert any("no forces in any frame" in f.what for f in findings(F=None))
    only = {k: None for k in ("E", "F", "D", "Q_mulliken", "Q_esp", "esp", "esp_xyz", "T")}
    assert "geometries only" in findings(**only)[0].what


def test_cells(findings: Callable) -> None:
    yes = np.ones(3, bool)
    assert any("no cell" in f.what and f.level == "error" for f in findings(pbc=yes))
    flat = np.array([[10.0, 0, 0], [10, 0, 0], [0, 0, 10]])
    assert any("singular" in f.what and f.level == "error" for f in findings(cell=flat, pbc=yes))
    assert any("too small" in f.what for f in findings(cell=np.eye(3), pbc=yes))
    assert not findings(cell=np.diag([30.0, 30.0, 0.0]), pbc=np.array([True, True, False]))


def test_charges_and_potentials(findings: Callable, formaldehyde: dict) -> None:
    q, esp, xyz = formaldehyde["Q_esp"], formaldehyde["esp"], formaldehyde["esp_xyz"]
    assert any("total charge" in f.what and "+1" in f.found for f in findings(Q=np.ones(len(q))))
    assert any("whole number" in f.what for f in findings(Q_esp=q + 0.1))
    assert any("no whole number" in f.what for f in findings(Q=np.full(len(q), 0.5)))
    assert any("disagree in sign" in f.what for f in findings(D=-formaldehyde["D"]))
    assert any("inside atoms" in f.what for f in findings(esp_xyz=0.3 * xyz))
    assert any("does not look like" in f.what for f in findings(esp=esp[:, ::-1]))
    assert any(f.level == "error" and "59 values" in f.found for f in findings(esp=esp[:, :-1]))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"Z": np.array([6, 8, 1, 1, 1])}, "count of atoms"),
        ({"Z": np.array([6, 8, 1, 200])}, "unknown element"),
        ({"Z": np.array(["C", "O", "H", "Qq"])}, "'Qq'"),
        ({"Z": np.array([6, 8, 1, 1.5])}, "whole numbers"),
        ({"Z": np.array([6, 0, 1, 1])}, "padding"),
        ({"Z": None}, "no elements"),
        ({"R": None}, "no positions"),
        ({"E": np.array([{}] * 40)}, "pickled"),
        ({"E": np.ones(40, complex)}, "dtype"),
    ],
)
def test_arrays_that_are_refused(findings: Callable, changes: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        findings(**changes)


def test_wrong_shapes(findings: Callable, formaldehyde: dict) -> None:
    x, f, e = formaldehyde["R"], formaldehyde["F"], formaldehyde["E"]
    with pytest.raises(InputError, match="exchanged"):
        findings(R=np.swapaxes(x, 1, 2))
    with pytest.raises(InputError, match="flattened"):
        findings(R=x.reshape(40, -1))
    with pytest.raises(InputError, match="no frames"):
        findings(R=x[:0])
    for wrong, words in (
        ({"F": np.swapaxes(f, 1, 2)}, "exchanged"),
        ({"F": f.reshape(40, -1)}, "flattened"),
        ({"F": f[:-1]}, "39 entries for 40 frames"),
        ({"E": e[:-1]}, "39 entries for 40 frames"),
        ({"E": e.astype(str)}, "text"),
        ({"N": np.full(40, 5)}, "disagrees"),
    ):
        found = findings(**wrong)
        assert any(x.level == "error" and words in x.what for x in found), (words, found)
        assert not any(x.what.startswith("no ") for x in found)
