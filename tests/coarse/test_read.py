"""Bead files: what is written is read, aliases and padding, and every defect is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consilience.coarse.beads import Beads
from consilience.coarse.keys import is_all_atom, is_beads
from consilience.coarse.read import read_beads
from consilience.coarse.scale import bond_evidence
from consilience.coarse.write import write_beads
from consilience.core.errors import Finding, InputError
from consilience.units import KCAL_MOL

from .conftest import STIFFNESS, arrays, chain, hostile, save

LABEL = np.array("angstrom, kcal/mol/angstrom")


def read(tmp_path: Path, given: dict[str, np.ndarray], **options: Any) -> tuple[tuple[Beads, ...], list[Finding]]:
    proteins, findings = read_beads(save(tmp_path / "x.npz", given), strict=False, **options)
    return proteins, [f for f in findings if f.level != "note"]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    one = chain(30, 5, name="one")
    box = np.broadcast_to(80.0 * np.eye(3), (30, 3, 3))
    made = Beads(**{**vars(one), "box": box, "source": ("folded",) * 30, "chain": np.array([0, 0, 0, 1, 1]),
                    "number": np.array([3, 4, 7, 0, 1])})  # fmt: skip
    write_beads(tmp_path / "one.npz", [made])
    (back,), findings = read_beads(tmp_path / "one.npz")
    assert not findings and back.name == "one" and back.residues == made.residues and back.source == made.source
    for name in ("positions", "forces", "temperature", "trajectory", "chain", "number", "box"):
        np.testing.assert_allclose(getattr(back, name), getattr(made, name), rtol=1e-6, atol=1e-5)
    assert back.bonds.tolist() == [[0, 1], [3, 4]]  # the gap and the second chain make no bonds
    assert back.masses[0] == pytest.approx(57.05)


def test_several_proteins_are_padded_and_told_apart(tmp_path: Path) -> None:
    made = [chain(20, 8, name="long"), chain(30, 5, seed=1, name="short")]
    write_beads(tmp_path / "two.npz", made)
    back, findings = read_beads(tmp_path / "two.npz")
    assert not findings and [b.name for b in back] == ["long", "short"]
    for a, b in zip(back, made, strict=True):
        assert a.residues == b.residues and len(a) == len(b)
        np.testing.assert_allclose(a.positions, b.positions, atol=1e-5)


def test_masked_beads_do_not_exist(tmp_path: Path, beads: Beads) -> None:
    assert beads.forces is not None
    mask = np.ones((len(beads), 8), bool)
    mask[:, 6:] = False
    x, f = beads.positions.copy(), beads.forces.copy()
    x[:, 6:], f[:, 6:] = 0.0, np.nan
    species = np.array([7, 0, 17, 14, 11, 3, 99, -1])
    given = arrays(beads, R=x, F=f / KCAL_MOL, mask=mask[0], seq=None, species=species)
    (part,), findings = read(tmp_path, given)
    assert not findings and part.residues == beads.residues[:6]
    np.testing.assert_array_equal(part.positions, beads.positions[:, :6])


def test_aliases_are_read_and_said(tmp_path: Path, beads: Beads) -> None:
    given = arrays(beads)
    other = {"coords": given["R"], "forces": given["F"], "F_opt": 0.5 * given["F"], "types": given["seq"]}
    (part,), findings = read_beads(save(tmp_path / "x.npz", other))
    assert beads.forces is not None and part.forces is not None
    np.testing.assert_allclose(part.forces, 0.5 * beads.forces)
    text = str(findings)
    assert "'coords'" in text and "'F_opt' (not from forces)" in text and "300 K" in text
    (part,), _ = read_beads(tmp_path / "x.npz", keys={"forces": "forces"})
    assert part.forces is not None
    np.testing.assert_allclose(part.forces, beads.forces)
    with pytest.raises(InputError, match="no key 'nothing'"):
        read_beads(tmp_path / "x.npz", keys={"forces": "nothing"})


def test_bonds_show_their_stiffness_and_the_virial_theorem() -> None:
    cold, hot = chain(2000, temperature=300.0), chain(2000, temperature=450.0, seed=1)
    assert cold.forces is not None and hot.forces is not None
    both = Beads(**{**vars(cold), "positions": np.concatenate([cold.positions, hot.positions]),
                    "forces": np.concatenate([cold.forces, hot.forces]), "trajectory": np.zeros(4000, int),
                    "temperature": np.repeat([300.0, 450.0], 2000)})  # fmt: skip
    seen = bond_evidence(both)
    assert seen is not None
    assert seen.stiffness / KCAL_MOL == pytest.approx(STIFFNESS, abs=4 * seen.stiffness_error / KCAL_MOL)
    assert seen.virial == pytest.approx(1.0, abs=4 * seen.virial_error) and seen.virial_error < 0.02


@pytest.mark.parametrize(
    ("length", "force", "unit"),
    [(0.1, 0.1 / 0.2390057, "nm, kJ/mol/nm"), (1.0, KCAL_MOL, "eV/Å"), (1.0, 41.84, "kJ/mol/nm"),
     (1 / 0.529177, 0.529177 / 627.5095, "bohr, hartree/bohr")],
)  # fmt: skip
def test_units_by_physics_by_label_and_by_the_user(
    tmp_path: Path, beads: Beads, length: float, force: float, unit: str
) -> None:
    good = arrays(beads)
    force = 41.84 if "nm," in unit else force
    given = good | {"R": good["R"] * length, "F": good["F"] * force}
    for way in ({"options": {"units": unit}}, {"label": np.array(unit)}, {}):
        label = {"units": way["label"]} if "label" in way else {}
        (part,), findings = read(tmp_path, given | label, **way.get("options", {}))
        assert part.forces is not None and beads.forces is not None
        np.testing.assert_allclose(part.positions, beads.positions, rtol=1e-6)
        np.testing.assert_allclose(part.forces, beads.forces, rtol=2e-6, atol=1e-12)
        assert bool(findings) == (not way) and all(f.level == "warn" for f in findings)
    _, findings = read(tmp_path, given | {"units": LABEL})
    assert [f.level for f in findings] == ["error"] and unit.split(",")[0] in findings[0].what


def test_a_sound_file_has_no_findings(tmp_path: Path) -> None:
    assert not read(tmp_path, arrays() | {"units": LABEL})[1]


DEFECTS: dict[str, tuple[dict[str, Any], str]] = {
    "sign": ({"F": lambda f: -f}, "wrong sign"),
    "nan": ({"F": lambda f: _put(f, (7, 3), np.nan)}, "frame 7, bead 3"),
    "inf": ({"R": lambda r: _put(r, (2, 1), np.inf)}, "frame 2, bead 1"),
    "overlap": ({"R": lambda r: _put(r, (4, 5), r[4, 2])}, "beads 2 and 5"),
    "far": ({"R": lambda r: _put(r, 9, 2.1e7)}, "frame 9"),
    "broken": ({"R": lambda r: _put(r, (6, slice(4, None)), r[6, 4:] + 30.0)}, "broken bonds"),
    "gap": ({"R": lambda r: r + np.where(np.arange(8) > 3, 9.0, 0.0)[:, None]}, "gap"),
    "repeated": ({"R": lambda r: _put(r, slice(10, 30), r[5]), "F": lambda f: _put(f, slice(10, 30), f[5])}, "380 dis"),
    "spike": ({"F": lambda f: _put(f, (11, 2), 1e4)}, "extreme forces"),
    "stale": ({"F": lambda f: _put(f, slice(21, 24), f[20])}, "those of the frame before"),
    "still": ({"R": lambda r: _put(r, (slice(None), slice(6, 8)), r[0, 6:])}, "never move"),
    "scale": ({"F": lambda f: 41.84 * f, "units": lambda _: LABEL}, "kJ/mol/nm"),
    "tiny": ({"F": lambda f: 1e-6 * f}, "magnitude"),
}


def _put(a: np.ndarray, where: Any, value: Any) -> np.ndarray:
    out = a.copy()
    out[where] = value
    return out


@pytest.mark.parametrize("name", DEFECTS)
def test_defects_are_named(tmp_path: Path, name: str) -> None:
    changes, words = DEFECTS[name]
    good = arrays()
    given = good | {k: change(good.get(k)) for k, change in changes.items()}
    _, findings = read(tmp_path, given)
    assert any(words in str(f) for f in findings), [str(f) for f in findings]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"F": np.zeros((400, 7, 3))}, r"\(400, 8, 3\)"),
        ({"F": None}, "no forces"),
        ({"R": np.zeros((0, 8, 3)), "F": np.zeros((0, 8, 3))}, "0 frames"),
        ({"R": np.zeros((400, 3, 8))}, "transpose"),
        ({"seq": None, "species": np.array([0, 25, 3, -1, 2, 2, 2, 2])}, "25 at bead 1, -1 at bead 3"),
        ({"seq": np.array(["GLY"] * 7)}, "do not fit"),
        ({"box": np.zeros(3), "pbc": np.array(True)}, "no volume"),
        ({"temp": np.full(400, -3.0)}, "temperature"),
        ({"units": np.array("furlong")}, "unknown unit"),
        ({"mask": np.zeros(8)}, "masked"),
    ],
)
def test_unreadable_files_say_why(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_beads(save(tmp_path / "x.npz", arrays(**changes)), strict=False)


def test_pickled_arrays_are_never_loaded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pickled"):
        read_beads(hostile(tmp_path / "x.npz", "R", np.array([{"a": 1}], object)))


def test_kinds_of_npz_files_are_told_by_content(beads: Beads) -> None:
    good = arrays(beads)
    assert is_beads(good) and is_beads({"R": good["R"], "F": good["F"], "species": np.zeros(8, int)})
    assert not is_beads({"R": good["R"], "F": good["F"], "species": np.array(["H"] * 8)})
    assert not is_beads({"R": good["R"], "E": good["temp"], "Z": np.ones(8), "mask": np.ones(8)})
    atoms = {"pos": good["R"], "frc": good["F"], "masses": np.ones(8), "constraints": np.zeros((0, 2))}
    assert is_all_atom(atoms) and not is_beads(atoms)


def test_real_bead_files(data_dir: Path) -> None:
    (part,), findings = read_beads(data_dir / "cg" / "pep_ACDEFGHI_cg.npz")
    assert part.residues[:3] == ("ALA", "CYS", "ASP") and all(f.level == "note" for f in findings)
    seen = bond_evidence(part)
    assert seen is not None and seen.virial == pytest.approx(1.0, abs=0.06)


def test_chains_cut_by_the_boundary_are_made_whole(tmp_path: Path, beads: Beads) -> None:
    edge = 40.0
    given = arrays(beads, R=beads.positions % edge, box=np.full(3, edge), pbc=True)
    (part,), findings = read(tmp_path, given)
    assert not findings
    shift = part.positions - beads.positions
    np.testing.assert_allclose(shift, np.broadcast_to(shift[:, :1], shift.shape), atol=1e-9)


def test_places_that_are_not_unique_are_not_used(tmp_path: Path, beads: Beads) -> None:
    (part,), findings = read(tmp_path, arrays(beads, number=np.array([1, 1, 2, 2, 3, 3, 4, 4])))
    assert part.number.tolist() == list(range(8)) and "same number" in str(findings)
