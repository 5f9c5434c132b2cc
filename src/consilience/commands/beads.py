"""consil coarsen and consil learn."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from consilience.commands.common import finish, kinds, run, run_options
from consilience.jobs.coarsen.options import CoarsenOptions
from consilience.jobs.learn.options import FORCE_FIELD, LearnOptions

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

    from consilience.jobs.coarsen.job import coarsen as job

    return finish(job(trajectories, options=options, run=how), given["json_"])


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="MODEL FRAMES:TOPOLOGY... [BEADS...]")
@click.option("--rounds", type=int, default=LearnOptions.rounds, show_default=True, metavar="N", help="Of all of this.")
@click.option("--frames", type=int, default=LearnOptions.frames, show_default=True, metavar="N",
              help="To be labelled in a round.")  # fmt: skip
@click.option("--temperature", type=float, default=LearnOptions.temperature, show_default=True, metavar="K",
              help="Of beads and atoms.")  # fmt: skip
@click.option("--steps", type=int, default=LearnOptions.steps, show_default=True, metavar="N", help="Of the beads.")
@click.option("--dt", type=float, default=LearnOptions.dt, show_default=True, metavar="FS", help="Of the beads.")
@click.option("--replicas", type=int, default=LearnOptions.replicas, show_default=True, metavar="N",
              help="Runs of each member.")  # fmt: skip
@click.option("--ps", type=float, default=LearnOptions.ps, show_default=True, metavar="PS",
              help="Of the atoms, for each frame.")  # fmt: skip
@click.option("--force-map", type=_PATH, metavar="MAP.json", help="Force map learned elsewhere (default: basic).")
@click.option("--force-field", default=",".join(FORCE_FIELD), show_default=True, metavar="XML,...",
              help="Of the atoms, as OpenMM has them.")  # fmt: skip
@click.option("--config", type=_PATH, metavar="FILE", help="Recipe of the training (YAML).")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="One key of the recipe (repeatable).")
@click.option("--valid", default=LearnOptions.valid, show_default=True, metavar="SHARE|FILE", help="To steer by.")
@click.option("--free", metavar="NAME,...|FILE", help="Frames that are only scored.")
@click.option("--epochs", type=click.IntRange(min=1), metavar="N", help="Passes over the data.")
@click.option("--time", "minutes", type=click.FloatRange(min=0.01), metavar="MINUTES", help="Of a training.")
@run_options
def learn(inputs: tuple[str, ...], **given: Any) -> int:
    """Run the members of a bead MODEL, measure mean forces where they disagree, and train again with them."""
    values = {f.name: given[f.name] for f in fields(LearnOptions)}
    options = LearnOptions(**{**values, "force_field": kinds(given["force_field"])}).checked()
    how = run(given)

    from consilience.jobs.learn.job import learn as job

    return finish(job(inputs, options=options, run=how), given["json_"])
