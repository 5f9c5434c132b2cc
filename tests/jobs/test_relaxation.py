"""consil relaxation as a user runs it: the built-in example against its truth, files, honesty, usage."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consilience.cli import main
from consilience.core.errors import InputError
from consilience.examples import example_path
from consilience.jobs.common.options import RelaxationOptions, RunOptions, residue_numbers
from consilience.jobs.relaxation.inputs import read_tensor
from consilience.jobs.relaxation.job import relaxation
from consilience.nmr.star import read_star

RATES, MODEL = example_path("relaxation/rates.csv"), example_path("crystal/true.pdb")
KINDS = {"diffusion": "axial", "models": "m1..m5", "without": ("etaxy",)}


def run(folder: Path, rates: Path = RATES, **options: Any) -> Any:
    files = [rates] if options.get("diffusion") == "iso" else [rates, MODEL]
    return relaxation(files, options=RelaxationOptions(**options), run=RunOptions(output=folder))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return run(tmp_path_factory.mktemp("relaxation") / "run", montecarlo=20, **KINDS)


def test_the_truth_is_recovered(done: Any) -> None:
    truth, s = json.loads(example_path("relaxation/truth.json").read_text()), done.summary
    assert s["status"] == "ok" and s["diffusion"]["kind"] == "axial"
    assert abs(s["tau_c_ns"] - truth["tau_c_ns"]) < max(4 * s["tau_c_err"], 0.05)
    assert abs(s["diffusion"]["ratio"] - truth["ratio"]) < 4 * s["diffusion"]["ratio_err"]
    s2 = np.array([truth["residues"][str(r.number)]["S2"] for r in done.analysis.data.residues])
    assert np.sqrt(np.mean((done.analysis.s2 - s2) ** 2)) < 0.04
    assert s["gradients"]["max_rel_error"] < 1e-6
    assert {p["block"] for p in s["gradients"]["pairs"]} == {"dynamics", "diffusion"}


def test_all_keys_and_files(done: Any) -> None:
    keys = "tau_c_ns tau_c_err diffusion n_residues chi2 chi2_reduced models information fits_per_s"
    assert set(keys.split()) <= done.summary.keys()
    assert set("kind dx dy dz ratio theta phi".split()) <= done.summary["diffusion"].keys()
    names = "dynamics.csv dynamics.str backcalc.csv report.html history.csv summary.json manifest.json job.yaml log.txt"
    assert all((done.folder / n).stat().st_size > 0 for n in names.split())
    rows = list(csv.DictReader((done.folder / "dynamics.csv").read_text().splitlines()))
    head = "residue,model,S2,S2_err,S2f,te_ps,te_err,ts_ns,Rex,Rex_err,chi2,n_data".split(",")
    assert list(rows[0])[: len(head)] == head and len(rows) == done.summary["n_residues"]
    assert "order_parameters" in (done.folder / "dynamics.str").read_text()
    with pytest.raises(InputError, match="no 15N relaxation values"):
        read_star((done.folder / "dynamics.str").read_text(), "dynamics.str")
    assert sum(done.summary["models"].values()) == len(rows)


def test_held_out_rates_are_scored_and_move_nothing(done: Any, tmp_path: Path) -> None:
    assert done.summary["scores"]["nmr.etaxy"]["work"] == {}
    assert done.summary["scores"]["nmr.etaxy"]["free"]["chi2_per_datum"] < 3
    table = list(csv.reader(RATES.read_text().splitlines()))
    column = table[0].index("etaxy_600")
    changed = tmp_path / "rates.csv"
    with changed.open("w") as handle:
        for i, row in enumerate(table):
            row[column] = row[column] if i == 0 else f"{10 * float(row[column]):.5f}"
            handle.write(",".join(row) + "\n")
    again = run(tmp_path / "run", changed, montecarlo=20, **KINDS)
    assert (tmp_path / "run/dynamics.csv").read_bytes() == (done.folder / "dynamics.csv").read_bytes()
    assert again.summary["diffusion"] == done.summary["diffusion"]
    assert again.summary["scores"]["nmr.etaxy"]["free"]["chi2_per_datum"] > 100


@pytest.mark.slow
def test_isotropic_tumbling_needs_no_model(tmp_path: Path) -> None:
    iso = run(tmp_path / "run", diffusion="iso", models="m1..m5", without=("etaxy",))
    assert iso.summary["diffusion"]["theta"] is None and 4.5 < iso.summary["tau_c_ns"] < 5.5
    with pytest.raises(InputError, match="N-H directions"):
        relaxation([RATES], options=RelaxationOptions(diffusion="axial"), run=RunOptions(output=tmp_path / "none"))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--tau-c 900", ["--tau-c", "900"]),
        ("--models m11", ["m11", "m1..m5"]),
        ("--without R7", ["R7", "etaxy"]),
        ("--exclude a-b", ["a-b", "1-4,72"]),
        ("--tau-c 5 --tensor t.txt", ["--tensor"]),
        ("--diffusion cubic", ["cubic", "axial"]),
    ],
)
def test_wrong_usage(line: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["relaxation", str(RATES), *line.split(), "-o", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and all(w in err for w in words), err
    assert not (tmp_path / "out").exists()


def test_tensor_files(tmp_path: Path) -> None:
    path = tmp_path / "tensor.txt"
    path.write_text("# rad^2/s\n2e7 2e7 3e7 0 0 1e6\n")
    assert np.allclose(read_tensor(path), [[0.02, 0, 0], [0, 0.02, 0.001], [0, 0.001, 0.03]])
    path.write_text(json.dumps({"diffusion": {"tensor": [[0.02, 0, 0], [0, 0.02, 0], [0, 0, 0.03]]}}))
    assert read_tensor(path)[2, 2] == 0.03
    for bad in ("1 2 3", "0.02 0.02 -0.03 0 0 0", "nan 1 1 0 0 0", "{}"):
        path.write_text(bad)
        with pytest.raises(InputError, match="tensor"):
            read_tensor(path)


def test_residue_numbers() -> None:
    assert residue_numbers("1-3, 7,-2..-1") == (1, 2, 3, 7, -2, -1)
