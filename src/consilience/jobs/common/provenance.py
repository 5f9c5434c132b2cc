"""What a run was made of: versions, device, threads, hashes of files, memory, and the seconds spent compiling."""

from __future__ import annotations

import hashlib
import os
import platform
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("consilience", "jax", "jaxlib", "numpy", "scipy", "gemmi")
_COMPILING = "/jax/core/compile/"  # tracing, lowering and compilation all report their duration below this name


class Stopwatch:
    """Seconds that JAX spends tracing, lowering and compiling between `start` and `stop`."""

    def __init__(self) -> None:
        self._spans: list[tuple[float, float]] = []  # start, duration; none within another
        self._running = False

    @property
    def seconds(self) -> float:
        """The total so far."""
        return sum(duration for _, duration in self._spans)

    def _hear(self, event: str, duration_secs: float, **_: Any) -> None:
        if not event.startswith(_COMPILING):
            return
        start = time.perf_counter() - duration_secs
        while self._spans and self._spans[-1][0] >= start:  # programs traced within this one have reported before it
            self._spans.pop()
        self._spans.append((start, duration_secs))

    def start(self) -> Stopwatch:
        import jax.monitoring

        if not self._running:
            jax.monitoring.register_event_duration_secs_listener(self._hear)
        self._running = True
        return self

    def stop(self) -> None:
        import jax.monitoring

        if self._running:
            jax.monitoring.unregister_event_duration_listener(self._hear)
        self._running = False


def versions() -> dict[str, str]:
    """Version of Python and of each package that results depend on."""
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES}


def environment() -> dict[str, Any]:
    """Device, threads and flags: what else bit-identical repetition needs to be the same."""
    import jax
    import jax.numpy

    device = jax.devices()[0]
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "device": {"platform": device.platform, "kind": device.device_kind},
        "machine": f"{platform.system()} {platform.machine()}",
        "threads": threads,
        "precision": str(jax.numpy.result_type(float)),
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
    }


def fingerprint(path: Path) -> dict[str, Any]:
    """sha256 and size in bytes of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while chunk := handle.read(1 << 20):
            digest.update(chunk)
    return {"sha256": digest.hexdigest(), "bytes": path.stat().st_size}


def shown_path(path: Path, start: Path) -> str:
    """The path as seen from the folder `start`, or below "~": the name of a user's home is never written."""
    path, start = Path(os.path.abspath(path)), Path(os.path.abspath(start))
    home = Path.home()
    if path.is_relative_to(home) and not start.is_relative_to(home):
        return (Path("~") / path.relative_to(home)).as_posix()
    try:
        return Path(os.path.relpath(path, start)).as_posix()
    except ValueError:  # another drive
        return path.as_posix()


def shown_command(command: Sequence[str]) -> list[str]:
    """The command with the user's home folder written as "~"."""
    home = str(Path.home())
    return [part.replace(home, "~") if len(home) > 1 else part for part in command]


def peak_rss_mb() -> float:
    """Largest resident memory of this process so far in MB; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # not on Windows
        return 0.0
    scale = 1.0 / (1 << 20) if platform.system() == "Darwin" else 1.0 / 1024.0
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale, 1)
