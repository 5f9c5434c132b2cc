"""consil export: a folder that runs by itself, and a self-test that can fail."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import consilience as con
from consilience.cli import main
from consilience.core.errors import InputError
from consilience.examples import example_path

FRAMES = example_path("molecule/frames.npz")


@pytest.mark.parametrize("engine", ["ase", "openmm"])
def test_a_folder_that_runs_by_itself(tiny_model: Path, tmp_path: Path, engine: str) -> None:
    pytest.importorskip(engine)
    run = con.export(tiny_model, FRAMES, to=engine, output=tmp_path / "run")
    s = run.summary
    assert s["engine"] == engine and s["status"] == "ok" and s["unit"] == "eV/Å, eV"
    assert s["max_force_difference"] < 2e-5 and s["max_energy_difference"] < 2e-5 and s["n_frames"] == 8
    rows = list(csv.DictReader((run.folder / "selftest.csv").read_text().splitlines()))
    assert len(rows) == 8 and all(float(r["max_force_eV_A"]) > 0.1 for r in rows)
    for name in ("model.json", "model.safetensors"):
        assert (run.folder / "model" / name).read_bytes() == (tiny_model / name).read_bytes()
    moved = tmp_path / "elsewhere"
    shutil.move(run.folder, moved)
    done = subprocess.run([sys.executable, "run.py", "40"], cwd=moved, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "40 steps" in done.stdout, done.stderr
    assert (moved / ("trajectory.extxyz" if engine == "ase" else "trajectory.dcd")).stat().st_size > 100


def test_without_a_start_the_model_brings_its_own(tiny_model: Path, tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("ase")
    assert main(["export", str(tiny_model), "--to", "ase", "-o", str(tmp_path / "run"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n_atoms"] == 4
    bare = tmp_path / "bare"
    shutil.copytree(tiny_model, bare)
    said = json.loads((bare / "model.json").read_text())
    said.pop("reference")
    (bare / "model.json").write_text(json.dumps(said))
    with pytest.raises(InputError, match=r"keeps no molecule[\s\S]*give a START"):
        con.export(bare, to="ase")
    with pytest.raises(InputError, match="--to lammps is for models of beads"):
        con.export(tiny_model, to="lammps")


def test_the_self_test_can_fail(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ase")
    from consilience.engines import ase

    real = ase.EnergyCalculator.calculate

    def wrong(self: Any, *args: Any, **named: Any) -> None:
        real(self, *args, **named)
        self.results["forces"] = self.results["forces"] * np.array([1, 1, 1.001])

    monkeypatch.setattr(ase.EnergyCalculator, "calculate", wrong)
    run = con.export(tiny_model, FRAMES, to="ase", output=tmp_path / "run")
    assert run.summary["status"] == "checks_failed" and run.summary["max_force_difference"] > 1e-4


def test_a_periodic_start(tiny_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("openmm")
    x = con.read_frames(FRAMES).positions[0]
    body = "".join(f"{e} {a:.6f} {b:.6f} {c:.6f}\n" for e, (a, b, c) in zip("COHH", x, strict=True))
    (tmp_path / "a.xyz").write_text(f'4\nLattice="6 0 0 0 6 0 0 0 6" pbc="T T T"\n{body}')
    run = con.export(tiny_model, tmp_path / "a.xyz", to="openmm", output=tmp_path / "run")
    assert run.summary["status"] == "ok" and run.summary["max_force_difference"] < 2e-5
    (tmp_path / "b.xyz").write_text(f'4\nLattice="6 0 0 0 6 0 0 0 6" pbc="T T F"\n{body}')
    with pytest.raises(InputError, match="all three directions"):
        con.export(tiny_model, tmp_path / "b.xyz", to="openmm")
