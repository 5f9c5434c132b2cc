"""consil relaxation."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from consilience.commands.common import finish, kinds, run, run_options
from consilience.core.errors import InputError
from consilience.jobs.common.options import RelaxationOptions, residue_numbers
from consilience.nmr.amide_constants import CSA_ANGLE


@click.command()
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DATA... [MODEL]")
@click.option("--diffusion", type=click.Choice(["iso", "axial", "rhombic", "auto", "local"]), default="auto",
              show_default=True, help="Kind of tumbling; local: a time for each residue.")  # fmt: skip
@click.option("--tau-c", type=float, metavar="NS", help="Correlation time, held fixed (isotropic).")
@click.option("--tensor", type=click.Path(path_type=Path), metavar="FILE", help="Diffusion tensor, held fixed.")
@click.option("--models", default="m0..m9", show_default=True, metavar="LIST", help="Model-free models, e.g. m1..m5.")
@click.option("--select", type=click.Choice(["aicc", "aic", "bic"]), default="aic", show_default=True,
              help="Criterion that chooses a model.")  # fmt: skip
@click.option("--csa", type=float, default=RelaxationOptions.csa, show_default=True, metavar="PPM", help="15N CSA.")
@click.option("--csa-angle", type=float, metavar="DEG",
              help=f"Angle of the CSA axis to N-H (default: along it; {CSA_ANGLE:g} with eta measured).")  # fmt: skip
@click.option(
    "--r-nh", type=float, default=RelaxationOptions.r_nh, show_default=True, metavar="Å", help="N-H distance."
)
@click.option("--constants", type=click.Choice(["codata2022", "relax"]), default="codata2022", show_default=True,
              help="Set of physical constants.")  # fmt: skip
@click.option("--montecarlo", type=click.IntRange(min=0), default=0, show_default=True, metavar="N",
              help="Errors from N simulated data sets (0: from the curvature).")  # fmt: skip
@click.option("--without", metavar="TYPES", help="Kinds of rates to hold out and only score, e.g. etaxy,NOE.")
@click.option("--exclude", metavar="RESIDUES", help="Residue numbers to leave out, e.g. 1-4,72.")
@click.option("--field", type=float, metavar="MHZ", help="1H frequency of files that do not say it.")
@run_options
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
        **same, without=kinds(given["without"]), exclude=residue_numbers(given["exclude"] or "")
    )
    how = run(given)

    from consilience.jobs.relaxation.job import relaxation as job

    return finish(job(inputs, options=options, run=how), given["json_"])
