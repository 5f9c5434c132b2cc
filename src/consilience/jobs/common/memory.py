"""Freed memory is kept for the next step, which wants the same again.

A compiled step allocates and frees the same large arrays each time. The allocator of glibc returns them to the system,
which hands out zeroed pages again: half of the time of a step of some 100 atoms or more (measured: 1.8 to 2.3 times).
"""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -4, -8  # malloc.h


def keep_freed_memory() -> None:
    """Before threads are made: one heap, never trimmed. Elsewhere than on glibc nothing is done."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for option, value in ((TRIM_THRESHOLD, -1), (MMAP_MAX, 0), (ARENA_MAX, 1)):
        mallopt(option, value)
