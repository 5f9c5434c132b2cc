"""A training over several processes: all of them compute, the first one writes the folder."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from consilience.core.parallel import is_follower
from consilience.jobs.common.interrupt import interruptible
from consilience.jobs.common.open_folder import open_folder
from consilience.jobs.common.options import RunOptions
from consilience.jobs.common.output import OutputFolder

Made = TypeVar("Made")


def in_folder(stem: str, run: RunOptions, paths: Sequence[Path], job: Callable[[OutputFolder], Made]) -> Made:
    """What `job` makes in the folder of a training; in a silent one that is thrown away where another process leads."""
    if is_follower():
        with tempfile.TemporaryDirectory() as place:
            quiet = replace(run, output=Path(place) / "out", resume=False, say=lambda _: None, warn=lambda _: None)
            return job(open_folder("train", stem, quiet, paths))
    folder = open_folder("train", stem, run, paths)
    with interruptible(folder):
        return job(folder)
