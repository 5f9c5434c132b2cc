"""Signals that end a job, so that what it has done is kept and can be resumed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from consilience.core.errors import InputError, Interrupted, clean
from consilience.jobs.common.output import OutputFolder


@contextmanager
def interruptible(folder: OutputFolder) -> Iterator[None]:
    """SIGINT (Ctrl-C) and SIGTERM end the block with Interrupted: logs the line to resume with, marks the run so.

    An error in the block leaves a summary of status "failed". The block may write a fuller summary itself. A second
    signal ends the process at once. Only the main thread can listen; elsewhere signals are left as they are.
    """

    def stop(number: int, frame: Any) -> None:
        for s in before:
            signal.signal(s, signal.SIG_DFL)
        folder.interrupted = True
        raise Interrupted

    before: dict[signal.Signals, Any] = {}
    try:
        for s in (signal.SIGINT, signal.SIGTERM):
            before[s] = signal.signal(s, stop)
    except ValueError:
        before.clear()  # not the main thread
    try:
        yield
    except Interrupted:
        folder.interrupted = False
        folder.log(f"interrupted; to continue: {folder.resume_line}")
        if folder.summary is None:
            folder.write_summary({"status": "interrupted"})
        raise
    except InputError:
        raise
    except Exception as err:
        if folder.summary is None:
            folder.write_summary({"status": "failed", "error": clean(err)})
        raise
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
