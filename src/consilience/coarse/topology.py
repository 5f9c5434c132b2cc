"""Atoms of a simulated molecule by name: residues, chains and elements from PDB or mmCIF, in the order of the file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np

from consilience.core.errors import InputError, clean
from consilience.files import decode, read_bytes
from consilience.kinds import recognise_bytes
from consilience.residues import standard

SOLVENT = frozenset(
    "HOH WAT SOL TIP TIP3 TIP4 TIP5 TP3 TP4 SPC OPC DOD NA CL K MG CA2 ZN2 NA+ CL- K+ SOD CLA POT CES LIT RUB CAL "
    "Na+ Cl- LI RB CS BR F I IOD ION".split()
)  # names of waters and single ions
PEPTIDE = 2.2  # Å between C and the next N: longer is a chain break


@dataclass(frozen=True)
class Topology:
    """n atoms in r residues.

    `names` (n,): atom names; `elements` (n,): symbols; `residue` (n,) int: residue of each atom; of residues:
    `residue_names` (r,), `chain` (r,) int, `number` (r,) int: place in the chain, with gaps at chain breaks;
    `residue_seqid` (r,) int: number in the file; `chain_names` by number of chain; `positions` (n, 3) Å of the file.
    """

    names: np.ndarray
    elements: np.ndarray
    residue: np.ndarray
    residue_names: np.ndarray
    chain: np.ndarray
    number: np.ndarray
    residue_seqid: np.ndarray
    chain_names: tuple[str, ...]
    positions: np.ndarray
    path: Path = Path()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def alphas(self) -> np.ndarray:
        """(b,) int: CA atoms of amino-acid residues, in order."""
        is_ca = (self.names == "CA") & (self.elements == "C")
        return np.flatnonzero(is_ca)

    @property
    def seqid(self) -> np.ndarray:
        """(n,) int: number of the residue of each atom in the file."""
        return self.residue_seqid[self.residue]

    @property
    def solute(self) -> np.ndarray:
        """(n,) bool: atoms of all residues but water and single ions."""
        counts = np.bincount(self.residue, minlength=len(self.residue_names))
        wet = np.array([name in SOLVENT and count < 8 for name, count in zip(self.residue_names, counts, strict=True)])
        return ~wet[self.residue]

    def bonds_of(self, first: str, second: str, step: int = 0) -> np.ndarray:
        """(b, 2) int: pairs of named atoms, the second one `step` residues further in the same chain."""
        place = {(int(r), str(n)): i for i, (r, n) in enumerate(zip(self.residue, self.names, strict=True))}
        out = []
        for r in range(len(self.residue_names) - step):
            s = r + step
            if self.chain[s] != self.chain[r] or self.number[s] - self.number[r] != step:
                continue
            pair = place.get((r, first)), place.get((s, second))
            if None not in pair:
                out.append(pair)
        return np.array(out, int).reshape(-1, 2)

    def select(self, atoms: np.ndarray) -> Topology:
        """The topology of some atoms (indices, ascending); residues without atoms disappear."""
        kept, residue = np.unique(self.residue[atoms], return_inverse=True)
        return Topology(
            self.names[atoms], self.elements[atoms], residue, self.residue_names[kept], self.chain[kept],
            self.number[kept], self.residue_seqid[kept], self.chain_names, self.positions[atoms], self.path,
        )  # fmt: skip


def read_topology(path: str | Path) -> Topology:
    """The atoms of a PDB or mmCIF file (gzip too), all conformations, first model.

    Raises InputError where the file cannot be read or holds no atoms.
    """
    where = str(path)
    data = read_bytes(path)
    kind = recognise_bytes(data, Path(where).name)
    try:
        if kind == "pdb":
            st = gemmi.read_pdb_string(decode(data, where))
        elif kind in ("mmcif", "cif"):
            st = gemmi.make_structure_from_block(gemmi.cif.read_string(decode(data, where)).sole_block())
        else:
            expected = "a PDB or mmCIF file of all atoms, in the order of the trajectory"
            raise InputError("this is no topology", where, f"content recognised as: {kind}", expected)
    except (RuntimeError, ValueError, IndexError, TypeError) as err:
        raise InputError("the topology cannot be parsed", where, clean(err).split("\n")[0][:100]) from None
    if not len(st) or not any(len(r) for c in st[0] for r in c):
        raise InputError("the topology holds no atoms", where)
    return _of_model(st[0], Path(where))


def _of_model(model: gemmi.Model, path: Path) -> Topology:
    names, elements, residue, xyz = [], [], [], []
    residue_names, chain, number, seqid, chain_names = [], [], [], [], []
    count, last, last_c = -1, None, None  # of the residue before: its number in the file, its C
    for part in model:
        for res in part:
            ends = {a.name: a.pos for a in res if a.name in ("N", "C")}
            bonded = (last_c is not None and "N" in ends) and last_c.dist(ends["N"]) < PEPTIDE
            new_chain = not chain_names or (part.name != chain_names[-1] and not bonded)
            if new_chain:
                chain_names.append(part.name)
                count = 0
            elif bonded or last is None or "N" not in ends:
                count += 1
            else:
                count += max(2, abs((res.seqid.num or 0) - last))
            for atom in res:
                names.append(atom.name)
                elements.append(atom.element.name)
                residue.append(len(residue_names))
                xyz.append(atom.pos.tolist())
            residue_names.append(standard(res.name) if res.name not in SOLVENT else res.name)
            chain.append(len(chain_names) - 1)
            number.append(count)
            seqid.append(res.seqid.num or 0)
            last, last_c = res.seqid.num, ends.get("C")
    return Topology(
        np.array(names), np.array(elements), np.array(residue), np.array(residue_names), np.array(chain),
        np.array(number), np.array(seqid), tuple(chain_names), np.array(xyz, float), path,
    )  # fmt: skip
