"""consil refine MODEL RELAXATION: files in, oriented domains out; what cannot be done is refused with the reason."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from consilience.core.errors import InputError
from consilience.jobs.common.options import RefineOptions, RunOptions
from consilience.jobs.refine.job import refine
from consilience.structure.read import read_structure
from consilience.structure.write import write_pdb

from ..nmr.two_domains import ISOTROPIC, RHOMBIC, as_csv, molecule, relaxation, tensor
from .test_domains import degrees, turned


def files(folder: Path, values: tuple[float, ...], turn: float = 15.0) -> tuple[list[Path], np.ndarray]:
    structure = molecule()
    start, matrix = turned(structure, turn, 2)
    write_pdb(start, folder / "start.pdb")
    (folder / "rates.csv").write_text(as_csv(relaxation(structure, tensor(values))))
    return [folder / "start.pdb", folder / "rates.csv"], matrix


@pytest.mark.slow
def test_domains_from_files(tmp_path: Path) -> None:
    given, matrix = files(tmp_path, RHOMBIC)
    out = tmp_path / "out"
    done = refine(given, run=RunOptions(output=out))
    s = done.summary
    assert json.loads((out / "summary.json").read_text()) == s and s["status"] == "ok"
    assert all("missing main-chain atoms" in w for w in s["warnings"])  # the model is peptide planes without O
    assert s["r_work"] is None and s["n_free"] is None and s["turned"] is True
    assert degrees(done.refined.turns[0].matrix @ matrix) < 2.0
    assert abs(np.degrees(s["domains"][0]["angle"]) - 15.0) < 2.0 and s["diffusion"]["kind"] == "rhombic"
    free = s["scores"]["nmr"]["free"]
    assert free["chi2"] < 0.5 * free["chi2_start"] and len(s["residues"]["free"]) >= 8
    assert s["without_eta"]["turned"] and s["without_eta"]["difference"][0] < np.radians(3.0)
    refined, start = read_structure(out / "refined.pdb"), read_structure(given[0])
    assert len(refined) == len(start) and np.allclose(refined.xyz[:122], start.xyz[:122], atol=1e-3)
    assert np.abs(refined.xyz - start.xyz).max() > 1.0
    assert {"refined.cif", "history.csv", "report.html", "manifest.json"} <= {p.name for p in out.iterdir()}


@pytest.mark.slow
def test_isotropic_tumbling_is_refused(tmp_path: Path) -> None:
    given, _ = files(tmp_path, ISOTROPIC)
    with pytest.raises(InputError, match="no information on orientation"):
        refine(given, run=RunOptions(output=tmp_path / "out"))
    with pytest.raises(InputError, match="no information on orientation"):
        refine(given, options=RefineOptions(diffusion="iso"))
    assert not (tmp_path / "out").exists()


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    given, _ = files(tmp_path, RHOMBIC)
    for options, what in (
        (RefineOptions(domains="A"), "two bodies"),
        (RefineOptions(domains="A:1-38;A:39-42,B"), None),
        (RefineOptions(domains="A:1-38,B;A:39-42"), "too few amides"),
        (RefineOptions(without=("T1",)), "names no kind"),
        (RefineOptions(weights={"nmr": 2.0}), "--weight"),
        (RefineOptions(xyz=False), "nothing to orient"),
    ):
        if what is not None:
            with pytest.raises(InputError, match=what):
                refine(given, options=options, run=RunOptions(output=tmp_path / "out"))
    (tmp_path / "six.txt").write_text("0.02 0.02 0.02 0 0 0\n")
    with pytest.raises(InputError, match="no information on orientation"):
        refine(given, options=RefineOptions(tensor=tmp_path / "six.txt"), run=RunOptions(output=tmp_path / "out"))
    from consilience.examples import example_path

    diffraction = [example_path("crystal/start.pdb"), example_path("crystal/data.mtz")]
    with pytest.raises(InputError, match="names residues that the model lacks"):
        refine(diffraction, options=RefineOptions(domains="A:1-10;X"), run=RunOptions(output=tmp_path / "out"))
    joint = [*diffraction, given[1]]
    with pytest.raises(InputError, match="goes with relaxation data alone"):
        refine(joint, options=RefineOptions(all_atoms=True), run=RunOptions(output=tmp_path / "out"))
