"""Sources of restraints and their order; our tables against another library on real models."""

from __future__ import annotations

import shutil
from pathlib import Path

import gemmi
import numpy as np
import pytest

from consilience.core.errors import InputError
from consilience.structure import ccd
from consilience.structure.library import OWN_LIBRARY, load_library

ACETIC = """data_ACQ
_chem_comp.id ACQ
_chem_comp.type NON-POLYMER
loop_
_chem_comp_atom.comp_id
_chem_comp_atom.atom_id
_chem_comp_atom.type_symbol
_chem_comp_atom.charge
_chem_comp_atom.pdbx_aromatic_flag
_chem_comp_atom.pdbx_stereo_config
_chem_comp_atom.pdbx_model_Cartn_x_ideal
_chem_comp_atom.pdbx_model_Cartn_y_ideal
_chem_comp_atom.pdbx_model_Cartn_z_ideal
ACQ C1 C 0 N N  0.000  0.000 0.000
ACQ O1 O 0 N N  1.060 -0.590 0.000
ACQ O2 O 0 N N -0.050  1.350 0.000
ACQ C2 C 0 N N -1.300 -0.750 0.000
ACQ HO H 0 N N  0.870  1.640 0.000
ACQ H1 H 0 N N -1.120 -1.830 0.000
ACQ H2 H 0 N N -1.880 -0.480 0.890
ACQ H3 H 0 N N -1.880 -0.480 -0.890
loop_
_chem_comp_bond.comp_id
_chem_comp_bond.atom_id_1
_chem_comp_bond.atom_id_2
_chem_comp_bond.value_order
_chem_comp_bond.pdbx_aromatic_flag
ACQ C1 O1 DOUB N
ACQ C1 O2 SING N
ACQ C1 C2 SING N
ACQ O2 HO SING N
ACQ C2 H1 SING N
ACQ C2 H2 SING N
ACQ C2 H3 SING N
"""


@pytest.fixture(autouse=True)
def no_library_in_the_environment(monkeypatch):
    monkeypatch.delenv("CLIBD_MON", raising=False)


def own_file(name: str) -> str:
    return (OWN_LIBRARY / name[0].lower() / f"{name}.cif").read_text()


def bond(library: gemmi.MonLib, name: str, a: str, b: str) -> float:
    return library.monomers[name].rt.get_bond(a, b).value


def small_library(folder: Path, *names: str, **values: str) -> Path:
    """A library in CCP4 layout with some of our components; `values` replaces text in their files."""
    for name in names:
        text = own_file(name)
        for old, new in values.items():
            text = text.replace(old.replace("_", "."), new)
        path = folder / name[0].lower() / f"{name}.cif"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    shutil.copytree(OWN_LIBRARY / "list", folder / "list", dirs_exist_ok=True)
    energy = (OWN_LIBRARY / "ener_lib.cif").read_text().splitlines()
    (folder / "ener_lib.cif").write_text("\n".join(line for line in energy if not line.startswith("OH2")) + "\n")
    return folder


def test_own_tables_are_the_default(monkeypatch):
    monkeypatch.setattr(ccd, "from_biotite", lambda name: None)  # the CCD, where it is installed, knows QQQ
    library, findings, missing = load_library(["ALA", "HOH", "QQQ", "../ALA"])
    assert set(library.monomers) == {"ALA", "HOH"}
    assert findings == ()
    assert missing == ("QQQ", "../ALA")


def test_users_dictionary_precedes_the_library_and_that_precedes_ours(tmp_path):
    folder = small_library(tmp_path / "lib", "ALA", "GLY", **{"1_459": "1.777", "1_456": "1.777"})
    ligand = tmp_path / "ala.cif"
    ligand.write_text(own_file("ALA").replace("1.459", "1.888"))
    library, findings, missing = load_library(["ALA", "GLY", "HOH"], ligands=[ligand], monlib=folder)
    assert bond(library, "ALA", "N", "CA") == pytest.approx(1.888)
    assert bond(library, "GLY", "N", "CA") == pytest.approx(1.777)
    assert not findings and not missing
    # HOH and the type of its oxygen are not in the folder: both come from our own library
    assert library.ener_lib.atoms["OH2"].vdw_radius > 1


