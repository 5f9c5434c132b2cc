"""The commands as Python functions: the same names, the same options, a result instead of an exit status."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from consilience.jobs.coarsen.options import CoarsenOptions
from consilience.jobs.common.dynamics_options import ExportOptions, OptimizeOptions, SimulateOptions, SpectrumOptions
from consilience.jobs.common.options import (
    FrameOptions,
    RefineOptions,
    RelaxationOptions,
    RunOptions,
    TrainOptions,
    residue_numbers,
    user_weights,
)
from consilience.jobs.learn.options import LearnOptions

if TYPE_CHECKING:
    from consilience.jobs.check.job import CheckResult
    from consilience.jobs.coarsen.job import CoarsenResult
    from consilience.jobs.evaluate.predict import PredictResult
    from consilience.jobs.evaluate.result import EvaluateResult
    from consilience.jobs.export.job import ExportResult
    from consilience.jobs.learn.job import LearnResult
    from consilience.jobs.optimize.job import OptimizeResult
    from consilience.jobs.refine.job import RefineResult
    from consilience.jobs.relaxation.job import RelaxationResult
    from consilience.jobs.simulate.result import SimulateResult
    from consilience.jobs.spectrum.job import SpectrumResult
    from consilience.jobs.tour.job import TourResult
    from consilience.jobs.train.result import TrainResult

PathLike = str | Path
T = TypeVar("T")


def refine(
    *files: PathLike,
    output: PathLike | None = None,
    seed: int = 0,
    overwrite: bool = False,
    resume: bool = False,
    say: Callable[[str], None] | None = None,
    **options: Any,
) -> RefineResult:
    """Refine coordinates and B factors of a model against diffraction data; `consil refine`.

    `files`: model, reflections and dictionaries in any order. `options`: those of the command with underscores, e.g.
    cycles=10, blocks="alternate", d_min=1.8, weight={"geometry": 2.0}, ligand="lig.cif" (fields of `RefineOptions`).
    `say` takes progress lines (e.g. print). Raises InputError, RunError; TypeError for an unknown option.
    """
    from consilience.jobs.refine.job import refine as job

    run = _run(output, seed, overwrite, resume, say)
    return job(files, options=_refine_options(options), run=run)


def relaxation(
    *files: PathLike,
    output: PathLike | None = None,
    seed: int = 0,
    overwrite: bool = False,
    resume: bool = False,
    say: Callable[[str], None] | None = None,
    **options: Any,
) -> RelaxationResult:
    """Diffusion tensor and model-free dynamics from relaxation data; `consil relaxation`.

    `files`: relaxation data and optionally a model, in any order. `options`: those of the command with underscores,
    e.g. diffusion="axial", models="m1..m5", montecarlo=500, without="etaxy" (fields of `RelaxationOptions`). The
    result's `analysis` has all arrays. Raises InputError, RunError; TypeError for an unknown option.
    """
    from consilience.jobs.relaxation.job import relaxation as job

    given = dict(options)
    if isinstance(given.get("exclude"), str):
        given["exclude"] = residue_numbers(given["exclude"])
    chosen = _options("relaxation", RelaxationOptions, given)
    return job(files, options=chosen, run=_run(output, seed, overwrite, resume, say))


def check(
    *files: PathLike,
    ligand: PathLike | tuple[PathLike, ...] = (),
    monlib: PathLike | None = None,
    labels: str | None = None,
    free_value: float | None = None,
    make_free: bool | Literal["random", "shells"] | None = None,
    units: str | None = None,
    keys: dict[str, str] | None = None,
) -> CheckResult:
    """Read files, name every defect, compare them; change nothing; `consil check`."""
    from consilience.jobs.check.job import check as job

    dictionaries = _several(ligand)
    return job(
        files,
        ligands=dictionaries,
        monlib=monlib,
        labels=labels,
        free_value=free_value,
        make_free=make_free,
        units=units,
        keys=keys,
    )


def coarsen(
    *trajectories: PathLike,
    output: PathLike | None = None,
    seed: int = 0,
    overwrite: bool = False,
    resume: bool = False,
    say: Callable[[str], None] | None = None,
    **options: Any,
) -> CoarsenResult:
    """Map all-atom trajectories with forces to beads with mean forces; `consil coarsen`.

    `trajectories`: "TRAJ:TOP" each, or TRAJ with topology=TOP. `options`: those of the command with underscores, e.g.
    forces="basic", map="beads.yaml", force_map="map.json" (fields of `CoarsenOptions`). The result has `proteins`, the
    beads as arrays in eV and Å. Raises InputError, RunError; TypeError for an unknown option.
    """
    from consilience.jobs.coarsen.job import coarsen as job

    chosen = _options("coarsen", CoarsenOptions, options)
    return job(trajectories, options=chosen, run=_run(output, seed, overwrite, resume, say))


def train(
    *files: PathLike,
    output: PathLike | None = None,
    seed: int = 0,
    overwrite: bool = False,
    resume: bool = False,
    say: Callable[[str], None] | None = None,
    units: str | None = None,
    keys: dict[str, str] | None = None,
    **options: Any,
) -> TrainResult:
    """Train a potential on molecular frames and prove it; `consil train`.

    `options`: those of the command with underscores, e.g. model="physnet", minutes=10, ensemble=4, valid="valid.npz",
    settings=("learning_rate=5e-4",) (fields of `TrainOptions`). The result's `model` has the potentials. Raises
    InputError, RunError; TypeError for an unknown option.
    """
    from consilience.jobs.train.job import train as job

    frames = FrameOptions(dict(keys or {}), units)
    chosen = replace(_options("train", TrainOptions, options, hidden=("frames",)), frames=frames)
    return job(files, options=chosen, run=_run(output, seed, overwrite, resume, say))


def learn(
    model: PathLike,
    *files: PathLike,
    output: PathLike | None = None,
    seed: int = 0,
    overwrite: bool = False,
    resume: bool = False,
    say: Callable[[str], None] | None = None,
    **options: Any,
) -> LearnResult:
    """Active learning of a model of beads: dynamics, mean forces where its members disagree, training; `consil learn`.

    `files`: "FRAMES:TOPOLOGY" of all atoms, and the bead files that the model was trained on. `options`: those of the
    command with underscores, e.g. rounds=2, frames=20, ps=20.0 (fields of `LearnOptions`). Raises InputError, RunError;
    TypeError for an unknown option.
    """
    from consilience.jobs.learn.job import learn as job

    chosen = _options("learn", LearnOptions, options)
    return job((model, *files), options=chosen, run=_run(output, seed, overwrite, resume, say))


def evaluate(
    model: PathLike,
    *files: PathLike,
    reference: PathLike | None = None,
    output: PathLike | None = None,
    seed: int = 0,
    overwrite: bool = False,
    say: Callable[[str], None] | None = None,
    units: str | None = None,
    keys: dict[str, str] | None = None,
) -> EvaluateResult:
    """Score a model on frames it has not seen; `consil evaluate`.

    `reference`: a bead file whose structure dynamics with a model of beads shall have. Raises InputError.
    """
    from consilience.jobs.evaluate.job import evaluate as job

    frames = FrameOptions(dict(keys or {}), units)
    return job(model, files, reference=reference, frames=frames, run=_run(output, seed, overwrite, False, say))


def predict(
    model: PathLike,
    *files: PathLike,
    form: Literal["extxyz", "npz"] = "extxyz",
    output: PathLike | None = None,
    seed: int = 0,
    overwrite: bool = False,
    say: Callable[[str], None] | None = None,
    units: str | None = None,
    keys: dict[str, str] | None = None,
) -> PredictResult:
    """Energies, forces, dipoles, charges and potentials of a model for every frame; `consil predict`.

    The result's `frames` have them. Raises InputError.
    """
    from consilience.jobs.evaluate.predict import predict as job

    frames = FrameOptions(dict(keys or {}), units)
    return job(model, files, form=form, frames=frames, run=_run(output, seed, overwrite, False, say))


def simulate(
    model: PathLike,
    start: PathLike,
    *,
    output: PathLike | None = None,
    seed: int = 0,
    overwrite: bool = False,
    resume: bool = False,
    say: Callable[[str], None] | None = None,
    **options: Any,
) -> SimulateResult:
    """Molecular dynamics with a model; `consil simulate`.

    `options`: those of the command with underscores, e.g. ensemble="nvt", steps=20000, temperature=350 (fields of
    `SimulateOptions`). The result's `observables` has the columns of observables.csv as arrays. An unstable run has
    summary["stable"] False. Raises InputError, RunError; TypeError for an unknown option.
    """
    from consilience.jobs.simulate.job import simulate as job

    chosen = _options("simulate", SimulateOptions, options)
    return job((model, start), options=chosen, run=_run(output, seed, overwrite, resume, say))


def optimize(
    model: PathLike,
    start: PathLike,
    *,
    output: PathLike | None = None,
    seed: int = 0,
    overwrite: bool = False,
    resume: bool = False,
    say: Callable[[str], None] | None = None,
    **options: Any,
) -> OptimizeResult:
    """Relaxed geometry of a start with a model; `consil optimize`.

    `options`: those of the command with underscores, e.g. fmax=1e-5 (fields of `OptimizeOptions`). The result has
    `positions` (n, 3) Å, `path` and `energies`. Raises InputError, RunError; TypeError for an unknown option.
    """
    from consilience.jobs.optimize.job import optimize as job

    chosen = _options("optimize", OptimizeOptions, options)
    return job((model, start), options=chosen, run=_run(output, seed, overwrite, resume, say))


def spectrum(
    model: PathLike,
    start: PathLike,
    *,
    output: PathLike | None = None,
    seed: int = 0,
    overwrite: bool = False,
    resume: bool = False,
    say: Callable[[str], None] | None = None,
    **options: Any,
) -> SpectrumResult:
    """Harmonic frequencies, infrared intensities and spectra of dynamics; `consil spectrum`.

    `options`: those of the command with underscores, e.g. md=40000, reference="harmonic.json" (fields of
    `SpectrumOptions`). The result has `vibrations` and `dynamic`. Raises InputError, RunError; TypeError for an unknown
    option.
    """
    from consilience.jobs.spectrum.job import spectrum as job

    chosen = _options("spectrum", SpectrumOptions, options)
    return job((model, start), options=chosen, run=_run(output, seed, overwrite, resume, say))


def export(
    model: PathLike,
    start: PathLike | None = None,
    *,
    output: PathLike | None = None,
    seed: int = 0,
    overwrite: bool = False,
    resume: bool = False,
    say: Callable[[str], None] | None = None,
    **options: Any,
) -> ExportResult:
    """A model for another engine, tested; `consil export`.

    `options`: to="ase", "openmm" or "lammps" (beads), charge, temperature, precision (fields of
    `ExportOptions`). Raises InputError, RunError; TypeError for an unknown option.
    """
    from consilience.jobs.export.job import export as job

    files = (model,) if start is None else (model, start)
    chosen = _options("export", ExportOptions, options)
    return job(files, options=chosen, run=_run(output, seed, overwrite, resume, say))


def fit(
    job: PathLike,
    *,
    output: PathLike | None = None,
    seed: int = 0,
    overwrite: bool = False,
    resume: bool = False,
    say: Callable[[str], None] | None = None,
) -> Any:
    """Run a job file: the job.yaml of any command, or a mixture of terms over one model; `consil fit`.

    Returns the result of that command, or of a refinement. seed: 0 takes that of the file. Raises InputError, RunError.
    """
    from consilience.jobs.fit.job import fit as run_job

    return run_job(job, run=_run(output, seed, overwrite, resume, say))


def tour(
    *,
    output: PathLike | None = None,
    seed: int = 0,
    overwrite: bool = False,
    say: Callable[[str], None] | None = None,
) -> TourResult:
    """All jobs on built-in examples, every result beside its known truth; `consil tour`."""
    from consilience.jobs.tour.job import tour as job

    return job(run=_run(output, seed, overwrite, False, say))


def _run(
    output: PathLike | None, seed: int, overwrite: bool, resume: bool, say: Callable[[str], None] | None
) -> RunOptions:
    folder = None if output is None else Path(output)
    run = RunOptions(folder, seed, overwrite, resume, quiet=say is None)
    return run if say is None else replace(run, say=say)


def _several(paths: PathLike | tuple[PathLike, ...] | list[PathLike]) -> tuple[Path, ...]:
    return (Path(paths),) if isinstance(paths, str | Path) else tuple(map(Path, paths))


def _refine_options(given: dict[str, Any]) -> RefineOptions:
    given = dict(given)
    if "weight" in given:
        weight = given.pop("weight")
        given["weights"] = user_weights(weight) if isinstance(weight, str) else weight
    if "ligand" in given:
        given["ligands"] = _several(given.pop("ligand"))
    if given.get("make_free") is True:
        given["make_free"] = "random"
    return _options("refine", RefineOptions, given, aliases=("weight", "ligand"))


def _options(
    verb: str, kind: type[T], given: dict[str, Any], *, aliases: tuple[str, ...] = (), hidden: tuple[str, ...] = ()
) -> T:
    """Options of a job from keywords: paths and lists may be strings; TypeError names an unknown one."""
    types = {f.name: str(f.type) for f in fields(kind) if f.name not in hidden}  # pyright: ignore[reportArgumentType]
    unknown = next((name for name in given if name not in types), None)
    if unknown is not None:
        close = difflib.get_close_matches(unknown, [*types, *aliases], n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise TypeError(f"{verb}() has no option '{unknown}'{hint}")
    return kind(**{name: _as_declared(types[name], value) for name, value in given.items()})


def _as_declared(declared: str, value: Any) -> Any:
    """A string as the path, the tuple of words or of one key=value that the option is; a path as text where text is."""
    if isinstance(value, str) and declared.startswith("Path"):
        return Path(value)
    if isinstance(value, str) and declared.startswith("tuple[str"):
        return (value,) if "=" in value else tuple(word for word in value.replace(" ", "").split(",") if word)
    return str(value) if isinstance(value, Path) and declared.startswith("str") else value
