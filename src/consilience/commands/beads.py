"""consil coarsen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from consilience.commands.common import finish, run, run_options
from consilience.jobs.coarsen_options import CoarsenOptions

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("trajectories", nargs=-1, required=True, metavar="TRAJECTORY[:TOPOLOGY]...")
@click.option("--topology", "--top", type=_PATH, metavar="TOP", help="Atoms (PDB, mmCIF; default: TRAJECTORY.pdb).")
@click.option("--map", "bead_map", default="ca", show_default=True, metavar="ca|FILE", help="Which atoms make beads.")
@click.option("--forces", type=click.Choice(["optimal", "slice", "basic"]), default="optimal", show_default=True,
              help="Force map.")  # fmt: skip
@click.option("--force-map", type=_PATH, metavar="MAP.json", help="Use a force map learned elsewhere.")
@click.option("--constraints", type=click.Choice(["auto", "none"]), default="auto", show_default=True,
              help="Of the simulation: the file's or those seen, or none.")  # fmt: skip
@click.option("--stride", type=click.IntRange(min=1), default=1, show_default=True, help="Every n-th frame.")
@click.option("--temperature", type=float, metavar="K", help="Of frames that do not say theirs.")
@click.option("--units", metavar="UNITS", help="Of npz files, e.g. nm,kJ/mol/nm.")
@run_options
def coarsen(trajectories: tuple[str, ...], **given: Any) -> int:
    """Map all-atom trajectories with forces to beads with mean forces."""
    options = CoarsenOptions(
        topology=given["topology"],
        map=given["bead_map"],
        forces=given["forces"],
        force_map=given["force_map"],
        constraints=given["constraints"],
        stride=given["stride"],
        temperature=given["temperature"],
        units=given["units"],
    ).checked()
    how = run(given)

    from consilience.jobs.coarsen import coarsen as job

    return finish(job(trajectories, options=options, run=how), given["json_"])
