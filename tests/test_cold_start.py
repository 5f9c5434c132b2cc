"""How long a newcomer waits: help, and a check of any kind of file, in processor seconds of a fresh process.

Processor time, not wall time, so that a loaded machine does not fail the test; nothing here waits for anything else.
The first process of several compiles Python's modules; their bytecode stays, as it does for users.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from consilience.examples import example_path

HELP, CHECK = 0.4, 2.0  # s: what the product promises on an idle machine
REAL = ("xray", "nmr", "qm", "cg", "bad")  # folders of real data


def seconds(*argv: str) -> tuple[float, str]:
    """Processor seconds of the command, and the modules of JAX's or SciPy's size that it imported."""
    code = (
        "import resource, sys\nfrom consilience.cli import main\nsys.stdout = sys.stderr\nmain(sys.argv[1:])\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "large = ('jax', 'scipy', 'optax', 'equinox', 'ase', 'openmm', 'MDAnalysis')\n"
        "heavy = ','.join(m for m in large if m in sys.modules)\n"
        "print(used.ru_utime + used.ru_stime, heavy, file=sys.__stdout__)"
    )
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {"COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, "-c", code, *argv], capture_output=True, text=True, env=env, timeout=120, check=True
    )
    spent, _, heavy = done.stdout.strip().splitlines()[-1].partition(" ")
    return float(spent), heavy


@pytest.mark.parametrize("argv", [("--help",), ("refine", "--help"), ("train", "--help")], ids=" ".join)
def test_help_is_there_at_once(argv: tuple[str, ...]) -> None:
    spent, heavy = min(seconds(*argv) for _ in range(3))
    assert not heavy and spent < HELP


BUILT_IN = ("crystal/start.pdb", "crystal/data.mtz", "relaxation/rates.csv", "molecule/frames.npz")


@pytest.mark.parametrize("name", BUILT_IN)
def test_check_of_a_file_imports_nothing_heavy(name: str) -> None:
    spent, heavy = min(seconds("check", str(example_path(name))) for _ in range(2))
    assert not heavy and spent < CHECK


@pytest.mark.slow
@pytest.mark.skipif("CI" in os.environ, reason="the bar is that of an idle machine of today, not of any runner")
def test_check_of_large_real_files(data_dir: Path) -> None:
    files = []
    for part in REAL:  # the largest take longest
        found = [p for p in (data_dir / part).rglob("*") if p.is_file() and p.stat().st_size < 100_000_000]
        files += sorted(found, key=lambda p: p.stat().st_size)[-4:]
    assert len(files) >= 16
    late = {str(p): spent for p in files if (spent := min(seconds("check", str(p)) for _ in range(2))[0]) > CHECK}
    assert not late
