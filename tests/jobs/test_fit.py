"""consil fit: job files of commands, mixtures of terms, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from consilience.core.errors import InputError
from consilience.examples import example_path
from consilience.jobs.common.options import RefineOptions, RunOptions, TrainOptions
from consilience.jobs.fit.job import RUNS, fit
from consilience.jobs.fit.job_file import options_of
from consilience.jobs.fit.mixture import read_mixture
from consilience.jobs.refine.job import refine
from consilience.jobs.refine.protocol import listed_stages

MIXTURE = """
schema_version: 1
model: start.pdb
terms:
  - {kind: xray.amplitude, data: data.mtz, d_min: 2.0, weight: 1}
  - {kind: nmr.relaxation, data: [rates.csv], without: [NOE], weight: auto}
  - {kind: geometry, weight: 0.2}
protocol:
  - {active: [xyz, diffusion, dynamics], steps: 3, weights: fixed, terms: [xray.amplitude, geometry]}
output: {directory: out}
"""


def mixture(folder: Path, text: str = MIXTURE):
    from consilience.jobs.common.config import load_config

    (folder / "job.yaml").write_text(text)
    return read_mixture(load_config(folder / "job.yaml"), folder / "job.yaml")


def test_a_mixture_is_read(tmp_path: Path) -> None:
    m = mixture(tmp_path)
    assert m.model == tmp_path / "start.pdb" and m.data == (tmp_path / "data.mtz", tmp_path / "rates.csv")
    assert m.options.d_min == 2.0 and m.options.without == ("NOE",) and m.output == Path("out")
    assert m.options.weights == {"xray": 1.0, "geometry": 0.2}
    stage = listed_stages(m.stages, m.options.weights, ["xyz", "diffusion", "dynamics"])[0]
    assert stage.active == ("xyz", "diffusion", "dynamics") and stage.steps == 3
    assert stage.terms == ("xray", "geometry", "adp", "jelly")
    assert stage.weights.fixed == {"xray": 1.0, "geometry": 0.2} and not stage.weights.ratio
    with pytest.raises(InputError, match="lacks"):
        listed_stages(m.stages, None, ["xyz"])
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "job.yaml").write_text(m.as_yaml(tmp_path / "there"))
    from consilience.jobs.common.config import load_config

    again = read_mixture(load_config(tmp_path / "there" / "job.yaml"), tmp_path / "there" / "job.yaml")
    assert again.model.resolve() == m.model.resolve() and again.options == m.options and again.stages == m.stages
    assert [d.resolve() for d in again.data] == [d.resolve() for d in m.data]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("terms:\n", "term:\n", "did you mean terms"),
        ("kind: geometry", "kind: geometri", "did you mean geometry"),
        ("steps: 3", "step: 3", "did you mean steps"),
        ("weights: fixed", "weights: fxed", "did you mean fixed"),
        ("d_min: 2.0", "d_min: two", "a number"),
        ("weight: 0.2", "weight: -1", "0 or more"),
        ("active: [xyz,", "active: [xzy,", "did you mean xyz"),
        ("kind: geometry", "kind: forces", "consil train"),
        ("directory: out", "directory: ../out", "leaves the working folder"),
        ("schema_version: 1", "schema_version: 2", "schema_version"),
    ],
)
def test_what_is_not_understood_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in MIXTURE
    with pytest.raises(InputError) as caught:
        mixture(tmp_path, MIXTURE.replace(old, new))
    assert message in str(caught.value)


def test_no_job(tmp_path: Path) -> None:
    for text, what in (
        ("data: {train: x}\n", "unknown key"),
        ("schema_version: 1\nverb: refien\n", "did you mean refine"),
        ("schema_version: 1\nverb: refine\ninputs: [a.pdb]\noptions: {cycle: 3}\n", "did you mean cycles"),
        ("schema_version: 1\nverb: refine\ninputs: [a.pdb]\noptions: {cycles: many}\n", "whole number"),
        ("schema_version: 1\nverb: refine\nverb: train\n", "duplicate"),
        ("!!python/object:os.system {}\n", "YAML"),
    ):
        (tmp_path / "job.yaml").write_text(text)
        with pytest.raises(InputError) as caught:
            fit(tmp_path / "job.yaml")
        assert what in str(caught.value)


def test_options_come_back(tmp_path: Path) -> None:
    given = {"cycles": 3, "d_min": 2, "ligands": ["a.cif"], "weights": {"xray": 1}, "adp": "iso", "monlib": None}
    found = options_of(RefineOptions, given, tmp_path, "job.yaml")
    assert found == RefineOptions(cycles=3, d_min=2.0, ligands=(tmp_path / "a.cif",), weights={"xray": 1.0}, adp="iso")
    assert options_of(TrainOptions, {"minutes": 2, "settings": ["a=1"]}, tmp_path, "").settings == ("a=1",)
    assert {"refine", "relaxation", "coarsen", "train", "evaluate", "predict", "simulate", "optimize"} <= set(RUNS)


def test_a_job_of_a_command_runs_again(tmp_path: Path) -> None:
    files = [example_path("crystal/start.pdb"), example_path("crystal/data.mtz")]
    options = RefineOptions(cycles=0, d_min=3.0, adp="iso")
    first = refine(files, options=options, run=RunOptions(output=tmp_path / "one", seed=3))
    second = fit(tmp_path / "one" / "job.yaml", run=RunOptions(output=tmp_path / "two"))
    assert second.summary["verb"] == "refine" and second.summary["seed"] == 3
    assert second.summary["r_work"] == first.summary["r_work"]
    assert np.array_equal(second.refined.structure.xyz, first.refined.structure.xyz)
