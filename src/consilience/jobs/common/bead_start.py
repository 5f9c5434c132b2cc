"""What bead jobs begin with: the beads of a bead file (first frame), or the CA atoms of a PDB or mmCIF file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from consilience.core.errors import Finding, InputError
from consilience.kinds import recognise

LONGEST = 4.6  # Å between the CA atoms of neighbours in a chain; beyond, residues are missing


@dataclass(frozen=True)
class BeadStart:
    """n beads: residues (names), chain and number (n,) ints, positions (n, 3) Å, masses (n,) amu, cell or None.

    frames (f, n, 3) Å: all that the file holds.
    """

    name: str
    residues: tuple[str, ...]
    chain: np.ndarray
    number: np.ndarray
    positions: np.ndarray
    masses: np.ndarray
    frames: np.ndarray
    path: Path
    cell: np.ndarray | None = None
    findings: tuple[Finding, ...] = ()

    def __len__(self) -> int:
        return len(self.residues)

    @property
    def formula(self) -> str:
        """How many beads of how many chains."""
        chains = len(np.unique(self.chain))
        return f"{self.name}: {len(self)} beads in {chains} chain{'s' * (chains > 1)}"

    def pdb(self) -> str:
        """The beads as CA atoms of a PDB file."""
        lines = []
        for i, (name, chain, number, x) in enumerate(
            zip(self.residues, self.chain, self.number, self.positions, strict=True)
        ):
            letter = chr(ord("A") + int(chain) % 26)
            where = f"{x[0]:8.3f}{x[1]:8.3f}{x[2]:8.3f}"
            head = f"ATOM  {(i + 1) % 100000:5d}  CA  {name[:3]:3s} {letter}{(int(number) + 1) % 10000:4d}    "
            lines.append(f"{head}{where}  1.00  0.00           C")
        return "\n".join([*lines, "END"]) + "\n"


def read_bead_start(path: Path) -> BeadStart:
    """The beads of a bead file (npz), PDB or mmCIF. Raises InputError for what cannot be simulated."""
    kind = recognise(path)
    if kind == "npz":
        return _of_beads(path)
    if kind in ("pdb", "mmcif", "cif"):
        return _of_structure(path)
    expected = "a bead file (npz), PDB or mmCIF"
    raise InputError("this is no structure to start from", str(path), f"content recognised as: {kind}", expected)


def _of_beads(path: Path) -> BeadStart:
    from consilience.coarse.read import read_beads

    proteins, findings = read_beads(path, need_forces=False)
    notes = list(findings)
    first = proteins[0]
    if len(proteins) > 1:
        notes.append(Finding("note", f"the file holds {len(proteins)} proteins: {first.name} is used", str(path)))
    order = np.lexsort((first.number, first.chain))
    residues = tuple(first.residues[i] for i in order)
    x = np.asarray(first.positions, float)[:, order]
    cell = None if first.box is None else np.asarray(first.box[0], float)
    return BeadStart(
        first.name, residues, first.chain[order], first.number[order], x[0], np.asarray(first.masses, float)[order], x,
        path, cell, tuple(notes),
    )  # fmt: skip


def _of_structure(path: Path) -> BeadStart:
    from consilience.residues import mass, standard
    from consilience.structure.read import read_structure

    structure = read_structure(path)
    notes: list[Finding] = []  # what the structure's own findings say of B factors and the like is of no concern here
    residues: list[str] = []
    chains: list[int] = []
    numbers: list[int] = []
    x: list[list[float]] = []
    for c, chain in enumerate(structure.hierarchy[0]):
        last: tuple[int, int] | None = None  # sequence number in the file, and ours
        for residue in chain:
            atom = residue.find_atom("CA", "*")
            if atom is None or atom.element.name != "C":
                continue
            here = [atom.pos.x, atom.pos.y, atom.pos.z]
            told = residue.seqid.num or 0
            number = 0
            if last is not None:
                linked = np.linalg.norm(np.subtract(here, x[-1])) <= LONGEST
                number = last[1] + (1 if linked else max(told - last[0], 2))
                if not linked:
                    what = f"residues are missing between {last[0]} and {told} of chain {chain.name}: no bond there"
                    notes.append(Finding("warn", what, str(path)))
            residues.append(standard(residue.name))
            chains.append(c)
            numbers.append(number)
            x.append(here)
            last = told, number
    if not x:
        raise InputError("no CA atoms: beads stand for amino acids", str(path))
    positions = np.array(x)
    masses = np.array([mass(r) for r in residues])
    return BeadStart(path.name.split(".")[0], tuple(residues), np.array(chains), np.array(numbers), positions, masses,
                     positions[None], path, None, tuple(notes))  # fmt: skip
