"""Structures and data of the comparisons, the places of the peer programs, and runs of an engine on one core."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
ENGINES = Path(__file__).resolve().parent / "engines"
DATA = Path(os.environ.get("CONSIL_DATA", ROOT.parent / "shared" / "data"))
PEERS = Path(os.environ.get("CONSIL_PEERS", Path.home() / ".cache" / "consilience-peers"))
KCAL = 0.0433641  # eV
EDGES = {9: 64, 21: 272, 200: 6166}  # at 5 Å; larger systems have the density of the 200 atoms
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TORCHINDUCTOR_COMPILE_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}


def timing_options(about: str | None, seconds: float) -> argparse.ArgumentParser:
    """What every timing can be told."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--seconds", type=float, default=seconds, help="CPU time for each model")
    parser.add_argument("--rounds", type=int, default=2, help="times through all models; the better median counts")
    parser.add_argument("--core", type=int)
    parser.add_argument("--json", type=Path)
    return parser


def python_of(environment: str) -> str:
    """The Python of a peer's environment; a comparison without its peer does not run."""
    path = PEERS / environment / "bin" / "python"
    if not (PEERS / environment / ".complete").exists():
        raise SystemExit(f"the peer {environment} is not installed at {path.parents[1]}: run benchmarks/peers.sh first")
    return str(path)


def packed(n: int, volume: float, seed: int = 0, closest: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Random C, H and O atoms z (n,), x (n, 3) in a cube of `volume` Å^3 an atom, no two closer than `closest` Å."""
    random = np.random.default_rng(seed)
    side = (volume * n) ** (1 / 3)
    x = np.empty((0, 3))
    while len(x) < n:
        tried = random.uniform(0, side, 3)
        if np.all(np.linalg.norm(x - tried, axis=1) > closest):
            x = np.vstack([x, tried])
    return random.choice([1, 6, 8], n, p=[0.5, 0.35, 0.15]), x


def structure(n: int, cutoff: float = 5.0) -> tuple[np.ndarray, np.ndarray]:
    """n packed atoms whose number of edges is that of `EDGES`, by scaling their coordinates."""
    if n not in EDGES:
        z, x = structure(200, cutoff)
        side = np.ptp(x, axis=0).mean()
        return packed(n, side**3 / 200)
    z, x = packed(n, 9.0)
    distance = np.linalg.norm(x[:, None] - x[None], axis=-1)[np.triu_indices(n, 1)]
    wanted = EDGES[n] // 2
    ordered = np.sort(distance)
    outer = ordered[wanted] if wanted < len(ordered) else 1.1 * ordered[-1]
    return z, x * cutoff / (0.5 * (ordered[wanted - 1] + outer))


def ethanol(seed: int = 0) -> dict[str, np.ndarray]:
    """MD17 ethanol in eV and Å: 950 frames to train on, 50 to choose by, 1000 to test on, of one fixed permutation."""
    found = DATA / "qm" / "md17_ethanol" / "ethanol_2000.npz"
    if not found.exists():
        raise SystemExit(f"{found} is missing: set CONSIL_DATA to the folder of real data")
    raw = np.load(found)
    order = np.random.default_rng(seed).permutation(len(raw["E"]))
    parts = {"train": order[:950], "valid": order[950:1000], "test": order[1000:2000]}
    problem = {"z": np.asarray(raw["z"], int)}
    for name, chosen in parts.items():
        problem[f"{name}_x"] = np.asarray(raw["R"][chosen], float)
        problem[f"{name}_e"] = np.asarray(raw["E"][chosen], float).reshape(-1) * KCAL
        problem[f"{name}_f"] = np.asarray(raw["F"][chosen], float) * KCAL
    return problem


def engine(command: list[str], log: Path, core: int | None) -> None:
    """Run an engine with one thread, on one core if its number is given; its output goes to `log`."""
    pinned = ["taskset", "-c", str(core)] if core is not None else []
    with log.open("a") as out:
        done = subprocess.run(
            [*pinned, *command], stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **ONE_THREAD}, check=False
        )
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:4])} failed:\n{log.read_text()[-3000:]}")


def run(peer: str, model: str, task: str, problem: Path, out: Path, options: dict, core: int | None) -> dict:
    """One task of a peer's or of our own engine; what it wrote."""
    python = sys.executable if peer == "consil" else python_of(peer)
    script = ENGINES / ("consil_tasks.py" if peer == "consil" else "torch_tasks.py")
    log = out.with_suffix(".log")
    engine([python, str(script), peer, model, task, str(problem), str(out), json.dumps(options)], log, core)
    return json.loads(out.read_text())
