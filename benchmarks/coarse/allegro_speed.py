"""CPU time of one energy and force call of an Allegro network of beads: ours and nequip-allegro, one thread, one run.

Compact random chains with a cutoff of 10 Å; 64 scalar and 16 tensor features in both. Lists are made outside the
timings; our network is a constant of the compiled call, with no weight zero. Medians of repeated calls; ours also: the
first call, compiled anew and from the cache of programs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
PEERS = Path(os.environ.get("CONSIL_PEERS", Path.home() / ".cache" / "consilience-peers"))
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
NAMES = ["ALA", "GLY", "LEU", "LYS", "PRO", "TRP"]
CUTOFF = 10.0


def chain(n: int, seed: int = 0) -> np.ndarray:
    """A compact self-avoiding walk of n beads 3.8 Å apart, no two others closer than 4.5 Å."""
    rng = np.random.default_rng(seed)
    radius = 3.6 * n ** (1 / 3) + 1.0
    x = [np.zeros(3)]
    while len(x) < n:
        for _ in range(200):
            step = rng.normal(size=3)
            new = x[-1] + 3.8 * step / np.linalg.norm(step)
            far = np.linalg.norm(np.reshape(x[:-1], (-1, 3)) - new, axis=1).min(initial=9.0) > 4.5
            if far and np.linalg.norm(new) < radius:
                x.append(new)
                break
        else:
            x = x[: max(1, len(x) - 5)]
    return np.array(x)


def same_work(who: str, row: dict[str, float], n: int, edges: int) -> None:
    """Refuse a timing of another problem: other edges, or a bead without a force."""
    found, force = row.pop(f"edges {n}"), row.pop(f"least force {n}")
    if found != edges:
        raise SystemExit(f"{who} has {found} edges of {n} beads, not {edges}")
    if not 0.0 < force < np.inf:
        raise SystemExit(f"{who} has a bead of {n} whose force is {force}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 35, 100, 300])
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=2, help="times through both; the better median counts")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    peer = PEERS / "allegro" / "bin" / "python"
    if not (PEERS / "allegro" / ".complete").exists():
        raise SystemExit(f"nequip-allegro is not installed at {peer.parents[1]}: run benchmarks/peers.sh first")
    best: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        problem = Path(folder) / "problem.npz"
        arrays: dict[str, np.ndarray] = {"sizes": np.array(args.sizes), "names": np.array(NAMES)}
        for n in args.sizes:
            x = chain(n)
            d = np.linalg.norm(x[:, None] - x[None], axis=-1)
            arrays |= {f"x{n}": x, f"t{n}": np.arange(n) % len(NAMES),
                       f"e{n}": np.array(np.nonzero((d < CUTOFF) & (d > 0)))}  # fmt: skip
        np.savez(problem, cutoff=CUTOFF, **arrays)
        cache = {"JAX_COMPILATION_CACHE_DIR": f"{folder}/cache", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        for k in range(args.rounds):
            for who, python, script in (("nequip-allegro, eager", str(peer), "peer_allegro.py"),
                                        ("ours", sys.executable, "ours_allegro.py")):  # fmt: skip
                out = Path(folder) / f"{who[:4]}{k}.json"
                command = [python, str(HERE / "engines" / script), str(problem), str(out), str(args.seconds)]
                subprocess.run(command, check=True, env={**os.environ, **ONE_THREAD, **cache})
                for name, row in json.loads(out.read_text()).items():
                    for n in args.sizes:
                        same_work(who, row, n, arrays[f"e{n}"].shape[1])
                    kept = best.setdefault(who, {}).setdefault(name, {})
                    for key, value in row.items():
                        if key.startswith("first"):
                            kept[f"{key}, {'cached' if k else 'compiled'}"] = value
                        else:
                            kept[key] = min(value, kept.get(key, np.inf))
    edges = {n: arrays[f"e{n}"].shape[1] for n in args.sizes}
    print("beads (edges):", ", ".join(f"{n} ({edges[n]})" for n in args.sizes))
    for name in best["ours"]:
        for who, rows in best.items():
            row = rows[name]
            cells = "".join(f"{row[str(n)]:9.2f} ms" for n in args.sizes)
            print(f"{name:14s} {who:24s} {row['parameters']:7.0f} parameters {cells}")
        own, other = best["ours"][name], best["nequip-allegro, eager"][name]
        print(
            f"{name:14s} {'ratio':24s} {'':18s} "
            + "".join(f"{other[str(n)] / own[str(n)]:9.1f} x " for n in args.sizes)
        )
        first = {k: v for k, v in own.items() if k.startswith("first")}
        print(
            f"{name:14s} first call, s: " + ", ".join(f"{k.removeprefix('first ')} {v:.1f}" for k, v in first.items())
        )
    if args.json:
        args.json.write_text(json.dumps({"edges": edges, "results": best}, indent=1))


if __name__ == "__main__":
    main()
