"""consil simulate as a user runs it: files, engines, interruption, ensembles, failures, refusals."""

from __future__ import annotations

import csv
import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import consilience as con
from consilience.cli import main
from consilience.core.errors import InputError
from consilience.examples import example_path
from consilience.jobs.common.dynamics_options import SimulateOptions
from consilience.jobs.common.options import RunOptions
from consilience.jobs.common.start import read_start, sort_inputs
from consilience.jobs.simulate.job import simulate
from consilience.jobs.simulate.result import history_rows
from consilience.jobs.train.disagreement import bound_of
from consilience.md.autopsy import Bounds
from consilience.md.trajectory_read import read_dcd

from ..tiny_model import as_ensemble

FRAMES = example_path("molecule/frames.npz")
KEYS = "stable n_steps dt_fs temperature_mean drift energy_rms unit steps_per_s min_distance max_force failure"


@pytest.fixture(scope="module")
def relaxed(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("relaxed") / "run"
    con.optimize(tiny_model, FRAMES, output=folder)
    return folder / "optimized.extxyz"


@pytest.fixture(scope="module")
def done(tiny_model: Path, relaxed: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return con.simulate(relaxed, tiny_model, output=tmp_path_factory.mktemp("nve") / "run", steps=2000, temperature=600)


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "observables.csv").read_text().splitlines()))


def test_keys_files_and_numbers(done: Any, relaxed: Path) -> None:
    s = done.summary
    assert set(KEYS.split()) <= s.keys() and s["status"] == "ok" and s["stable"] is True and s["failure"] is None
    assert s["n_steps"] == 2000 and s["dt_fs"] == 0.5 and s["unit"] == "meV/atom/ps, meV/atom"
    names = "trajectory.dcd topology.pdb observables.csv report.html history.csv summary.json manifest.json job.yaml"
    assert all((done.folder / n).stat().st_size > 0 for n in names.split())
    table = rows(done.folder)
    assert list(table[0])[:3] == ["step", "E", "T"] and len(table) == 201 == s["n_frames"]
    assert [int(r["step"]) for r in table] == list(range(0, 2001, 10))
    first, last = table[0], table[-1]
    assert float(first["T"]) == pytest.approx(600) and float(last["time_fs"]) == 1000
    for r in (first, last):
        assert float(r["E"]) == pytest.approx(float(r["E_pot"]) + float(r["E_kin"]), abs=1e-9)
    e = np.array([float(r["E"]) for r in table])
    assert s["energy_rms"] == pytest.approx(1e3 * e.std() / 4, rel=1e-6) and s["energy_rms"] < 1.0
    assert abs(s["drift"]) < max(0.05, 4 * s["drift_err"])
    assert 200 < s["temperature_mean"] < 420  # half of what a relaxed start is given
    assert 0.85 < s["min_distance"] < 1.1
    x = read_dcd(done.folder / "trajectory.dcd")
    assert x.positions.shape == (201, 4, 3) and x.frame_fs == pytest.approx(5, rel=1e-5)
    np.testing.assert_allclose(x.positions[0], con.read_frames(relaxed).positions[0], atol=1e-6)
    assert con.read_structure(done.folder / "topology.pdb").element.tolist() == ["C", "O", "H", "H"]
    np.testing.assert_array_equal(done.observables["E"][:, 0], e)
    page = (done.folder / "report.html").read_text()
    assert "Energy drift" in page and "fitted line" in page and "UNL" not in page.split("<main")[0]


