"""Trainings side by side on MD17 ethanol: the same 950 + 50 frames, the same core, the same CPU seconds for each.

Each network is trained by its own recipe in its own environment and tested on the same 1000 other frames. Runs are
kept in a folder: a finished one is not repeated, an interrupted one goes on. The clock of the budget is CPU time of
the process on its core, compilation included, so that a neighbour's load takes nothing away from anyone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
from cases import PEERS, ethanol, python_of, run
from ours import NAMES

PEER_RUNS = {
    "nequip-4x32": ("nequip", {}),
    "painn-128": ("schnetpack", {}),
    "mace-32-l2": ("mace", {}),
    "schnet-128": ("schnetpack", {}),
    "painn-64": ("schnetpack", {}),
    "mace-32": ("mace", {}),
    "nequip-3x64": ("nequip", {"lr": 0.005}),
}


def trained(peer: str, model: str, options: dict, problem: Path, folder: Path, core: int | None) -> dict:
    """The result of one run, from the folder if it was made with the same data and settings."""
    arrays = b"".join(v.tobytes() for v in np.load(problem).values())
    key = hashlib.sha256(arrays + json.dumps([peer, model, options]).encode()).hexdigest()[:12]
    out = folder / f"{model}-{key}.json"
    return json.loads(out.read_text()) if out.exists() else run(peer, model, "train", problem, out, options, core)


def table(results: dict[str, dict]) -> str:
    head = f"{'model':16s}{'force MAE':>10s}{'energy MAE':>11s}{'epochs':>8s}{'steps':>8s}{'weights':>9s}{'CPU s':>7s}"
    rows = [head, f"{'':16s}{'meV/Å':>10s}{'meV':>11s}"]
    for name, r in sorted(results.items(), key=lambda item: item[1]["force_mae_mev_A"]):
        rows.append(
            f"{name:16s}{r['force_mae_mev_A']:10.2f}{r['energy_mae_mev']:11.2f}{r['epochs']:8.0f}{r['steps']:8d}"
            f"{r['parameters']:9d}{r['cpu_s']:7.0f}"
        )
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", help=f"of {', '.join([*PEER_RUNS, *NAMES])}; default: all")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--core", type=int, default=1)
    parser.add_argument("--runs", type=Path, default=PEERS / "runs" / "md17_ethanol")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    chosen = args.models or [*PEER_RUNS, *NAMES]
    unknown = [m for m in chosen if m not in PEER_RUNS and m not in NAMES]
    if unknown:
        parser.error(f"unknown model {', '.join(unknown)}; known: {', '.join([*PEER_RUNS, *NAMES])}")
    for environment in {PEER_RUNS[m][0] for m in chosen if m in PEER_RUNS}:
        python_of(environment)
    args.runs.mkdir(parents=True, exist_ok=True)
    problem = args.runs / "ethanol.npz"
    data = ethanol()
    if not problem.exists() or any(not np.array_equal(v, data[k]) for k, v in np.load(problem).items()):
        np.savez(problem, **data)
    results = {}
    for model in chosen:
        peer, options = PEER_RUNS.get(model, ("consil", {}))
        options = {"budget_s": 60 * args.minutes, **options}
        results[model] = trained(peer, model, options, problem, args.runs, args.core)
        print(table(results), flush=True)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
