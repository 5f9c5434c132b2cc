"""Validation of coordinates: real models are good, built faults are found, and what is no fault is not reported."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import gemmi
import numpy as np
import pytest

from consilience.examples import example_path
from consilience.structure.atoms import Structure
from consilience.structure.validation import (
    backbone_torsions,
    clashes,
    omega_outliers,
    ramachandran_summary,
    residue_b,
)


def _read(path: Path) -> Structure:
    return Structure.from_hierarchy(gemmi.read_structure(str(path)), str(path))


@pytest.fixture(scope="module")
def true() -> Structure:
    return _read(example_path("crystal/true.pdb"))


def _waters(*atoms: tuple[str, tuple[float, float, float], float, str], group: str = "P 1") -> Structure:
    """One residue per atom: (element, xyz Å, occupancy, altloc) in a 20 Å cube."""
    chain = gemmi.Chain("W")
    for k, (element, xyz, occ, altloc) in enumerate(atoms):
        res, atom = gemmi.Residue(), gemmi.Atom()
        res.name, res.seqid = "HOH", gemmi.SeqId(str(k + 1))
        atom.name, atom.element, atom.pos, atom.occ = element, gemmi.Element(element), gemmi.Position(*xyz), occ
        atom.altloc = altloc or "\0"
        res.add_atom(atom)
        chain.add_residue(res)
    st, model = gemmi.Structure(), gemmi.Model(1)
    model.add_chain(chain)
    st.add_model(model)
    st.cell, st.spacegroup_hm = gemmi.UnitCell(20, 20, 20, 90, 90, 90), group
    st.setup_cell_images()
    return Structure.from_hierarchy(st)


@pytest.mark.parametrize(("name", "n", "cis"), [("4xof", 70, []), ("5a3h", 298, ["263"]), ("1dur", 53, [])])
def test_real_models_are_good(data_dir: Path, name: str, n: int, cis: list[str]) -> None:
    torsions = backbone_torsions(_read(data_dir / "xray" / name / "model.pdb"))
    summary = ramachandran_summary(torsions)
    assert summary["n"] == n
    assert summary["favoured_percent"] > 95
    assert summary["outlier"] <= 1
    assert [t.seqid for t in omega_outliers(torsions)] == cis  # 5a3h has a known cis peptide before SER 263


def test_a_rough_model_is_worse_than_a_good_one(data_dir: Path) -> None:
    rough = _read(data_dir / "xray" / "rnase25" / "model.pdb")
    good = _read(data_dir / "xray" / "5a3h" / "model.pdb")
    a, b = (ramachandran_summary(backbone_torsions(m)) for m in (rough, good))
    assert a["outlier_percent"] > b["outlier_percent"] + 1
    assert len(clashes(rough)) > 20 and len(clashes(good)) <= 2


def test_torsions_follow_the_design_of_the_example(true: Structure) -> None:
    torsions = backbone_torsions(true)
    assert len(torsions) == 42
    assert torsions[0].phi is None and torsions[0].omega is None and torsions[0].region is None
    assert torsions[-1].psi is None
    helix = torsions[4:14]
    assert all(abs(t.phi + 64) < 8 and abs(t.psi + 41) < 10 for t in helix if t.phi is not None and t.psi is not None)
    kinds = {t.seqid: t.kind for t in torsions if t.kind != "general"}
    special = {"2": "pre-Pro", "3": "Pro", "19": "pre-Pro", "20": "Pro", "39": "pre-Pro", "40": "Pro"}
    assert kinds == special | {"17": "Gly", "37": "Gly"}
    assert [t.seqid for t in torsions if t.peptide == "cis"] == ["40"]
    assert omega_outliers(torsions) == ()
    assert ramachandran_summary(torsions)["favoured"] == 40


def test_a_gap_and_a_twist_are_seen(true: Structure) -> None:
    xyz = true.xyz.copy()
    atoms = [(r.seqid.num, a.name) for c in true.hierarchy[0] for r in c for a in r if c.name == "A"]
    later = np.array([n >= 20 for n, _ in atoms] + [True] * (len(xyz) - len(atoms)))
    moved = backbone_torsions(true.with_atoms(xyz=xyz + later[:, None] * 5.0))
    assert moved[18].psi is None and moved[19].phi is None and moved[19].peptide is None
    assert moved[18].kind == "general"  # no longer bonded to PRO 20
    c, n, ca = (xyz[atoms.index(k)] for k in ((24, "C"), (25, "N"), (25, "CA")))
    axis = (n - c) / np.linalg.norm(n - c)
    turned = xyz.copy()
    v = ca - n
    angle = np.radians(60.0)
    turned[atoms.index((25, "CA"))] = (
        n + v * np.cos(angle) + np.cross(axis, v) * np.sin(angle) + axis * (axis @ v) * (1 - np.cos(angle))
    )
    twisted = omega_outliers(backbone_torsions(true.with_atoms(xyz=turned)))
    assert [(t.seqid, t.peptide) for t in twisted] == [("25", "twisted")]


def test_mean_b_per_residue(true: Structure) -> None:
    rows = residue_b(true)
    assert len(rows) == 42 + 1 + 34
    gly = next(r for r in rows if r.name == "GLY")
    assert gly.side is None and gly.main is not None
    water = rows[-1]
    assert water.main is None and water.side == pytest.approx(float(true.b_iso[-1]))
    split = next(r for r in rows if r.seqid == "9")
    atoms = [a for a in true.hierarchy[0]["A"][8] if not a.is_hydrogen() and a.name not in ("N", "CA", "C", "O")]
    expected = np.average([a.b_iso for a in atoms], weights=[a.occ for a in atoms])
    assert len(atoms) == 10 and split.side == pytest.approx(float(expected))


def test_the_example_has_no_clash_and_a_moved_side_chain_has(true: Structure) -> None:
    assert clashes(true) == ()
    xyz = true.xyz.copy()
    atoms = [(r.seqid.num, a.name) for c in true.hierarchy[0] for r in c for a in r]
    a, b = atoms.index((6, "CD1")), atoms.index((32, "CB"))
    xyz[a] = xyz[b] + [0.0, 0.0, 2.4]
    found = clashes(true.with_atoms(xyz=xyz))
    assert any({c.first, c.second} == {a, b} and c.distance == pytest.approx(2.4, abs=1e-6) for c in found)
    assert all(x.overlap >= y.overlap >= 0.4 for x, y in pairwise(found))


def test_contacts_that_are_no_clash() -> None:
    far = _waters(("O", (5, 5, 5), 1.0, ""), ("O", (5, 5, 7.6), 1.0, ""))
    assert clashes(far) == ()
    close = _waters(("O", (5, 5, 5), 1.0, ""), ("O", (5, 5, 7.0), 1.0, ""))
    (clash,) = clashes(close)
    assert clash.labels == ("W HOH 1 O", "W HOH 2 O") and not clash.symmetry
    assert clash.overlap == pytest.approx(2.8 - 2.0 - 0.15)
    assert clashes(_waters(("O", (5, 5, 5), 0.5, "A"), ("O", (5, 5, 7.0), 0.5, "B"))) == ()
    assert clashes(_waters(("O", (5, 5, 5), 0.5, ""), ("O", (5, 5, 7.0), 0.5, ""))) == ()
    assert clashes(_waters(("O", (5, 5, 5), 0.0, ""), ("O", (5, 5, 7.0), 1.0, ""))) == ()
    assert clashes(_waters(("ZN", (5, 5, 5), 1.0, ""), ("O", (5, 5, 7.0), 1.0, ""))) == ()


def test_symmetry_mates_clash_and_special_positions_do_not() -> None:
    (clash,) = clashes(_waters(("C", (1.0, 5, 0.0), 1.0, ""), group="P 1 2 1"))
    assert clash.symmetry and clash.first == clash.second == 0 and clash.distance == pytest.approx(2.0)
    assert clashes(_waters(("C", (0.1, 5, 0.0), 1.0, ""), group="P 1 2 1")) == ()
    (across,) = clashes(_waters(("C", (0.5, 5, 5), 1.0, ""), ("C", (18.9, 5, 5), 1.0, "")))
    assert across.distance == pytest.approx(1.6)
