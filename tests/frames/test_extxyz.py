"""The reader of extended XYZ: against ASE, spellings, and errors by frame and line."""

from __future__ import annotations

import gzip
from pathlib import Path

import ase
import ase.io
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

from consilience.core.errors import InputError
from consilience.frames.extxyz import parse_comment, read_extxyz
from consilience.frames.frames import Frames
from consilience.frames.read import read_frames

WATER = """3
Properties=species:S:1:pos:R:3:forces:R:3 energy=-2079.70 dipole="0.1 0.0 -0.4" config_type=liquid pbc="F F F"
O  0.0  0.000  0.119   0.0  0.0  0.5
H  0.0  0.763 -0.477   0.0  0.1 -0.25
H  0.0 -0.763 -0.477   0.0 -0.1 -0.25
1
Properties=species:S:1:pos:R:3:forces:R:3 energy=-13.6 config_type=IsolatedAtom pbc="F F F"
H  0.0  0.0  0.0   0.0  0.0  0.0
"""


def read(tmp_path: Path, text: str | bytes, **options: object) -> Frames:
    path = tmp_path / "x.xyz"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_frames(path, **options)  # type: ignore[arg-type]


def loud(frames: Frames) -> list[str]:
    return [f.what for f in frames.findings if f.level != "note"]


def test_frames_of_different_sizes(tmp_path: Path) -> None:
    frames = read(tmp_path, WATER)
    assert not loud(frames) and len(frames) == 2
    assert frames.natoms.tolist() == [3, 1] and frames.numbers.tolist() == [[8, 1, 1], [1, 0, 0]]
    assert frames.elements == (1, 8) and frames.groups["kind"].tolist() == ["liquid", "IsolatedAtom"]
    assert frames.forces is not None and frames.dipole is not None
    assert not frames.forces[1].any() and np.isnan(frames.dipole[1]).all()
    one = frames.select([1])
    assert len(one) == 1 and one.energy is not None and one.energy[0] == -13.6


@pytest.mark.parametrize("folder", ["co2/co2_b3lyp", "h2co/h2co_b3lyp", "h2o/h2o_mp2"])
def test_real_files_as_ase_reads_them(data_dir: Path, folder: str) -> None:
    path = data_dir / "qm" / f"{folder}.extxyz"
    frames, atoms = read_frames(path), ase.io.read(path, ":")
    assert len(frames) == len(atoms) and not loud(frames)
    for k, a in enumerate(atoms):
        assert frames.numbers[k].tolist() == a.numbers.tolist()
        np.testing.assert_array_equal(frames.positions[k], a.positions)
        for name, value in (
            ("energy", a.get_potential_energy()),
            ("forces", a.get_forces()),
            ("dipole", a.get_dipole_moment()),
            ("charges", a.get_charges()),
        ):
            np.testing.assert_array_equal(getattr(frames, name)[k], value)
        assert frames.groups["T"][k] == a.info["temperature"]


def test_periodic_frames_as_ase_writes_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    written = []
    for n in (4, 6):
        atoms = ase.Atoms(
            "C" * n, positions=8 * rng.random((n, 3)), cell=8 * np.eye(3) + rng.random((3, 3)), pbc=(1, 1, 0)
        )
        atoms.set_momenta(rng.standard_normal((n, 3)))
        atoms.calc = SinglePointCalculator(
            atoms, energy=-9.5 * n, forces=rng.standard_normal((n, 3)), stress=rng.standard_normal(6) / 100
        )
        written.append(atoms)
    path = tmp_path / "x.extxyz"
    ase.io.write(path, written)
    frames, back = read_frames(path, strict=False), ase.io.read(path, ":")
    assert frames.cell is not None and frames.pbc is not None
    assert frames.stress is not None and frames.momenta is not None
    for k, a in enumerate(back):
        np.testing.assert_array_equal(frames.cell[k], a.cell[:])
        assert frames.pbc[k].tolist() == [True, True, False]
        np.testing.assert_allclose(frames.stress[k], a.get_stress(voigt=False))
        np.testing.assert_allclose(frames.momenta[k, : len(a)], a.get_momenta())


@pytest.mark.parametrize(
    "edit",
    [
        lambda t: "\ufeff" + t.replace("\n", "\r\n"),
        lambda t: t.encode("utf-16"),
        lambda t: gzip.compress(t.encode()),
        lambda t: t.replace("-2079.70", "-0.20797D+04"),
        lambda t: t.replace("energy=", "energy = "),
        lambda t: t.replace("energy=", "Energy="),
        lambda t: t.replace("species:S", "Z:I").replace("\nO ", "\n8 ").replace("\nH ", "\n1 "),
        lambda t: t.replace("\nH ", "\nh ").replace("\nO ", "\nO1 "),
        lambda t: t.replace('"0.1 0.0 -0.4"', "[0.1, 0.0, -0.4]").replace('"F F F"', "[F, F, F]"),
        lambda t: t + "\n\n",
        lambda t: t.replace("energy=-2079.70", "energy=-2079.70 energy=-2079.70"),
        lambda t: t.replace("energy=-2079.70", "energy=-47959.0 kcal/mol").replace("-13.6", "-313.6 kcal/mol"),
    ],
)
def test_spellings_of_the_same(tmp_path: Path, edit) -> None:
    frames, plain = read(tmp_path, edit(WATER)), read(tmp_path, WATER)
    for name in ("numbers", "positions", "forces", "dipole"):
        np.testing.assert_array_equal(getattr(frames, name), getattr(plain, name))
    assert frames.energy == pytest.approx(plain.energy, rel=1e-4)
    assert not loud(frames)


