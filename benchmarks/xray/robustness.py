"""Honesty of the free set, and kill -9 at random moments: both must end with bit-identical models."""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import gemmi
import numpy as np
from cases import MONLIB, NAMES, Case

RESULTS = ("refined.cif", "refined.pdb", "refined.mtz")


def command(case: Case, data: Path, out: Path, cycles: int) -> list[str]:
    line = [sys.executable, "-m", "consilience.cli", "refine", str(case.folder / "start_shaken.pdb"), str(data)]
    line += [*map(str, case.ligands), "--labels", ",".join(case.labels), "--free-value", str(case.free_value)]
    return [*line, "--adp", "iso", "--monlib", str(MONLIB), "--cycles", str(cycles), "-o", str(out), "--quiet"]


def run(line: list[str]) -> float:
    """Seconds that a command took; it must succeed."""
    began = time.perf_counter()
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode not in (0, 3):
        raise SystemExit(f"exit {done.returncode}: {' '.join(line)}\n{done.stderr[-2000:]}")
    return time.perf_counter() - began


def killed(line: list[str], after: float) -> bool:
    """Start a command and kill it with its children after some seconds; False if it had ended by then."""
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        process.wait(after)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True


def atoms(out: Path) -> np.ndarray:
    """Coordinates, B and occupancies of a refined model, as written in full in the mmCIF file."""
    model = gemmi.read_structure(str(out / "refined.cif"))[0]
    return np.array([[*p.atom.pos.tolist(), p.atom.b_iso, p.atom.occ] for p in model.all()])


def cycles_of(out: Path) -> list:
    return json.loads((out / "summary.json").read_text())["cycles"]


def free_times_ten(case: Case, out: Path) -> Path:
    """The data of a case with the amplitudes and sigmas of the free set multiplied by ten."""
    mtz = gemmi.read_mtz_file(str(case.data))
    table = np.array(mtz, copy=True)
    column = {c.label: i for i, c in enumerate(mtz.columns)}
    free = table[:, column[case.labels[2]]] == case.free_value
    for label in case.labels[:2]:
        table[free, column[label]] *= 10
    mtz.set_data(table)
    mtz.write_to_file(str(out))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", nargs="?", default="1dur", choices=NAMES)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--cycles", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    args = parser.parse_args()
    case, moments = Case.load(args.case), random.Random(args.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = folder / "whole"
        run(command(case, case.data, folder / "warm", args.cycles))
        duration = run(command(case, case.data, whole, args.cycles))

        honest = folder / "honest"
        run(command(case, free_times_ten(case, folder / "times10.mtz"), honest, args.cycles))
        same = np.array_equal(atoms(whole), atoms(honest))
        print(f"{case.name}: free amplitudes times ten: {'bit-identical' if same else 'DIFFERENT'} model")

        identical = 0
        for k in range(args.kills):
            out, after = folder / f"killed{k}", moments.uniform(0.05, 0.98) * duration
            line = command(case, case.data, out, args.cycles)
            was_killed = killed(line, after)
            kept = out.exists()
            run([*line, "--resume"])
            files = [f for f in RESULTS if (out / f).read_bytes() != (whole / f).read_bytes()]
            good = not files and cycles_of(out) == cycles_of(whole)
            identical += good
            state = ("killed" if was_killed else "had ended") + (", folder kept" if kept else ", no folder yet")
            print(f"  {after:5.1f} s {state}: {'identical' if good else files}")
        print(
            f"{case.name}: kill -9, then --resume: {identical} of {args.kills} bit-identical ({duration:.1f} s a run)"
        )


if __name__ == "__main__":
    main()
