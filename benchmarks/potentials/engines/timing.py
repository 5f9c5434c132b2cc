"""CPU time of calls in a process that has one thread."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

import numpy as np


def cpu_seconds() -> float:
    """CPU time of this process and of the compilers that it ran."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def milliseconds(call: Callable[[], object], budget_s: float, least: int = 5, most: int = 200) -> list[float]:
    """CPU time of each of repeated calls, after the warm-up is paid by the caller: `least` calls or `budget_s`."""
    times: list[float] = []
    while len(times) < least or (sum(times) < 1e3 * budget_s and len(times) < most):
        began = time.process_time()
        call()
        times.append(1e3 * (time.process_time() - began))
    return times


def summary(times: list[float]) -> dict[str, float]:
    quarter = np.percentile(times, [25, 50, 75])
    return {"median_ms": float(quarter[1]), "low_ms": float(quarter[0]), "high_ms": float(quarter[2]), "n": len(times)}