def test_library_named_by_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIBD_MON", str(small_library(tmp_path, "ALA", **{"1_459": "1.777"})))
    assert bond(load_library(["ALA"])[0], "ALA", "N", "CA") == pytest.approx(1.777)


def test_broken_file_of_a_library_is_told_and_replaced(tmp_path):
    folder = small_library(tmp_path, "ALA")
    (folder / "a" / "ALA.cif").write_text("data_comp_ALA\nloop_\n_chem_comp_atom.comp_id\n")
    library, findings, _ = load_library(["ALA"], monlib=folder)
    assert "ALA" in library.monomers
    assert [f.level for f in findings] == ["warn"]


@pytest.mark.parametrize("text", ["data_x\n_cell.length_a 10\n", "not a cif", ""])
def test_dictionary_without_a_component_is_refused(tmp_path, text):
    path = tmp_path / "lig.cif"
    path.write_text(text)
    with pytest.raises(InputError, match=r"lig\.cif"):
        load_library(["ALA"], ligands=[path])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("SO4 S O1 deloc", "SO4 S O9 deloc", "O9"),
        ("SO4 S O1 deloc n 1.472", "SO4 S O1 deloc n ?", "no usable ideal value"),
        ("O1 S O2 109.47", "O1 S O2 999.00", "no usable ideal value"),
    ],
)
def test_unusable_dictionary_is_refused(tmp_path, old, new, message):
    path = tmp_path / "so4.cif"
    text = own_file("SO4")
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=message) as error:
        load_library(["SO4"], ligands=[path])
    assert "so4.cif" in str(error.value)


def test_folder_that_is_no_library_is_refused(tmp_path):
    with pytest.raises(InputError, match="not a monomer library"):
        load_library(["ALA"], monlib=tmp_path)


def test_component_defined_twice_is_told(tmp_path):
    for i in (1, 2):
        (tmp_path / f"{i}.cif").write_text(own_file("SO4"))
    _, findings, _ = load_library(["SO4"], ligands=[tmp_path / "1.cif", tmp_path / "2.cif"])
    assert [f.level for f in findings] == ["warn"]


def test_coordinates_give_restraints(tmp_path):
    path = tmp_path / "acq.cif"
    path.write_text(ACETIC)
    library, findings, missing = load_library(["ACQ"], ligands=[path])
    assert [f.level for f in findings] == ["warn"] and not missing
    cc = library.monomers["ACQ"]
    assert "HO" not in [a.id for a in cc.atoms]
    assert bond(library, "ACQ", "C1", "O1") == bond(library, "ACQ", "C1", "O2") == pytest.approx(1.25)
    assert bond(library, "ACQ", "C1", "C2") == pytest.approx(1.501, abs=1e-3)
    assert bond(library, "ACQ", "C2", "H1") == pytest.approx(0.99)
    assert [sorted(i.atom for i in p.ids) for p in cc.rt.planes] == [["C1", "C2", "O1", "O2"]]
    assert len(cc.rt.angles) == 3 + 6
    angles = {a.id1.atom + a.id3.atom: a.value for a in cc.rt.angles if a.id2.atom == "C1"}
    assert sum(angles.values()) == pytest.approx(360, abs=0.1)


def test_coordinates_without_bonds_are_refused(tmp_path):
    path = tmp_path / "acq.cif"
    path.write_text(ACETIC[: ACETIC.index("loop_\n_chem_comp_bond")])
    with pytest.raises(InputError, match=r"acq\.cif"):
        load_library(["ACQ"], ligands=[path])


