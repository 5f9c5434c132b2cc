"""Trajectory files that grow while a simulation runs: DCD, extended XYZ, a table of observables, and a topology."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import gemmi
import numpy as np

from consilience.core.checkpoint import write_atomic
from consilience.core.errors import InputError
from consilience.md.record import Trajectory

AKMA_FS = 48.88821  # CHARMM's unit of time
COLUMNS = ("step", "time_fs", "E_pot", "E_kin", "E_tot", "T")


class DCDWriter:
    """Writes positions (n, 3), Å, as DCD in CHARMM's form: little-endian, float32, with the cell where there is one.

    dt: fs; every: steps between frames. `keep` frames of an existing file stay and the rest is cut off, which is how a
    resumed run goes on from its checkpoint; without it a new file is begun. After each frame the file is complete.
    Raises InputError for positions that are not finite and for a file of another system.
    """

    def __init__(
        self,
        path: str | Path,
        n_atoms: int,
        *,
        dt: float = 1.0,
        every: int = 1,
        first: int = 0,
        cell: Any = None,
        keep: int | None = None,
        title: str = "consilience",
    ):
        self.path, self.n_atoms, self.frames = Path(path), n_atoms, 0
        self._every, self._first = every, first
        self._cell = None if cell is None else struct.pack("<i6di", 48, *_dcd_cell(np.asarray(cell, float)), 48)
        self._size = 3 * (4 * n_atoms + 8) + (56 if self._cell else 0)
        header = _dcd_header(n_atoms, dt, every, first, self._cell is not None, title)
        self._start = len(header)
        if keep is None:
            self._file = open(self.path, "w+b")
            self._file.write(header)
        else:
            self._file = self._reopened(keep, header)
            self.frames = keep
        self._count()

    def _reopened(self, keep: int, header: bytes):
        end = self._start + keep * self._size
        found = self.path.stat().st_size if self.path.exists() else 0
        if found < end:
            raise InputError(
                "the trajectory is shorter than its checkpoint says", str(self.path), f"{found} bytes", f"{end}"
            )
        file = open(self.path, "r+b")
        old = file.read(self._start)
        same = [slice(0, 8), slice(12, 20), slice(24, 100), slice(264, None)]  # all but counts and titles
        if any(old[s] != header[s] for s in same):
            file.close()
            raise InputError("the trajectory is of another system or time step", str(self.path))
        file.truncate(end)
        return file

    def write(self, positions: Any) -> None:
        """Append frames (F, n, 3) or one frame (n, 3)."""
        x = np.asarray(positions, float)
        x = x[None] if x.ndim == 2 else x
        if x.shape[1:] != (self.n_atoms, 3) or not np.isfinite(x).all():
            raise InputError(
                "frames must be finite, of shape (n, 3)", str(self.path), str(x.shape), f"n = {self.n_atoms}"
            )
        mark = struct.pack("<i", 4 * self.n_atoms)
        self._file.seek(0, 2)
        for frame in x:
            axes = b"".join(mark + np.ascontiguousarray(frame[:, k], "<f4").tobytes() + mark for k in range(3))
            self._file.write((self._cell or b"") + axes)
        self.frames += len(x)
        self._count()

    def _count(self) -> None:
        self._file.seek(8)
        self._file.write(struct.pack("<i", self.frames))
        self._file.seek(20)
        self._file.write(struct.pack("<i", self._first + max(self.frames - 1, 0) * self._every))
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> DCDWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _dcd_header(n: int, dt: float, every: int, first: int, cell: bool, title: str) -> bytes:
    """Three records: control numbers (the time step in AKMA units), two lines of title, number of atoms."""
    control = struct.pack("<4s9if", b"CORD", 0, first, every, 0, 0, 0, 0, 0, 0, dt / AKMA_FS)
    control += struct.pack("<10i", int(cell), 0, 0, 0, 0, 0, 0, 0, 0, 24)
    titles = struct.pack("<i", 2) + title.encode("ascii", "replace")[:80].ljust(80) + b" " * 80
    records = (control, titles, struct.pack("<i", n))
    return b"".join(struct.pack("<i", len(r)) + r + struct.pack("<i", len(r)) for r in records)


def _dcd_cell(cell: np.ndarray) -> tuple[float, ...]:
    """a, cos gamma, b, cos beta, cos alpha, c: the order and cosines of CHARMM's unit cell record."""
    a, b, c = np.linalg.norm(cell, axis=1)
    cosines = [cell[1] @ cell[2] / (b * c), cell[0] @ cell[2] / (a * c), cell[0] @ cell[1] / (a * b)]
    return float(a), float(cosines[2]), float(b), float(cosines[1]), float(cosines[0]), float(c)


