"""Options by the names of other programs mean the same, the shell completes commands, and ASE finds the calculator."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import consilience as con
from consilience.cli import main
from consilience.examples import example_path

START, DATA = (str(example_path(f"crystal/{n}")) for n in ("start.pdb", "data.mtz"))
FRAMES = str(example_path("molecule/frames.npz"))


class Called(Exception):
    """Carries what a job was called with."""


def called(monkeypatch: pytest.MonkeyPatch, job: str, *argv: str) -> tuple[tuple[Path, ...], Any, Any]:
    """Files, options and run options that the command line hands to a job."""
    seen: list[Any] = []

    def instead(files: Any, *, options: Any, run: Any) -> None:
        seen.extend([tuple(map(Path, files)), options, run])
        raise Called

    monkeypatch.setenv("JAX_PLATFORMS", "cpu")  # --device writes it
    module = import_module(f"consilience.jobs.{job}.job")
    monkeypatch.setattr(module, job, instead)
    assert main([job, *argv]) == 1 and len(seen) == 3
    return seen[0], seen[1], seen[2]


def test_names_of_ccp4(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = called(
        monkeypatch, "refine", "--hklin", DATA, "--xyzin", START, "--labin", "FP,SIGFP,FreeR_flag", "--free", "0",
        "--d_min", "2.0", "--ncycle", "7", "--libin", "lig.cif", "--monlib", "lib", "--jellybody",
        "--weight", "geometry=2",
    )  # fmt: skip
    ours = called(
        monkeypatch, "refine", START, DATA, "--labels", "FP,SIGFP,FreeR_flag", "--free-value", "0", "--d-min", "2.0",
        "--cycles", "7", "--ligand", "lig.cif", "--monlib", "lib", "--jelly-body", "--weight", "geometry=2",
    )  # fmt: skip
    assert set(theirs[0]) == set(ours[0]) and theirs[1] == ours[1]
    assert ours[1].cycles == 7 and ours[1].d_min == 2.0 and ours[1].jelly_body


def test_names_of_training_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = called(
        monkeypatch, "train", "--train_file", FRAMES, "--valid_fraction=0.1", "--test_file", "test.npz",
        "--E0s", "H=-13.6", "--energy_key", "E", "--forces_key", "F", "--r_max", "4.5", "--lr", "0.002",
        "--batch_size", "16",
        "--max_num_epochs", "30", "--default_dtype", "float64", "--device", "cuda", "--restart_latest",
        "--seed", "3",
    )  # fmt: skip
    ours = called(
        monkeypatch, "train", FRAMES, "--valid", "0.1", "--free", "test.npz", "--e0s", "H=-13.6", "--energy-key", "E",
        "--forces-key", "F", "--set", "r_max=4.5", "--set", "learning_rate=0.002", "--batch", "16", "--epochs", "30",
        "--precision", "64", "--device", "gpu", "--resume", "--seed", "3",
    )  # fmt: skip
    assert theirs[:2] == ours[:2]
    assert ours[1].precision == 64 and ours[1].settings == ("r_max=4.5", "learning_rate=0.002")
    assert (theirs[2].device, theirs[2].resume, theirs[2].seed) == ("gpu", True, 3)


def test_a_command_without_files_says_what_to_give(capsys: pytest.CaptureFixture[str]) -> None:
    for verb, said in (("check", "Give the FILES"), ("refine", "Give a model"), ("train", "Give frames")):
        assert main([verb]) == 2
        assert said in capsys.readouterr().err


def complete(shell: str, words: str, at: int) -> str:
    env = {**os.environ, "_CONSIL_COMPLETE": f"{shell}_complete", "COMP_WORDS": words, "COMP_CWORD": str(at)}
    done = subprocess.run(
        [sys.executable, "-m", "consilience"], env=env, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def test_the_shell_completes_commands_options_values_and_files() -> None:
    assert complete("bash", "consil re", 1).split() == ["plain,refine", "plain,relaxation"]
    options = complete("bash", "consil refine --", 2)
    assert "--cycles" in options and "--xyzin" not in options and "--hklin" not in options
    assert "plain,aniso" in complete("bash", "consil refine --adp ", 3)
    assert complete("bash", "consil refine mod", 2).startswith("file,")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    env = {**os.environ, "_CONSIL_COMPLETE": f"{shell}_source"}
    done = subprocess.run(
        [sys.executable, "-m", "consilience"], env=env, capture_output=True, text=True, timeout=60, check=True
    )
    assert "_CONSIL_COMPLETE" in done.stdout and "consil" in done.stdout
    if shutil.which(shell) and shell == "bash":
        subprocess.run([shell, "-n"], input=done.stdout, text=True, check=True, timeout=60)


def test_ase_finds_the_calculator(tiny_model: Path) -> None:
    ase = pytest.importorskip("ase")
    (mine,) = entry_points(group="ase.plugins", name="consilience")
    plugins = mine.load().__ase_plugins__
    frames = con.read_frames(FRAMES)
    atoms = ase.Atoms(numbers=[6, 8, 1, 1], positions=frames.positions[0])
    for plugin in plugins:
        assert plugin.name == "consilience"
        atoms.calc = plugin.implementation(tiny_model)
        expected = con.load_model(tiny_model).forces(frames.positions[0], [6, 8, 1, 1])
        np.testing.assert_allclose(atoms.get_forces(), expected, atol=1e-12)
    if tuple(map(int, ase.__version__.split(".")[:2])) == (3, 29):
        assert len(plugins) == 1


def test_the_calculator_refuses_what_is_no_model(tmp_path: Path) -> None:
    pytest.importorskip("ase")
    from consilience.ase import Consilience

    with pytest.raises(con.InputError):
        Consilience(tmp_path)
