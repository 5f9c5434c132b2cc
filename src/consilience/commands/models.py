"""consil check and consil refine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from consilience.commands.common import (
    error,
    finish,
    frame_keys,
    frame_options,
    kinds,
    print_json,
    run,
    run_options,
    short,
    warn,
    write_summary,
)
from consilience.core.errors import InputError, clean
from consilience.jobs.common.options import RefineOptions, user_weights

_DEFAULT = {f.name: f.default for f in fields(RefineOptions)}


def data_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How reflections and dictionaries are read."""
    path = click.Path(path_type=Path)
    for option in reversed(
        [
            click.option("--labels", "--labin", metavar="F,SIGF,FREE", help="Columns to use (default: by content)."),
            click.option("--free-value", "--free", type=float, metavar="N", help="Flag value of the free set."),
            click.option("--make-free", is_flag=True, help="Make a free set (5 %) where the file has none."),
            click.option("--thin-shells", is_flag=True, help="With --make-free: whole thin resolution shells."),
            click.option("--ligand", "--libin", "ligands", type=path, multiple=True, help="Dictionary (repeatable)."),
            click.option("--monlib", type=path, metavar="DIR", help="Monomer library (default: $CLIBD_MON)."),
        ]
    ):
        command = option(command)
    return command


def named_inputs(command: Callable[..., Any]) -> Callable[..., Any]:
    """Files by the names that programs of CCP4 give them; files that are recognised by content need none."""
    path = click.Path(path_type=Path)
    names = ("--model", "--xyzin", "--hklin")
    return click.option(*names, "extra", type=path, multiple=True, hidden=True)(command)


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="FILES...")
@data_options
@frame_options
@named_inputs
@run_options
def check(files: tuple[Path, ...], **given: Any) -> int:
    """Read files, name every defect, compare them; change nothing."""
    files = (*files, *given["extra"])
    if not files:
        raise click.UsageError("Give the FILES to check, e.g. consil check model.pdb data.mtz")
    from consilience.jobs.check.job import check as check_files

    result = check_files(
        files,
        ligands=given["ligands"],
        monlib=given["monlib"],
        labels=given["labels"],
        free_value=given["free_value"],
        make_free=_make_free(given),
        units=given["units"],
        keys=frame_keys(given),
    )
    if given["output"] is not None:
        write_summary(given["output"], result.summary, given["overwrite"])
    if given["json_"]:
        print_json(result.summary)
        return result.exit_status
    for report in result.files:
        if not given["quiet"]:
            click.echo(clean(f"{report.file}: {report.kind_name}"))
        for finding in report.findings:
            if finding.level == "warn":
                warn(finding)
            elif finding.level == "error":
                error(str(finding))
            elif not given["quiet"]:
                click.echo(f"  note: {short(finding, report.file)}")
    for law in result.checks:
        if not given["quiet"] or not law.passed:
            verdict = "holds" if law.passed else "DOES NOT HOLD"
            click.echo(f"  {verdict}: {law.name}: {law.value:.3g} (tolerance {law.tolerance:.3g}) {law.about}".rstrip())
    return result.exit_status


@click.command()
@click.argument("inputs", nargs=-1, type=click.Path(path_type=Path), metavar="MODEL DATA...")
@data_options
@click.option("--d-min", "--resolution", type=float, metavar="Å", help="High-resolution limit.")
@click.option("--d-max", type=float, metavar="Å", help="Low-resolution limit.")
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
@click.option("--potential", type=click.Path(path_type=Path), metavar="DIR", help="Add the energy of a trained model.")
@click.option("--twin", is_flag=True, help="The crystal is twinned.")
@click.option("--rigid-first", is_flag=True, help="Rigid-body cycles of the chains first.")
@click.option("--jelly-body", "--jellybody", is_flag=True, help="Hold distances near their starting values.")
@click.option("--ncs", "--ncsr", is_flag=True, help="Restrain non-crystallographic copies to one another.")
@click.option("--xyz/--no-xyz", default=True, show_default=True, help="Refine coordinates.")
@click.option("--b/--no-b", default=True, show_default=True, help="Refine B factors.")
@click.option("--occupancy", type=click.Choice(["none", "partial"]), default=_DEFAULT["occupancy"], show_default=True,
              help="Refine partial occupancies.")  # fmt: skip
@click.option("--errors", is_flag=True, help="Coordinate errors of all atoms, and what each kind of evidence adds.")
@click.option("--domains", metavar="LIST",
              help='Rigid bodies, e.g. "A:1-76;A:80-150": first, or with relaxation data alone.')  # fmt: skip
@click.option("--all-atoms", is_flag=True, help="Relaxation data: then all atoms, with geometry restraints.")
@click.option("--diffusion", type=click.Choice(["iso", "axial", "rhombic", "auto"]), default=_DEFAULT["diffusion"],
              show_default=True, help="Relaxation data: kind of tumbling.")  # fmt: skip
@click.option("--tensor", type=click.Path(path_type=Path), metavar="FILE",
              help="Relaxation data: hold this diffusion tensor (frame of the first domain).")  # fmt: skip
@click.option("--without", metavar="TYPES", help="Relaxation data: kinds of rates to leave out, e.g. etaxy,etaz.")
@named_inputs
@run_options
def refine(inputs: tuple[Path, ...], **given: Any) -> int:
    """Refine a MODEL against diffraction DATA, with relaxation DATA and a potential where they are given.

    Relaxation DATA alone orient its domains.
    """
    files = [*inputs, *given["extra"]]
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
        "without": kinds(given["without"]),
    }
    same = {f.name: given[f.name] for f in fields(RefineOptions) if f.name in given and f.name not in own}
    options = RefineOptions(**same, **own)
    how = run(given)

    from consilience.jobs.refine.job import refine as job

    return finish(job(files, options=options, run=how), given["json_"])


def _make_free(given: dict[str, Any]) -> Any:
    if not given["make_free"]:
        if given["thin_shells"]:
            raise click.UsageError("--thin-shells needs --make-free")
        return None
    return "shells" if given["thin_shells"] else "random"
