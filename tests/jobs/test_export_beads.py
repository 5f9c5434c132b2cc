"""consil export of beads: LAMMPS on one and two processes, fix external, OpenMM; folders that run; tests that fail."""

from __future__ import annotations

import csv
import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
import pytest

import consilience as con
from consilience.cli import main
from consilience.coarse.beads import Beads
from consilience.coarse.write import write_beads
from consilience.core.errors import InputError
from consilience.engines.lammps import build
from consilience.jobs.common.bead_start import read_bead_start
from consilience.jobs.export import lammps_terms
from consilience.potentials.beads.model import BeadModel, NetworkShape, save_beads
from consilience.potentials.beads.prior import PairTable, Table, empty_prior, walls

RESIDUES = ("TYR", "ASP", "PRO", "GLU", "THR", "GLY", "THR", "TRP", "TYR", "ALA", "LYS", "GLY", "SER", "LEU")


@pytest.fixture(scope="module")
def model(tmp_path_factory: Any) -> Path:
    """A prior with all its terms and a small network, random."""
    rng = np.random.default_rng(0)

    def table(t: Table) -> Table:
        return Table(rng.normal(0, 0.03, t.shared.shape), rng.normal(0, 0.02, t.by_type.shape), None)

    prior = empty_prior(walls(2.6, 1.4))
    pair = jax.tree.map(lambda a: rng.normal(0, 0.02, np.shape(a)), prior.pair)
    assert isinstance(pair, PairTable)
    parts = (table(prior.bond), table(prior.angle), table(prior.dihedral), pair)
    prior = eqx.tree_at(lambda p: (p.bond, p.angle, p.dihedral, p.pair), prior, parts)
    shape = NetworkShape(cutoff=8.0, features=8, channels=4)
    network = jax.tree.map(
        lambda a: np.asarray(a + 0.2 * rng.normal(size=a.shape), a.dtype) if eqx.is_inexact_array(a) and a.ndim else a,
        shape.build(),
    )
    folder = tmp_path_factory.mktemp("beads") / "model"
    save_beads(folder, BeadModel(prior, (network,), shape, {}))
    return folder


@pytest.fixture(scope="module")
def start(tmp_path_factory: Any) -> Path:
    """Two chains, the first with a break, shaken."""
    rng = np.random.default_rng(1)
    n = len(RESIDUES)
    t = np.arange(n)
    turn = np.radians(95.0) * t
    x = np.stack([2.3 * np.cos(turn), 2.3 * np.sin(turn), 1.55 * t], 1) + rng.normal(0, 0.15, (9, n, 3))
    x[:, 9:] += [9.0, 0, -8.0]
    x[:, 6:9] += [0.0, 6.0, 3.0]
    number = np.array([0, 1, 2, 3, 4, 5, 8, 9, 10, 0, 1, 2, 3, 4])
    path = tmp_path_factory.mktemp("start") / "pair.npz"
    beads = Beads("pair", RESIDUES, np.repeat([0, 1], [9, 5]), number, x, None, np.full(9, 300.0), np.zeros(9, int))
    write_beads(path, [beads])
    return path


@pytest.fixture(scope="module")
def lammps_folder(model: Path, start: Path, tmp_path_factory: Any) -> Any:
    pytest.importorskip("lammps")
    if build.compiler() is None or build.installation().pjrt is None:
        pytest.skip("no compiler or no PJRT plug-in")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXXFLAGS", "-O0")
        return con.export(model, start, to="lammps", output=tmp_path_factory.mktemp("lammps") / "run")


def test_lammps_equals_our_own_code(lammps_folder: Any) -> None:
    s = lammps_folder.summary
    assert s["status"] == "ok" and s["engine"] == "lammps" and s["unit"] == "kcal/mol/Å, kcal/mol"
    assert s["ways"] == ["1 process", "2 processes"] and s["n_frames"] == 8 and s["n_beads"] == 14
    assert s["max_energy_difference"] < 1e-8 and s["max_relative_force_difference"] < 1e-8
    rows = list(csv.DictReader((lammps_folder.folder / "selftest.csv").read_text().splitlines()))
    assert len(rows) == 16 and all(float(r["max_force_kcal_A"]) > 1 for r in rows)
    missing = [name for name in s["files"] if not (lammps_folder.folder / name).exists()]
    assert not missing and not s["warnings"]


def test_the_folder_runs(lammps_folder: Any) -> None:
    from consilience.engines.lammps.evaluate import run_lammps

    found, folder = build.installation(), lammps_folder.folder
    log = run_lammps(found, folder / "in.lammps", {"steps": 40, "every": 10, "dt": 2.0}, ranks=2)
    assert "Dangerous builds = 0" in log
    assert (folder / "trajectory.dcd").stat().st_size > 500 and (folder / "end.data").exists()


def alone(model: Path, folder: Path) -> Path:
    """The model without its network."""
    save_beads(folder / "prior", BeadModel(con.load_model(model).bundle.prior))
    return folder / "prior"


def test_numbers_that_differ_fail_the_test(model: Path, start: Path, tmp_path: Path, monkeypatch: Any) -> None:
    pytest.importorskip("lammps")
    if build.compiler() is None:
        pytest.skip("no compiler")
    from dataclasses import replace

    prior = alone(model, tmp_path)
    right = lammps_terms.classical_terms

    def wrong(*args: Any) -> Any:
        terms = right(*args)
        (bond,) = terms.bonds
        return replace(terms, bonds=(replace(bond, values=bond.values * [1.0, 1.00001]),))

    monkeypatch.setenv("CXXFLAGS", "-O0")
    monkeypatch.setattr("consilience.jobs.export.lammps.classical_terms", wrong)
    run = con.export(prior, start, to="lammps", output=tmp_path / "run")
    assert run.summary["status"] == "checks_failed" and run.summary["max_relative_force_difference"] > 1e-6
    assert not (run.folder / "network").exists()


