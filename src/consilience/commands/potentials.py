"""consil train, consil evaluate and consil predict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from consilience.commands.common import finish, frame_keys, frame_options, run, run_options
from consilience.jobs.common.options import FrameOptions, TrainOptions

MODELS = ("physnet", "physnet+dcm", "equivariant", "allegro", "prior", "hybrid")


# names of other training programs for keys of the recipe
KEYS = {"r_max": "r_max", "lr": "learning_rate"}


def familiar_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options by the names that MACE and NequIP give them, where they mean the same."""
    for option in (
        click.option("--train-file", "extra", type=click.Path(path_type=Path), multiple=True, hidden=True),
        click.option("--default-dtype", type=click.Choice(["float32", "float64"]), hidden=True),
        click.option("--restart-latest", is_flag=True, hidden=True),
        click.option("--r-max", type=float, hidden=True),
        click.option("--lr", type=float, hidden=True),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("data", nargs=-1, type=click.Path(path_type=Path), metavar="DATA...")
@click.option("--model", type=click.Choice(MODELS), default="equivariant", show_default=True,
              help="Kind of potential.")  # fmt: skip
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Recipe (YAML).")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="One key of the recipe (repeatable).")
@click.option("--valid", "--valid-file", "--valid-fraction", "--val-fraction", metavar="SHARE|FILE",
              help="Frames to steer by; beads: or a protein (default: 0.05, of molecules ten at least).")  # fmt: skip
@click.option(
    "--free", "--test-file", metavar="NAME,...|FILE", help="Frames that are only scored: a file, or values of a label."
)
@click.option(
    "--epochs",
    "--max-epochs",
    "--max-num-epochs",
    type=click.IntRange(min=1),
    help="Passes over the data (default: 60000 steps, at least 400 passes).",
)
@click.option("--batch", "--batch-size", type=click.IntRange(min=1),
              help="Frames in a step (default: of about 90 atoms, at most 10).")  # fmt: skip
@click.option("--time", "minutes", type=click.FloatRange(min=0.01), metavar="MINUTES", help="Wall time to train.")
@click.option("--precision", type=click.Choice(["32", "64"]), default="32", show_default=True, help="Of the weights.")
@click.option("--ensemble", type=click.IntRange(1, 64), default=1, show_default=True, help="Members, for uncertainty.")
@click.option("--e0s", "--E0s", metavar="H=X,...", help="Energies of the elements, eV (default: least squares).")
@click.option("--charge", type=float, metavar="E", help="Total charge of frames that do not say it.")
@click.option("--ablation", is_flag=True, help="Beads: compare prior, network, both, and no excluded volume.")
@frame_options
@familiar_options
@run_options
def train(data: tuple[Path, ...], **given: Any) -> int:
    """Train a potential on frames of molecules (or of beads: allegro, prior, hybrid), and prove it."""
    data = (*data, *given["extra"])
    if not data:
        raise click.UsageError("Give frames to learn from, e.g. consil train frames.npz")
    keys = tuple(f"{key}={given[name]!r}" for name, key in KEYS.items() if given[name] is not None)
    precision = given["precision"] if given["default_dtype"] is None else given["default_dtype"].removeprefix("float")
    options = TrainOptions(
        model=given["model"],
        config=given["config"],
        settings=(*keys, *given["settings"]),
        valid=given["valid"],
        free=given["free"],
        epochs=given["epochs"],
        minutes=given["minutes"],
        batch=given["batch"],
        precision=64 if precision == "64" else 32,
        ensemble=given["ensemble"],
        e0s=given["e0s"],
        charge=given["charge"],
        ablation=given["ablation"],
        frames=FrameOptions(frame_keys(given), given["units"]),
    )
    how = run(given | {"resume": given["resume"] or given["restart_latest"]})

    from consilience.jobs.train.job import train as job

    return finish(job(data, options=options, run=how), given["json_"])


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DATA...")
@click.option("--reference", type=click.Path(path_type=Path), metavar="FILE",
              help="Beads: frames whose structure the model's dynamics shall have.")  # fmt: skip
@frame_options
@run_options
def evaluate(model: Path, data: tuple[Path, ...], **given: Any) -> int:
    """Score a MODEL on DATA it has not seen."""
    how = run(given)

    from consilience.jobs.evaluate.job import evaluate as job

    frames = FrameOptions(frame_keys(given), given["units"])
    return finish(job(model, data, reference=given["reference"], frames=frames, run=how), given["json_"])


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DATA...")
@click.option("--format", "form", type=click.Choice(["extxyz", "npz"]), default="extxyz", show_default=True,
              help="Of the predictions.")  # fmt: skip
@frame_options
@run_options
def predict(model: Path, data: tuple[Path, ...], **given: Any) -> int:
    """Energies, forces, charges, dipoles and potentials of a MODEL for every frame of DATA."""
    how = run(given)

    from consilience.jobs.evaluate.predict import predict as job

    frames = FrameOptions(frame_keys(given), given["units"])
    return finish(job(model, data, form=given["form"], frames=frames, run=how), given["json_"])