@pytest.mark.parametrize("engine", ["ase", "openmm"])
def test_other_engines_move_the_same_molecule_alike(
    done: Any, tiny_model: Path, relaxed: Path, tmp_path: Path, engine: str
) -> None:
    pytest.importorskip(engine)
    steps = 200
    other = con.simulate(tiny_model, relaxed, output=tmp_path / "run", engine=engine, steps=steps, temperature=600)
    assert other.summary["engine"] == engine and other.summary["n_frames"] == 21
    for name, tolerance in (("E_pot", 1e-4), ("E_kin", 1e-4), ("E", 1e-5)):
        ours = done.observables[name][:21]
        assert np.abs(other.observables[name] - ours).max() < tolerance
    x = read_dcd(other.folder / "trajectory.dcd").positions
    np.testing.assert_allclose(x, read_dcd(done.folder / "trajectory.dcd").positions[:21], atol=2e-4)
    bath = con.simulate(
        tiny_model, relaxed, output=tmp_path / "nvt", engine=engine, steps=300, ensemble="nvt", friction=50.0
    )
    assert bath.summary["drift"] is None and 100 < bath.summary["temperature_mean"] < 600
    again = con.simulate(
        tiny_model, relaxed, output=tmp_path / "again", engine=engine, steps=300, ensemble="nvt", friction=50.0
    )
    np.testing.assert_array_equal(bath.observables["E"], again.observables["E"])


@pytest.mark.parametrize("format", ["dcd", "extxyz"])
def test_ctrl_c_and_resume_repeat_every_bit(tiny_model: Path, relaxed: Path, tmp_path: Path, format: str) -> None:
    """A real SIGINT in the middle; what was written after the checkpoint is cut off."""
    options = SimulateOptions(steps=3000, ensemble="nvt", format=format, every=7, replicas=2)
    inputs = [tiny_model, relaxed]
    whole = simulate(inputs, options=options, run=RunOptions(output=tmp_path / "whole"))
    heard: list[str] = []

    def say(line: str) -> None:
        heard.append(line)
        if line.startswith("step 994 "):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        simulate(inputs, options=options, run=RunOptions(output=tmp_path / "run", say=say))
    assert json.loads((tmp_path / "run/summary.json").read_text())["status"] == "interrupted"
    assert any("--resume" in line or "resume=True" in line for line in heard)
    assert (tmp_path / "run/checkpoint.safetensors").exists()
    assert len(rows(tmp_path / "run")) < len(rows(whole.folder))
    with open(tmp_path / "run/observables.csv", "a") as handle:
        handle.write("a line that the interrupted run had begun")
    again = simulate(inputs, options=options, run=RunOptions(output=tmp_path / "run", resume=True))
    kept = ["observables.csv", "history.csv", "topology.pdb", f"trajectory.{format}", f"trajectory-2.{format}"]
    for name in kept:
        assert (again.folder / name).read_bytes() == (whole.folder / name).read_bytes(), name
    timing = {"wall_s", "compile_s", "peak_rss_mb", "steps_per_s"}
    assert {k: v for k, v in again.summary.items() if k not in timing} == {
        k: v for k, v in whole.summary.items() if k not in timing
    }
    with pytest.raises(InputError, match="options were others"):
        simulate(inputs, options=SimulateOptions(steps=10), run=RunOptions(output=tmp_path / "run", resume=True))


@pytest.mark.slow
def test_members_that_disagree_are_told(tiny_model: Path, relaxed: Path, tmp_path: Path) -> None:
    bound = bound_of(con.load_model(tiny_model).info)
    assert bound is not None and 0.2 < bound < 2
    close = as_ensemble(tiny_model, tmp_path / "close", 1e-4)
    far = as_ensemble(tiny_model, tmp_path / "far", 1.0)
    kept = {"steps": 100, "ensemble": "nvt"}
    a = con.simulate(close, relaxed, output=tmp_path / "a", **kept)
    assert a.summary["warnings"] == []
    spread = a.observables["force_disagreement_eV_A"]
    assert 0 < spread.max() < bound and a.summary["force_disagreement"]["max"] == pytest.approx(spread.max())
    assert rows(a.folder)[3]["force_disagreement_eV_A"] == repr(float(spread[3, 0]))
    b = con.simulate(far, relaxed, output=tmp_path / "b", **kept)
    assert "disagree" in b.summary["warnings"][0] and b.summary["force_disagreement"]["max"] > bound
    model = con.load_model(far)
    x = read_dcd(b.folder / "trajectory.dcd").positions[2]
    pair = [model.with_member(i).forces(x, [6, 8, 1, 1]) for i in (0, 1)]
    sigma = np.linalg.norm(np.std(pair, axis=0, ddof=1), axis=1).max()
    assert b.observables["force_disagreement_eV_A"][2, 0] == pytest.approx(sigma, rel=1e-3)