def write_topology(
    path: str | Path,
    positions: Any,
    elements: Sequence[str],
    *,
    names: Sequence[str] | None = None,
    residues: Sequence[tuple[str, int, str]] | None = None,
    cell: Any = None,
) -> None:
    """A PDB file that names the atoms of a DCD file, in its order; positions (n, 3) Å.

    residues: (name, number, chain) of each atom; None: one residue UNL. Raises InputError where lengths differ.
    """
    x = np.asarray(positions, float)
    names = [f"{e}{i + 1}"[:4] for i, e in enumerate(elements)] if names is None else names
    residues = [("UNL", 1, "A")] * len(x) if residues is None else residues
    if not len(x) == len(elements) == len(names) == len(residues):
        raise InputError("every atom needs an element, a name and a residue", str(path), f"{len(x)} positions")
    st = gemmi.Structure()
    if cell is not None:
        lengths = np.linalg.norm(cell, axis=1)
        a, b, c = np.asarray(cell, float) / lengths[:, None]
        angles = np.degrees(np.arccos([b @ c, a @ c, a @ b]))
        st.cell = gemmi.UnitCell(*lengths, *angles)
        st.spacegroup_hm = "P 1"
    model = gemmi.Model(1)
    chain: gemmi.Chain | None = None
    residue: gemmi.Residue | None = None
    last: tuple[str, int, str] | None = None
    for xyz, element, name, (resname, number, chain_name) in zip(x, elements, names, residues, strict=True):
        if chain is None or last is None or chain_name != last[2]:
            model.add_chain(gemmi.Chain(chain_name))
            chain, last = model[-1], None
        if residue is None or last != (resname, number, chain_name):
            new = gemmi.Residue()
            new.name, new.seqid, new.het_flag = resname, gemmi.SeqId(number, " "), "H" if resname == "UNL" else "A"
            chain.add_residue(new)
            residue = chain[-1]
        atom = gemmi.Atom()
        atom.name, atom.element, atom.pos = name, gemmi.Element(element), gemmi.Position(*xyz)
        residue.add_atom(atom)
        last = (resname, number, chain_name)
    st.add_model(model)
    write_atomic(Path(path), st.make_pdb_string(gemmi.PdbWriteOptions(conect_records=False)).encode())


def observables_table(trajectory: Trajectory, replica: int = 0, *, unit: float = 1.0, header: bool = True) -> str:
    """CSV rows step,time_fs,E_pot,E_kin,E_tot,T of a replica; energies in multiples of `unit` eV, T in K."""
    t = trajectory
    numbers = (t.potential[replica] / unit, t.kinetic[replica] / unit, t.total[replica] / unit, t.temperature[replica])
    rows = [",".join(COLUMNS)] if header else []
    for i, step in enumerate(t.step):
        rows.append(f"{int(step)},{t.time[i]:.10g}," + ",".join(f"{float(a[i]):.12g}" for a in numbers))
    return "".join(row + "\n" for row in rows)


def extxyz_frames(trajectory: Trajectory, elements: Sequence[str], replica: int = 0, *, cell: Any = None) -> str:
    """Frames of a replica as extended XYZ: positions Å, velocities Å/fs, energy eV, time fs."""
    t, out = trajectory, []
    lattice = "" if cell is None else 'Lattice="' + " ".join(f"{v:.10g}" for v in np.ravel(cell)) + '" '
    for i, step in enumerate(t.step):
        head = f"{lattice}Properties=species:S:1:pos:R:3:vel:R:3 energy={t.potential[replica, i]:.12g} "
        out.append(f"{len(elements)}\n{head}step={int(step)} time_fs={t.time[i]:.10g}\n")
        for e, x, v in zip(elements, t.positions[replica, i], t.velocities[replica, i], strict=True):
            out.append(f"{e} " + " ".join(f"{a:.10f}" for a in x) + " " + " ".join(f"{a:.10e}" for a in v) + "\n")
    return "".join(out)
