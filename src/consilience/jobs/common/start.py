"""What dynamics begins with: a trained model and the molecule of a start file, recognised by content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gemmi
import numpy as np

from consilience.core.errors import Finding, InputError
from consilience.frames.elements import formula, symbol
from consilience.frames.frames import Frames
from consilience.kinds import recognise
from consilience.model import LoadedModel, load_model
from consilience.neighbours import heights

FRAMES, MODELS = ("extxyz", "npz"), ("pdb", "mmcif", "cif")


@dataclass(frozen=True)
class Start:
    """A molecule or cell: numbers (n,), positions (n, 3) Å, charge e, masses (n,) amu, cell (3, 3) Å or None, pbc (3,).

    names, residues: of the atoms where the file has them. frames: all that the file holds, where it is of frames.
    """

    numbers: np.ndarray
    positions: np.ndarray
    charge: float
    masses: np.ndarray
    cell: np.ndarray | None
    pbc: tuple[bool, bool, bool]
    path: Path
    findings: tuple[Finding, ...] = ()
    names: tuple[str, ...] | None = None
    residues: tuple[tuple[str, int, str], ...] | None = None
    frames: Frames | None = None

    @property
    def elements(self) -> list[str]:
        return [symbol(int(z)) for z in self.numbers]

    @property
    def formula(self) -> str:
        return formula(self.numbers)

    @property
    def periodic(self) -> bool:
        return any(self.pbc)

    def place(self) -> dict[str, Any]:
        """cell and pbc as keyword arguments."""
        return {"cell": self.cell, "pbc": self.pbc}

    def as_frames(self, positions: Any, **arrays: Any) -> Frames:
        """Positions (f, n, 3) of these atoms, and other arrays, as frames to write."""
        x = np.asarray(positions, float)
        count = len(x)
        cell = None if self.cell is None else np.repeat(self.cell[None], count, 0)
        pbc = np.repeat(np.array(self.pbc)[None], count, 0)
        charge = np.full(count, self.charge) if self.charge else None
        return Frames(np.repeat(self.numbers[None], count, 0), x, cell=cell, pbc=pbc, total_charge=charge, **arrays)


def sort_inputs(files: Sequence[str | Path], *, need_start: bool = True) -> tuple[Path, Path | None]:
    """(MODEL, START) in any order. Raises InputError where one is missing or too many are there."""
    paths = [Path(f) for f in files]
    models = [p for p in paths if p.is_dir()]
    others = [p for p in paths if p not in models]
    if len(models) != 1 or len(others) > 1 or (need_start and not others):
        found = f"{len(models)} folder(s) and {len(others)} file(s)"
        expected = "a model folder and a start file" if need_start else "a model folder and at most one start file"
        raise InputError("a model and a start are needed", ", ".join(map(str, paths)), found, expected)
    return models[0], others[0] if others else None


def model_files(model: LoadedModel) -> tuple[Path, Path]:
    """The two files of a model."""
    from consilience.potentials.bundle import DESCRIPTION, WEIGHTS

    place = model.path if (model.path / DESCRIPTION).is_file() else model.path / "model"
    return place / DESCRIPTION, place / WEIGHTS


def load(model: Path, start: Path, charge: float | None = None, bits: Any = 32) -> tuple[LoadedModel, Start]:
    """Model and start, which fit together. Raises InputError where they do not."""
    loaded = load_model(model)
    if not isinstance(loaded, LoadedModel):
        raise InputError("this is a model of beads: the command is for molecules", str(model),
                         expected="a model of atoms")  # fmt: skip
    if bits == 64:
        loaded = loaded.with_precision(64)
    begun = read_start(start, charge)
    unknown = sorted(set(begun.numbers.tolist()) - set(loaded.elements))
    if unknown:
        found = ", ".join(symbol(z) for z in unknown)
        known = ", ".join(symbol(z) for z in loaded.elements)
        fix = "train a model on data with these elements"
        raise InputError("the model does not know an element of this structure", str(start), found, known, fix)
    return loaded, begun


def read_start(path: Path, charge: float | None = None) -> Start:
    """The first frame of extended XYZ or npz, or the atoms of a PDB or mmCIF file.

    charge: total, e; None: that of the frame, else 0. Raises InputError for what cannot be simulated: no atoms, cells
    without volume, positions that are not finite.
    """
    kind = recognise(path)
    if kind in FRAMES:
        return _of_frames(path, charge)
    if kind in MODELS:
        return _of_structure(path, charge)
    expected = "extended XYZ, npz, PDB or mmCIF"
    raise InputError("this is no structure to start from", str(path), f"content recognised as: {kind}", expected)


def _of_frames(path: Path, charge: float | None) -> Start:
    from consilience.frames.read import read_frames

    frames = read_frames(path)
    n = int(frames.natoms[0])
    numbers = frames.numbers[0, :n].astype(np.int32)
    pbc = np.zeros(3, bool) if frames.pbc is None else frames.pbc[0]
    cell = None
    if pbc.any():
        if frames.cell is None or not frames.cell[0].any():
            raise InputError("a periodic start without a cell", f"{path}, frame 0", fix="give the Lattice")
        cell = frames.cell[0]
        heights(cell)
    if charge is None:
        said = 0.0 if frames.total_charge is None else float(np.nan_to_num(frames.total_charge[0]))
        charge = said
    periodic = (bool(pbc[0]), bool(pbc[1]), bool(pbc[2]))
    return Start(
        numbers, frames.positions[0, :n], float(charge), masses_of(numbers), cell, periodic, path, frames=frames
    )


def _of_structure(path: Path, charge: float | None) -> Start:
    from consilience.structure.read import read_structure

    structure = read_structure(path)
    notes = list(structure.findings)
    kept = [0 if a == "" else 1 for a in structure.altloc]
    numbers, names, residues, rows, seen = [], [], [], [], set()
    i = -1
    for chain in structure.hierarchy[0]:
        for residue in chain:
            for atom in residue:
                i += 1
                key = chain.name, str(residue.seqid), residue.name, atom.name
                if key in seen:
                    continue
                seen.add(key)
                rows.append(i)
                numbers.append(atom.element.atomic_number)
                names.append(atom.name)
                residues.append((residue.name, residue.seqid.num or 1, chain.name))
    if sum(kept) > 0 and len(rows) < len(structure):
        notes.append(Finding("note", "of alternative conformations the first is used", str(path)))
    if structure.cell.is_crystal():
        what = "the crystal's cell is not used: this is dynamics of a molecule without periodic boundaries"
        notes.append(Finding("note", what, str(path), fix="give extended XYZ with Lattice and pbc for a periodic cell"))
    if not structure.is_hydrogen.any():
        what = "the structure has no hydrogen atoms"
        notes.append(Finding("warn", what, str(path), fix="add them: a potential describes whole molecules"))
    z = np.array(numbers, np.int32)
    return Start(
        z, structure.xyz[rows], float(charge or 0.0), masses_of(z), None, (False, False, False), path,
        tuple(notes), tuple(names), tuple(residues),
    )  # fmt: skip


def masses_of(numbers: Any) -> np.ndarray:
    """Standard atomic weights (n,), amu."""
    return np.array([gemmi.Element(int(z)).weight for z in numbers], float)
