"""The commands as Python functions: the same names, the same options, a result instead of an exit status."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from consilience.jobs.options import RefineOptions, RelaxationOptions, RunOptions, residue_numbers, user_weights

if TYPE_CHECKING:
    from consilience.jobs.check import CheckResult
    from consilience.jobs.refine import RefineResult
    from consilience.jobs.relaxation import RelaxationResult
    from consilience.jobs.tour import TourResult

PathLike = str | Path


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
    from consilience.jobs.refine import refine as job

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
    from consilience.jobs.relaxation import relaxation as job

    given = dict(options)
    if given.get("tensor") is not None:
        given["tensor"] = Path(given["tensor"])
    if isinstance(given.get("without"), str):
        given["without"] = tuple(w for w in given["without"].replace(" ", "").split(",") if w)
    if isinstance(given.get("exclude"), str):
        given["exclude"] = residue_numbers(given["exclude"])
    _known("relaxation", given, [f.name for f in fields(RelaxationOptions)])
    return job(files, options=RelaxationOptions(**given), run=_run(output, seed, overwrite, resume, say))


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
    from consilience.jobs.check import check as job

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


def tour(
    *,
    output: PathLike | None = None,
    seed: int = 0,
    overwrite: bool = False,
    say: Callable[[str], None] | None = None,
) -> TourResult:
    """All jobs on built-in examples, every result beside its known truth; `consil tour`."""
    from consilience.jobs.tour import tour as job

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
    if isinstance(given.get("without"), str):
        given["without"] = tuple(w for w in given["without"].replace(" ", "").split(",") if w)
    for name in ("monlib", "potential", "tensor"):
        if given.get(name) is not None:
            given[name] = Path(given[name])
    if given.get("make_free") is True:
        given["make_free"] = "random"
    _known("refine", given, [f.name for f in fields(RefineOptions)], ("weight", "ligand"))
    return RefineOptions(**given)


def _known(verb: str, given: dict[str, Any], known: list[str], aliases: tuple[str, ...] = ()) -> None:
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, [*known, *aliases], n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise TypeError(f"{verb}() has no option '{name}'{hint}")
