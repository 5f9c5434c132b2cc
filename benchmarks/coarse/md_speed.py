"""Langevin steps per CPU second of chains of 35, 100 and 300 beads: our engine and jax-md, same energy, one thread."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEERS = Path(os.environ.get("CONSIL_PEERS", Path.home() / ".cache" / "consilience-peers"))
STEPS = {35: 40_000, 100: 10_000, 300: 3_000}
FORMS = {35: ("all",), 100: ("dense", "sparse"), 300: ("dense", "sparse")}
ALIKE = {64: 1e-10, 32: 1e-4}  # energies and largest forces of the start, relative
ONE_THREAD = {"OMP_NUM_THREADS": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}


def measured(python: str, script: str, *words: object, core: int | None) -> dict:
    """What an engine printed last."""
    pinned = ["taskset", "-c", str(core)] if core is not None else []
    command = [*pinned, python, "-W", "ignore", str(HERE / script), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **ONE_THREAD}, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--core", type=int)
    parser.add_argument("--beads", type=int, nargs="*", default=list(STEPS))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    peer = PEERS / "jaxmd" / "bin" / "python"
    if not peer.exists():
        raise SystemExit(f"jax-md is not installed at {peer.parents[1]}: run benchmarks/peers.sh first")
    results: dict[int, dict[str, float]] = {}
    print(f"{'beads':>6s}{'ours, 64':>12s}{'jax-md, 64':>12s}{'jax-md, 32':>12s}{'ratio 64':>10s}{'ratio 32':>10s}")
    for n in args.beads:
        ours = measured(sys.executable, "engine_ours.py", n, STEPS[n], core=args.core)
        row = {"ours": ours["steps_per_cpu_s"]}
        for bits in (64, 32):  # the better of its forms of lists
            found = [measured(str(peer), "engine_jaxmd.py", n, STEPS[n], bits, f, core=args.core) for f in FORMS[n]]
            same = [abs(r[k] / ours[k] - 1) < ALIKE[bits] for r in found for k in ("energy", "force")]
            if not all(same):
                raise SystemExit(f"{n} beads: the engines do not have the same energy: ours {ours}, jax-md {found}")
            row[f"jaxmd_{bits}"] = max(r["steps_per_cpu_s"] for r in found if not r["overflow"])
        results[n] = row
        a, b, c = row["ours"], row["jaxmd_64"], row["jaxmd_32"]
        print(f"{n:6d}{a:12.0f}{b:12.0f}{c:12.0f}{a / b:9.2f}x{a / c:9.2f}x", flush=True)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
