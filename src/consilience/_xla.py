"""Guard against a known XLA:CPU fault (wrong or crashing "YNN fusion" kernels in some jaxlib versions)."""

from __future__ import annotations

import os
import sys
import warnings
from importlib import metadata

FLAG = "--xla_cpu_experimental_ynn_fusion_type="  # empty value: off
FIRST, LAST = (0, 9, 2), (0, 13)  # versions that know the flag; an unknown flag aborts the process


def _version() -> tuple[int, ...]:
    digits = metadata.version("jaxlib").split(".")[:3]
    return tuple(int("".join(c for c in d if c.isdigit()) or 0) for d in digits)


def guard() -> None:
    """Switch the faulty fusion off for this process, before XLA starts; warn where it is too late.

    Seen with jaxlib 0.10.2: `jit(vmap(matvec -> reduce))` is silently wrong for more than 16384 rows; with 0.9.2
    and 0.10.1 a chain of matrix products crashes the compiler (jax issues 39103, 39257, 40412).
    """
    if "xla_cpu_experimental_ynn_fusion_type" in os.environ.get("XLA_FLAGS", ""):
        return
    if not (FIRST <= _version() < LAST):
        return
    if _started():
        warnings.warn(
            "XLA started before consilience was imported; set XLA_FLAGS=" + FLAG + " (jax issue 39103)", stacklevel=3
        )
        return
    os.environ["XLA_FLAGS"] = (os.environ.get("XLA_FLAGS", "") + " " + FLAG).strip()


def _started() -> bool:
    bridge = sys.modules.get("jax._src.xla_bridge")
    return bool(bridge and bridge.backends_are_initialized())
