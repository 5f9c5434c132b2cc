"""From a structure and a restraint library to restraints on atom numbers, riding hydrogens and non-bonded types.

gemmi matches residues, links and modifications to the library and places hydrogens; here its result becomes arrays
over the heavy atoms of the structure, in file order.
"""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np
import scipy.sparse as sp

from consilience.core.errors import InputError
from consilience.structure.atoms import Structure
from consilience.structure.chirality import ideal_chiral_volume
from consilience.structure.nonbonded import NonBonded, Riding
from consilience.structure.restraints import Restraints

HYDROGEN_RADIUS = 1.2  # Å
KINDS = ("bond", "angle", "torsion", "chiral", "plane")


@dataclass(frozen=True)
class Topology:
    """Restraints, riding hydrogens and non-bonded types of one heavy-atom structure."""

    structure: Structure
    library: gemmi.MonLib
    restraints: Restraints
    riding: Riding
    nonbonded: NonBonded
    bonded: np.ndarray  # (m, 2) heavy-atom bonds
    angled: np.ndarray  # (m, 2) 1-3 pairs

    def ride(self, xyz: np.ndarray) -> Riding:
        """Hydrogens placed anew at these heavy-atom coordinates (n, 3); their number and order stay the same."""
        _st, topo, number, atoms = _prepare(self.structure.with_atoms(xyz=xyz), self.library)
        new = _riding(topo, number, atoms)
        return new if np.array_equal(new.parent, self.riding.parent) else self.riding

    def hydrogens(self, xyz: np.ndarray) -> tuple[Riding, np.ndarray]:
        """All hydrogens of the dictionaries at coordinates (n, 3) Å, those that rotate too; heavy atoms that lack some.

        A dictionary without a torsion for a hydrogen that rotates does not say where it is.
        """
        every = gemmi.HydrogenChange.ReAddButWater
        _st, topo, number, atoms = _prepare(self.structure.with_atoms(xyz=xyz), self.library, every)
        lacking = {
            number[a.serial]
            for bond in topo.bonds
            for a, b in (bond.atoms, bond.atoms[::-1])
            if b.is_hydrogen() and b.occ == 0 and a.serial in number and a.occ > 0
        }
        return _riding(topo, number, atoms), np.array(sorted(lacking), int)


def build_topology(structure: Structure, library: gemmi.MonLib) -> Topology:
    """Match a structure without hydrogens to a library. Raises InputError where gemmi finds no consistent match."""
    if structure.is_hydrogen.any():
        raise ValueError("build_topology takes heavy atoms only; use structure.without_hydrogens()")
    _st, topo, number, atoms = _prepare(structure, library)
    riding = _riding(topo, number, atoms)
    restraints = _restraints(topo, number, len(structure))
    bonded = _pairs(restraints.index["bond"][:, [0, 1]])
    angled = _pairs(restraints.index["angle"][:, [0, 2]])
    nonbonded = _nonbonded(structure, topo, number, atoms, library, riding, bonded, restraints)
    return Topology(structure, library, restraints, riding, nonbonded, bonded, angled)


def _prepare(
    structure: Structure,
    library: gemmi.MonLib,
    hydrogens: gemmi.HydrogenChange = gemmi.HydrogenChange.ReAddKnown,
):
    """gemmi's topology on a clone (it changes the structure in place), heavy-atom numbers by serial, and all atoms."""
    st = structure.hierarchy.clone()
    st.setup_entities()
    gemmi.add_automatic_links(st[0], st, library)
    try:
        topo = gemmi.prepare_topology(st, library, 0, hydrogens, warnings=None)
    except RuntimeError as err:
        raise InputError(f"no restraints could be made: {err}", where=structure.source) from err
    atoms = [a for chain in st[0] for res in chain for a in res]
    number, heavy = {}, 0
    for i, a in enumerate(atoms):
        a.serial = i
        if not a.is_hydrogen():
            number[i] = heavy
            heavy += 1
    if heavy != len(structure):
        raise RuntimeError(f"the topology has {heavy} heavy atoms, the structure {len(structure)}")
    return st, topo, number, atoms  # the topology points into st: keep both alive


def _riding(topo, number: dict[int, int], atoms) -> Riding:
    parent, offset, occ = {}, {}, {}
    for bond in topo.bonds:
        a, b = bond.atoms
        if a.is_hydrogen():
            a, b = b, a
        if b.is_hydrogen() and a.serial in number and b.serial not in parent and b.occ > 0:
            parent[b.serial] = number[a.serial]
            offset[b.serial] = (b.pos - a.pos).tolist()
            occ[b.serial] = b.occ
    order = sorted(parent)
    return Riding(
        np.array([parent[s] for s in order], int),
        np.array([offset[s] for s in order], float).reshape(-1, 3),
        np.array([occ[s] for s in order], float),
    )


