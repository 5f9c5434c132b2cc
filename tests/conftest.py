"""Fixtures shared by all tests: float64, the compilation cache, typed calls, and the place of the real data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings


def _private_cache() -> str:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "consilience" / "test-programs"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return str(folder)


# Before JAX is imported here, and inherited by the commands that tests start.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_ENABLE_X64", "1")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", _private_cache())
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")

from consilience._xla import guard  # noqa: E402 - after the environment is set

guard()

if os.environ.get("CONSIL_TYPECHECK", "1") != "0":
    # Arguments and results are checked against their annotations, in tests only; CONSIL_TYPECHECK=0 switches it off.
    from jaxtyping import install_import_hook

    install_import_hook(
        ["consilience.core", "consilience.forces", "consilience.nmr", "consilience.xray"], "beartype.beartype"
    )

settings.register_profile("ci", derandomize=True, deadline=None, max_examples=50)
settings.register_profile("explore", deadline=None, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

ROOT = Path(__file__).resolve().parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-docs", action="store_true", help="rewrite docs/cli.md from the commands' own help")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of real data: $CONSIL_DATA, or shared/data beside the clone; the test is skipped where it is absent."""
    path = Path(os.environ.get("CONSIL_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"real data not found at {path} (set CONSIL_DATA)")
    return path


@pytest.fixture(scope="session")
def tiny_model() -> Path:
    """Folder of a small potential of formaldehyde, fitted to the built-in frames; kept between runs of the tests."""
    from .tiny_model import folder_of_tiny_model

    return folder_of_tiny_model(Path(_private_cache()).parent / "test-models")


@pytest.fixture(autouse=True, scope="module")
def few_programs():
    """Forget compiled programs between files where there are many: each holds maps of memory, which are limited."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > 15_000:
        import jax

        jax.clear_caches()