def test_without_a_compiler_python_gives_the_forces(model: Path, start: Path, tmp_path: Path) -> None:
    pytest.importorskip("lammps")
    code = (
        "import runpy, sys\nimport consilience as con\nfrom consilience.engines.lammps import build\n"
        "build.compiler = lambda: None\nrun = con.export(*sys.argv[1:3], to='lammps', output=sys.argv[3])\n"
        "sys.argv = ['run.py', '30']\nrunpy.run_path(str(run.folder / 'run.py'))\n"
    )
    command = [sys.executable, "-c", code, str(alone(model, tmp_path)), str(start), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # MPI is begun once in a process
    assert done.returncode == 0 and "30 steps" in done.stdout, done.stderr
    s = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert s["status"] == "ok" and s["ways"] == ["fix external"] and s["max_relative_force_difference"] < 1e-9
    assert "no C++ compiler" in s["warnings"][0]


def test_openmm(model: Path, start: Path, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    pytest.importorskip("openmm")
    run = con.export(model, start, to="openmm", output=tmp_path / "run")
    assert run.summary["status"] == "ok" and run.summary["max_relative_force_difference"] < 1e-9
    monkeypatch.setattr(sys, "argv", ["run.py", "200"])
    runpy.run_path(str(run.folder / "run.py"))
    assert "200 steps" in capsys.readouterr().out
    assert os.path.getsize(run.folder / "trajectory.dcd") > 100
    single = con.export(model, start, to="openmm", precision=32, output=tmp_path / "single")
    assert single.summary["precision"] == 32 and single.summary["status"] == "ok"
    rows = [csv.DictReader((r.folder / "selftest.csv").read_text().splitlines()) for r in (run, single)]
    energies = [np.array([float(line["energy_kcal"]) for line in lines]) for lines in rows]
    assert 1e-9 < np.abs(energies[0] - energies[1]).max() < 1e-3


def test_ca_atoms_of_a_structure_and_its_breaks(tmp_path: Path, start: Path) -> None:
    beads = read_bead_start(start)
    (tmp_path / "pair.pdb").write_text(beads.pdb())
    again = read_bead_start(tmp_path / "pair.pdb")
    assert again.residues == beads.residues and again.chain.tolist() == beads.chain.tolist()
    assert again.number.tolist() == beads.number.tolist()
    np.testing.assert_allclose(again.positions, beads.positions, atol=6e-4)
    (finding,) = again.findings
    assert "residues are missing between 6 and 9" in finding.what
    np.testing.assert_allclose(again.masses, beads.masses)


def test_bad_input(model: Path, start: Path, tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(InputError, match="ase is for molecules"):
        con.export(model, start, to="ase")
    with pytest.raises(InputError, match="charge is for molecules"):
        con.export(model, start, to="openmm", charge=1.0)
    with pytest.raises(InputError, match="exported for a START"):
        con.export(model, to="openmm")
    with pytest.raises(InputError, match="--temperature is out of range"):
        con.export(model, start, to="openmm", temperature=0.0)
    with pytest.raises(InputError, match="model of beads"):
        con.optimize(model, start)
    (tmp_path / "a.txt").write_text("nothing")
    assert main(["export", str(model), str(tmp_path / "a.txt"), "--to", "openmm", "-o", str(tmp_path / "no")]) == 2
    assert "no structure to start from" in capsys.readouterr().err and not (tmp_path / "no").exists()


@pytest.mark.physical_validation
def test_constant_energy_of_a_real_protein(data_dir: Path, model: Path, tmp_path: Path) -> None:
    """10,000 steps in LAMMPS: no drift, and fluctuations that fall with the square of the time step."""
    from consilience.engines.lammps.evaluate import run_lammps

    pytest.importorskip("lammps")
    run = con.export(model, data_dir / "cg" / "trpcage_cg.npz", to="lammps", output=tmp_path / "run")
    assert run.summary["status"] == "ok"
    text = (run.folder / "in.lammps").read_text()
    cool = "run 4000\nunfix bath\nthermo_modify format float %.12g\n"
    text = text.replace("run ${steps}", cool + "timestep ${after}\nrun ${steps}")
    (run.folder / "nve.in").write_text(text)
    found, spread = build.installation(), []
    for dt in (4.0, 2.0):
        told = {"after": dt, "steps": 10000, "every": 20, "dt": 2.0, "damp": 100.0, "temperature": 300.0}
        log = run_lammps(found, run.folder / "nve.in", told)
        rows = re.findall(r"^ *(\d+) +(\S+) +(\S+) +(\S+) +(\S+) *$", log.split("Per MPI rank memory")[-1], re.M)
        total = np.array([float(r[4]) for r in rows if r[4][0] in "-.0123456789"])
        assert len(total) == 501 and np.isfinite(total).all()
        step = np.arange(len(total)) * 20 * dt * 1e-3  # ps
        drift = np.polyfit(step, total, 1)[0] / (0.0019872 * 300 * 3 * 20)
        assert abs(drift) < 1e-4  # kT/dof/ps
        spread.append(total.std())
    assert spread[0] / spread[1] == pytest.approx(4.0, rel=0.4)
