"""All atoms against relaxation data and geometry: bonds mend, the steer residues decide, free ones move nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gemmi
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from consilience.examples import example_path
from consilience.jobs.orient.domains import find_bodies
from consilience.jobs.orient.orientation import orient
from consilience.jobs.orient.problem import Domains, Split
from consilience.jobs.orient.restrained_atoms import restrain
from consilience.jobs.refine.inputs import restraints_of
from consilience.nmr.amides import amide_atoms
from consilience.structure.atoms import Structure

from ..nmr.two_domains import RHOMBIC, relaxation, tensor

LENGTH = 22  # residues of each domain


def two_copies() -> Structure:
    """The first residues of the built-in protein twice, the second copy elsewhere and turned."""
    st = gemmi.read_structure(str(example_path("crystal/true.pdb")))
    st.remove_hydrogens()
    st.remove_waters()
    st.remove_alternative_conformations()
    st.remove_empty_chains()
    st.cell, st.spacegroup_hm = gemmi.UnitCell(), ""
    first = st[0][0]
    while len(first) > LENGTH:
        del first[-1]
    second, turn = first.clone(), Rotation.from_rotvec([0.7, -1.1, 0.4]).as_matrix()
    second.name = "B"
    for residue in second:
        for atom in residue:
            atom.pos = gemmi.Position(*(turn @ np.array(atom.pos.tolist()) + [60.0, 0.0, 0.0]))
    st[0].add_chain(second)
    return Structure.from_hierarchy(st, "two copies")


@pytest.fixture(scope="module")
def problem() -> tuple[Domains, Any, Structure, Any]:
    true = two_copies()
    data = relaxation(true, tensor(RHOMBIC))
    shaken = true.with_atoms(xyz=true.xyz + 0.05 * np.random.default_rng(1).normal(size=true.xyz.shape))
    atoms = amide_atoms(shaken, data.residues)
    known = (atoms >= 0).all(axis=1)
    data, atoms = data.select(rows=known), atoms[known]
    bodies = find_bodies(shaken, None)
    split = Split.of(np.ones(len(atoms), bool), bodies.body[atoms[:, 1]], 0)
    domains = Domains(shaken.xyz, bodies, atoms, data, split, ("R1", "R2", "NOE"))
    done = orient(domains, tensor(RHOMBIC), "rhombic", hold=True, starts=1)
    topology, _ = restraints_of(shaken, [], None)
    return domains, done, shaken, topology


@pytest.mark.slow
def test_geometry_mends_and_the_data_stay_explained(problem: tuple[Domains, Any, Structure, Any]) -> None:
    domains, done, structure, topology = problem
    found = restrain(domains, done, structure, topology)
    assert found.accepted, found.reason
    assert found.after["rmsz"]["bond"] < min(2.0, found.before["rmsz"]["bond"] / 3)
    assert found.after["chi2_work"] < found.before["chi2_work"]
    assert 0.02 < np.sqrt(np.mean((found.xyz - done.xyz) ** 2)) < 0.4


@pytest.mark.slow
def test_free_residues_move_no_atom(problem: tuple[Domains, Any, Structure, Any]) -> None:
    domains, done, structure, topology = problem
    value = np.where(domains.split.free[:, None], 10 * domains.data.value, domains.data.value)
    changed = replace(domains, data=replace(domains.data, value=value))
    assert np.array_equal(
        restrain(changed, done, structure, topology).xyz, restrain(domains, done, structure, topology).xyz
    )
