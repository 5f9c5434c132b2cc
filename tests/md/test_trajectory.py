"""Trajectory files: DCD against OpenMM's writer and an own parser, growth and cutting off, topology, tables."""

from __future__ import annotations

import csv
import io
import struct

import gemmi
import numpy as np
import pytest

from consilience.core.errors import InputError
from consilience.md.record import Trajectory
from consilience.md.trajectory import DCDWriter, extxyz_frames, observables_table, write_topology

CELL = np.array([[10.0, 0, 0], [2, 11, 0], [-3, 1, 12]])


def frames(count: int = 4, n: int = 5) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 5, (count, n, 3))


def records(path) -> list[bytes]:
    """Fortran records of a file, with both of their length marks compared."""
    data, out, at = path.read_bytes(), [], 0
    while at < len(data):
        (size,) = struct.unpack_from("<i", data, at)
        assert struct.unpack_from("<i", data, at + 4 + size) == (size,)
        out.append(data[at + 4 : at + 4 + size])
        at += size + 8
    return out


@pytest.mark.parametrize("cell", [None, CELL])
def test_dcd_is_what_openmm_writes(tmp_path, cell) -> None:
    from openmm import Vec3
    from openmm.app import DCDFile, Topology, element

    top = Topology()
    residue = top.addResidue("X", top.addChain())
    for i in range(5):
        top.addAtom(f"A{i}", element.argon, residue)
    if cell is not None:
        top.setPeriodicBoxVectors([Vec3(*v) for v in cell / 10])
    x = frames()
    with open(tmp_path / "a.dcd", "wb+") as f:
        peer = DCDFile(f, top, 0.002, 0, 10)
        for frame in x:
            peer.writeModel(frame / 10)
    with DCDWriter(tmp_path / "b.dcd", 5, dt=2.0, every=10, cell=cell) as w:
        w.write(x)
    a, b = records(tmp_path / "a.dcd"), records(tmp_path / "b.dcd")
    assert len(a) == len(b) == 3 + 4 * (3 + (cell is not None))
    control = [struct.unpack("<4s9if10i", r[0]) for r in (a, b)]
    assert control[0][:10] == control[1][:10]
    assert control[0][10] == pytest.approx(control[1][10], rel=1e-6)
    assert control[0][11:] == control[1][11:]
    assert [len(r) for r in a] == [len(r) for r in b]
    for one, other in zip(a[2:], b[2:], strict=True):
        kind = "<f8" if len(one) == 48 else "<i4" if len(one) == 4 else "<f4"
        np.testing.assert_allclose(np.frombuffer(one, kind), np.frombuffer(other, kind), rtol=2e-7, atol=1e-7)


def test_dcd_goes_on_from_a_checkpoint(tmp_path) -> None:
    x, whole, path = frames(6), tmp_path / "whole.dcd", tmp_path / "parts.dcd"
    with DCDWriter(whole, 5, every=10) as w:
        w.write(x)
    with DCDWriter(path, 5, every=10) as w:
        w.write(x[:4])
    path.write_bytes(path.read_bytes()[:-7])  # killed in the middle of a frame
    with DCDWriter(path, 5, every=10, keep=3) as w:
        w.write(x[3])
        w.write(x[4:])
    assert path.read_bytes() == whole.read_bytes()
    with pytest.raises(InputError, match="shorter"):
        DCDWriter(path, 5, every=10, keep=7)
    with pytest.raises(InputError, match="another system"):
        DCDWriter(path, 5, every=20, keep=2)
    with DCDWriter(path, 5) as w, pytest.raises(InputError, match="finite"):
        w.write(np.full((5, 3), np.inf))


def test_topology_is_read_back(tmp_path) -> None:
    x = frames(1)[0]
    residues = [("ALA", 1, "A"), ("ALA", 1, "A"), ("GLY", 2, "A"), ("GLY", 1, "B"), ("GLY", 2, "B")]
    names = ["N", "CA", "CA", "CA", "CA"]
    write_topology(tmp_path / "t.pdb", x, ["N", "C", "C", "C", "C"], names=names, residues=residues, cell=CELL)
    st = gemmi.read_structure(str(tmp_path / "t.pdb"))
    found = [(r.name, r.seqid.num, c.name, a.name, a.element.name) for c in st[0] for r in c for a in r]
    elements = ["N", "C", "C", "C", "C"]
    assert found == [(*r, n, e) for r, n, e in zip(residues, names, elements, strict=True)]
    at = np.array([a.pos.tolist() for c in st[0] for r in c for a in r])
    np.testing.assert_allclose(at, x, atol=6e-4)
    np.testing.assert_allclose(st.cell.parameters[:3], np.linalg.norm(CELL, axis=1), atol=1e-3)
    write_topology(tmp_path / "u.pdb", x, ["C", "H", "H", "H", "H"])
    assert sum(len(r) for c in gemmi.read_structure(str(tmp_path / "u.pdb"))[0] for r in c) == 5
    with pytest.raises(InputError, match="every atom"):
        write_topology(tmp_path / "v.pdb", x, ["C"])


@pytest.fixture
def trajectory() -> Trajectory:
    x = frames()[None]
    e = np.arange(4.0)[None]
    return Trajectory(np.arange(4) * 10, np.arange(4) * 5.0, x, 1e-3 * x, -e, e / 3, 100 * e)


def test_observables(trajectory) -> None:
    text = observables_table(trajectory) + observables_table(trajectory, header=False)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == ["step", "time_fs", "E_pot", "E_kin", "E_tot", "T"]
    assert len(rows) == 8
    assert float(rows[3]["E_tot"]) == pytest.approx(-2.0)
    assert rows[7]["step"] == "30"


def test_extended_xyz_is_read_by_ase(trajectory) -> None:
    read = pytest.importorskip("ase.io").read
    text = extxyz_frames(trajectory, ["C", "H", "H", "H", "O"], cell=CELL)
    found = read(io.StringIO(text), index=":", format="extxyz")
    assert len(found) == 4
    np.testing.assert_allclose([a.get_positions() for a in found], trajectory.positions[0], atol=1e-9)
    assert found[2].get_potential_energy() == pytest.approx(-2.0)
    np.testing.assert_allclose(found[0].cell[:], CELL)
