"""consil train on beads of a known prior: files, scores, sets that change nothing, weights, resumption, recipes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from consilience.cli import main
from consilience.core.errors import InputError, Interrupted
from consilience.jobs.common.options import RunOptions, TrainOptions
from consilience.jobs.train.job import train
from consilience.jobs.train_beads.fit import Fitted, start_of
from consilience.jobs.train_beads.recipe import bead_recipe, with_recipe
from consilience.jobs.train_beads.sets import load_bead_sets
from consilience.potentials.beads.model import BeadModel
from consilience.potentials.beads.prior import WEAKEST
from consilience.units import KCAL_MOL

from .. import tiny_beads as tiny

SMALL = ("features=8", "model.network.channels=2", "radial_size=4", "r_max=8", "batch=2", "learning_rate=5e-3")
FAST = ("simulation.steps=300", "simulation.replicas=1")
ROW = {"force_rmse_kcal_A", "explained_variance"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """a.npz; loud.npz: the same with trajectory 1 three times as strong; hot.npz, louder.npz: trajectory 1 at 450 K."""
    place = tmp_path_factory.mktemp("beads")
    tiny.write_bead_file(place / "a.npz", frames=120)
    with np.load(place / "a.npz") as d:
        said = dict(d)
    second = said["traj"] == 1
    strong = said | {"F": np.where(second[:, None, None], 3.0, 1.0) * said["F"]}
    temp = np.where(second, 450.0, 300.0)
    cold = {k: v if k == "seq" else v[~second][::5] for k, v in said.items()}
    for name, arrays in (("loud", strong), ("hot", said | {"temp": temp}), ("louder", strong | {"temp": temp})):
        np.savez(place / f"{name}.npz", **arrays, protein=np.array("a"))
    np.savez(place / "cold.npz", **cold)
    return {p.stem: p for p in place.glob("*.npz")}


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training without laws, trials, gradient checks and report: they have tests of their own."""
    monkeypatch.setattr("consilience.jobs.train_beads.job.prove", lambda *_: ([], {"trials": {}}))
    monkeypatch.setattr("consilience.jobs.train_beads.job._gradients", lambda *_: {"max_rel_error": 0.0, "pairs": []})
    monkeypatch.setattr("consilience.jobs.train_beads.report.write_report", lambda *_: None)


def weights(folder: Path) -> str:
    return json.loads((folder / "model" / "model.json").read_text())["sha256"]


def run(folder: Path, **changes: Any) -> RunOptions:
    return RunOptions(output=folder, **changes)


def options(*settings: str, **changes: Any) -> TrainOptions:
    return TrainOptions(**({"model": "prior", "settings": (*SMALL, *settings), "valid": "0.2"} | changes))


