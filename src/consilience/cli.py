"""The command line: options, one error handler, exit statuses; jobs are imported only when their command runs."""

from __future__ import annotations

import difflib
import io
import os
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import click

from consilience.core.errors import ConsilError, Finding, InputError, clean
from consilience.jobs.options import RefineOptions, RelaxationOptions, RunOptions, residue_numbers, user_weights

_STATUS = {"ok": 0, "failed": 1, "checks_failed": 3, "interrupted": 130}
FRAME_KEYS = ("energy", "forces", "dipole", "charges", "total_charge", "esp")
_DEFAULT = {f.name: f.default for f in fields(RefineOptions)}


class _Group(click.Group):
    """A group that suggests the nearest command for a mistyped one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if name and self.get_command(ctx, name) is None and not name.startswith("-"):
            close = difflib.get_close_matches(name, self.list_commands(ctx), n=1)
            hint = f" Did you mean {close[0]}?" if close else f" Commands: {', '.join(self.list_commands(ctx))}."
            raise click.UsageError(f"No such command '{clean(name)}'.{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="consilience", prog_name="consil")
def cli() -> None:
    """Fit one molecular model to every experiment that speaks about it."""


def _run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that every command has."""
    for option in reversed(
        [
            click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder for the results."),
            click.option("--seed", type=int, default=0, show_default=True, help="Seed of all random choices."),
            click.option("--overwrite", is_flag=True, help="Replace an existing folder of results."),
            click.option("--resume", is_flag=True, help="Continue an interrupted run."),
            click.option("--device", type=click.Choice(["cpu", "gpu"]), help="Where to compute."),
            click.option("--quiet", is_flag=True, help="No progress."),
            click.option("--json", "json_", is_flag=True, help="Print summary.json."),
            click.option("--debug", is_flag=True, help="Show tracebacks."),
        ]
    ):
        command = option(command)
    return command


def _data_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How reflections and dictionaries are read."""
    path = click.Path(path_type=Path)
    for option in reversed(
        [
            click.option("--labels", "--labin", metavar="F,SIGF,FREE", help="Columns to use (default: by content)."),
            click.option("--free-value", "--free", type=float, metavar="N", help="Flag value of the free set."),
            click.option("--make-free", is_flag=True, help="Make a free set (5 %) where the file has none."),
            click.option("--thin-shells", is_flag=True, help="With --make-free: whole thin resolution shells."),
            click.option("--ligand", "ligands", type=path, multiple=True, help="Restraint dictionary (repeatable)."),
            click.option("--monlib", type=path, metavar="DIR", help="Monomer library (default: $CLIBD_MON)."),
        ]
    ):
        command = option(command)
    return command


def _frame_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How molecular frames are read."""
    for quantity in reversed(FRAME_KEYS):
        words = quantity.replace("_", " ")
        option = f"--{quantity.replace('_', '-')}-key"
        command = click.option(option, metavar="NAME", help=f"Frames: key of the {words}.")(command)
    return click.option("--units", metavar="UNITS", help="Frames: e.g. kcal/mol, or energy=hartree,forces=eV/Å.")(
        command
    )


@cli.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@_data_options
@_frame_options
@_run_options
def check(files: tuple[Path, ...], **given: Any) -> int:
    """Read files, name every defect, compare them; change nothing."""
    from consilience.jobs.check import check as check_files

    result = check_files(
        files,
        ligands=given["ligands"],
        monlib=given["monlib"],
        labels=given["labels"],
        free_value=given["free_value"],
        make_free=_make_free(given),
        units=given["units"],
        keys=_frame_keys(given),
    )
    if given["output"] is not None:
        _write_summary(given["output"], result.summary, given["overwrite"])
    if given["json_"]:
        _print_json(result.summary)
        return result.exit_status
    for report in result.files:
        if not given["quiet"]:
            click.echo(clean(f"{report.file}: {report.kind_name}"))
        for finding in report.findings:
            if finding.level == "warn":
                _warn(finding)
            elif finding.level == "error":
                _error(str(finding))
            elif not given["quiet"]:
                click.echo(f"  note: {_short(finding, report.file)}")
    return result.exit_status


@cli.command()
@click.argument("inputs", nargs=-1, type=click.Path(path_type=Path), metavar="MODEL DATA...")
@_data_options
@click.option("--d-min", "--d_min", "--resolution", type=float, metavar="Å", help="High-resolution limit.")
@click.option("--d-max", "--d_max", type=float, metavar="Å", help="Low-resolution limit.")
@click.option("--cycles", "--ncycle", "--ncycles", type=click.IntRange(min=0), default=_DEFAULT["cycles"],
              show_default=True, help="Macrocycles (0: maps and statistics only).")  # fmt: skip
@click.option("--blocks", type=click.Choice(["alternate", "joint"]), default=_DEFAULT["blocks"], show_default=True,
              help="Coordinates and B in turn, or together.")  # fmt: skip
