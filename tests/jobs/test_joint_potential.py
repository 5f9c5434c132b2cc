"""A potential of molecules in a refinement: formic acid, alone in space or in its crystal."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import gemmi
import numpy as np
import pytest

from consilience.jobs.common.options import RefineOptions, RunOptions
from consilience.jobs.joint.potential import potential_evidence
from consilience.jobs.refine.inputs import load_inputs
from consilience.jobs.refine.job import refine

CELL = gemmi.UnitCell(9.0, 8.0, 9.5, 90, 100, 90)
PLACES = np.array([[1.5, 1.0, 1.5], [5.5, 1.6, 1.7], [1.4, 5.0, 5.6], [5.2, 4.4, 5.5]])
SHAPE = np.array([[0, 0, 0], [1.2, 0, 0], [-0.77, 1.1, 0]])  # C, O, O
DICTIONARY = """data_comp_list
loop_
_chem_comp.id
_chem_comp.three_letter_code
_chem_comp.name
_chem_comp.group
_chem_comp.number_atoms_all
_chem_comp.number_atoms_nh
FMA FMA "formic acid" non-polymer 5 3
data_comp_FMA
loop_
_chem_comp_atom.comp_id
_chem_comp_atom.atom_id
_chem_comp_atom.type_symbol
_chem_comp_atom.type_energy
_chem_comp_atom.charge
FMA C C C 0
FMA O1 O O 0
FMA O2 O O 0
FMA H H H 0
FMA HO H H 0
loop_
_chem_comp_bond.comp_id
_chem_comp_bond.atom_id_1
_chem_comp_bond.atom_id_2
_chem_comp_bond.type
_chem_comp_bond.aromatic
_chem_comp_bond.value_dist
_chem_comp_bond.value_dist_esd
FMA C O1 double n 1.20 0.02
FMA C O2 single n 1.34 0.02
FMA C H single n 1.10 0.02
FMA O2 HO single n 0.97 0.02
loop_
_chem_comp_angle.comp_id
_chem_comp_angle.atom_id_1
_chem_comp_angle.atom_id_2
_chem_comp_angle.atom_id_3
_chem_comp_angle.value_angle
_chem_comp_angle.value_angle_esd
FMA O1 C O2 125.0 1.5
FMA O1 C H 124.0 1.5
FMA O2 C H 111.0 1.5
FMA C O2 HO 106.0 1.5
loop_
_chem_comp_tor.comp_id
_chem_comp_tor.id
_chem_comp_tor.atom_id_1
_chem_comp_tor.atom_id_2
_chem_comp_tor.atom_id_3
_chem_comp_tor.atom_id_4
_chem_comp_tor.value_angle
_chem_comp_tor.value_angle_esd
_chem_comp_tor.period
FMA t O1 C O2 HO 0.0 10.0 1
loop_
_chem_comp_plane_atom.comp_id
_chem_comp_plane_atom.plane_id
_chem_comp_plane_atom.atom_id
_chem_comp_plane_atom.dist_esd
FMA p C 0.02
FMA p O1 0.02
FMA p O2 0.02
FMA p H 0.02
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four molecules in P 21 and their amplitudes to 1.5 Å, free of errors."""
    folder, rng = tmp_path_factory.mktemp("acid"), np.random.default_rng(0)
    st = gemmi.Structure()
    st.cell, st.spacegroup_hm = CELL, "P 21"
    model, chain = gemmi.Model(1), gemmi.Chain("A")
    for k, place in enumerate(PLACES):
        turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        residue = gemmi.Residue()
        residue.name, residue.seqid, residue.het_flag = "FMA", gemmi.SeqId(str(k + 1)), "H"
        for name, x in zip(("C", "O1", "O2"), place + SHAPE @ turn, strict=True):
            atom = gemmi.Atom()
            atom.name, atom.element, atom.pos = name, gemmi.Element(name[0]), gemmi.Position(*x)
            atom.b_iso, atom.occ = 15.0, 1.0
            residue.add_atom(atom)
        chain.add_residue(residue)
    model.add_chain(chain)
    st.add_model(model)
    st.setup_entities()
    st.write_pdb(str(folder / "model.pdb"))
    (folder / "fma.cif").write_text(DICTIONARY)
    group = gemmi.SpaceGroup("P 21")
    hkl = gemmi.make_miller_array(CELL, group, 1.5)
    calculator = gemmi.StructureFactorCalculatorX(CELL)
    f = np.abs([calculator.calculate_sf_from_model(st[0], h) for h in hkl.tolist()])
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup, mtz.cell = group, CELL
    mtz.add_dataset("simulated")
    for label, kind in (("FP", "F"), ("SIGFP", "Q"), ("FREE", "I")):
        mtz.add_column(label, kind)
    free = (rng.random(len(f)) < 0.1).astype(float)
    mtz.set_data(np.column_stack([hkl, f, 0.03 * f + 0.1, free]).astype(np.float32))
    mtz.write_to_file(str(folder / "data.mtz"))
    return [folder / "model.pdb", folder / "data.mtz", folder / "fma.cif"]


def of_company(tiny_model: Path, target: Path) -> Path:
    """The tiny model as if it had been trained on frames of several molecules."""
    shutil.copytree(tiny_model, target)
    said = json.loads((target / "model.json").read_text())
    (target / "model.json").write_text(json.dumps(said | {"surroundings": "others"}))
    return target


def test_what_a_potential_sees(files: list[Path], tiny_model: Path, tmp_path: Path) -> None:
    inputs = load_inputs(files, RefineOptions(), 0)
    alone = potential_evidence(tiny_model, inputs.structure, inputs.topology)
    assert "all atoms and 8 hydrogens: 4 molecule(s), each alone" in alone.applies
    packed = potential_evidence(of_company(tiny_model, tmp_path / "model"), inputs.structure, inputs.topology)
    assert "4 molecule(s), in the crystal" in packed.applies
    assert packed.energy.whole.numbers.shape == (40,)  # two operations
    assert np.isfinite(packed.zero) and abs(packed.zero - alone.zero) > 1e-4


@pytest.mark.slow
def test_refinement_in_the_crystal(files: list[Path], tiny_model: Path, tmp_path: Path) -> None:
    options = RefineOptions(cycles=2, adp="iso", potential=of_company(tiny_model, tmp_path / "model"))
    s = refine(files, options=options, run=RunOptions(output=tmp_path / "out")).summary
    assert s["status"] == "ok" and s["gradients"]["max_rel_error"] < 1e-6
    assert "in the crystal" in s["evidence"]["potential"]["applies"]
    assert {"none", "xray", "geometry", "potential"} <= set(s["leave_one_out"])