def test_an_unstable_run_says_why_and_exits_3(tiny_model: Path, relaxed: Path, tmp_path: Path, capsys: Any) -> None:
    command = ["simulate", str(relaxed), str(tiny_model), "-o", str(tmp_path / "run"), "--dt", "8", "--steps", "400"]
    assert main([*command, "--temperature", "2000", "--every", "1", "--json"]) == 3
    s = json.loads(capsys.readouterr().out)
    assert s["stable"] is False and s["status"] == "checks_failed"
    f = s["failure"]
    assert f["step"] == s["n_steps"] and len(f["atoms"]) == 2 and f["term"] in ("network", "repulsion")
    assert f["distance"] is None or f["distance"] > 0
    crash = con.read_frames(tmp_path / "run/failure.extxyz", strict=False)
    assert crash.positions.shape[1:] == (4, 3) and np.isfinite(crash.positions).all()
    assert len(rows(tmp_path / "run")) == f["step"]  # frames 0 ... step - 1
    assert "Why it stopped" in (tmp_path / "run/report.html").read_text()


def test_a_run_that_makes_energy_is_not_stable(
    tiny_model: Path, relaxed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too long a time step takes the molecule apart: where no bound is crossed, energy is still not conserved."""
    monkeypatch.setattr(Bounds, "hottest", lambda self, temperature: 1e9)
    run = con.simulate(tiny_model, relaxed, output=tmp_path / "run", dt=2.5, steps=400, temperature=600)
    s = run.summary
    assert s["status"] == "checks_failed" and not s["stable"] and s["n_steps"] == 400
    assert s["failure"]["reason"] == "total energy not conserved" and s["failure"]["step"] > 0
    assert "Why it stopped" in (run.folder / "report.html").read_text()


def test_a_start_that_is_over_the_bounds(tiny_model: Path, relaxed: Path, tmp_path: Path) -> None:
    x = con.read_frames(relaxed).positions[0].copy()
    x[2] = x[0] + 0.3 * (x[2] - x[0])
    text = "4\npbc=F\n" + "".join(f"{e} {a:.8f} {b:.8f} {c:.8f}\n" for e, (a, b, c) in zip("COHH", x, strict=True))
    (tmp_path / "start.xyz").write_text(text)
    run = con.simulate(tiny_model, tmp_path / "start.xyz", output=tmp_path / "run", steps=20)
    s = run.summary
    assert s["status"] == "checks_failed" and s["failure"]["step"] == 0 and s["failure"]["atoms"] == [0, 2]
    assert s["n_frames"] == 0 and s["temperature_mean"] is None and (run.folder / "report.html").exists()


def test_a_strained_start_is_told(tiny_model: Path, relaxed: Path, tmp_path: Path) -> None:
    x = con.read_frames(relaxed).positions[0].copy()
    x[2] -= 0.2 * (x[2] - x[0])
    text = "4\npbc=F\n" + "".join(f"{e} {a:.8f} {b:.8f} {c:.8f}\n" for e, (a, b, c) in zip("COHH", x, strict=True))
    (tmp_path / "start.xyz").write_text(text)
    run = con.simulate(tiny_model, tmp_path / "start.xyz", output=tmp_path / "run", steps=20)
    assert "strained" in run.summary["warnings"][0] and "consil optimize" in run.summary["warnings"][0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "metad"}, "--method metad is not there yet"),
        ({"engine": "lammps"}, "--engine lammps is not there yet"),
        ({"engine": "ase", "replicas": 2}, "runs one replica"),
        ({"dt": float("nan")}, "--dt is out of range"),
        ({"steps": 0}, "--steps is out of range"),
    ],
)
def test_options_that_cannot_be(tiny_model: Path, relaxed: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        con.simulate(tiny_model, relaxed, **change)


def test_inputs_that_cannot_be(tiny_model: Path, relaxed: Path, tmp_path: Path) -> None:
    def start(text: str, name: str = "start.xyz") -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    with pytest.raises(InputError, match=r"does not know an element[\s\S]*found: N"):
        con.simulate(tiny_model, start("2\npbc=F\nN 0 0 0\nH 0 0 1.0\n"))
    with pytest.raises(InputError, match=r"volume|independent"):
        con.simulate(tiny_model, start('1\nLattice="1 0 0 2 0 0 0 0 1" pbc="T T T"\nH 0 0 0\n'))
    with pytest.raises(InputError, match="no structure to start from"):
        con.simulate(tiny_model, start("residue,R1\n1,2\n", "rates.csv"))
    with pytest.raises(InputError, match="a model and a start are needed"):
        sort_inputs([tiny_model, relaxed, relaxed])
    with pytest.raises(InputError, match=r"not a model folder|model\.json"):
        con.simulate(tmp_path, relaxed)
    with pytest.raises(TypeError, match="did you mean steps"):
        con.simulate(tiny_model, relaxed, step=3)
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for name in ("model.json", "model.safetensors"):
        data = bytearray((tiny_model / name).read_bytes())
        data[-1] ^= name.endswith("safetensors")
        (damaged / name).write_bytes(bytes(data))
    with pytest.raises(InputError, match="hash"):
        con.simulate(damaged, relaxed)
    assert not list(tmp_path.glob("simulate-*"))


def test_structures_are_starts_too(tmp_path: Path) -> None:
    lines = ["HETATM    1  C   FOR A   1       0.000   0.000  -0.521  1.00 10.00           C",
             "HETATM    2  O  AFOR A   1       0.000   0.000   0.688  0.50 10.00           O",
             "HETATM    3  O  BFOR A   1       0.100   0.000   0.688  0.50 10.00           O",
             "HETATM    4  H1  FOR A   1       0.000   0.938  -1.119  1.00 10.00           H",
             "HETATM    5  H2  FOR A   1       0.000  -0.938  -1.119  1.00 10.00           H", "END"]  # fmt: skip
    (tmp_path / "a.pdb").write_text("\n".join(lines) + "\n")
    found = read_start(tmp_path / "a.pdb", charge=1.0)
    assert found.numbers.tolist() == [6, 8, 1, 1] and found.charge == 1.0 and found.formula == "CH2O"
    assert found.names == ("C", "O", "H1", "H2") and found.residues is not None and found.residues[0] == ("FOR", 1, "A")
    assert any("alternative" in f.what for f in found.findings)
    np.testing.assert_allclose(found.masses, [12.011, 15.999, 1.008, 1.008], atol=2e-3)
    crystal = "CRYST1   20.000   20.000   20.000  90.00  90.00  90.00 P 1           1"
    (tmp_path / "b.pdb").write_text("\n".join([crystal, lines[0], "END"]) + "\n")
    whats = [f.what for f in read_start(tmp_path / "b.pdb").findings]
    assert any("no hydrogen" in w for w in whats) and any("cell is not used" in w for w in whats)


def test_history_has_few_rows() -> None:
    t = np.arange(101.0)[:, None]
    table = {"step": t, "time_fs": t, "T": 300 + t, "E": 1e-3 * t, "E_pot": t}
    out = history_rows(table, 1, rows=10)
    assert len(out) == 10 and out[-1]["step"] == 100 and out[0]["T_mean_K"] == pytest.approx(305)
    assert history_rows({k: v[:0] for k, v in table.items()}, 1) == []