@click.option("--adp", type=click.Choice(["iso", "aniso", "auto"]), default=_DEFAULT["adp"], show_default=True,
              help="Displacement parameters.")  # fmt: skip
@click.option("--weight", "--weights", default="auto", show_default=True, metavar="auto|TERM=X,...",
              help="Weights of the terms, e.g. geometry=2,adp=0.5.")  # fmt: skip
@click.option("--target", type=click.Choice(["auto", "ml", "ls"]), default=_DEFAULT["target"], show_default=True,
              help="Maximum likelihood or least squares.")  # fmt: skip
@click.option("--source", type=click.Choice(["xray", "neutron", "electron"]), default=_DEFAULT["source"],
              show_default=True, help="Kind of radiation.")  # fmt: skip
@click.option("--potential", type=click.Path(path_type=Path), metavar="DIR", help="Add the energy of a model.")
@click.option("--twin", is_flag=True, help="The crystal is twinned.")
@click.option("--rigid-first", is_flag=True, help="Rigid-body cycles first.")
@click.option("--jelly-body", "--jellybody", is_flag=True, help="Hold distances near their starting values.")
@click.option("--ncs", "--ncsr", is_flag=True, help="Restrain non-crystallographic copies to one another.")
@click.option("--xyz/--no-xyz", default=True, show_default=True, help="Refine coordinates.")
@click.option("--b/--no-b", default=True, show_default=True, help="Refine B factors.")
@click.option("--occupancy", type=click.Choice(["none", "partial"]), default=_DEFAULT["occupancy"], show_default=True,
              help="Refine partial occupancies.")  # fmt: skip
@click.option(
    "--domains", metavar="LIST", help='Relaxation data: rigid bodies, e.g. "A:1-76;A:80-150" (default: chains).'
)
@click.option("--all-atoms", is_flag=True, help="Relaxation data: then all atoms, with geometry restraints.")
@click.option("--diffusion", type=click.Choice(["iso", "axial", "rhombic", "auto"]), default=_DEFAULT["diffusion"],
              show_default=True, help="Relaxation data: kind of tumbling.")  # fmt: skip
@click.option("--tensor", type=click.Path(path_type=Path), metavar="FILE",
              help="Relaxation data: hold this diffusion tensor (frame of the first domain).")  # fmt: skip
@click.option("--without", metavar="TYPES", help="Relaxation data: kinds of rates to leave out, e.g. etaxy,etaz.")
@click.option("--model", "--xyzin", "extra", type=click.Path(path_type=Path), multiple=True, hidden=True)
@click.option("--hklin", "extra_data", type=click.Path(path_type=Path), multiple=True, hidden=True)
@_run_options
def refine(inputs: tuple[Path, ...], **given: Any) -> int:
    """Refine coordinates and B factors of a MODEL against diffraction DATA; orient its domains by relaxation DATA."""
    files = [*inputs, *given["extra"], *given["extra_data"]]
    if not files:
        raise click.UsageError("Give a model and its data, e.g. consil refine model.pdb data.mtz")
    for name, key in (("--d-min", "d_min"), ("--d-max", "d_max")):
        if given[key] is not None and not 0 < given[key] < 1e4:
            raise InputError(f"{name} must be a positive resolution", found=f"{given[key]:g}", expected="Å")
    if given["d_min"] and given["d_max"] and given["d_min"] >= given["d_max"]:
        raise InputError("--d-min must be smaller than --d-max", found=f"{given['d_min']:g} and {given['d_max']:g} Å")
    own = {
        "make_free": _make_free(given),
        "weights": user_weights(given["weight"]),
        "without": _kinds(given["without"]),
    }
    same = {f.name: given[f.name] for f in fields(RefineOptions) if f.name in given and f.name not in own}
    options = RefineOptions(**same, **own)
    run = _run(given)

    from consilience.jobs.refine import refine as job

    return _finish(job(files, options=options, run=run), given["json_"])


@cli.command()
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DATA... [MODEL]")
@click.option("--diffusion", type=click.Choice(["iso", "axial", "rhombic", "auto", "local"]), default="auto",
              show_default=True, help="Kind of tumbling; local: a time for each residue.")  # fmt: skip
@click.option("--tau-c", type=float, metavar="NS", help="Correlation time, held fixed (isotropic).")
@click.option("--tensor", type=click.Path(path_type=Path), metavar="FILE", help="Diffusion tensor, held fixed.")
@click.option("--models", default="m0..m9", show_default=True, metavar="LIST", help="Model-free models, e.g. m1..m5.")
@click.option("--select", type=click.Choice(["aicc", "aic", "bic"]), default="aic", show_default=True,
              help="Criterion that chooses a model.")  # fmt: skip
@click.option("--csa", type=float, default=-172.0, show_default=True, metavar="PPM", help="15N CSA.")
@click.option("--csa-angle", type=float, metavar="DEG",
              help="Angle of the CSA axis to N-H (default: along it; 17 where eta is measured).")  # fmt: skip
