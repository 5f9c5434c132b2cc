"""Stress as data: the derivative by strain for every frame of a batch, learnt from another code's, and its sign."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consilience.core.errors import InputError
from consilience.frames.frames import Frames
from consilience.frames.read import read_frames
from consilience.frames.write import write_extxyz, write_npz
from consilience.jobs.common.options import RunOptions, TrainOptions
from consilience.jobs.evaluate.job import evaluate
from consilience.jobs.evaluate.predict import predict
from consilience.jobs.train.data import load_training
from consilience.jobs.train.job import train
from consilience.potentials.build import Architecture, build
from consilience.potentials.dataset import batch_of
from consilience.potentials.scores import predicted
from consilience.potentials.weights import cast

ase = pytest.importorskip("ase")
SMALL = ("features=16", "layers=1", "l_max=1", "radial_size=8", "sites=0", "cutoff=4.0")
SCHEDULE = ("epochs=150", "learning_rate=5e-3")


def crystals(count: int, seed: int) -> Frames:
    """Strained and shaken cells of aluminium, four atoms, by ASE's effective medium theory with its own stress."""
    from ase.build import bulk
    from ase.calculators.emt import EMT

    rng, rows = np.random.default_rng(seed), []
    for _ in range(count):
        atoms = bulk("Al", cubic=True)
        strain = 0.03 * rng.normal(size=(3, 3))
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.5 * (strain + strain.T)), scale_atoms=True)
        atoms.positions += 0.05 * rng.normal(size=(4, 3))
        atoms.calc = EMT()
        rows.append((atoms.positions, atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(voigt=False),
                     atoms.cell.array))  # fmt: skip
    x, e, f, s, cell = (np.array(a) for a in zip(*rows, strict=True))
    return Frames(np.full((count, 4), 13), x, e, f, stress=s, cell=cell, pbc=np.ones((count, 3), bool))


def molecule_and_crystals() -> Frames:
    """Two cells, and one frame without a cell."""
    frames = crystals(3, 5)
    assert frames.cell is not None and frames.pbc is not None
    cell, pbc = frames.cell.copy(), frames.pbc.copy()
    cell[1], pbc[1] = 0.0, False
    return replace(frames, cell=cell, pbc=pbc)


@pytest.mark.parametrize("electrostatics", [False, True])
def test_stress_of_each_frame_is_its_slope_by_strain(electrostatics: bool) -> None:
    frames = molecule_and_crystals()
    made = Architecture("equivariant", (13,), 4.0, 8, 1, 1, 6, electrostatics=electrostatics, coulomb_cutoff=5.0)
    model = cast(build(made, [-3.0], 2.0), np.float64)
    found = predicted(model, batch_of(frames, model, ("stress",)))
    plain = predicted(model, batch_of(frames, model, ()))
    np.testing.assert_allclose(found["forces"], plain["forces"], atol=1e-12)
    np.testing.assert_allclose(found["stress"], np.swapaxes(found["stress"], 1, 2), atol=1e-14)
    assert frames.cell is not None and np.all(found["stress"][1] == 0.0)
    for i, j in ((0, 0), (2, 1)):
        energies = []
        for sign in (1, -1):
            strain = np.zeros((3, 3))
            strain[i, j] = sign * 1e-4
            deform = np.eye(3) + 0.5 * (strain + strain.T)
            moved = replace(frames, positions=frames.positions @ deform, cell=frames.cell @ deform)
            energies.append(predicted(model, batch_of(moved, model, ()))["energy"])
        volume = np.abs(np.linalg.det(frames.cell))
        for k in (0, 2):
            slope = (energies[0][k] - energies[1][k]) / (2e-4 * volume[k])
            assert found["stress"][k, i, j] == pytest.approx(slope, rel=1e-5, abs=1e-9)


@pytest.fixture
def no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consilience.jobs.check.model.card_of", lambda *_: ([], {}))


def trained(folder: Path, frames: Frames) -> Any:
    folder.mkdir()
    write_extxyz(folder / "al.extxyz", frames)
    options = TrainOptions(settings=(*SMALL, *SCHEDULE), valid="0.15")
    return train([folder / "al.extxyz"], options=options, run=RunOptions(output=folder / "run"))


@pytest.mark.slow
def test_stresses_of_another_code_are_learnt_and_predicted(no_proof: None, tmp_path: Path) -> None:
    done = trained(tmp_path / "right", crystals(60, 1))
    assert done.summary["data"]["stress"]["unit"] == "eV/Å³" and done.summary["gradients"]["max_rel_error"] < 1e-6
    assert not any("stresses of" in w for w in done.summary["warnings"])
    unseen = crystals(15, 2)
    assert unseen.stress is not None
    write_extxyz(tmp_path / "unseen.extxyz", unseen)
    model = tmp_path / "right" / "run" / "model"
    scored = evaluate(model, [tmp_path / "unseen.extxyz"], run=RunOptions(output=tmp_path / "e"))
    size = 1e3 * float(np.abs(unseen.stress).mean())
    assert scored.summary["table"]["data"]["stress_mae_mev_A3"] < 0.25 * size  # 15 meV/Å³ where it is not fitted
    predict(model, [tmp_path / "unseen.extxyz"], run=RunOptions(output=tmp_path / "p"))
    again = read_frames(tmp_path / "p" / "predictions.extxyz").stress
    assert again is not None and float(np.abs(again - unseen.stress).mean()) < 0.25e-3 * size


def test_stress_of_the_other_sign_is_noticed(no_proof: None, tmp_path: Path) -> None:
    """Codes that count pressure positive are common; energies and forces tell."""
    frames = crystals(60, 1)
    assert frames.stress is not None
    done = trained(tmp_path / "wrong", replace(frames, stress=-frames.stress))
    said = [w for w in done.summary["warnings"] if "stress" in w]
    assert len(said) == 1 and "sign" in said[0]


def test_stress_without_a_cell_is_not_fitted(tmp_path: Path) -> None:
    frames = crystals(4, 3)
    write_npz(tmp_path / "a.npz", replace(frames, cell=None, pbc=None))
    assert load_training([tmp_path / "a.npz"], TrainOptions(), {}).channels == ("energy", "forces")
    with pytest.raises(InputError, match="stress has a weight"):
        load_training([tmp_path / "a.npz"], TrainOptions(), {"stress": 1.0})
