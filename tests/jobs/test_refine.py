"""consil refine as a user runs it: the built-in crystal from its shaken start, honest about the free set."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import gemmi
import numpy as np
import pytest

from consilience.examples import example_path


def refine(folder: Path, data: Path, name: str) -> dict:
    command = [sys.executable, "-m", "consilience", "refine", str(example_path("crystal/start.pdb")), str(data)]
    done = subprocess.run(
        [*command, "--cycles", "3", "-o", str(folder / name)], capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads((folder / name / "summary.json").read_text())


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("refine")
    mtz = gemmi.read_mtz_file(str(example_path("crystal/data.mtz")))
    table = np.array(mtz.array)
    labels = [c.label for c in mtz.columns]
    free = table[:, labels.index("FreeR_flag")] == 0
    table[free, labels.index("FP")] *= 10
    mtz.set_data(table)
    mtz.write_to_file(str(folder / "free_times_ten.mtz"))
    plain = refine(folder, example_path("crystal/data.mtz"), "plain")
    refine(folder, folder / "free_times_ten.mtz", "changed")
    return folder, plain


def test_refinement_lowers_r_free_with_good_geometry(runs: tuple[Path, dict]) -> None:
    folder, summary = runs
    assert summary["r_free"] < 0.6 * summary["r_free_start"]
    assert summary["rmsz"]["bond"] < 1.1
    assert summary["gradients"]["max_rel_error"] < 1e-6
    for name in ("refined.cif", "refined.pdb", "refined.mtz", "report.html", "history.csv", "coot.py", "manifest.json"):
        assert (folder / "plain" / name).stat().st_size > 0, name


def test_free_reflections_move_no_parameter_by_one_bit(runs: tuple[Path, dict]) -> None:
    folder, _ = runs
    a, b = ((folder / name / "refined.pdb").read_text() for name in ("plain", "changed"))
    atoms_a, atoms_b = ([x for x in t.splitlines() if x.startswith(("ATOM", "HETATM"))] for t in (a, b))
    assert atoms_a and atoms_a == atoms_b