@pytest.mark.slow
def test_hybrid(files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("consilience.jobs.train_beads.report.STEPS", 400)
    monkeypatch.setattr("consilience.jobs.check.beads_model.NVE_STEPS", 200)
    out = tmp_path / "out"
    settings = [w for s in (*SMALL, *FAST) for w in ("--set", s)]
    command = ["train", str(files["a"]), "--model", "hybrid", "--free", "a:1", "--epochs", "3", "--valid", "0.2"]
    assert main([*command, *settings, "-o", str(out)]) == 0
    told = [line for line in "".join(capsys.readouterr()).lower().splitlines() if "warn" in line]
    assert all("no epoch predicted the steer frames better" in line for line in told)  # the prior says it all
    summary = json.loads((out / "summary.json").read_text())
    for name in ("report.html", "history.csv", "manifest.json", "job.yaml", "log.txt", "model/model.json"):
        assert (out / name).is_file(), name
    assert set(summary["table"]) == {"train", "valid", "free"} and ROW <= set(summary["table"]["free"])
    assert summary["data"]["forces"]["unit"] == "kcal/mol/Å" and summary["members"] == 1 and summary["epochs"] == 3
    assert summary["gradients"]["max_rel_error"] < 1e-6 and {p["term"] for p in summary["gradients"]["pairs"]}
    assert summary["n_parameters"] > 1000 and set(summary["scores"]["forces"]) == {"work", "steer", "free"}
    assert all(c["passed"] for c in summary["checks"]) and summary["card"]["trials"]["a"]["steps"] == 300
    noise = 0.2 / KCAL_MOL  # that the file was made with; of few frames it is told from above
    assert noise < summary["noise_floor_kcal_A"] < 1.3 * noise
    assert summary["table"]["free"]["force_rmse_kcal_A"] == pytest.approx(noise, rel=0.1)


def test_a_network_that_never_gained_is_told_of() -> None:
    rows = [{"member": m, "best": b} for m, b in ((1, False), (1, True), (2, False), (2, False))]
    assert Fitted(BeadModel(None), None, rows, 2).idle == [2]


@pytest.mark.slow
def test_ablation_of_an_ensemble(files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consilience.jobs.train_beads.report.STEPS", 400)
    monkeypatch.setattr("consilience.jobs.check.beads_model.NVE_STEPS", 200)
    wanted = options(*FAST, model="hybrid", free="a:1", epochs=3, ensemble=2, ablation=True)
    summary = train([files["a"]], options=wanted, run=run(tmp_path / "out")).summary
    rows = summary["ablation"]
    assert summary["members"] == 2
    assert set(rows) == {"hybrid", "prior", "allegro", "without excluded volume"}
    assert rows["hybrid"]["free"]["explained_variance"] > rows["allegro"]["free"]["explained_variance"]
    assert all("stable" in r["dynamics"] for r in rows.values())
    assert "Ablation" in (tmp_path / "out" / "report.html").read_text()


def test_prior_finds_what_made_the_forces(files: dict[str, Path], tmp_path: Path, bare: None) -> None:
    done = train([files["a"]], options=options(free="a:1"), run=run(tmp_path / "a"))
    x = tiny.sampled(tiny.bead_energy(tiny.chains(), tiny.known_prior()), 20, seed=5)
    true = tiny.forces(tiny.bead_energy(tiny.chains(), tiny.known_prior()), x)
    found = tiny.forces(done.model.energy(tiny.chains()), x)
    assert np.sqrt(np.mean((found - true) ** 2)) < 0.3 * np.sqrt(np.mean(true**2))
    assert set(done.summary["table"]) == {"train", "valid", "free"} and done.summary["prior"]["spread"] > 0


def test_free_frames_change_nothing(files: dict[str, Path], tmp_path: Path, bare: None) -> None:
    a = train([files["a"]], options=options(model="allegro", epochs=2, free="a:1"), run=run(tmp_path / "a"))
    b = train([files["loud"]], options=options(model="allegro", epochs=2, free="a:1"), run=run(tmp_path / "b"))
    c = train([files["loud"]], options=options(free="a:1"), run=run(tmp_path / "c"))
    d = train([files["loud"]], options=options(), run=run(tmp_path / "d"))
    assert weights(tmp_path / "a") == weights(tmp_path / "b") and weights(tmp_path / "c") != weights(tmp_path / "d")
    assert a.summary["table"]["free"] != b.summary["table"]["free"]
    assert "free" in c.summary["table"] and "free" not in d.summary["table"]


def test_a_free_protein(files: dict[str, Path], tmp_path: Path, bare: None) -> None:
    other = tmp_path / "b.npz"
    tiny.write_bead_file(other, frames=60, seed=3)
    done = train([files["a"], other], options=options(free="b"), run=run(tmp_path / "x"))
    assert set(done.summary["proteins"]["free"]) == {"b"} and set(done.summary["proteins"]["train"]) == {"a"}
    again = train([files["a"]], options=options(free=str(other)), run=run(tmp_path / "y"))
    assert weights(tmp_path / "x") == weights(tmp_path / "y")
    assert again.summary["table"]["free"] == done.summary["table"]["free"]
    for free, words in (("c", "names no protein"), ("a:7", "names no trajectory"), ("a,b", "no frames to train on")):
        with pytest.raises(InputError, match=words):
            train([files["a"], other], options=options(free=free), run=run(tmp_path / "z"))


def test_a_protein_to_steer_by(files: dict[str, Path]) -> None:
    names = {
        k: {b.name: len(b) for b in v} for k, v in load_bead_sets([files["a"]], options(valid="a:1")).by_name.items()
    }
    assert names["valid"]["a"] > 0 and names["train"]["a"] > 0
    for valid, words in (
        ("a:7", "--valid names no trajectory"),
        ("a", "--valid leaves no frames"),
        ("c", "neither a share"),
    ):
        with pytest.raises(InputError, match=words):
            load_bead_sets([files["a"]], options(valid=valid))


def test_of_many_proteins_one_tells_whether_a_network_serves_others(files: dict[str, Path], tmp_path: Path) -> None:
    with np.load(files["a"]) as d:
        arrays = dict(d)
    paths = [files["a"]]
    for k, letter in enumerate("GVL"):
        paths.append(tmp_path / f"p{k}.npz")
        np.savez(paths[-1], **{**arrays, "seq": np.array(letter + str(arrays["seq"])[1:])})
    sets = load_bead_sets(paths, options(), transfer=True)
    trained, steering = ({b.name for b in v} for v in (sets.work, sets.steer))
    assert len(trained) == 3 and not steering & trained and any("must serve others" in str(f) for f in sets.findings)
    (out,) = sets.steer
    assert 0 < len(out) <= 0.2 * sum(len(b) for b in (*sets.work, *sets.work[:1]))
    assert {b.name for b in sets.of_prior.work} == trained | {out.name} and not sets.of_prior.steer
    for given in (load_bead_sets(paths, options()), load_bead_sets(paths[:3], options(), transfer=True)):
        assert {b.name for b in given.work} == {b.name for b in given.steer}


def test_shares_and_weights(files: dict[str, Path], tmp_path: Path, bare: None) -> None:
    """Frames of a temperature without a share, and proteins without a weight, move nothing."""
    cold = str(files["cold"])
    recipe = ("data.fractions={300: 1, 450: 0}",)
    for name in ("hot", "louder"):
        train([files[name]], options=options(*recipe, valid=cold), run=run(tmp_path / name))
        train([files[name]], options=options(valid=cold), run=run(tmp_path / f"{name}-all"))
    assert weights(tmp_path / "hot") == weights(tmp_path / "louder")
    assert weights(tmp_path / "hot-all") != weights(tmp_path / "louder-all")
    with pytest.raises(InputError, match="label that no frame has"):
        train([files["hot"]], options=options("data.fractions={350: 1}"), run=run(tmp_path / "x"))
    with pytest.raises(InputError, match="protein that is not there"):
        train([files["hot"]], options=options("data.weights={b: 1}"), run=run(tmp_path / "y"))


def test_an_interrupted_training_goes_on_bit_identically(
    files: dict[str, Path], tmp_path: Path, bare: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from consilience.jobs.train_beads import job as job

    wanted = options(model="allegro", epochs=4)
    train([files["a"]], options=wanted, run=run(tmp_path / "whole"))
    assert "true" in (tmp_path / "whole" / "history.csv").read_text().splitlines()[-1]  # the last epoch is the best
    monkeypatch.setattr("consilience.potentials.beads.training.CHECKPOINT_EVERY", 0.0)
    spoken = job._Progress.__call__

    def stop(self: Any, member: int, record: dict[str, Any]) -> None:
        spoken(self, member, record)
        if record["stage"] == 1 and not record.get("replayed"):
            raise Interrupted

    monkeypatch.setattr(job._Progress, "__call__", stop)
    with pytest.raises(Interrupted):
        train([files["a"]], options=wanted, run=run(tmp_path / "part"))
    monkeypatch.setattr(job._Progress, "__call__", spoken)
    train([files["a"]], options=wanted, run=run(tmp_path / "part", resume=True))
    whole, part = (tmp_path / d / "model" / "model.safetensors" for d in ("whole", "part"))
    assert whole.read_bytes() == part.read_bytes()


@pytest.mark.slow
def test_terms_of_the_training_have_an_effect(files: dict[str, Path], tmp_path: Path, bare: None) -> None:
    made = {}
    for name, extra in (
        ("plain", ()),
        ("order", ("data.seed=1",)),
        ("noise", ("training.noise=0.1",)),
        ("cap", ("training.force_cap=0.001",)),  # the network begins with no forces at all
        ("smooth", ("training.smoothness=0.1",)),
    ):
        train([files["a"]], options=options(*extra, model="allegro", epochs=2), run=run(tmp_path / name))
        made[name] = weights(tmp_path / name)
    assert len(set(made.values())) == len(made)


@pytest.mark.slow
def test_a_prior_that_trains_moves(files: dict[str, Path], tmp_path: Path, bare: None) -> None:
    """A prior of few frames is poor: training it with the network on all of them mends it."""
    poor = ("model.prior.frames=10", "learning_rate=2e-2")
    made = {}
    for name in ("frozen", "trained"):
        wanted = options(*poor, f"training.prior={name}", model="hybrid", epochs=6)
        made[name] = train([files["a"]], options=wanted, run=run(tmp_path / name))
    frozen, trained = (np.asarray(made[k].model.prior.angle.shared) for k in ("frozen", "trained"))
    assert np.abs(frozen - trained).max() > 1e-3 * KCAL_MOL
    before, after = (made[k].summary["table"]["valid"]["force_rmse_kcal_A"] for k in ("frozen", "trained"))
    assert after < before + 0.05


@pytest.mark.slow
def test_a_tampered_model_is_refused(files: dict[str, Path], tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr("consilience.jobs.check.beads_model.NVE_STEPS", 200)
    monkeypatch.setattr("consilience.jobs.train_beads.report.STEPS", 400)
    assert main(["train", str(files["a"]), "--model", "prior", "--set", FAST[0], "-o", str(tmp_path / "t")]) == 0
    model = tmp_path / "t" / "model"
    assert main(["check", str(model)]) == 0
    assert "no gradient" not in capsys.readouterr().out
    whole = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert main(["check", str(model)]) == 2
    assert "do not match the hash" in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("learning_rat=1e-3",), "unknown key"),
        (("training.learning_rat=1e-3",), "did you mean training.learning_rate"),
        (("training.optimizer=adamw",), "unknown training.optimizer"),
        (("epochs=0",), "training.epochs is out of range"),
        (("training.ensemble=2",), "unknown key training.ensemble"),
        (("training.prior=both",), "unknown training.prior"),
        (("training.weights={forces: 2}",), "not for beads"),
        (("features=banana",), "features is out of range"),
        (("model.network.parity=often",), "parity is 'often'"),
        (("model.network.reach=4",), "reach is unknown"),
        (("r_max=8", "model.network.cutoff=9"), "given twice"),
        (("model.network.name=physnet",), "another network"),
        (("model.prior.by=atoms",), "unknown model.prior.by"),
        (("model.prior.angle={k: 4}",), "takes no values"),
        (("model.prior.bond.k=20",), "model.prior.bond.k is out of range"),
        (("model.prior.excluded_volume.exponent=8",), "unknown key"),
        (("model.prior.excluded_volume.min_separation=4",), "no repulsion"),
        (("model.prior.excluded_volume=false",), "no excluded volume"),
        (("data.fractions={300: 0}",), "not all 0"),
        (("data.val=x.npz", "data.val_fraction=0.1"), "given both"),
        (("simulation.method=remd",), "not for training"),
        (("output.directory=../up",), "inside the working folder"),
        (("nonsense",), "not understood"),
    ],
)
def test_recipes_are_refused_with_a_reason(settings: tuple[str, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        bead_recipe(TrainOptions(model="hybrid", settings=settings))


def test_a_recipe_in_a_file(files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every value has its effect."""
    path = tmp_path / "recipe.yaml"
    said = {
        "data": {"train": "a.npz", "val_fraction": 0.1, "seed": 4, "free": ["a:1"]},
        "model": {
            "prior": {
                "bond": {"r0": 3.9, "k": 150.0},
                "excluded_volume": {"epsilon": 6.0, "sigma": 4.4},
                "pair": False,
            },
            "network": {"name": "allegro", "r_max": 12.0, "layers": 1},
        },
        "training": {"optimizer": "adabelief", "epochs": 2, "batch_size": 4, "learning_rate": "1e-3", "force_cap": 10},
        "simulation": {"dt_fs": 2.0, "steps": 10, "temperature_k": 310},
        "output": {"directory": "here"},
    }
    path.write_text(yaml.safe_dump(said))
    given = TrainOptions(model="hybrid", config=path)
    recipe = bead_recipe(given)
    assert recipe.schedule == {"optimiser": "adabelief", "epochs": 2, "batch": 4, "learning_rate": 1e-3,
                               "force_cap": 10 * KCAL_MOL}  # fmt: skip
    assert recipe.network == {"cutoff": 12.0, "layers": 1} and recipe.order == 4
    assert recipe.trial == {"dt": 2.0, "steps": 10, "temperature": 310.0} and recipe.directory == "here"
    used = with_recipe(given, [files["a"]], recipe)
    assert used.valid == "0.1" and used.free == "a:1"
    assert with_recipe(TrainOptions(valid="0.3", free="a:0"), [files["a"]], recipe).free == "a:0"
    with pytest.raises(InputError, match="names other files"):
        with_recipe(given, [files["loud"]], recipe)
    sets = load_bead_sets([files["a"]], used)
    start = start_of(sets, recipe)
    assert start.pair is None and float(start.stiffness) == pytest.approx(150 * KCAL_MOL)
    assert -np.asarray(start.bond.shared)[0] / float(start.stiffness) == pytest.approx(0.1)  # r0 - 3.8 Å
    eight, twelve = 6.0 * KCAL_MOL * 1.1**8, 6.0 * KCAL_MOL * 1.1**12
    np.testing.assert_allclose(start.excluded_volume, [eight] * 4 + [twelve])
    weak = start_of(sets, bead_recipe(TrainOptions(settings=("model.prior.excluded_volume.epsilon=1e-3",))))
    assert (weak.excluded_volume > WEAKEST).all()
    sites = start_of(sets, bead_recipe(TrainOptions(settings=("model.prior.by=sites",))))
    assert sites.sequence is not None and np.shape(sites.stiffness) == (5,)


def test_wrong_usage_ends_with_2(files: dict[str, Path], tmp_path: Path, capsys: Any) -> None:
    out = str(tmp_path / "out")
    for more in (
        ["--set", "training.learning_rat=1"],
        ["--free", "b"],
        ["--valid", "2"],
        ["--set", "model.prior.by=x"],
    ):
        assert main(["train", str(files["a"]), "--model", "prior", *more, "-o", out]) == 2
        assert capsys.readouterr().err.strip() and not Path(out).exists()
