"""The part of consil tour on beads in a process of its own: most of the time is compilation, which takes one core."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from consilience.core.errors import InputError, RunError, clean
from consilience.jobs.common.options import RunOptions
from consilience.jobs.tour.beads import run_beads

PATIENCE = 10.0  # seconds for a process that is told to stop


@contextmanager
def beads_beside(place: Path, run: RunOptions) -> Iterator[Callable[[], None]]:
    """Begin `run_beads`; what is given waits for its end and says meanwhile what it said, and raises RunError.

    Whatever ends the block ends the process too.
    """
    given = json.dumps({"place": str(place), "seed": run.seed, "command": run.command})
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, given],
        env={**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"},  # the memory of a GPU is shared
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    lines: SimpleQueue[str | None] = SimpleQueue()

    def listen() -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                lines.put(line.rstrip())
        lines.put(None)

    def wait() -> None:
        last = ""
        for line in iter(lines.get, None):
            run.say(clean(line))
            last = line or last
        if process.wait() != 0:
            raise RunError(f"the part of the tour on beads failed: {clean(last)}")

    Thread(target=listen, daemon=True).start()
    try:
        yield wait
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()


def _main(given: str) -> int:
    said = json.loads(given)

    def say(line: object) -> None:
        sys.stdout.write(f"{line}\n")  # the tour listens
        sys.stdout.flush()

    run = RunOptions(seed=said["seed"], overwrite=True, command=tuple(said["command"]), say=say,
                     warn=lambda finding: say(f"warning: {finding}"))  # fmt: skip
    try:
        run_beads(Path(said["place"]), run)
    except (InputError, RunError) as err:
        say(err)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1]))
