"""What a reader hands on: the arrays of one file under their own names, before keys are chosen and units known."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from consilience.core.errors import Finding

COUNTED = "counted from 0"


@dataclass
class Raw:
    """One file. `arrays`: (f, ...) or, for names in `atomic`, (f, n, ...), numbers or text; NaN or "" where absent.

    `present[name]` (f,) bool: frames that have the entry at all. `units`: labels that the file gives, by array name,
    or by "*" for the whole file. `lines`: line of the first line of each frame.
    """

    path: str
    numbers: np.ndarray
    positions: np.ndarray
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    atomic: set[str] = field(default_factory=set)
    present: dict[str, np.ndarray] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    cell: np.ndarray | None = None
    pbc: np.ndarray | None = None
    lines: list[int] = field(default_factory=list)
    positions_key: str = "pos"
    single: bool = False  # one frame whose arrays had no axis of frames
    findings: list[Finding] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.numbers)


def at(path: str, frame: int, lines: list[int] | None = None) -> str:
    """The place of a frame in words, e.g. "water.xyz, frame 2 (counted from 0), line 11"."""
    line = f", line {lines[frame]}" if lines and frame < len(lines) else ""
    return f"{path}, frame {frame} ({COUNTED}){line}"


def several(raw: Raw, frames: np.ndarray | list[int]) -> str:
    """The place of some frames of a file in words, of a single one with its line."""
    return at(raw.path, int(frames[0]), raw.lines) if len(frames) == 1 else frames_at(raw.path, frames)


def frames_at(path: str, frames: np.ndarray | list[int], limit: int = 8) -> str:
    """The place of several frames in words."""
    listed = [int(i) for i in frames]
    if len(listed) == 1:
        return at(path, listed[0])
    shown = ", ".join(map(str, listed[:limit])) + (", ..." if len(listed) > limit else "")
    return f"{path}, frames {shown} ({COUNTED})"
