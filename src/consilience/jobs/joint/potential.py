"""A trained potential in a refinement: which atoms or beads of the model it describes, and their energy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import gemmi
import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from consilience.core.errors import InputError
from consilience.core.params import Block, Model
from consilience.jobs.joint.evidence import Standing
from consilience.neighbours import Neighbours
from consilience.potentials.crystal import Crystal, crystal
from consilience.potentials.energy_term import PotentialEnergy, lists_of, molecules
from consilience.residues import RESIDUES, standard
from consilience.structure.atoms import Structure
from consilience.structure.special import special_positions
from consilience.structure.topology import Topology
from consilience.units import BOLTZMANN

TEMPERATURE = 300.0  # K
SHOWN = 6  # residues in a sentence
NATURAL, COARSE = (1.0, 0.1), (0.1,)  # weights; forces of beads err by several kT/Å


@dataclass(frozen=True)
class PotentialEvidence:
    """E / kT of `atoms` (n,) and of hydrogens on `parent` (h,), whose offsets (h, 3) Å are the block "hydrogens".

    `order` sorts atoms and hydrogens by `group`, the molecule of each in that order; energies count from the start.
    """

    energy: Any
    atoms: np.ndarray
    parent: np.ndarray
    offset: np.ndarray
    order: np.ndarray
    group: np.ndarray
    cutoff: float
    applies: str
    capacity: int
    zero: float
    temperature: float = TEMPERATURE
    name: str = "potential"
    tried: tuple[float, ...] = NATURAL

    def blocks(self) -> dict[str, Block]:
        """Hydrogens, where it needs any."""
        return {"hydrogens": Block.of(self.offset)} if len(self.parent) else {}

    def term(self, model: Model) -> PotentialEnergy:
        """With lists for where the atoms are."""
        x = self._places(np.asarray(model["xyz"]), model)
        lists = self.lists(x, self.capacity)
        kt = np.asarray(BOLTZMANN * self.temperature)
        return PotentialEnergy(self.energy, lists, self.atoms, self.parent, self.order, kt, np.asarray(self.zero))

    def observed(self, final: bool) -> None:
        """An energy observes nothing."""

    def standing(self, model: Model) -> Standing:
        """Energy against the start, in kT."""
        return Standing({"energy_kT": float(_value(self.term(model), model)), "atoms": float(len(self.order))})

    def lists(self, x: np.ndarray, capacity: int = 0) -> Neighbours:
        """Of atoms and hydrogens x in the order of the energy."""
        if isinstance(self.energy, Crystal):
            return self.energy.lists(x, self.cutoff, capacity)
        return lists_of(x, self.group, self.cutoff, capacity)

    def _places(self, xyz: np.ndarray, model: Model | None) -> np.ndarray:
        offset = self.offset if model is None or not len(self.parent) else np.asarray(model["hydrogens"])
        return np.concatenate([xyz[self.atoms], xyz[self.parent] + offset])[self.order]


@eqx.filter_jit
def _value(term: PotentialEnergy, model: Model):
    return term(model).value


@eqx.filter_jit
def _energy(energy: Any, x: Any, lists: Any):
    return energy(x, lists)


def potential_evidence(path: Path, structure: Structure, topology: Topology) -> PotentialEvidence:
    """What a trained model says of a structure without hydrogens.

    A model of molecules takes every molecule (connected by bonds) whose elements it knows, riding hydrogens included:
    among its neighbours in the crystal if it was trained on several at once or on cells, else each alone in space.
    A model of beads takes the CA atoms of amino acids. Raises InputError where nothing matches.
    """
    from consilience.beads import LoadedBeads
    from consilience.model import load_model

    model = load_model(path).with_precision(64)
    if isinstance(model, LoadedBeads):
        return _beads(model, structure)
    return _molecules(model, structure, topology, path)


def _started(structure: Structure, **given: Any) -> PotentialEvidence:
    """With room for lists, and the energy of the start as zero."""
    first = PotentialEvidence(**given, capacity=0, zero=0.0)
    x = first._places(structure.xyz, None)
    lists = first.lists(x)
    zero = float(_energy(first.energy, x, lists))
    if not np.isfinite(zero):
        raise InputError("the energy of the start is not finite", structure.source, fix="start from a sane geometry")
    return PotentialEvidence(**given, capacity=lists.capacity, zero=zero)


def _molecules(model: Any, structure: Structure, topology: Topology, path: Path) -> PotentialEvidence:
    riding, lacking = topology.hydrogens(structure.xyz)
    n = len(structure)
    number = np.array([gemmi.Element(str(e)).atomic_number for e in structure.element])
    edges = topology.bonded
    graph = sp.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (n, n))
    count, label = connected_components(graph, directed=False)
    known = np.isin(number, model.elements) & (structure.altloc == "")
    size = np.bincount(label, minlength=count) + np.bincount(label[riding.parent], minlength=count)
    good = (np.bincount(label[~known], minlength=count) == 0) & (size > 1)
    good &= np.bincount(label[lacking], minlength=count) == 0
    if len(riding.parent) and 1 not in model.elements:
        good &= np.bincount(label[riding.parent], minlength=count) == 0
    crowded = model.bundle.info.get("surroundings") == "others" and structure.cell.is_crystal()
    if crowded:
        special = special_positions(structure.xyz, structure.cell, structure.spacegroup, np.zeros(n, bool)).order > 1
        good &= np.bincount(label[special], minlength=count) == 0
    if not good.any():
        found = ", ".join(sorted(set(map(str, structure.element))))
        expected = "a molecule of " + ", ".join(gemmi.Element(int(z)).name for z in model.elements)
        what = "the potential describes no molecule of this model"
        fix = "it needs known elements, no alternative atoms, and a dictionary that places all hydrogens (torsions)"
        raise InputError(what, f"{structure.source}, {path}", f"elements {found}", expected, fix)
    atoms, ridden = np.flatnonzero(good[label]), np.flatnonzero(good[label[riding.parent]])
    parent = riding.parent[ridden]
    owner = np.r_[label[atoms], label[parent]]
    order = np.argsort(owner, kind="stable")
    group = np.unique(owner[order], return_inverse=True)[1]
    numbers = np.r_[number[atoms], np.ones(len(parent), int)][order]
    potential = model.bundle.members[model.member]
    if crowded:
        energy = crystal(potential, numbers, structure.cell, structure.spacegroup or gemmi.SpaceGroup("P 1"))
    else:
        energy = molecules(potential, numbers, group)
    coulomb = energy.potential.coulomb
    cutoff = energy.potential.cutoff if coulomb is None else max(energy.potential.cutoff, coulomb.cutoff)
    names = _residues(structure, atoms)
    each = int(group.max()) + 1
    where = "all atoms" if len(atoms) == n else f"{len(atoms)} of {n} atoms ({names})"
    stand = "in the crystal" if crowded else "each alone in space and neutral"
    applies = f"{where} and {len(parent)} hydrogens: {each} molecule(s), {stand}"
    return _started(
        structure, energy=energy, atoms=atoms, parent=parent, offset=riding.offset[ridden], order=order, group=group,
        cutoff=float(cutoff), applies=applies,
    )  # fmt: skip


def _residues(structure: Structure, atoms: np.ndarray) -> str:
    names = [f"{r.name} {c.name} {r.seqid}" for c in structure.hierarchy[0] for r in c for _ in r]
    chosen = list(dict.fromkeys(names[i] for i in atoms))
    return ", ".join(chosen[:SHOWN]) + (f" and {len(chosen) - SHOWN} more residues" if len(chosen) > SHOWN else "")


def _beads(model: Any, structure: Structure) -> PotentialEvidence:
    atoms, residues, chain, number, i = [], [], [], [], -1
    for k, c in enumerate(structure.hierarchy[0]):
        seen: set[Any] = set()
        for r in c:
            for a in r:
                i += 1
                place = r.seqid.num
                if a.name == "CA" and a.element.name == "C" and standard(r.name) in RESIDUES and place not in seen:
                    seen.add(place)
                    atoms.append(i)
                    residues.append(r.name)
                    chain.append(k)
                    number.append(place)
    if len(atoms) < 2:
        what = "a potential of beads needs CA atoms of amino acids"
        raise InputError(what, structure.source, f"{len(atoms)} of them", "two or more")
    energy = model.beads_of(residues, chain, number, temperature=TEMPERATURE)
    none = np.zeros(0, int)
    return _started(
        structure, energy=energy, atoms=np.array(atoms), parent=none, offset=np.zeros((0, 3)),
        order=np.arange(len(atoms)), group=np.zeros(len(atoms), int), cutoff=float(energy.cutoff),
        applies=f"beads at the {len(atoms)} CA atoms", tried=COARSE,
    )  # fmt: skip
