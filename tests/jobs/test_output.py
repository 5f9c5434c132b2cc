"""Folders of results: names, overwriting, resuming, manifest, summary, tables, and signals."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
import yaml

from consilience.core.errors import Finding, InputError, Interrupted
from consilience.jobs.common.interrupt import interruptible
from consilience.jobs.common.open_folder import open_folder
from consilience.jobs.common.options import RunOptions
from consilience.jobs.common.plain import as_csv
from consilience.jobs.common.provenance import Stopwatch, shown_path

CONFIG = {"cycles": 3, "d_min": None, "weights": {"geometry": 2.0}}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.pdb").write_text("a model")
    (tmp_path / "data.mtz").write_text("data")
    return tmp_path


def finished(run: RunOptions, status: str = "ok", config: dict = CONFIG, inputs=("model.pdb", "data.mtz")):
    folder = open_folder("refine", "model", run, inputs)
    folder.write_manifest(inputs, config)
    folder.write("refined.pdb", "new model")
    folder.write_summary({"status": status})
    return folder


def manifest(folder) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def test_default_names_count_up(here):
    names = [open_folder("refine", "a b", RunOptions()).path.name for _ in range(3)]
    assert names == ["refine-a_b", "refine-a_b-2", "refine-a_b-3"]
    assert open_folder("refine", "../x", RunOptions()).path.resolve().parent == here


def test_an_existing_folder_is_refused(here):
    (here / "out").mkdir()
    with pytest.raises(InputError, match=r"exists[\s\S]*--overwrite"):
        open_folder("refine", "model", RunOptions(output=Path("out")))
    (here / "file").write_text("x")
    with pytest.raises(InputError, match="not a folder"):
        open_folder("refine", "model", RunOptions(output=Path("file"), overwrite=True))


def test_overwrite_removes_what_we_wrote_and_nothing_else(here):
    run = RunOptions(output=Path("out"))
    folder = finished(run)
    folder.checkpoint.write_bytes(b"state")
    (folder.path / "notes.txt").write_text("mine")
    (folder.path / ".report.html.77.tmp").write_text("half")
    again = open_folder("refine", "model", replace(run, overwrite=True))
    assert sorted(p.name for p in again.path.iterdir()) == ["notes.txt"]
    again.write_manifest(["model.pdb"], {})
    again.write_summary({})
    assert "notes.txt" not in manifest(again)["outputs"]
    assert not again.resumed


def test_an_input_is_never_overwritten(here):
    finished(RunOptions(output=Path("out")))
    run = RunOptions(output=Path("out"), overwrite=True)
    with pytest.raises(InputError, match="input file lies in the folder"):
        open_folder("refine", "model", run, [here / "out" / ".." / "out" / "refined.pdb"])
    assert (here / "out" / "refined.pdb").read_text() == "new model"


def test_a_name_in_a_manifest_leads_nowhere(here):
    finished(RunOptions(output=Path("out")))
    path = here / "out" / "manifest.json"
    broken = json.loads(path.read_text())
    broken["outputs"]["../model.pdb"] = {}
    path.write_text(json.dumps(broken))
    open_folder("refine", "model", RunOptions(output=Path("out"), overwrite=True))
    assert (here / "model.pdb").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_named(here):
    (here / "locked").mkdir(mode=0o500)
    with pytest.raises(InputError, match="cannot be written"):
        open_folder("refine", "model", RunOptions(output=here / "locked" / "out"))


def test_a_path_through_a_file_is_named(here):
    with pytest.raises(InputError, match="cannot be written"):
        open_folder("refine", "model", RunOptions(output=here / "model.pdb" / "out"))


def test_resume_takes_the_latest_unfinished(here):
    for status in ("ok", "interrupted", "interrupted", "checks_failed"):
        finished(RunOptions(), status)
    resumed = open_folder("refine", "model", RunOptions(resume=True))
    assert resumed.path.name == "refine-model-3" and resumed.resumed
    assert (resumed / "refined.pdb").exists()
    resumed.write_manifest(["model.pdb", "data.mtz"], CONFIG)
    resumed.write_summary({})
    assert open_folder("refine", "model", RunOptions(resume=True)).path.name == "refine-model-2"


def test_resume_with_nothing_to_resume(here):
    with pytest.raises(InputError, match="nothing to resume"):
        open_folder("refine", "model", RunOptions(resume=True))
    finished(RunOptions())
    with pytest.raises(InputError, match=r"nothing to resume[\s\S]*unfinished"):
        open_folder("refine", "model", RunOptions(resume=True))
    assert not open_folder("refine", "model", RunOptions(resume=True, output=Path("new"))).resumed
    (here / "foreign").mkdir()
    (here / "foreign" / "photo.jpg").write_text("x")
    with pytest.raises(InputError, match="not a folder of ours"):
        open_folder("refine", "model", RunOptions(resume=True, output=Path("foreign")))
    with pytest.raises(InputError, match="another command"):
        open_folder("train", "model", RunOptions(resume=True, output=Path("refine-model")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run: (run, {**CONFIG, "cycles": 4}), "options were others[\\s\\S]*cycles 4[\\s\\S]*cycles 3"),
        (lambda run: (replace(run, seed=5), CONFIG), "seed 5"),
        (lambda run: (Path("data.mtz").write_text("other data"), (run, CONFIG))[1], "input files were others"),
    ],
    ids=["option", "seed", "data"],
)
def test_resume_of_another_run_is_refused(here, change, message):
    run = RunOptions(output=Path("out"))
    finished(run, "interrupted")
    run, config = change(replace(run, resume=True))
    folder = open_folder("refine", "model", run)
    before = (folder / "manifest.json").read_bytes()
    with pytest.raises(InputError, match=message):
        folder.write_manifest(["model.pdb", "data.mtz"], config)
    assert (folder / "manifest.json").read_bytes() == before


def test_resume_under_other_versions_warns(here, monkeypatch):
    run, heard = RunOptions(output=Path("out")), []
    finished(run, "interrupted")
    monkeypatch.setattr("consilience.jobs.common.output.versions", lambda: {"jax": "99"})
    folder = open_folder("refine", "model", replace(run, resume=True, warn=heard.append))
    folder.write_manifest(["model.pdb", "data.mtz"], CONFIG)
    assert "other versions" in heard[0].what


def test_manifest_and_job(here, monkeypatch):
    monkeypatch.setenv("HOME", str(here / "home" / "ada"))
    data = here / "home" / "ada" / "data.mtz"
    data.parent.mkdir(parents=True)
    data.write_text("data")
    command = ("consil", "refine", "model.pdb", str(data))
    run = RunOptions(output=Path("out"), seed=7, command=command)
    folder = finished(run, config={**CONFIG, "ligands": (data,)}, inputs=["model.pdb", data])
    folder.write_job({**CONFIG, "ligands": (data,)})
    found = manifest(folder)
    assert found["inputs"][1]["file"] == "~/data.mtz" and found["inputs"][0]["file"] == "../model.pdb"
    assert found["inputs"][1]["sha256"] == "3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7"
    assert found["inputs"][1]["bytes"] == 4
    assert found["seed"] == 7 and found["status"] == "ok" and found["stopped"] >= found["started"]
    assert set(found["outputs"]) == {"refined.pdb", "summary.json"}
    assert {"consilience", "python", "jax", "jaxlib", "numpy", "scipy", "gemmi"} <= set(found["versions"])
    assert found["device"]["platform"] == "cpu" and found["threads"] >= 1 and "XLA_FLAGS" in found
    job = yaml.safe_load((folder / "job.yaml").read_text())
    assert job["verb"] == "refine" and job["inputs"] == ["../model.pdb", "~/data.mtz"] and job["seed"] == 7
    assert job["options"] == {**CONFIG, "ligands": ["~/data.mtz"]}
    assert str(here) not in (folder / "manifest.json").read_text() + (folder / "job.yaml").read_text()


def test_a_run_that_was_killed_is_unfinished(here):
    folder = open_folder("refine", "model", RunOptions())
    folder.write_manifest(["model.pdb"], CONFIG)
    assert manifest(folder)["status"] == "running" and manifest(folder)["stopped"] is None
    assert open_folder("refine", "model", RunOptions(resume=True)).path == folder.path


def test_summary_has_all_keys_and_no_nan(here):
    heard = []
    folder = open_folder("refine", "model", RunOptions(seed=3, warn=heard.append))
    folder.warn(Finding("warn", "odd", "model.pdb"))
    given = {
        "r_work": np.float32(0.25),
        "b_mean": float("nan"),
        "shells": [{"n": np.int64(4), "r_free": np.inf}],
        "free": jax.numpy.arange(2.0),
        "warnings": ["also"],
        "flag": np.bool_(True),
    }
    full = folder.write_summary(given)
    assert json.loads((folder / "summary.json").read_text(), parse_constant=pytest.fail) == full
    assert full["r_work"] == 0.25 and full["b_mean"] is None and full["shells"] == [{"n": 4, "r_free": None}]
    assert full["free"] == [0.0, 1.0] and full["flag"] is True
    assert full["warnings"] == [str(heard[0]), "also"] and full["seed"] == 3 and full["schema"] == 1
    assert {"verb", "status", "wall_s", "compile_s", "peak_rss_mb", "gradients", "scores"} <= set(full)
    assert full["peak_rss_mb"] > 10
    with pytest.raises(TypeError):
        folder.write_summary({"model": object()})


def test_log_is_clean(here):
    said = []
    folder = open_folder("refine", "model", RunOptions(say=said.append))
    folder.log("one\x1b[31m red")
    folder.log("two")
    assert (folder / "log.txt").read_text() == "one[31m red\ntwo\n"
    assert said == ["one[31m red", "two"]


def test_csv_is_flat_and_runs_no_formula():
    rows = [
        {"cycle": 0, "weights": {"xray": 1.5}, "name": "=1+1", "z": -2.0, "ok": True},
        {"cycle": 1, "new": float("nan"), "name": "-3.5", "list": [1, 2]},
        {"name": "@sum", "x": "+x"},
    ]
    read = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert [r["name"] for r in read] == ["'=1+1", "-3.5", "'@sum"]
    assert read[0]["weights.xray"] == "1.5" and read[0]["z"] == "-2.0" and read[0]["ok"] == "true"
    assert read[1]["new"] == "" and read[1]["list"] == "1 2" and read[2]["x"] == "'+x"


def test_stopwatch_counts_compilation_once():
    watch = Stopwatch().start()
    inner = jax.jit(lambda x: jax.numpy.sin(x) * 3.25)
    jax.jit(lambda x: inner(x) + inner(x + 1.0) * 7.125)(jax.numpy.ones(11))
    watch.stop()
    first = watch.seconds
    jax.jit(lambda x: x * 1.0625)(jax.numpy.ones(11))
    assert first > 0 and watch.seconds == first
    nested = Stopwatch()
    nested._hear("/jax/core/compile/jaxpr_trace_duration", 0.001)
    nested._hear("/jax/core/compile/jaxpr_trace_duration", 10.0)
    nested._hear("/jax/other", 5.0)
    assert nested.seconds == 10.0


def test_signal_ends_with_a_line_to_resume(here):
    said = []
    command = ("consil", "refine", "my model.pdb", "--overwrite", "-o", "out")
    folder = open_folder("refine", "model", RunOptions(output=Path("out"), command=command, say=said.append))
    folder.write_manifest(["model.pdb"], CONFIG)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted), interruptible(folder):
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("the signal was not heard")
    assert signal.getsignal(signal.SIGTERM) is before
    assert "consil refine 'my model.pdb' -o out --resume" in said[-1]
    assert json.loads((folder / "summary.json").read_text())["status"] == "interrupted"
    assert manifest(folder)["status"] == "interrupted"


def test_a_lost_signal_is_heard_at_the_next_line(here):
    folder = open_folder("refine", "model", RunOptions())
    with pytest.raises(Interrupted), interruptible(folder):
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            pass  # as in a finaliser, where exceptions vanish
        folder.log("a safe point")
        pytest.fail("the signal was forgotten")


def test_a_failure_leaves_a_summary(here):
    folder = open_folder("refine", "model", RunOptions())
    with pytest.raises(ZeroDivisionError), interruptible(folder):
        _ = 1 / 0
    assert json.loads((folder / "summary.json").read_text())["status"] == "failed"


def test_paths_are_shown_relative(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "ada"))
    assert shown_path(tmp_path / "ada" / "x" / "a.pdb", tmp_path / "ada" / "out") == "../x/a.pdb"
    assert shown_path(tmp_path / "b.pdb", tmp_path / "out") == "../b.pdb"
    assert shown_path(tmp_path / "ada" / "c.pdb", tmp_path / "out") == "~/c.pdb"
