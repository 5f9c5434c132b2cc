"""`consil check` on bead files and training configurations, alone and together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from consilience.cli import main
from consilience.jobs.check.job import check

GOOD = """
data: {train: beads.npz, val_fraction: 0.1, seed: 1}
model:
  prior: {bond: {r0: 3.8, k: 150.0}, pair: true, excluded_volume: {epsilon: 5.0, sigma: 4.0, min_separation: 2}}
  network: {name: allegro, r_max: 12.0, layers: 1}
training: {optimizer: adabelief, epochs: 2, batch_size: 4, learning_rate: 1e-3}
simulation: {dt_fs: 5.0, steps: 1000, temperature_k: 300}
output: {directory: here}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """beads.npz, a random walk with the forces of its bonds, and good.yaml."""
    rng = np.random.default_rng(0)
    u = np.array([[0.87, 0.5 * (-1) ** i, 0.1 * i] for i in range(5)]) + 0.1 * rng.standard_normal((40, 5, 3))
    u /= np.linalg.norm(u, axis=-1, keepdims=True)
    stretch = 0.055 * rng.standard_normal((40, 5, 1))
    x = np.concatenate([np.zeros((40, 1, 3)), np.cumsum(u * (3.8 + stretch), axis=1)], axis=1)
    force = np.zeros_like(x)
    force[:, :-1] += 200 * stretch * u
    force[:, 1:] -= 200 * stretch * u
    box = np.full(3, 60.0)
    np.savez(tmp_path / "beads.npz", R=x - x.mean(1, keepdims=True), F=force, seq=["ALA"] * 6, box=box, pbc=True)
    (tmp_path / "good.yaml").write_text(GOOD)
    return tmp_path


def test_sound_files_pass(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(folder / "beads.npz"), str(folder / "good.yaml")]) == 0
    out, err = capsys.readouterr()
    assert err == "" and "warn" not in out and "beads (npz)" in out and "40 frames of 6 beads" in out


def test_box_and_cutoff_are_compared(folder: Path) -> None:
    (folder / "wide.yaml").write_text(GOOD.replace("12.0", "31.0"))
    found = check([folder / "beads.npz", folder / "wide.yaml"])
    assert found.exit_status == 2 and "60 Å, a cutoff of 31 Å" in str(found.files[0].findings[-1])
    assert check([folder / "beads.npz"], units="Å, eV/Å").exit_status == 0  # a user's unit is only doubted


@pytest.mark.parametrize(
    ("old", "new", "level", "words"),
    [
        ("batch_size", "bacth_size", "error", "training.bacth_size"),
        ("epsilon: 5.0", "epsilon: five", "error", "model.prior.excluded_volume.epsilon"),
        ("1e-3", "-1e-3", "error", "training.learning_rate"),
        ("epochs: 2", "epochs: 2.5", "error", "training.epochs"),
        ("min_separation: 2", "min_separation: 5", "error", "separation 2 to 4"),
        ("k: 150.0", "k: -150.0", "error", "model.prior.bond.k"),
        ("pair: true", "angle: {terms: 4}", "error", "model.prior.angle takes no values"),
        ("adabelief", "adabeleif", "error", "did you mean adabelief"),
        ("dt_fs: 5.0", "dt_fs: 0", "error", "simulation.dt_fs"),
        ("train: beads.npz", "train: bead.npz", "warn", "no such file"),
        ("network: {name", "netwrok: {name", "error", "did you mean model.network"),
        ("data: {", "date: {", "error", "did you mean data"),
        ("{epsilon: 5.0, sigma: 4.0, min_separation: 2}", "false", "error", "no excluded volume"),
        ("output: {directory: here}", "output: here", "error", "output is not a mapping"),
    ],
)
def test_defects_of_configurations_are_named(folder: Path, old: str, new: str, level: str, words: str) -> None:
    text = GOOD.replace(old, new)
    assert text != GOOD
    (folder / "bad.yaml").write_text(text)
    report = check([folder / "bad.yaml"]).files[0]
    assert report.level == level and any(words in str(f) for f in report.findings), report.as_dict()


def test_other_files_of_coarse_graining(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 5, 3))
    atoms = {"pos": x, "frc": x, "masses": np.ones(5), "constraints": np.zeros((0, 2), int)}
    np.savez(tmp_path / "atoms.npz", **atoms)
    report = check([tmp_path / "atoms.npz"]).files[0]
    assert report.kind_name == "all-atom frames (npz)" and report.level == "note" and "no topology" in str(report)
    broken = x.copy()
    broken[7, 2] = np.nan
    np.savez(tmp_path / "atoms.npz", **{**atoms, "frc": broken})
    report = check([tmp_path / "atoms.npz"]).files[0]
    assert report.level == "warn" and "frame 7" in str(report.findings)
    np.savez(tmp_path / "atoms.npz", **{**atoms, "frc": x[:, :4]})
    assert check([tmp_path / "atoms.npz"]).exit_status == 2
    np.savez(tmp_path / "mean.npz", R=x, F_mean=x, F_sem=np.full_like(x, 0.1), noise_rms=np.ones(20))
    report = check([tmp_path / "mean.npz"]).files[0]
    assert report.kind_name == "mean forces (npz)" and report.level == "note" and "explained variance" in str(report)
    np.savez(tmp_path / "mean.npz", R=x, F_mean=x)
    assert check([tmp_path / "mean.npz"]).exit_status == 2


def test_real_all_atom_frames(data_dir: Path) -> None:
    report = check([data_dir / "cg" / "pep_ACDEFGHI.npz"]).files[0]
    assert report.level == "note" and "no topology" not in str(report)
