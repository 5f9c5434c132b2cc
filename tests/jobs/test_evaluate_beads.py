"""consil evaluate of models of beads: noise, mean forces, disagreement, structure against a reference, bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import equinox as eqx
import numpy as np
import pytest

from consilience.cli import main
from consilience.core.errors import InputError
from consilience.jobs.common.options import RunOptions
from consilience.jobs.evaluate.job import evaluate
from consilience.md.trajectory import DCDWriter
from consilience.potentials.beads.model import BeadModel, NetworkShape, save_beads
from consilience.potentials.beads.prior import empty_prior, walls
from consilience.units import KCAL_MOL

from .. import tiny_beads as tiny

NOISE = 0.2  # eV/Å


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The true model, an empty one, an ensemble; beads.npz with noise; mean.npz of the true forces."""
    folder = tmp_path_factory.mktemp("evaluate")
    energy = tiny.write_bead_file(folder / "beads.npz", frames=100, noise=NOISE)
    with np.load(folder / "beads.npz") as d:
        x = d["R"][::10]
    mean = tiny.forces(energy, x) / KCAL_MOL
    error = np.full_like(mean, 0.1)
    noisy = mean + 0.1 * np.random.default_rng(1).normal(size=mean.shape)
    np.savez(folder / "mean.npz", R=x, F_mean=noisy, F_sem=error, noise_rms=np.full(len(x), NOISE / KCAL_MOL))
    empty = empty_prior(walls(np.radians(155), np.radians(78)))
    kept = {"residues": list(tiny.SEQUENCE), "chain": [0] * 6, "number": list(range(6)), "positions": x[0].tolist()}
    info = {"model": "prior", "reference": kept}
    shape = NetworkShape(cutoff=8.0, features=8, channels=2, radial_size=4)
    rng = np.random.default_rng(2)

    def grown(network: Any) -> Any:
        last = network.output.layers[-1].weight
        new = (0.3 * rng.normal(size=np.shape(last))).astype(np.float32)
        return eqx.tree_at(lambda n: n.output.layers[-1].weight, network, new)

    networks = (grown(shape.build(0)), grown(shape.build(1)))
    save_beads(folder / "true", BeadModel(tiny.known_prior(), (), None, info))
    save_beads(folder / "empty", BeadModel(empty, (), None, info))
    save_beads(folder / "both", BeadModel(tiny.known_prior(), networks, shape, info | {"model": "hybrid"}))
    return folder


def scored(place: Path, model: str, *files: str, **more: Any) -> dict[str, Any]:
    out = place / f"out-{model}-{len(list(place.glob('out-*')))}"
    done = evaluate(place / model, [place / f for f in files], run=RunOptions(output=out), **more)
    assert json.loads((out / "summary.json").read_text())["status"] == "ok"
    assert (out / "report.html").is_file()
    return done.summary


def test_forces_and_mean_forces_of_the_true_model(place: Path) -> None:
    """What the true model leaves of the forces is the noise; its mean-force error is zero within the errors."""
    summary = scored(place, "true", "beads.npz", "mean.npz")
    row = summary["table"]["data"]
    assert row["force_rmse_kcal_A"] == pytest.approx(NOISE / KCAL_MOL, rel=0.05)
    assert 0.8 < summary["noise_floor_kcal_A"]["beads"] / (NOISE / KCAL_MOL) < 1.1
    assert summary["table"]["beads"]["explained_variance"] == pytest.approx(row["explained_variance"])
    assert summary["mean_force_rmse"] < 0.05 and "prior_rmse_kcal_A" not in summary["mean_force"]["beads"]
    limit = summary["mean_force"]["beads"]["explained_variance_limit"]
    assert row["explained_variance"] == pytest.approx(limit, abs=0.1)
    terms = summary["energy_by_term"]["beads"]
    assert {"bond", "angle", "dihedral", "excluded_volume"} <= set(terms)
    empty = scored(place, "empty", "beads.npz", "mean.npz")
    assert empty["table"]["data"]["explained_variance"] < row["explained_variance"] - 0.02
    assert empty["mean_force_rmse"] > 10 * summary["mean_force_rmse"] + 0.1


@pytest.mark.slow
def test_members_and_the_gain_over_the_prior(place: Path) -> None:
    """Networks of noise about the true prior: they disagree, and lose against it by many standard errors."""
    summary = scored(place, "both", "beads.npz", "mean.npz")
    assert summary["disagreement"]["beads"]["max_kcal_A"] > summary["disagreement"]["beads"]["median_kcal_A"] > 0
    row = summary["mean_force"]["beads"]
    assert row["prior_rmse_kcal_A"] < 0.05 < row["rmse_kcal_A"] and row["gain_in_standard_errors"] < -2
    assert "network" in summary["energy_by_term"]["beads"]


def test_structure_against_a_reference(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model's own dynamics, or frames that are given: alike where the energy is, not where it is not."""
    monkeypatch.setattr("consilience.jobs.evaluate.beads.OWN_STEPS", 4000)
    monkeypatch.setattr("consilience.jobs.evaluate.beads.OWN_EVERY", 20)
    reference = place / "beads.npz"
    own = scored(place, "true", "mean.npz", reference=reference)["js_divergence"]
    other = scored(place, "empty", "mean.npz", reference=reference)["js_divergence"]
    assert {"distance", "angle", "dihedral", "rg", "rmsd"} <= set(own)
    assert own["angle"]["value"] < other["angle"]["value"] and own["angle"]["reference_block"] > 0
    with np.load(reference) as d:
        np.savez(place / "bare.npz", **{k: d[k] for k in d if k != "F"})
    same = scored(place, "true", "bare.npz", reference=reference)["js_divergence"]
    assert all(v["value"] < 1e-9 for v in same.values())
    with np.load(reference) as d:
        hot = {k: np.concatenate([d[k], d[k][:40]]) if len(d[k]) == 100 else d[k] for k in d}
    np.savez(place / "hot.npz", **hot | {"R": hot["R"] * np.where(np.arange(140) < 100, 1.0, 1.1)[:, None, None],
                                         "temp": np.where(np.arange(140) < 100, 300.0, 450.0)})  # fmt: skip
    assert scored(place, "true", "bare.npz", reference=place / "hot.npz")["js_divergence"] == same
    with DCDWriter(place / "same.dcd", 6, dt=5.0) as out, np.load(reference) as d:
        out.write(d["R"])
    again = scored(place, "true", "same.dcd", reference=reference)["js_divergence"]
    assert all(v["value"] < 1e-3 for v in again.values())


def test_what_is_refused(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with np.load(place / "mean.npz") as d:
        np.savez(tmp_path / "short.npz", **{k: d[k][:, :5] if d[k].ndim == 3 else d[k] for k in d})
    with pytest.raises(InputError, match="no protein among the inputs"):
        evaluate(place / "true", [tmp_path / "short.npz"], run=RunOptions(output=tmp_path / "x"))
    assert main(["evaluate", str(place / "true"), str(tmp_path / "none.npz"), "-o", str(tmp_path / "y")]) == 2
    out = str(tmp_path / "z")
    assert main(["evaluate", str(place / "true"), str(place / "mean.npz"), "--reference", "none", "-o", out]) == 2
    assert "none" in capsys.readouterr().err and not Path(out).exists()
    assert main(["evaluate", str(place / "true"), str(place / "mean.npz"), "-o", out]) == 0
