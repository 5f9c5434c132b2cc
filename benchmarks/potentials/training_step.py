"""CPU time of one training step (energy and force loss, Adam), 32 frames of ethanol: peers and ours in one run."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
from cases import ethanol, python_of, run, timing_options
from ours import NAMES
from speed import PEER_MODELS


def table(results: dict[str, dict], batch: int) -> str:
    best = min((r["median_ms"] for name, r in results.items() if name in NAMES), default=None)
    rows = [f"{'model':20s}{'ms per step':>12s}{'s per 1000 frames':>19s}{'warm-up s':>11s}"]
    for name, r in results.items():
        ratio = f"  ({r['median_ms'] / best:.1f}x)" if best else ""
        rows.append(f"{name:20s}{r['median_ms']:12.1f}{r['median_ms'] / batch:19.2f}{r['warm_up_s']:11.1f}{ratio}")
    return "\n".join(rows)


def main() -> None:
    parser = timing_options(__doc__, 6.0)
    parser.add_argument("--batch", type=int, default=32)
    args = parser.parse_args()
    for environment in set(PEER_MODELS.values()):
        python_of(environment)
    models = PEER_MODELS | dict.fromkeys(NAMES, "consil")
    options, results = {"batch": args.batch, "seconds": args.seconds}, {}
    data = ethanol()
    mean = data["train_e"].mean()
    with tempfile.TemporaryDirectory() as name:
        problem = Path(name) / "problem.npz"
        np.savez(problem, z=data["z"], x=data["train_x"], e=data["train_e"] - mean, f=data["train_f"])
        for k in range(args.rounds):
            for model, peer in models.items():
                r = run(peer, model, "step", problem, Path(name) / f"{model}{k}.json", options, args.core)
                before, after = r["force_rms"]
                told = f"error of forces {before:.4f} -> {after:.4f}"
                print(f"round {k + 1}, {model}: {r['median_ms']:.1f} ms, {told}", flush=True)
                if not after < before:
                    raise SystemExit(f"{model} does not learn: {told}")
                results[model] = min(results.get(model, r), r, key=lambda one: one["median_ms"])
    print(table(results, args.batch))
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