@pytest.mark.parametrize(
    ("old", "new", "words", "line"),
    [
        ("\nO ", "\nQq ", "unknown element 'Qq'", 3),
        ("\nO ", "\nX ", "unknown element 'X'", 3),
        ("3\n", "5\n", "wrong number of columns", 6),
        ("3\n", "2\n", "number of atoms", 5),
        ("3\n", "-3\n", "number of atoms", 1),
        ("3\n", "2000000000\n", "the file ends before", 1),
        ("0.119", "0,119", "decimal comma", 3),
        ("0.119", "*****", "no number", 3),
        ("0.119", "0_119", "no number", 3),
        ("  0.119", "", "wrong number of columns", 3),
        ("forces:R:3", "forces:R", "cannot be understood", 2),
        ("forces:R:3", "forces:Q:3", "cannot be understood", 2),
        ("forces:R:3", "forces:R:-3", "cannot be understood", 2),
        ("forces:R:3", "pos:R:3", "twice", 2),
        ("pos:R:3", "pos:R:2", "three columns", 2),
        (":pos:", ":where:", "no column of positions", 2),
        ("energy=-2079.70", "energy=1 energy=2", "twice", 2),
        ("energy=-2079.70", "energy=abc", "no number", 2),
        ("energy=-2079.70", "energy=-2079,70", "decimal comma", 2),
        ('"F F F"', '"maybe"', "pbc cannot be understood", 2),
        ('"F F F"', '"T T T"', "no cell", 1),
        ('pbc="F F F"', 'Lattice="1 2 3 4"', "Lattice", 2),
        ("energy=-2079.70", "energy=", "no number", 2),
    ],
)
def test_defects_by_line(tmp_path: Path, old: str, new: str, words: str, line: int) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read(tmp_path, WATER.replace(old, new, 1))
    assert f"line {line}" in caught.value.finding.where and "frame " in caught.value.finding.where


@pytest.mark.parametrize("cut", [10, 30, 60, 100])
def test_truncated_files(tmp_path: Path, cut: int) -> None:
    text = WATER[: WATER.index("\n1\n") + 1] * 3
    with pytest.raises(InputError, match="last complete frame is 1"):
        read(tmp_path, text[:-cut])
    assert len(read(tmp_path, text[:-cut], strict=False)) == 2


def test_frames_that_lack_labels(tmp_path: Path) -> None:
    bare = WATER.replace(":forces:R:3", "").replace("   0.0  0.0  0.5", "").replace("   0.0  0.1 -0.25", "")
    bare = bare.replace("   0.0 -0.1 -0.25", "").replace("0.0   0.0  0.0  0.0", "0.0").replace(" energy=-2079.70", "")
    frames = read(tmp_path, WATER[: WATER.index("\n1\n") + 1] + bare)
    assert frames.forces is not None and frames.energy is not None
    assert np.isfinite(frames.forces[0]).all() and np.isnan(frames.forces[1]).all()
    assert np.isfinite(frames.energy).tolist() == [True, False, True]
    where = [f.where for f in frames.findings if "no forces" in f.what or "no energy" in f.what]
    assert len(where) == 2 and "frames 1, 2 (counted from 0)" in " ".join(where) and "frame 1" in " ".join(where)
    with pytest.raises(InputError, match="stress"):
        read(tmp_path, WATER, need=("stress",))


def test_plain_xyz(tmp_path: Path) -> None:
    frames = read(tmp_path, "2\nhydrogen\nH 0 0 0\nH 0 0 0.74\n")
    assert frames.positions[0, 1, 2] == 0.74 and frames.energy is None
    assert [f.level for f in frames.findings] == ["note"]
    with pytest.raises(InputError, match="empty"):
        read(tmp_path, "")
    assert any("no name" in w for w in loud(read(tmp_path, "2\nx\nH 0 0 0 1 1 1\nH 0 0 0.74 1 1 1\n")))


def test_comments() -> None:
    info, repeated, units = parse_comment("a=1 b = 2 c='x y' d={1 2} flag \"e f\"=3 a=1 E=4 eV g= h=5")
    assert info == {"a": "1", "b": "2", "c": "x y", "d": "{1 2}", "E": "4", "g": "", "h": "5"} | (
        {"e f": "3"} if "e f" in info else {}
    )
    assert repeated == {"a": ["1", "1"]} and units == {"E": "eV"}
    assert parse_comment("energy: -76.4")[0] == {"energy": "-76.4"}


def test_any_text_is_an_input_error_or_frames() -> None:
    rng = np.random.default_rng(0)
    letters = list(WATER)
    for _ in range(300):
        text = letters.copy()
        for place in rng.integers(len(text), size=rng.integers(1, 6)):
            text[place] = str(rng.choice(list("0-9aE=\"' :\n\t,.é*")))
        try:
            raw = read_extxyz("".join(text), "x.xyz")
        except InputError:
            continue
        assert len(raw) and (raw.numbers.max() > 0)