def _restraints(topo, number: dict[int, int], n: int) -> Restraints:
    def heavy(item) -> list[int] | None:
        ids = [number.get(a.serial, -1) for a in item.atoms]
        return None if min(ids) < 0 else ids

    index: dict[str, list] = {k: [] for k in KINDS}
    target: dict[str, list] = {k: [] for k in KINDS}

    def add(kind: str, ids, *values: float) -> None:
        index[kind].append(ids)
        target[kind].append(values)

    ideal: dict[object, tuple[float, float]] = {}
    for t in topo.bonds:
        ideal[frozenset(a.serial for a in t.atoms)] = t.restr.value, t.restr.esd
        if (ids := heavy(t)) and t.restr.esd > 0 and np.isfinite(t.restr.value):
            add("bond", ids, t.restr.value, t.restr.esd)
    for t in topo.angles:
        ideal[t.atoms[1].serial, frozenset((t.atoms[0].serial, t.atoms[2].serial))] = tuple(
            np.radians((t.restr.value, t.restr.esd))
        )
        if (ids := heavy(t)) and t.restr.esd > 0 and np.isfinite(t.restr.value):
            add("angle", ids, np.radians(t.restr.value), np.radians(t.restr.esd))
    for t in topo.torsions:
        if (ids := heavy(t)) and t.restr.esd > 0 and np.isfinite(t.restr.value):
            add("torsion", ids, np.radians(t.restr.value), np.radians(t.restr.esd), max(1, t.restr.period))
    for t in topo.chirs:
        if (ids := heavy(t)) and t.restr.sign != gemmi.ChiralityType.Both:
            sign = -1.0 if t.restr.sign == gemmi.ChiralityType.Negative else 1.0
            centre, *arms = (a.serial for a in t.atoms)
            bonds = [ideal.get(frozenset((centre, a))) for a in arms]
            pairs = ((arms[1], arms[2]), (arms[0], arms[2]), (arms[0], arms[1]))
            angles = [ideal.get((centre, frozenset(p))) for p in pairs]
            if None not in bonds and None not in angles:
                volume, sigma = ideal_chiral_volume(np.array(bonds, float), np.array(angles, float))
                add("chiral", ids, sign * volume, sigma)
    for t in topo.planes:
        ids = [number[a.serial] for a in t.atoms if a.serial in number]
        if len(ids) > 3 and t.restr.esd > 0:
            add("plane", ids, t.restr.esd)
    return Restraints.of(index, target)


def _pairs(ij: np.ndarray) -> np.ndarray:
    ij = np.sort(np.asarray(ij, int).reshape(-1, 2), axis=1)
    return np.unique(ij[ij[:, 0] != ij[:, 1]], axis=0)


def _nonbonded(structure, topo, number, atoms, library, riding, bonded, restraints) -> NonBonded:
    n, h = len(structure), len(riding.parent)
    energy = library.ener_lib.atoms
    radius, polarity = np.full(n + h, HYDROGEN_RADIUS), np.full(n + h, "N")
    for serial, kind in _energy_types(topo).items():
        i, element = number[serial], atoms[serial].element
        entry = energy.get(kind) or energy.get(element.name)
        r = entry.vdw_radius if entry is not None else np.nan
        radius[i] = r if np.isfinite(r) and r > 0 else element.vdw_r
        if entry is not None:
            polarity[i] = entry.hb_type
    polarity[n:] = np.where(np.isin(polarity[riding.parent], ("D", "B")), "H", "N")
    total = n + h
    edges = np.r_[bonded, np.c_[riding.parent, n + np.arange(h)]]
    one = np.ones(len(edges))
    adjacency = sp.coo_matrix((one, (edges[:, 0], edges[:, 1])), (total, total)).tocsr()
    adjacency = ((adjacency + adjacency.T) > 0).astype(np.int32)
    two = ((adjacency @ adjacency + adjacency) > 0).astype(np.int32)
    three = ((two @ adjacency + two) > 0).astype(np.int32)
    near = {int(c) for c in _codes(two, total)}
    for row in restraints.plane_members():
        row = np.sort(row)
        i, j = np.triu_indices(len(row), 1)
        near.update((row[i].astype(np.int64) * total + row[j]).tolist())
    near_codes = np.array(sorted(near), np.int64)
    torsion = np.setdiff1d(_codes(three, total), near_codes)
    alt = np.array([ord(a) if a else 0 for a in structure.altloc])
    element = [gemmi.Element(str(e)) for e in structure.element]
    metal = np.array([e.is_metal for e in element] + [False] * h)
    return NonBonded(radius, polarity, np.r_[alt, alt[riding.parent]], metal, near_codes, torsion)


def _codes(matrix, total: int) -> np.ndarray:
    upper = sp.triu(matrix, 1).tocoo()
    return np.sort(upper.row.astype(np.int64) * total + upper.col)


def _energy_types(topo) -> dict[int, str]:
    """Energy type of every heavy atom, from the residue's final (modified, linked) component."""
    out: dict[int, str] = {}
    for info in topo.chain_infos:
        for res in info.res_infos:
            types: dict[str, dict[str, str]] = {}
            for a in res.res:
                if a.altloc not in types:
                    component = res.get_final_chemcomp(a.altloc)
                    types[a.altloc] = {c.id: c.chem_type for c in component.atoms} if component else {}
                if not a.is_hydrogen():
                    out[a.serial] = types[a.altloc].get(a.name, "")
    return out
