"""Prepare JAX for a job of the command line: float64, full float32, the XLA guard, kept memory, cached programs."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def prepare_jax() -> None:
    """Float64, products of float32 in full, the XLA guard, kept memory, other processes, cached programs (private)."""
    from consilience._xla import guard
    from consilience.jobs.common.memory import keep_freed_memory

    guard()
    keep_freed_memory()
    import jax

    from consilience.core.parallel import join_processes
    from consilience.precision import FULL

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_default_matmul_precision", FULL)
    join_processes()
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        cache = root / "consilience" / "xla"
        try:
            cache.mkdir(parents=True, exist_ok=True, mode=0o700)
            cache.chmod(stat.S_IRWXU)
        except OSError:
            return
        jax.config.update("jax_compilation_cache_dir", str(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
