"""The built-in formaldehyde set as arrays, and files with one change of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from consilience.core.errors import Finding
from consilience.examples import example_path
from consilience.frames.read import read_frames

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="session")
def formaldehyde() -> Arrays:
    """The first 40 frames, without the label of units."""
    with np.load(example_path("molecule/frames.npz")) as file:
        return {k: file[k][:40] if file[k].shape[:1] == (300,) else file[k] for k in file.files if k != "units"}


@pytest.fixture
def findings(tmp_path: Path, formaldehyde: Arrays) -> Callable[..., list[Finding]]:
    """Findings (notes aside) on the set with arrays replaced, added, or left out (None)."""

    def look(units: str | None = None, **changes: np.ndarray | None) -> list[Finding]:
        arrays = {k: v for k, v in {**formaldehyde, **changes}.items() if v is not None}
        path = tmp_path / "changed.npz"
        np.savez(path, **arrays)
        return [f for f in read_frames(path, units=units, strict=False).findings if f.level != "note"]

    return look
