"""CPU time of one energy and force call: MACE, NequIP, SchNetPack and ours, one thread, float32, in one run.

Packed C, H, O at 5 Å (64, 272, 6166 edges; 1000 atoms at the density of the 200). Neighbour lists are made outside
the timings. Medians of repeated calls, after warm-up or compilation.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
from cases import python_of, run, structure, timing_options
from ours import NAMES

PEER_MODELS = {
    "mace-64": "mace",
    "nequip-l1": "nequip",
    "nequip-l1-compiled": "nequip",
    "painn-128": "schnetpack",
    "schnet-128": "schnetpack",
}


def table(results: dict[str, dict], sizes: list[int]) -> str:
    """ms of each model and size, and its multiple of our fastest."""
    own = [r for name, r in results.items() if name in NAMES]
    rows = [f"{'ms per call':20s}" + "".join(f"{n:>10d} atoms   " for n in sizes)]
    for name, r in results.items():
        cells = []
        for n in map(str, sizes):
            if n not in r["rows"]:
                cells.append(f"{'-':>19s}")
                continue
            ms = r["rows"][n]["median_ms"]
            best = min((o["rows"][n]["median_ms"] for o in own), default=None)
            cells.append(f"{ms:10.2f} " + (f"({ms / best:5.1f}x)" if best else f"{'':8s}"))
        rows.append(f"{name:20s}" + "".join(cells))
    return "\n".join(rows)


def same_edges(model: str, result: dict, results: dict[str, dict]) -> None:
    """Refuse a timing of another problem than that of the first model."""
    first, known = next(iter(results.items()))
    for n, row in result["rows"].items():
        if row["edges"] != known["rows"][n]["edges"]:
            raise SystemExit(f"{model} has {row['edges']} edges of {n} atoms, {first} {known['rows'][n]['edges']}")


def main() -> None:
    parser = timing_options(__doc__, 4.0)
    parser.add_argument("--sizes", type=int, nargs="+", default=[9, 21, 200, 1000])
    args = parser.parse_args()
    for environment in set(PEER_MODELS.values()):
        python_of(environment)
    models = PEER_MODELS | dict.fromkeys(NAMES, "consil")
    options, results = {"sizes": args.sizes, "seconds": args.seconds}, {}
    with tempfile.TemporaryDirectory() as name:
        problem = Path(name) / "problem.npz"
        structures = {n: structure(n) for n in args.sizes}
        arrays = {f"z{n}": s[0] for n, s in structures.items()} | {f"x{n}": s[1] for n, s in structures.items()}
        np.savez(problem, **arrays)
        for k in range(args.rounds):
            for model, peer in models.items():
                r = run(peer, model, "speed", problem, Path(name) / f"{model}{k}.json", options, args.core)
                told = ", ".join(f"{n} atoms {row['median_ms']:.2f} ms" for n, row in r["rows"].items())
                print(f"round {k + 1}, {model}: {told}", flush=True)
                before = results.setdefault(model, r)["rows"]
                same_edges(model, r, results)
                for n, row in r["rows"].items():
                    before[n] = min(before[n], row, key=lambda one: one["median_ms"])
    print(table(results, args.sizes))
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