@pytest.mark.parametrize("sign", [1, -1])
def test_chirality_follows_the_coordinates(tmp_path, sign):
    """Mirrored coordinates give the opposite sign."""
    atoms = {
        "C1": (0, 0, 0),
        "F1": (1.36, 0, 0),
        "CL1": (-0.6, 1.6, 0),
        "BR1": (-0.6, -0.9, 1.6),
        "H1": (-0.4, -0.4, -0.9),
    }
    path = tmp_path / "chi.cif"
    rows = "".join(
        f"CHX {a} {a.rstrip('1')} 0 N {'S' if a == 'C1' else 'N'} {x} {y} {z * sign}\n"
        for a, (x, y, z) in atoms.items()
    )
    head, bonds = ACETIC.split("ACQ C1 C 0")[0].replace("ACQ", "CHX"), ACETIC[ACETIC.index("loop_\n_chem_comp_bond") :]
    bonds = bonds.split("ACQ")[0] + "".join(f"CHX C1 {a} SING N\n" for a in list(atoms)[1:])
    path.write_text(head + rows + bonds)
    (chir,) = load_library(["CHX"], ligands=[path])[0].monomers["CHX"].rt.chirs
    assert [chir.id_ctr.atom, chir.id1.atom, chir.id2.atom, chir.id3.atom] == ["C1", "F1", "CL1", "BR1"]
    assert (chir.sign == gemmi.ChiralityType.Positive) == (sign > 0)


def test_chemical_component_dictionary_of_biotite():
    pytest.importorskip("biotite", reason="the optional package biotite is not installed")
    library, findings, missing = load_library(["HEM", "XXXXX"])
    assert len(library.monomers["HEM"].rt.bonds) == 80  # two acid hydrogens are gone
    assert [f.level for f in findings] == ["warn"] and "HEM" in findings[0].what
    assert missing == ("XXXXX",)


class Model:
    """Restraints on the atoms of a real model; keys are (chain, number, residue, atom, altloc)."""

    def __init__(self, path: Path, library: gemmi.MonLib):
        st = gemmi.read_structure(str(path))
        st.setup_entities()
        st.remove_hydrogens()
        gemmi.add_automatic_links(st[0], st, library)
        self.topo = gemmi.prepare_topology(st, library, 0, gemmi.HydrogenChange.ReAddKnown, warnings=None)
        self.st, self.library = st, library  # gemmi's restraints of links point into the library
        self.key = {a.serial: (c.name, str(r.seqid), r.name, a.name, a.altloc) for c in st[0] for r in c for a in r}
        self.hydrogens = {self.key[a.serial][:4] for c in st[0] for r in c for a in r if a.is_hydrogen()}
        self.bonds, self.angles = self.table("bonds"), self.table("angles")
        self.chirs = {
            self.key[c.atoms[0].serial]: c for c in self.topo.chirs if c.restr.sign != gemmi.ChiralityType.Both
        }
        self.planes = [p for p in self.topo.planes if sum(not a.is_hydrogen() for a in p.atoms) > 3]

    def table(self, kind: str) -> dict:
        out = {}
        for restraint in getattr(self.topo, kind):
            if not any(a.is_hydrogen() for a in restraint.atoms):
                key = tuple(self.key[a.serial] for a in restraint.atoms)
                out[min(key, key[::-1])] = restraint
        return out


def library_for(path: Path, **options) -> gemmi.MonLib:
    ligands = sorted(path.parent.glob("*.cif"))
    names = gemmi.read_structure(str(path))[0].get_all_residue_names()
    library, _, missing = load_library(names, ligands=ligands, **options)
    assert not missing
    return library


@pytest.mark.parametrize("case", ["4xof", "5a3h", "rnase25", "1dur"])
def test_real_models_agree_with_another_library(data_dir, case):
    path = data_dir / "xray" / case / "start_shaken.pdb"
    if not path.is_file() or not (data_dir / "monomers").is_dir():
        pytest.skip("model or reference library absent")
    ours = Model(path, library_for(path))
    other = Model(path, library_for(path, monlib=data_dir / "monomers"))
    assert ours.bonds.keys() == other.bonds.keys()
    assert ours.angles.keys() >= other.angles.keys()
    assert len(ours.angles) <= 1.05 * len(other.angles)
    assert ours.chirs.keys() == other.chirs.keys()
    assert len(ours.planes) == pytest.approx(len(other.planes), rel=0.03)
    assert ours.hydrogens == other.hydrogens
    for kind, limit in (("bonds", 0.012), ("angles", 1.5)):
        a, b = getattr(ours, kind), getattr(other, kind)
        # the reference has tetrahedral angles in iron-sulfur cubanes, 15 degrees from any structure of one
        common = [k for k in b if not any(atom[2] == "SF4" for atom in k)]
        difference = np.array([a[k].restr.value - b[k].restr.value for k in common])
        ratio = np.array([a[k].restr.esd / b[k].restr.esd for k in common])
        assert np.sqrt(np.mean(difference**2)) < limit
        assert 0.5 < np.median(ratio) < 2.0
        assert np.mean((ratio > 0.5) & (ratio < 2.0)) > 0.98


