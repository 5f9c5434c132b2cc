"""consil tour."""

from __future__ import annotations

from typing import Any

import click

from consilience.commands.common import finish, run, run_options


@click.command()
@run_options
def tour(**given: Any) -> int:
    """A guided run of all jobs on built-in examples, every result beside its known truth."""
    how = run(given)

    from consilience.jobs.tour import tour as job

    return finish(job(run=how), given["json_"])
