"""The part of the tour that runs in a process of its own: its failure is told, and nothing outlives the tour."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from consilience.core.errors import RunError
from consilience.jobs.common.options import RunOptions
from consilience.jobs.tour.beside import beads_beside


def test_a_failure_is_told(tmp_path: Path) -> None:
    place = tmp_path / "a-file"
    place.write_text("")
    said: list[str] = []
    with beads_beside(place, RunOptions(say=said.append)) as wait, pytest.raises(RunError, match="on beads failed"):
        wait()
    assert any("the output folder cannot be written" in line for line in said)


def test_the_process_ends_with_the_tour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[subprocess.Popen[str]] = []

    class Remembered(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *args: Any, **kwargs: Any):
            super().__init__(*args, **kwargs)
            begun.append(self)

    monkeypatch.setattr(subprocess, "Popen", Remembered)
    with pytest.raises(KeyboardInterrupt), beads_beside(tmp_path / "tour", RunOptions()):
        assert begun[0].poll() is None
        raise KeyboardInterrupt
    assert begun[0].poll() is not None
