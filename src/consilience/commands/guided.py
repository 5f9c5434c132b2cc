"""consil fit and consil tour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from consilience.commands.common import finish, run, run_options


@click.command()
@click.argument("job", type=click.Path(path_type=Path), metavar="JOB.yaml")
@run_options
def fit(job: Path, **given: Any) -> int:
    """Run a job file: the job.yaml of any command again, or a mixture of terms over one model.

    A mixture has schema_version, model, terms (kind, data, weight) and, if you like, protocol (active, steps, weights,
    terms) and output. Paths are as seen from the file.
    """
    how = run(given)

    from consilience.jobs.fit.job import fit as run_job

    return finish(run_job(job, run=how), given["json_"])


@click.command()
@run_options
def tour(**given: Any) -> int:
    """A guided run of all jobs on built-in examples, every result beside its known truth."""
    how = run(given)

    from consilience.jobs.tour.job import tour as job

    return finish(job(run=how), given["json_"])
