"""Fixtures shared by all tests: float64, the compilation cache, and the place of the real data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of real data: $CONSIL_DATA, or shared/data beside the clone; the test is skipped where it is absent."""
    path = Path(os.environ.get("CONSIL_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"real data not found at {path} (set CONSIL_DATA)")
    return path
