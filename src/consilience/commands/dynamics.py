"""consil simulate, optimize, spectrum and export."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from consilience.commands.common import finish, run, run_options
from consilience.jobs.common.dynamics_options import (
    COORDINATES,
    ENGINES,
    METHODS,
    ExportOptions,
    OptimizeOptions,
    SimulateOptions,
    SpectrumOptions,
)

PATH = click.Path(path_type=Path)
charge = click.option("--charge", type=float, metavar="E", help="Total charge (default: as START says, else 0).")


def _default(options: type, name: str) -> Any:
    return next(f.default for f in fields(options) if f.name == name)


def _number(options: type, flag: str, kind: Any, unit: str, text: str) -> Callable[..., Any]:
    default = _default(options, flag.removeprefix("--").replace("-", "_"))
    return click.option(flag, type=kind, default=default, show_default=default is not None, metavar=unit, help=text)


def _precision(options: type) -> Callable[..., Any]:
    default = str(_default(options, "precision"))
    text = "Bits of the network's weights; all else is float64."
    return click.option("--precision", type=click.Choice(["32", "64"]), default=default, show_default=True, help=text)


def _made(options: type, given: dict[str, Any]) -> Any:
    values = {f.name: given[f.name] for f in fields(options)}
    if "precision" in values:
        values["precision"] = int(values["precision"])
    return options(**values).checked()


@click.command()
@click.argument("inputs", nargs=-1, required=True, type=PATH, metavar="MODEL START")
@click.option("--ensemble", type=click.Choice(["nve", "nvt"]),
              help="Constant energy (default for molecules), or Langevin dynamics (for beads).")  # fmt: skip
@_number(SimulateOptions, "--dt", float, "FS", "Time step (default: molecules 0.5, beads 5).")
@_number(SimulateOptions, "--steps", int, "N", "Number of steps.")
@_number(SimulateOptions, "--temperature", float, "K", "Of the first velocities, and of the bath.")
@_number(SimulateOptions, "--friction", float, "1/PS", "Of the bath.")
@_number(SimulateOptions, "--every", int, "N", "Steps between frames.")
@_number(SimulateOptions, "--replicas", int, "N", "Independent runs; temperatures, walkers or windows of a method.")
@click.option("--engine", type=click.Choice(ENGINES), default="native", show_default=True, help="Who moves the atoms.")
@click.option("--method", type=click.Choice(METHODS), default="md", show_default=True,
              help="Plain dynamics, replica exchange, metadynamics or umbrella windows (molecules: md).")  # fmt: skip
@click.option("--cv", type=click.Choice(COORDINATES), help="Coordinate of free energies and biases (beads).")
@click.option("--reference", type=PATH, metavar="FILE", help="Structure for RMSD and Q (beads; default: START).")
@_number(SimulateOptions, "--t-max", float, "K", "Highest temperature of remd (default: 1.5 times the lowest).")
@click.option("--format", type=click.Choice(["dcd", "extxyz"]), default="dcd", show_default=True,
              help="Of the trajectory; extxyz holds velocities too.")  # fmt: skip
@_precision(SimulateOptions)
@charge
@run_options
def simulate(inputs: tuple[Path, ...], **given: Any) -> int:
    """Molecular dynamics with a MODEL from a START (any structure)."""
    options, how = _made(SimulateOptions, given), run(given)

    from consilience.jobs.simulate.job import simulate as job

    return finish(job(inputs, options=options, run=how), given["json_"])


@click.command()
@click.argument("inputs", nargs=-1, required=True, type=PATH, metavar="MODEL START")
@_number(OptimizeOptions, "--fmax", float, "EV/Å", "Largest force that may be left.")
@_number(OptimizeOptions, "--max-steps", int, "N", "Give up after so many steps.")
@_precision(OptimizeOptions)
@charge
@run_options
def optimize(inputs: tuple[Path, ...], **given: Any) -> int:
    """Relaxed geometry of a START with a MODEL."""
    options, how = _made(OptimizeOptions, given), run(given)

    from consilience.jobs.optimize.job import optimize as job

    return finish(job(inputs, options=options, run=how), given["json_"])


@click.command()
@click.argument("inputs", nargs=-1, required=True, type=PATH, metavar="MODEL START")
@_number(SpectrumOptions, "--md", int, "STEPS", "Also spectra of dynamics of so many steps (0: none).")
@click.option("--trajectory", type=PATH, metavar="FILE", help="Spectra of these frames (DCD, extended XYZ) instead.")
@_number(SpectrumOptions, "--frame-fs", float, "FS", "Time between frames, where the trajectory does not say it.")
@click.option(
    "--reference",
    type=PATH,
    metavar="FILE",
    help="Frequencies to compare with (JSON: frequencies_cm1, ir_km_mol, masses_amu).",
)
@_number(SpectrumOptions, "--dt", float, "FS", "Time step of --md.")
@_number(SpectrumOptions, "--temperature", float, "K", "Of the dynamics.")
@_number(SpectrumOptions, "--every", int, "N", "Steps of --md between frames.")
@_number(SpectrumOptions, "--replicas", int, "N", "Runs of --md that are averaged.")
@_number(SpectrumOptions, "--resolution", float, "CM-1", "Width of lines at half height.")
@_number(SpectrumOptions, "--fmax", float, "EV/Å", "Largest force left before the second derivatives.")
@_precision(SpectrumOptions)
@charge
@run_options
def spectrum(inputs: tuple[Path, ...], **given: Any) -> int:
    """Harmonic frequencies, infrared intensities and spectra of dynamics."""
    options, how = _made(SpectrumOptions, given), run(given)

    from consilience.jobs.spectrum.job import spectrum as job

    return finish(job(inputs, options=options, run=how), given["json_"])


@click.command()
@click.argument("inputs", nargs=-1, required=True, type=PATH, metavar="MODEL [START]")
@click.option("--to", type=click.Choice(["lammps", "ase", "openmm"]), required=True, help="Engine.")
@charge
@_number(ExportOptions, "--temperature", float, "K", "Beads: of the run, and of a model that learnt from several.")
@click.option("--precision", type=click.Choice(["32", "64"]), default="64", show_default=True,
              help="Beads: bits of the network, in the engine too.")  # fmt: skip
@run_options
def export(inputs: tuple[Path, ...], **given: Any) -> int:
    """A MODEL for another engine, with a ready input and a self-test."""
    options, how = _made(ExportOptions, given), run(given)

    from consilience.jobs.export.job import export as job

    return finish(job(inputs, options=options, run=how), given["json_"])
