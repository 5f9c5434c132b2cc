"""consil train, evaluate and predict on the built-in formaldehyde: files, errors, honest free sets, resumption."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consilience.core.errors import InputError, Interrupted
from consilience.examples import example_path
from consilience.frames.frames import Frames
from consilience.frames.read import read_frames
from consilience.frames.write import write_npz
from consilience.jobs.check.model import reference_molecule
from consilience.jobs.common.options import RunOptions, TrainOptions
from consilience.jobs.evaluate.job import evaluate
from consilience.jobs.evaluate.predict import predict
from consilience.jobs.train.data import load_training
from consilience.jobs.train.job import cut_short, train
from consilience.jobs.train.recipe import for_molecules, recipe
from consilience.potentials.training import Schedule

SMALL = ("features=8", "layers=1", "l_max=1", "radial_size=6", "sites=2")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """60 frames to train on, 20 that are free, the same 20 with forces ten times as large."""
    frames = read_frames(example_path("molecule/frames.npz"))
    folder = tmp_path_factory.mktemp("frames")
    free = frames.select(np.arange(60, 80))
    assert free.forces is not None
    made = {"train": frames.select(np.arange(60)), "free": free, "other": replace(free, forces=10 * free.forces)}
    for name, part in made.items():
        write_npz(folder / f"{name}.npz", part)
    return {name: folder / f"{name}.npz" for name in made}


@pytest.fixture
def no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training without the laws, which take longer to compile than these tests may."""
    monkeypatch.setattr("consilience.jobs.check.model.card_of", lambda *_: ([], {}))


def weights(folder: Path) -> str:
    return json.loads((folder / "model" / "model.json").read_text())["sha256"]


def run(folder: Path, **changes: Any) -> RunOptions:
    return RunOptions(output=folder, **changes)


def options(**changes: Any) -> TrainOptions:
    return TrainOptions(settings=SMALL, epochs=4, valid="0.1", **changes)


@pytest.mark.parametrize(("count", "valid", "steer"), [(300, None, 15), (60, None, 10), (20, None, 4), (60, "0.05", 3)])
def test_enough_frames_steer(count: int, valid: str | None, steer: int, tmp_path: Path) -> None:
    """By two of forty frames of water the best of 2000 epochs was the 203rd; a share that is asked for is kept."""
    write_npz(tmp_path / "f.npz", read_frames(example_path("molecule/frames.npz")).select(np.arange(count)))
    data = load_training([tmp_path / "f.npz"], TrainOptions(valid=valid), {})
    assert (len(data.work), len(data.steer)) == (count - steer, steer)
    assert any("by chance" in f.what for f in data.findings) == (steer < 5)


@pytest.mark.slow
def test_train_evaluate_and_predict(files: dict[str, Path], tmp_path: Path) -> None:
    done = train([files["train"]], options=options(free=str(files["free"]), ensemble=2), run=run(tmp_path / "t"))
    summary = json.loads((tmp_path / "t" / "summary.json").read_text())
    for name in ("summary.json", "report.html", "history.csv", "manifest.json", "job.yaml", "log.txt"):
        assert (tmp_path / "t" / name).is_file(), name
    assert summary["gradients"]["max_rel_error"] < 1e-6
    assert set(summary["table"]) == {"train", "valid", "free"}
    assert {"energy_mae_mev_atom", "force_mae_mev_A", "force_median_mev_A", "force_rel", "dipole_mae_eA",
            "esp_rmse_mv"} <= set(summary["table"]["free"])  # fmt: skip
    laws = {c["name"]: c["passed"] for c in summary["checks"]}
    assert laws["forces = -dE/dx"] and laws["rotation"] and laws["1000 steps forth and back"]
    assert summary["data"]["forces"]["unit"] == "eV/Å"
    scored = evaluate(tmp_path / "t" / "model", [files["free"]], run=run(tmp_path / "e"))
    for key, value in summary["table"]["free"].items():
        assert scored.summary["table"]["data"][key] == pytest.approx(value, rel=1e-5, abs=1e-9)
    assert scored.summary["disagreement"]["bound_ev_A"] > 0
    found = predict(tmp_path / "t" / "model", [files["free"]], run=run(tmp_path / "p"))
    again = read_frames(tmp_path / "p" / "predictions.extxyz", strict=False)
    assert again.forces is not None and found.frames.forces is not None
    assert np.abs(again.forces - found.frames.forces).max() < 1e-6
    assert done.model is not None


