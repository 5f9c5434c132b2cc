"""Validation of a model by its own coordinates: backbone torsions, peptide bonds, B per residue, clashes.

Nothing here is used by a fit: it describes what a fit has made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import gemmi
import numpy as np

from consilience.structure.atoms import Structure
from consilience.structure.ramachandran import Kind, Region, region, residue_kind

MAIN_CHAIN = frozenset({"N", "CA", "C", "O", "OXT"})
_PEPTIDE_BOND = 2.0  # Å, longer C-N is a gap
_DISULFIDE = 2.5  # Å
_STRETCH = 0.6  # Å beyond the covalent radii that atoms of one residue may be apart and still be bonded
_TWISTED = 30.0  # degrees from planarity

# van der Waals radii, Å: Word et al., J. Mol. Biol. 285 (1999) 1711-1733, carbon as tetrahedral; others gemmi's
_RADII = {"H": 1.17, "D": 1.17, "C": 1.75, "N": 1.55, "O": 1.40, "S": 1.80, "P": 1.80}
_POLAR_HYDROGEN = 1.0
CLASH_OVERLAP = 0.4  # Å, ibid.
_HYDROGEN_BOND = 0.6  # Å of overlap that a hydrogen bond explains, ibid.; a quarter of it between heavy atoms
_LONGEST_REACH = 3.3  # Å, the longest distance that can be a clash
_SPECIAL = 1.0  # Å; an atom this close to its own image is on a special position


@dataclass(frozen=True)
class ResidueTorsions:
    """Backbone of one amino acid, degrees; `omega` is the peptide bond to the residue before. None: not defined."""

    chain: str
    seqid: str
    name: str
    altloc: str
    phi: float | None
    psi: float | None
    omega: float | None
    kind: Kind
    region: Region | None
    peptide: Literal["trans", "cis", "twisted"] | None


@dataclass(frozen=True)
class ResidueB:
    """Mean B (Å^2, weighted by occupancy, no hydrogens) of a residue: backbone and the rest. None: no such atom."""

    chain: str
    seqid: str
    name: str
    main: float | None
    side: float | None


@dataclass(frozen=True)
class Clash:
    """Two atoms (indices into the structure's arrays) that overlap by `overlap` Å; `symmetry`: with a mate."""

    first: int
    second: int
    labels: tuple[str, str]
    distance: float
    overlap: float
    symmetry: bool


def _linked(a: gemmi.Residue, b: gemmi.Residue) -> bool:
    c, n = a.find_atom("C", "*"), b.find_atom("N", "*")
    return c is not None and n is not None and c.pos.dist(n.pos) < _PEPTIDE_BOND


def _amino_acids(chain: gemmi.Chain) -> Iterator[tuple[gemmi.Residue | None, gemmi.Residue, gemmi.Residue | None]]:
    """Each amino acid of a chain with the ones bonded before and after it."""
    residues = [r for r in chain.first_conformer() if r.find_atom("CA", "*") and r.find_atom("N", "*")]
    for k, res in enumerate(residues):
        before = residues[k - 1] if k and _linked(residues[k - 1], res) else None
        after = residues[k + 1] if k + 1 < len(residues) and _linked(res, residues[k + 1]) else None
        yield before, res, after


def _degrees(radians: float) -> float | None:
    return float(np.degrees(radians)) if np.isfinite(radians) else None


def backbone_torsions(structure: Structure) -> tuple[ResidueTorsions, ...]:
    """phi, psi, omega and Ramachandran region of every amino acid, first conformer.

    A peptide is cis within 30 degrees of 0, trans within 30 of 180, otherwise twisted. Residues beside a gap or an end
    lack the torsions that would cross it.
    """
    out = []
    for chain in structure.hierarchy[0]:
        for before, res, after in _amino_acids(chain):
            phi, psi = (_degrees(x) for x in gemmi.calculate_phi_psi(before, res, after))
            omega = _degrees(gemmi.calculate_omega(before, res)) if before else None
            kind = residue_kind(res.name, after.name if after else None)
            where = region(phi, psi, kind) if phi is not None and psi is not None else None
            peptide = None
            if omega is not None:
                peptide = "cis" if abs(omega) < _TWISTED else "trans" if abs(omega) > 180.0 - _TWISTED else "twisted"
            ca = res.find_atom("CA", "*")
            altloc = ca.altloc.strip("\0") if ca else ""
            out.append(
                ResidueTorsions(chain.name, str(res.seqid), res.name, altloc, phi, psi, omega, kind, where, peptide)
            )
    return tuple(out)


def ramachandran_summary(torsions: tuple[ResidueTorsions, ...]) -> dict[str, float | int]:
    """Counts and percentages: n, favoured, allowed, outlier, favoured_percent, outlier_percent (0 where n is 0)."""
    known = [t.region for t in torsions if t.region is not None]
    counts = {name: known.count(name) for name in ("favoured", "allowed", "outlier")}
    n = len(known)
    return {
        "n": n,
        **counts,
        "favoured_percent": 100.0 * counts["favoured"] / max(n, 1),
        "outlier_percent": 100.0 * counts["outlier"] / max(n, 1),
    }


def omega_outliers(torsions: tuple[ResidueTorsions, ...]) -> tuple[ResidueTorsions, ...]:
    """Residues after a twisted peptide, and those other than proline after a cis peptide."""
    return tuple(t for t in torsions if t.peptide == "twisted" or (t.peptide == "cis" and t.name != "PRO"))


def residue_b(structure: Structure) -> tuple[ResidueB, ...]:
    """Mean B of backbone and side chain of every residue, waters and ligands included (all of theirs is `side`)."""
    out, i = [], 0
    for chain in structure.hierarchy[0]:
        for res in chain:
            rows = np.arange(i, i + len(res))
            i += len(res)
            protein = res.find_atom("CA", "*", gemmi.Element("C")) is not None and len(res) > 1
            main = np.array([protein and a.name in MAIN_CHAIN for a in res], bool)
            heavy = ~structure.is_hydrogen[rows] & (structure.occ[rows] > 0)
            means: list[float | None] = []
            for part in (main & heavy, ~main & heavy):
                chosen = rows[part]
                weights = structure.occ[chosen]
                means.append(float(np.average(structure.b_iso[chosen], weights=weights)) if len(chosen) else None)
            out.append(ResidueB(chain.name, str(res.seqid), res.name, *means))
    return tuple(out)


def _bonds(structure: Structure, st: gemmi.Structure) -> list[set[int]]:
    """Atoms bonded to each atom: by distance within a residue, by name between residues, and as the file's links say.

    The serial number of an atom of `st` is its index.
    """
    first: list[set[int]] = [set() for _ in range(len(structure))]
    covalent = {name: gemmi.Element(name).covalent_r for name in set(structure.element.tolist())}
    reach = np.array([covalent[e] for e in structure.element])

    def link(i: int, j: int) -> None:
        first[i].add(j)
        first[j].add(i)

    sulphur = []
    for chain in st[0]:
        before: gemmi.Residue | None = None
        for res in chain:
            rows = np.array([a.serial for a in res])
            d = np.linalg.norm(structure.xyz[rows][:, None] - structure.xyz[rows][None], axis=-1)
            for i, j in zip(*np.nonzero(np.triu(d < reach[rows][:, None] + reach[rows] + _STRETCH, 1)), strict=True):
                link(int(rows[i]), int(rows[j]))
            sulphur += [a for a in res if a.name == "SG"]
            for tail, head in (("C", "N"), ("O3'", "P")):
                for a in before or ():
                    for b in res:
                        if a.name == tail and b.name == head and a.pos.dist(b.pos) < _PEPTIDE_BOND:
                            link(a.serial, b.serial)
            before = res
    for k, a in enumerate(sulphur):
        for b in sulphur[:k]:
            if a.pos.dist(b.pos) < _DISULFIDE:
                link(a.serial, b.serial)
    for connection in st.connections:
        a, b = (st[0].find_cra(p).atom for p in (connection.partner1, connection.partner2))
        if a is not None and b is not None:
            link(a.serial, b.serial)
    return first


def _within(start: int, first: list[set[int]], bonds: int) -> set[int]:
    """Atoms at most so many bonds from an atom, itself included."""
    seen, edge = {start}, {start}
    for _ in range(bonds):
        edge = {k for j in edge for k in first[j]} - seen
        seen |= edge
    return seen


class _Atoms:
    """What the clash search knows of each atom: label, radius, hydrogen-bond role, atoms up to four bonds away."""

    def __init__(self, structure: Structure, st: gemmi.Structure) -> None:
        self.labels: list[str] = []
        i = 0
        for chain in st[0]:
            for res in chain:
                for atom in res:
                    atom.serial = i
                    alt = f".{atom.altloc}" if atom.has_altloc() else ""
                    self.labels.append(f"{chain.name} {res.name} {res.seqid} {atom.name}{alt}")
                    i += 1
        first = _bonds(structure, st)
        self.near = [_within(start, first, 4) for start in range(i)]
        elements = {name: gemmi.Element(name) for name in set(structure.element.tolist())}
        self.metal = np.array([elements[e].is_metal for e in structure.element], bool)
        self.polar = np.isin(structure.element, ["N", "O"])
        self.acceptor = self.polar | np.isin(structure.element, ["S", "F", "CL", "BR", "I"])
        self.polar_hydrogen = structure.is_hydrogen & np.array([any(self.polar[k] for k in n) for n in first], bool)
        self.radius = np.array([_RADII.get(e, elements[e].vdw_r) for e in structure.element])
        self.radius[self.polar_hydrogen] = _POLAR_HYDROGEN

    def overlap(self, i: int, j: int, distance: float) -> float:
        """Overlap of two spheres (Å) less what a hydrogen bond explains."""
        value = self.radius[i] + self.radius[j] - distance
        if (self.polar_hydrogen[i] and self.acceptor[j]) or (self.polar_hydrogen[j] and self.acceptor[i]):
            return value - _HYDROGEN_BOND
        return value - _HYDROGEN_BOND / 4.0 if self.polar[i] and self.polar[j] else value


def clashes(structure: Structure, minimum: float = CLASH_OVERLAP) -> tuple[Clash, ...]:
    """Pairs of atoms more than four bonds apart whose spheres overlap by `minimum` Å or more, worst first.

    Symmetry mates are included where the structure is a crystal. Left out: atoms of different conformers, atoms of zero
    occupancy, contacts of metals, an atom with its own image on a special position, and atoms whose occupancies add up
    to one at most (they may exclude each other).
    """
    st = structure.hierarchy.clone()
    st.setup_cell_images()
    atoms = _Atoms(structure, st)
    search = gemmi.NeighborSearch(st[0], st.cell, 5.0).populate(include_h=True)
    contacts = gemmi.ContactSearch(_LONGEST_REACH)
    contacts.ignore = gemmi.ContactSearch.Ignore.Nothing
    contacts.special_pos_cutoff_sq = _SPECIAL**2
    found: dict[tuple[int, int, bool], Clash] = {}
    for c in contacts.find_contacts(search):
        i, j = sorted((c.partner1.atom.serial, c.partner2.atom.serial))
        mate = c.image_idx != 0
        if (not mate and j in atoms.near[i]) or min(structure.occ[i], structure.occ[j]) <= 0.0:
            continue
        if atoms.metal[i] or atoms.metal[j] or structure.occ[i] + structure.occ[j] <= 1.0 + 1e-6:
            continue
        overlap = float(atoms.overlap(i, j, c.dist))
        key = (i, j, mate)
        if overlap >= minimum and (key not in found or found[key].overlap < overlap):
            found[key] = Clash(i, j, (atoms.labels[i], atoms.labels[j]), float(c.dist), overlap, mate)
    return tuple(sorted(found.values(), key=lambda c: -c.overlap))
