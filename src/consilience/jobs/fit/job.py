"""consil fit: a job.yaml of any command run again, or a mixture of terms over one model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from consilience.core.errors import InputError, clean
from consilience.jobs.common.config import load_config
from consilience.jobs.common.options import FrameOptions, RunOptions
from consilience.jobs.fit.job_file import known_keys, options_of, resolved, typed
from consilience.jobs.fit.mixture import read_mixture

WRITTEN = ("schema_version", "verb", "inputs", "seed", "options")
MADE = ("architecture", "schedule", "recipe")  # written for people: what the other options lead to


def fit(job: str | Path, *, run: RunOptions | None = None) -> Any:
    """Run a job file: one that a command wrote, or a mixture (schema_version, model, terms, protocol, output).

    Paths are as seen from the folder of the file; the seed is that of the file unless `run` has another than 0. Returns
    the result of the command, or of a refinement. Raises InputError for what is not understood, before anything is
    written, and what the jobs raise.
    """
    place, run = Path(job), run or RunOptions()
    said = load_config(place)
    if "verb" in said:
        return _again(said, place, run)
    if "terms" not in said and "model" not in said:
        expected = "verb: ... (a job.yaml of a command), or model: and terms: (a mixture)"
        known_keys(said, (*WRITTEN, "model", "terms", "protocol", "output"), str(place))
        raise InputError("this is no job", str(place), f"keys {', '.join(map(clean, said))}", expected)
    mixture = read_mixture(said, place)
    from consilience.jobs.refine.job import refine

    run = replace(run, seed=run.seed or mixture.seed, output=run.output or mixture.output)
    mixture = replace(mixture, seed=run.seed)
    return refine([mixture.model, *mixture.data], options=mixture.options, run=run, mixture=mixture)


def _again(said: Mapping[str, Any], place: Path, run: RunOptions) -> Any:
    where = str(place)
    known_keys(said, WRITTEN, where, ("schema_version", "verb"))
    if said["schema_version"] != 1:
        raise InputError("this schema_version is not known", where, clean(said["schema_version"]), "1")
    verb, folder = said["verb"], place.parent
    known_keys({verb: 0}, RUNS, f"{where}, verb")
    inputs, options = said.get("inputs", []), said.get("options", {})
    if not isinstance(inputs, list) or not isinstance(options, Mapping):
        raise InputError("inputs is a list and options a mapping", where)
    seed = typed(said.get("seed", 0), int, folder, f"{where}, seed")
    files = [_input(i, folder, f"{where}, inputs", verb) for i in inputs]
    return RUNS[verb](files, dict(options), replace(run, seed=run.seed or seed), folder, where)


def _input(name: Any, folder: Path, where: str, verb: str) -> str:
    if verb == "coarsen" and isinstance(name, str) and ":" in name:  # TRAJ:TOP
        first, _, second = name.rpartition(":")
        return f"{resolved(first, folder, where)}:{resolved(second, folder, where)}"
    return str(resolved(name, folder, where))


def _plain(verb: str, home: str, kind: str) -> Callable[..., Any]:
    """A command that takes files and one dataclass of options."""

    def again(files: list[str], said: dict[str, Any], run: RunOptions, folder: Path, where: str) -> Any:
        from importlib import import_module

        job = getattr(import_module(f"consilience.jobs.{verb}.job"), verb)
        options = options_of(getattr(import_module(f"consilience.jobs.{home}"), kind), said, folder, where)
        return job(tuple(files), options=options, run=run)

    return again


def _train(files: list[str], said: dict[str, Any], run: RunOptions, folder: Path, where: str) -> Any:
    from consilience.jobs.common.options import TrainOptions
    from consilience.jobs.train.job import train

    frames = _frames(said, folder, where)
    said = {k: v for k, v in said.items() if k not in MADE}
    for name in ("valid", "free"):  # a share or a label, or a file beside the job
        value = said.get(name)
        if isinstance(value, str) and (folder / value).is_file():
            said[name] = str(folder / value)
    inputs = [f for f in files if f not in (said.get("valid"), said.get("free"))]
    options = replace(options_of(TrainOptions, said, folder, where), frames=frames)
    return train(inputs, options=options, run=run)


def _frames(said: dict[str, Any], folder: Path, where: str) -> FrameOptions:
    """Keys and units of frames, taken out of the options."""
    keys, units = said.pop("keys", None) or {}, said.pop("units", None)
    return options_of(FrameOptions, {"keys": keys, "units": units}, folder, where)


def _scored(files: list[str], said: dict[str, Any], run: RunOptions, folder: Path, where: str) -> Any:
    from consilience.jobs.evaluate.job import evaluate

    frames = _frames(said, folder, where)
    known_keys(said, ("model",), where, ("model",))
    return evaluate(resolved(said["model"], folder, where), files, frames=frames, run=run)


def _predicted(files: list[str], said: dict[str, Any], run: RunOptions, folder: Path, where: str) -> Any:
    from consilience.jobs.evaluate.predict import predict

    frames = _frames(said, folder, where)
    known_keys(said, ("model", "format"), where, ("model",))
    form = said.get("format", "extxyz")
    known_keys({form: 0}, ("extxyz", "npz"), f"{where}.format")
    return predict(resolved(said["model"], folder, where), files, form=form, frames=frames, run=run)


RUNS: dict[str, Callable[..., Any]] = {
    "refine": _plain("refine", "common.options", "RefineOptions"),
    "relaxation": _plain("relaxation", "common.options", "RelaxationOptions"),
    "coarsen": _plain("coarsen", "coarsen.options", "CoarsenOptions"),
    "train": _train,
    "evaluate": _scored,
    "predict": _predicted,
    "simulate": _plain("simulate", "common.dynamics_options", "SimulateOptions"),
    "optimize": _plain("optimize", "common.dynamics_options", "OptimizeOptions"),
    "spectrum": _plain("spectrum", "common.dynamics_options", "SpectrumOptions"),
    "export": _plain("export", "common.dynamics_options", "ExportOptions"),
}
