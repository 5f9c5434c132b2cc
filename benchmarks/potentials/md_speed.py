"""CPU time of an NVE step of ethanol: ASE around each network, and ours in the graph for one and for 32 replicas."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from cases import ethanol, python_of, run
from ours import NAMES
from speed import PEER_MODELS

LOOPS = ("ase", "graph_1", "graph_32")


def table(results: dict[str, dict]) -> str:
    rows = [
        f"{'ms per step, replica':22s}{'ASE':>10s}{'graph':>10s}{'graph x32':>11s}{'ASE/graph':>11s}{'ASE/x32':>9s}"
    ]
    for name, r in results.items():
        ms = [r[k]["median_ms"] if k in r else None for k in LOOPS]
        cells = [f"{m:10.3f}" if m else f"{'-':>10s}" for m in ms]
        ratios = [f"{ms[0] / m:9.2f}x" if m else f"{'-':>10s}" for m in ms[1:]]
        rows.append(f"{name:22s}" + "".join(cells + ratios))
    return "\n".join(rows)


def same_motion(model: str, result: dict) -> None:
    """Refuse a loop whose atoms stand still, or that moves them elsewhere than ASE does."""
    moved = {loop: result[loop]["moved"] for loop in LOOPS if loop in result}
    if min(moved.values()) == 0 or max(moved.values()) - min(moved.values()) > 1e-3:
        raise SystemExit(f"{model}: the loops do not agree on how far atoms move from rest, Å: {moved}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200, help="steps of a timed block")
    parser.add_argument("--seconds", type=float, default=4.0, help="CPU time for each model and loop")
    parser.add_argument("--core", type=int)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    models = {name: peer for name, peer in PEER_MODELS.items() if not name.endswith("-compiled")}
    for environment in set(models.values()):
        python_of(environment)
    options = {"steps": args.steps, "seconds": args.seconds, "replicas": 32, "dt_fs": 0.25}
    data, results = ethanol(), {}
    with tempfile.TemporaryDirectory() as name:
        problem = Path(name) / "problem.npz"
        np.savez(problem, z=data["z"], x=data["train_x"][0])
        for model, peer in (models | dict.fromkeys(NAMES, "consil")).items():
            results[model] = run(peer, model, "md", problem, Path(name) / f"{model}.json", options, args.core)
            same_motion(model, results[model])
    print(table(results))
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
