"""What all commands share: their common options, how a run speaks, exit statuses, and messages."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from consilience.core.errors import Finding, InputError, clean
from consilience.jobs.common.options import RunOptions

FRAME_KEYS = ("energy", "forces", "stress", "dipole", "charges", "total_charge", "esp")
_STATUS = {"ok": 0, "failed": 1, "checks_failed": 3, "interrupted": 130}


class _Device(click.Choice):
    """cpu or gpu; cuda is a gpu too."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert("gpu" if value == "cuda" else value, param, ctx)


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that every command has."""
    for option in reversed(
        [
            click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder for the results."),
            click.option("--seed", type=int, default=0, show_default=True, help="Seed of all random choices."),
            click.option("--overwrite", is_flag=True, help="Replace an existing folder of results."),
            click.option("--resume", is_flag=True, help="Continue an interrupted run."),
            click.option("--device", type=_Device(["cpu", "gpu"]), help="Where to compute."),
            click.option("--quiet", is_flag=True, help="No progress."),
            click.option("--json", "json_", is_flag=True, help="Print summary.json."),
            click.option("--debug", is_flag=True, help="Show tracebacks."),
        ]
    ):
        command = option(command)
    return command


def frame_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How molecular frames are read."""
    for quantity in reversed(FRAME_KEYS):
        words = quantity.replace("_", " ")
        option = f"--{quantity.replace('_', '-')}-key"
        command = click.option(option, metavar="NAME", help=f"Frames: key of the {words}.")(command)
    return click.option("--units", metavar="UNITS", help="Frames: e.g. kcal/mol, or energy=hartree,forces=eV/Å.")(
        command
    )


def frame_keys(given: dict[str, Any]) -> dict[str, str]:
    """The keys of molecular frames that the user named, by quantity."""
    return {q: given[f"{q}_key"] for q in FRAME_KEYS if given[f"{q}_key"]}


def run(given: dict[str, Any]) -> RunOptions:
    """RunOptions of a command; progress goes to stdout, or to stderr where stdout is JSON."""
    if given["device"] is not None:  # JAX reads this when it is first imported, in the job
        os.environ["JAX_PLATFORMS"] = "cpu" if given["device"] == "cpu" else "cuda"
    silent = given["quiet"]

    def say(line: str) -> None:
        if not silent:
            click.echo(clean(line), err=given["json_"])

    return RunOptions(
        output=given["output"],
        seed=given["seed"],
        overwrite=given["overwrite"],
        resume=given["resume"],
        device=given["device"],
        quiet=silent,
        json=given["json_"],
        debug=given["debug"],
        command=("consil", *click.get_current_context().obj),
        say=say,
        warn=warn,
    )


def finish(result: Any, as_json: bool) -> int:
    """Exit status of a job from its summary."""
    if as_json:
        print_json(result.summary)
    return _STATUS.get(result.summary["status"], 1)


def print_json(summary: dict[str, Any]) -> None:
    """A summary on stdout."""
    import json

    click.echo(json.dumps(summary, indent=1, allow_nan=False))


def write_summary(folder: Path, summary: dict[str, Any], overwrite: bool) -> None:
    """summary.json in a folder that may not exist yet. Raises InputError where it must not be written."""
    import json

    from consilience.files import write_atomic

    target = folder / "summary.json"
    if folder.exists() and not (overwrite and folder.is_dir()):
        raise InputError("the output exists", where=str(folder), fix="choose another name, or add --overwrite")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise InputError("the output folder cannot be made", str(folder), err.strerror or str(err)) from None
    write_atomic(target, json.dumps(summary, indent=1, allow_nan=False) + "\n")


def short(finding: Finding, file: str) -> str:
    """A note under the name of its file, which it need not repeat."""
    where = finding.where.removeprefix(file).lstrip(", ")
    return str(replace(finding, where=where)).replace("\n", "\n  ")


def warn(finding: Finding) -> None:
    """A warning on stderr."""
    click.echo(f"warning: {finding}", err=True)


def error(message: str) -> None:
    """An error on stderr."""
    click.echo(f"error: {message}", err=True)


def kinds(text: str | None) -> tuple[str, ...]:
    """Words of a list separated by commas."""
    return tuple(w for w in (text or "").replace(" ", "").split(",") if w)