@pytest.mark.parametrize("case", ["4xof", "5a3h"])
def test_good_models_fit_our_tables(data_dir, case):
    path = data_dir / "xray" / case / "model.pdb"
    if not path.is_file():
        pytest.skip(f"{path} absent")
    model = Model(path, library_for(path))
    bond_z = [b.calculate_z() for b in model.bonds.values()]
    angle_z = [a.calculate_z() for a in model.angles.values()]
    assert np.sqrt(np.mean(np.square(bond_z))) < 1.5
    assert np.sqrt(np.mean(np.square(angle_z))) < 1.6
    assert [k for k, c in model.chirs.items() if not c.check()] == []
    ideal = np.array([model.topo.ideal_chiral_abs_volume(c) for c in model.chirs.values()])
    found = np.array([abs(c.calculate()) for c in model.chirs.values()])
    assert np.max(np.abs(found - ideal)) < 0.2 * 5


def test_cis_proline_and_disulfides_are_linked(data_dir):
    path = data_dir / "xray" / "rnase25" / "model.pdb"
    if not path.is_file():
        pytest.skip(f"{path} absent")
    model = Model(path, library_for(path))
    links = {link.link_id for c in model.topo.chain_infos for r in c.res_infos for link in r.prev}
    assert {"TRANS", "PTRANS", "PCIS"} <= links
    assert {link.link_id for link in model.topo.extras} == {"disulf"}
    assert not any(name == "HG" and residue == "CYS" for _, number, residue, name in model.hydrogens if number == "7")


@pytest.mark.parametrize("names", [("DT", "DA", "DG"), ("A", "U", "G")])
def test_nucleotides_are_linked(names):
    library = load_library(names)[0]
    chain, rng = gemmi.Chain("A"), np.random.default_rng(0)
    end = gemmi.Position(0, 0, 0)
    for number, name in enumerate(names, 1):
        residue = gemmi.Residue()
        residue.name, residue.seqid = name, gemmi.SeqId(number, " ")
        for a in library.monomers[name].atoms:
            if a.is_hydrogen() or (number > 1 and a.id == "OP3"):
                continue
            atom = gemmi.Atom()
            atom.name, atom.element, atom.pos = a.id, a.el, gemmi.Position(*(rng.normal(size=3) + 8 * number))
            if a.id == "P":
                atom.pos = end + gemmi.Position(1.6, 0, 0)
            elif a.id == "O3'":
                end = atom.pos
            residue.add_atom(atom)
        chain.add_residue(residue)
    st, model = gemmi.Structure(), gemmi.Model(1)
    model.add_chain(chain)
    st.add_model(model)
    st.setup_entities()
    topo = gemmi.prepare_topology(st, library, 0, gemmi.HydrogenChange.NoChange, warnings=None)
    links = [link.link_id for c in topo.chain_infos for r in c.res_infos for link in r.prev]
    assert links == ["p", "p"]
    values = {(b.atoms[0].name, b.atoms[1].name): b.restr.value for b in topo.bonds}
    assert values["O3'", "P"] == pytest.approx(1.607)
    components = [r.get_final_chemcomp("\0") for c in topo.chain_infos for r in c.res_infos]
    assert ["OP3" in {a.id for a in c.atoms} for c in components] == [True, False, False]
    assert [c.rt.get_bond("P", "OP1").value for c in components] == pytest.approx([1.51, 1.485, 1.485])