@pytest.mark.slow
def test_free_frames_change_nothing(files: dict[str, Path], tmp_path: Path, no_proof: None) -> None:
    a = train([files["train"]], options=options(free=str(files["free"])), run=run(tmp_path / "a"))
    b = train([files["train"]], options=options(free=str(files["other"])), run=run(tmp_path / "b"))
    assert weights(tmp_path / "a") == weights(tmp_path / "b")
    assert a.summary["table"]["free"] != b.summary["table"]["free"]


def test_an_interrupted_training_goes_on_bit_identically(
    files: dict[str, Path], tmp_path: Path, no_proof: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    train([files["train"]], options=options(), run=run(tmp_path / "whole"))
    from consilience.jobs.train import job as job

    monkeypatch.setattr("consilience.potentials.training.CHECKPOINT_EVERY", 0.0)
    spoken = job._Progress.__call__

    def stop(self: Any, record: dict[str, Any]) -> None:
        spoken(self, record)
        if record["stage"] == 1 and not record.get("replayed"):
            raise Interrupted

    monkeypatch.setattr(job._Progress, "__call__", stop)
    with pytest.raises(Interrupted):
        train([files["train"]], options=options(), run=run(tmp_path / "part"))
    monkeypatch.setattr(job._Progress, "__call__", spoken)
    train([files["train"]], options=options(), run=run(tmp_path / "part", resume=True))
    assert weights(tmp_path / "part") == weights(tmp_path / "whole")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("learning_rat=1e-3",), "unknown key"),
        (("training.learning_rat=1e-3",), "did you mean training.learning_rate"),
        (("features=banana",), "features is"),
        (("scale=median",), "unknown scale"),
        (("radial=gauss",), "radial is 'gauss'"),
        (("epochs=0",), "out of range"),
        (("training.optimizer=adamw",), "unknown optimizer"),
        (("nonsense",), "not understood"),
    ],
)
def test_recipes_are_refused_with_a_reason(settings: tuple[str, ...], words: str) -> None:
    from consilience.jobs.train.recipe import architecture_of

    with pytest.raises(InputError, match=words):
        architecture_of(recipe(TrainOptions(settings=settings)), (1, 8))


def test_molecules_of_a_few_atoms_have_a_preset_of_their_own() -> None:
    plain, said = (recipe(TrainOptions(settings=s)) for s in ((), ("radial=bessel",)))
    few = for_molecules(plain, 4.0)
    assert (few.architecture["radial"], few.schedule["scale"]) == ("exponential", "likely")
    assert for_molecules(plain, 9.0) == plain
    kept = for_molecules(said, 4.0)
    assert (kept.architecture["radial"], kept.schedule["scale"]) == ("bessel", "likely")
    physnet = recipe(TrainOptions(model="physnet"))
    assert for_molecules(physnet, 4.0) == physnet


def test_the_molecule_of_the_proof_is_whole() -> None:
    whole, broken = (
        np.array([[0, 0, 0], [0.96, 0, 0], [-0.3, 0.9, 0]]),
        np.array([[0, 0, 0], [0.96, 0, 0], [4.0, 1, 0]]),
    )
    z, x = np.tile([8, 1, 1], (4, 1)), np.stack([broken, whole, whole + 0.01, broken])
    frames = Frames(z, x, energy=np.array([-9.0, -5.0, -4.0, np.nan]))
    assert np.array_equal(reference_molecule(frames).positions, whole)
    apart = frames.select([0, 3, 1])  # most are broken: then so may this one be
    assert np.array_equal(reference_molecule(apart).positions, broken)


def test_a_weight_without_data_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    bare = tmp_path / "bare.npz"
    with np.load(files["train"]) as d:
        np.savez(bare, Z=d["Z"], R=d["R"], E=d["E"], F=d["F"])
    wanted = TrainOptions(settings=("weights={dipole: 1.0}",))
    with pytest.raises(InputError, match="dipole has a weight"):
        train([bare], options=wanted, run=run(tmp_path / "x"))
    assert not (tmp_path / "x").exists()


def test_a_training_that_had_hardly_begun_is_told() -> None:
    timed = Schedule(minutes=1.0).settled(60, 4.0)
    found = cut_short(timed, 60, 3)
    assert found is not None and found.level == "warn" and "18 steps, 3 passes" in found.found
    assert cut_short(timed, 60, 200) is None  # 1200 steps
    assert cut_short(replace(timed, minutes=None), 60, 3) is None  # who asks for three passes knows
    assert cut_short(replace(timed, epochs=3), 60, 3) is None
