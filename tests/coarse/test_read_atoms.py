"""All-atom frames are checked as they are loaded: damaged and repeated frames, units, sign, constraints, topology."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consilience.coarse.atom_quality import virial_ratio
from consilience.coarse.read_atoms import read_atoms
from consilience.coarse.topology import read_topology
from consilience.core.errors import InputError
from consilience.units import KCAL_MOL

from .peptide import Peptide, peptide


@pytest.fixture(scope="module")
def small() -> Peptide:
    return peptide()


def test_a_sound_file(tmp_path: Path, small: Peptide) -> None:
    frames = read_atoms(*small.write(tmp_path))
    assert not frames.findings and len(frames) == 300 and frames.name == "pep"
    assert frames.topology.alphas.tolist() == small.ca.tolist() and frames.topology.number.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(frames.groups, small.group)
    seen = virial_ratio(frames)
    assert seen is not None and abs(seen[0] - 1) < 4 * seen[1]


def test_damaged_and_repeated_frames_are_left_out(tmp_path: Path, small: Peptide) -> None:
    x, f = small.sample(300)
    x[3, 2] = np.nan
    x[10] *= 1e7
    x[20:25] = x[19]
    f[40] = np.inf
    x[50, 8:] += 30.0
    f[60] = 0.0
    frames = read_atoms(*small.write(tmp_path, pos=x, frc=f / KCAL_MOL))
    assert len(frames) == 290 and np.isfinite(frames.positions).all()
    text = str(frames.findings)
    assert "5 damaged frame(s)" in text and "5 repeated" in text and "frame 20" in text


@pytest.mark.parametrize(
    ("length", "force", "label", "level"),
    [(1.0, 41.84, None, "warn"), (0.1, 41.84, None, "warn"), (1.0, 41.84, "angstrom, kcal/mol/angstrom", "error"),
     (1.0, KCAL_MOL, "angstrom, eV/angstrom", None), (1.0, -1.0, None, "error")],
)  # fmt: skip
def test_units_and_sign_by_physics(
    tmp_path: Path, small: Peptide, length: float, force: float, label: str | None, level: str | None
) -> None:
    x, f = small.sample(300)
    more: dict[str, Any] = {} if label is None else {"units": np.array(label)}
    frames = read_atoms(*small.write(tmp_path, pos=x * length, frc=f / KCAL_MOL * force, **more), strict=False)
    assert {f.level for f in frames.findings} == ({level} if level else set())
    if level != "error":
        np.testing.assert_allclose(frames.positions, x, atol=1e-4)
        np.testing.assert_allclose(frames.forces, f, rtol=1e-4, atol=1e-4)


def test_constraints_come_from_the_file_or_the_motion(tmp_path: Path, small: Peptide) -> None:
    npz, pdb = small.write(tmp_path, constraints=None)
    frames = read_atoms(npz, pdb)
    np.testing.assert_array_equal(frames.groups, small.group)
    assert "constraints found" in str(frames.findings)
    assert "denies" in str(read_atoms(npz, pdb, constraints="none").findings)
    npz, pdb = small.write(tmp_path, constraints=small.constraints[1:])
    frames = read_atoms(npz, pdb)
    assert "not among the constraints" in str(frames.findings)
    np.testing.assert_array_equal(frames.groups, small.group)


def test_another_molecule_or_order_is_refused(tmp_path: Path, small: Peptide) -> None:
    npz, pdb = small.write(tmp_path)
    other = tmp_path / "other.pdb"
    other.write_text(peptide(("ALA", "GLY")).pdb())
    with pytest.raises(InputError, match="different numbers of atoms"):
        read_atoms(npz, other)
    lines = pdb.read_text().splitlines()
    other.write_text("\n".join([*lines[:-1][::-1], "END"]) + "\n")
    with pytest.raises(InputError, match="does not fit the topology"):
        read_atoms(npz, other)
    with pytest.raises(InputError, match="no forces"):
        np.savez(tmp_path / "x.npz", pos=np.zeros((3, len(small.names), 3)))
        read_atoms(tmp_path / "x.npz", pdb)
    with pytest.raises(InputError, match="no topology"):
        read_atoms(npz, npz)


def test_water_is_left_out_and_gaps_are_seen(tmp_path: Path, small: Peptide) -> None:
    text = small.pdb().replace("END\n", "")
    text = "".join(line + "\n" for line in text.splitlines() if line[22:26].strip() != "3")
    text += "HETATM  900  O   HOH B 301      30.000  30.000  30.000  1.00  0.00           O\nEND\n"
    (tmp_path / "gap.pdb").write_text(text)
    top = read_topology(tmp_path / "gap.pdb")
    assert top.number.tolist() == [0, 1, 3, 4, 0] and top.solute.sum() == len(top) - 1
    kept = top.select(np.flatnonzero(top.solute))
    assert kept.residue_names.tolist() == ["ALA", "GLY", "SER", "ALA"] and len(kept.bonds_of("C", "N", 1)) == 2


def test_trajectories_of_other_programs(tmp_path: Path, small: Peptide) -> None:
    mda = pytest.importorskip("MDAnalysis")
    npz, pdb = small.write(tmp_path, 30)
    x, f = small.sample(30)
    universe = mda.Universe.empty(len(small.names), trajectory=True, forces=True)
    with mda.Writer(str(tmp_path / "t.trr"), n_atoms=len(small.names)) as out:
        for a, b in zip(x, f, strict=True):
            universe.atoms.positions, universe.atoms.forces = a, b / KCAL_MOL * 4.184
            out.write(universe)
    frames = read_atoms(tmp_path / "t.trr", pdb)
    want = read_atoms(npz, pdb)
    np.testing.assert_allclose(frames.forces, want.forces, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(frames.groups, want.groups)


def test_without_mdanalysis_the_way_out_is_said(tmp_path: Path, small: Peptide) -> None:
    try:
        import MDAnalysis  # noqa: F401
    except ImportError:
        _, pdb = small.write(tmp_path, 10)
        (tmp_path / "t.trr").write_bytes(b"\x00\x01" * 400)
        with pytest.raises(InputError, match="MDAnalysis"):
            read_atoms(tmp_path / "t.trr", pdb)


def test_molecules_cut_by_the_boundary_are_made_whole(tmp_path: Path, small: Peptide) -> None:
    x, f = small.sample(40)
    edge = 12.0
    frames = read_atoms(*small.write(tmp_path, 40, pos=x % edge, box=np.full(3, edge), frc=f / KCAL_MOL))
    shift = frames.positions - x
    np.testing.assert_allclose(shift, np.broadcast_to(shift[:, :1], shift.shape), atol=1e-4)
