"""Memory that a job keeps for its next step."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
import numpy as np
from consilience.jobs.common.memory import keep_freed_memory
{first}
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(2**24)
before = faults()
for _ in range(3):
    np.ones(2**24)
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the allocator of glibc has such settings")
def test_large_arrays_come_from_memory_that_is_kept() -> None:
    """Three arrays of 128 MB after one of the same size: their pages are not fetched from the system again."""

    def faults(first: str) -> int:
        done = subprocess.run([sys.executable, "-c", FAULTS.format(first=first)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    given_back, kept = faults("pass"), faults("keep_freed_memory()")
    assert given_back > 100  # pages of 4 kB, or of 2 MB where the system has such
    assert kept < given_back / 10
