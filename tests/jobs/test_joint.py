"""Diffraction and relaxation in one refinement: what is decided and reported; shuffled rates are the control."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from consilience.core.errors import InputError
from consilience.core.params import Block, Model
from consilience.examples import example_path
from consilience.jobs.common.options import RefineOptions, RunOptions
from consilience.jobs.joint.potential import potential_evidence
from consilience.jobs.joint.relaxation import read_rates, relaxation_evidence
from consilience.jobs.refine.inputs import load_inputs
from consilience.jobs.refine.job import refine
from consilience.structure.read import read_structure

RATES = example_path("relaxation/rates.csv")


def shuffled(target: Path, seed: int = 0) -> Path:
    """The rates of each residue given to another."""
    lines = RATES.read_text().splitlines()
    head, *rows = (line.split(",") for line in lines if not line.startswith("#"))
    named = [i for i, h in enumerate(head) if h in ("residue", "name", "chain")]
    order = np.random.default_rng(seed).permutation(len(rows))
    mixed = [[r[i] if i in named else rows[j][i] for i in range(len(head))] for r, j in zip(rows, order, strict=True)]
    target.write_text("\n".join(",".join(r) for r in [head, *mixed]) + "\n")
    return target


def informative(path: Path) -> tuple[bool, str, str]:
    """Of rates at the true coordinates: whether they carry directions, why, and the shape of the tensor."""
    structure = read_structure(example_path("crystal/true.pdb")).without_hydrogens()
    options = RefineOptions()
    told = relaxation_evidence(read_rates([path], structure, options), structure.xyz, options, 0)
    model = Model.of(xyz=Block.of(structure.xyz), **told.blocks())
    return *told.informative(model), told.shape


@pytest.mark.slow
def test_rates_carry_directions_and_shuffled_ones_do_not(tmp_path: Path) -> None:
    good, why, shape = informative(RATES)
    assert good and shape == "prolate", why
    found = [informative(shuffled(tmp_path / f"{seed}.csv", seed)) for seed in range(3)]
    assert not any(good for good, _, _ in found), found
    assert all("isotropic" in why or "dealt to other residues" in why for _, why, _ in found)


def test_potential_of_nothing_in_the_model(tiny_model: Path) -> None:
    """The built-in potential knows H, C and O; protein and sulfate have others."""
    inputs = load_inputs([example_path("crystal/start.pdb"), example_path("crystal/data.mtz")], RefineOptions(), 0)
    with pytest.raises(InputError, match="describes no molecule"):
        potential_evidence(tiny_model, inputs.structure, inputs.topology)


@pytest.mark.slow
def test_joint_refinement(tmp_path: Path) -> None:
    files = [example_path("crystal/start.pdb"), example_path("crystal/data.mtz"), RATES]
    options = RefineOptions(d_min=3.0, cycles=4, adp="iso", errors=True)
    s = refine(files, options=options, run=RunOptions(output=tmp_path / "out")).summary
    assert s["status"] == "ok" and s["gradients"]["max_rel_error"] < 1e-6
    assert {"xray", "nmr", "geometry"} <= set(s["scores"])
    assert s["scores"]["nmr"]["free"]["n"] > 10
    assert {"none", "xray", "geometry", "nmr"} <= set(s["leave_one_out"])
    for name, row in s["leave_one_out"].items():
        assert name == "none" or row["words"].startswith(name)
    assert s["leave_one_out"]["xray"]["r_free"] > s["leave_one_out"]["none"]["r_free"]
    assert s["leave_one_out"]["geometry"]["rmsz"]["bond"] > 2 * s["leave_one_out"]["none"]["rmsz"]["bond"]
    assert abs(s["tau_c_ns"] - 5.2) < 0.3 and 1.3 < s["diffusion"]["ratio"] < 1.9
    cycles = [c["cycle"] for c in s["cycles"]]
    assert cycles == sorted(set(cycles)) and s["cycles"][0]["block"] == "start" and s["r_work_start"] > s["r_work"]
    errors = s["coordinate_errors"]
    assert 0.02 < errors["median_A"] < 0.4 and abs(sum(errors["share"].values()) - 1) < 1e-6
    assert all(errors["share"][t] > 0.001 for t in ("xray", "geometry", "nmr")) and errors["indefinite"] == 0
    rows = list(csv.DictReader((tmp_path / "out" / "errors.csv").read_text().splitlines()))
    assert len(rows) > 300 and set(rows[0]) >= {"chain", "residue", "atom", "sigma_A", "share_nmr"}
    assert "Leave one term out" in (tmp_path / "out" / "report.html").read_text()
