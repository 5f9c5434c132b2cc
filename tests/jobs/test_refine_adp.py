"""consil refine with anisotropic displacement: definite tensors in the files, isotropic cycles first."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
import pytest

from consilience.examples import example_path
from consilience.jobs.common.options import RefineOptions, RunOptions
from consilience.jobs.refine.job import refine
from consilience.jobs.refine.protocol import displacement_model, refinement_protocol
from consilience.structure.read import read_structure


def principal(path: Path) -> np.ndarray:
    atoms = [a for chain in gemmi.read_structure(str(path))[0] for r in chain for a in r]
    return np.array([np.linalg.eigvalsh(np.array(a.aniso.as_mat33().tolist())) for a in atoms])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("aniso") / "run"
    start, data = example_path("crystal/start.pdb"), example_path("crystal/data.mtz")
    done = refine([start, data], options=RefineOptions(adp="aniso", cycles=3), run=RunOptions(output=out))
    assert done.summary["r_free"] < 0.7 * done.summary["r_free_start"]
    assert done.summary["gradients"]["max_rel_error"] < 1e-6
    assert {p["block"] for p in done.summary["gradients"]["pairs"]} >= {"xyz", "u"}
    return out


@pytest.mark.slow
def test_tensors_are_written_and_definite(folder: Path) -> None:
    for name in ("refined.pdb", "refined.cif"):
        values = principal(folder / name)
        assert values.min() > 0, name
        assert np.ptp(values, axis=1).max() > 0, name
    st = read_structure(folder / "refined.pdb")
    assert np.allclose(st.b_iso, 8 * np.pi**2 * st.u_aniso[:, :3].mean(1), atol=0.06)


@pytest.mark.slow
def test_isotropic_refinement_of_an_anisotropic_model_writes_no_tensors(folder: Path, tmp_path: Path) -> None:
    data, run = example_path("crystal/data.mtz"), RunOptions(output=tmp_path / "iso")
    done = refine([folder / "refined.pdb", data], options=RefineOptions(adp="iso", cycles=0), run=run)
    assert not done.refined.structure.is_aniso.any()
    assert "ANISOU" not in (tmp_path / "iso" / "refined.pdb").read_text()


@pytest.mark.slow
def test_tensors_start_from_the_isotropic_cycles(tmp_path: Path) -> None:
    start, data = example_path("crystal/start.pdb"), example_path("crystal/data.mtz")
    done = refine([start, data], options=RefineOptions(adp="aniso", cycles=6), run=RunOptions(output=tmp_path / "run"))
    cycles = done.summary["cycles"]
    assert [c["block"] for c in cycles] == ["start", "xyz+b", "xyz+u", "xyz+u", "xyz+u", "xyz+u", "xyz+u"]
    assert cycles[2]["r_work"] < cycles[1]["r_work"] + 0.005
    assert np.linalg.norm(done.refined.structure.u_aniso[:, 3:]) > 0


def test_choice_follows_resolution_and_data() -> None:
    st = read_structure(example_path("crystal/start.pdb"))
    enough = 18 * len(st)
    assert displacement_model("auto", 1.2, enough, st) == "aniso"
    assert displacement_model("auto", 1.2, enough - 1, st) == "iso"
    assert displacement_model("auto", 1.5, 10 * enough, st) == "iso"
    assert displacement_model("aniso", 3.0, 10, st) == "aniso"
    given = st.with_atoms(u_aniso=np.tile([0.2, 0.2, 0.3, 0, 0, 0], (len(st), 1)))
    assert displacement_model("auto", 1.2, enough, given) == "given"
    assert displacement_model("iso", 1.0, enough, given) == "iso"


def test_isotropic_cycles_come_first() -> None:
    stages = refinement_protocol(20, "joint", True, True, None, "aniso")
    assert [s.active for s in stages] == [("xyz", "b")] * 6 + [("xyz", "u")] * 14
    assert all("b" not in s.active for s in refinement_protocol(20, "alternate", True, True, None, "given"))


@pytest.mark.slow
def test_partial_occupancies_move_and_come_back(tmp_path: Path) -> None:
    """A whole water set to 0.4 rises, conformers turn back from 0.3 : 0.7 towards 0.6 : 0.4, the rest stays at one."""
    st = gemmi.read_structure(str(example_path("crystal/start.pdb")))
    water = next(r for chain in st[0] for r in chain if r.is_water())
    name = str(water.seqid)
    water[0].occ = 0.4
    for atom in (a for chain in st[0] for r in chain for a in r if a.altloc != "\0"):
        atom.occ = {"A": 0.3, "B": 0.7}[atom.altloc]  # true 0.6 and 0.4
    st.write_pdb(str(tmp_path / "start.pdb"))
    options = RefineOptions(adp="iso", occupancy="partial", cycles=3)
    run = RunOptions(output=tmp_path / "run")
    done = refine([tmp_path / "start.pdb", example_path("crystal/data.mtz")], options=options, run=run)
    assert done.summary["gradients"]["max_rel_error"] < 1e-6
    refined = gemmi.read_structure(str(tmp_path / "run/refined.pdb"))
    residues = [r for chain in refined[0] for r in chain]
    moved = next(r[0].occ for r in residues if r.is_water() and str(r.seqid) == name)
    assert 0.5 < moved < 1.0
    sums = []
    for r in residues:
        split = {a.altloc: a.occ for a in r if a.altloc != "\0"}
        sums += [sum(split.values())] if split else []
        assert split.get("A", 1.0) > 0.45
        assert all(a.occ == 1.0 for a in r if a.altloc == "\0" and str(r.seqid) != name)
    assert sums and np.allclose(sums, 1.0, atol=0.011)


@pytest.mark.slow
def test_jelly_body_is_weighed_and_left_out_of_the_last_cycles(tmp_path: Path) -> None:
    start, data = example_path("crystal/start.pdb"), example_path("crystal/data.mtz")
    options = RefineOptions(adp="iso", jelly_body=True, cycles=4)
    done = refine([start, data], options=options, run=RunOptions(output=tmp_path / "run"))
    cycles = done.summary["cycles"]
    assert [("jelly" in c["weights"]) for c in cycles[1:]] == [True, True, False, False]
    assert done.summary["r_free"] < 0.6 * done.summary["r_free_start"]
    assert done.summary["status"] == "ok"
