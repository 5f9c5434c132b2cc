"""The crystals, the places of the peer programs, and measured runs of a command."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

NAMES = ("4xof", "5a3h", "rnase25", "1dur")
ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("CONSIL_DATA", ROOT.parent / "shared" / "data"))
MONLIB = Path(os.environ.get("CLIBD_MON", DATA / "monomers"))
PEERS = Path(os.environ.get("CONSIL_PEERS", Path.home() / ".cache" / "consilience-peers"))


@dataclass(frozen=True)
class Case:
    """One crystal: its folder holds model.pdb, data.mtz, info.json and the dictionaries of its ligands."""

    name: str
    folder: Path
    labels: tuple[str, ...]
    free_value: int

    @classmethod
    def load(cls, name: str) -> Case:
        folder = DATA / "xray" / name
        info = json.loads((folder / "info.json").read_text())
        return cls(name, folder, tuple(info["columns"]), int(info["free_flag_value"]))

    @property
    def data(self) -> Path:
        return self.folder / "data.mtz"

    @property
    def ligands(self) -> list[Path]:
        return sorted(self.folder.glob("*.cif"))


@dataclass(frozen=True)
class Usage:
    """What a command cost: CPU and wall time in seconds, peak memory in MB of its largest process."""

    status: int
    user_s: float
    system_s: float
    wall_s: float
    peak_mb: float


def peer(environment: str, program: str) -> Path:
    """A program of a peer's environment; benchmarks/peers.sh makes them."""
    path = PEERS / environment / "bin" / program
    if not path.exists():
        raise SystemExit(f"{path} is missing: run benchmarks/peers.sh first")
    return path


def measure(command: list[str], log: Path, env: dict[str, str] | None = None, cwd: Path | None = None) -> Usage:
    """Run a command with its output in a file and measure it alone, children included."""
    began = time.perf_counter()
    with log.open("w") as out:
        process = subprocess.Popen(
            [str(c) for c in command], stdout=out, stderr=subprocess.STDOUT, cwd=cwd, env={**os.environ, **(env or {})}
        )
        _, raw, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(raw)
    wall = time.perf_counter() - began
    return Usage(process.returncode, used.ru_utime, used.ru_stime, wall, used.ru_maxrss / 1024)


def fingerprint(command: list[str], files: list[Path]) -> str:
    """Hash of a command line and of the contents of its input files."""
    digest = hashlib.sha256("\0".join(str(c) for c in command).encode())
    for path in files:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]