@click.option("--r-nh", type=float, default=1.02, show_default=True, metavar="Å", help="N-H distance.")
@click.option("--constants", type=click.Choice(["codata2022", "relax"]), default="codata2022", show_default=True,
              help="Set of physical constants.")  # fmt: skip
@click.option("--montecarlo", type=click.IntRange(min=0), default=0, show_default=True, metavar="N",
              help="Errors from N simulated data sets (0: from the curvature).")  # fmt: skip
@click.option("--without", metavar="TYPES", help="Kinds of rates to hold out and only score, e.g. etaxy,NOE.")
@click.option("--exclude", metavar="RESIDUES", help="Residue numbers to leave out, e.g. 1-4,72.")
@click.option("--field", type=float, metavar="MHZ", help="1H frequency of files that do not say it.")
@_run_options
def relaxation(inputs: tuple[Path, ...], **given: Any) -> int:
    """Diffusion tensor and model-free dynamics from relaxation DATA (and N-H directions of a MODEL)."""
    for name, low, high in (("tau_c", 0.05, 500.0), ("r_nh", 0.9, 1.2), ("csa_angle", 0.0, 60.0), ("csa", -300.0, 0.0)):
        if given[name] is not None and not low <= given[name] <= high:
            option = "--" + name.replace("_", "-")
            raise InputError(f"{option} is out of range", found=f"{given[name]:g}", expected=f"{low:g} to {high:g}")
    if given["tau_c"] is not None and given["tensor"] is not None:
        raise InputError("--tau-c and --tensor both hold the tumbling", fix="give one of them")
    same = {f.name: given[f.name] for f in fields(RelaxationOptions) if f.name not in ("without", "exclude")}
    options = RelaxationOptions(
        **same, without=_kinds(given["without"]), exclude=residue_numbers(given["exclude"] or "")
    )
    run = _run(given)

    from consilience.jobs.relaxation import relaxation as job

    return _finish(job(inputs, options=options, run=run), given["json_"])


@cli.command()
@_run_options
def tour(**given: Any) -> int:
    """A guided run of all jobs on built-in examples, every result beside its known truth."""
    run = _run(given)

    from consilience.jobs.tour import tour as job

    return _finish(job(run=run), given["json_"])


def _frame_keys(given: dict[str, Any]) -> dict[str, str]:
    """The keys of molecular frames that the user named, by quantity."""
    return {q: given[f"{q}_key"] for q in FRAME_KEYS if given[f"{q}_key"]}


def _kinds(text: str | None) -> tuple[str, ...]:
    return tuple(w for w in (text or "").replace(" ", "").split(",") if w)


def _make_free(given: dict[str, Any]) -> Any:
    if not given["make_free"]:
        if given["thin_shells"]:
            raise click.UsageError("--thin-shells needs --make-free")
        return None
    return "shells" if given["thin_shells"] else "random"


def _run(given: dict[str, Any]) -> RunOptions:
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
        warn=_warn,
    )


def _finish(result: Any, as_json: bool) -> int:
    """Exit status of a job from its summary."""
    if as_json:
        _print_json(result.summary)
    return _STATUS.get(result.summary["status"], 1)


def _print_json(summary: dict[str, Any]) -> None:
    import json

    click.echo(json.dumps(summary, indent=1, allow_nan=False))


def _write_summary(folder: Path, summary: dict[str, Any], overwrite: bool) -> None:
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


def _short(finding: Finding, file: str) -> str:
    """A note under the name of its file, which it need not repeat."""
    where = finding.where.removeprefix(file).lstrip(", ")
    return str(replace(finding, where=where)).replace("\n", "\n  ")


def _warn(finding: Finding) -> None:
    click.echo(f"warning: {finding}", err=True)


def _error(message: str) -> None:
    click.echo(f"error: {message}", err=True)


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit status; no exception leaves it, tracebacks only with --debug."""
    argv = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 must not stop a run at an Å
    debug = "--debug" in argv
    try:
        status = cli.main(args=argv, prog_name="consil", standalone_mode=False, obj=tuple(argv))
        return status if isinstance(status, int) else 0
    except click.exceptions.Abort:
        _error("interrupted")
        return 130
    except KeyboardInterrupt:
        _error("interrupted")
        return 130
    except click.ClickException as err:
        hint = ""
        if isinstance(err, click.UsageError) and err.ctx is not None:
            hint = f"\n  to do: see '{err.ctx.command_path} --help'"
        _error(clean(err.format_message()) + hint)
        return 2
    except BrokenPipeError:
        sys.stderr = None  # type: ignore[assignment]
        return 1
    except ConsilError as err:
        if debug:
            _traceback()
        _error(str(err))
        return err.exit_status
    except Exception as err:
        if debug:
            _traceback()
        _error(f"{type(err).__name__}: {clean(err)}\n  to do: run again with --debug and report this")
        return 1


def _traceback() -> None:
    import traceback

    traceback.print_exc()


if __name__ == "__main__":
    sys.exit(main())
