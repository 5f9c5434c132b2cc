"""Small molecules with MP2 references, by the command's own recipe: unseen frames, vibrations, and stretched bonds.

Trains on the first frames of each set (they are shuffled: 200 of CO2, 400 of H2CO), scores all others, compares
harmonic frequencies and intensities with those of quantum chemistry, and follows bonds far outside the data.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import numpy as np  # noqa: E402
from cases import DATA, PEERS  # noqa: E402

FRAMES = {"co2": 200, "h2co": 400}
# bonds that are scaled together, as (atom that stays, atom that moves)
SCANS = {
    "co2": {"one C=O": [(1, 0)], "both C=O": [(1, 0), (1, 2)]},
    "h2co": {"C=O": [(0, 1)], "one C-H": [(0, 2)], "both C-H": [(0, 2), (0, 3)]},
}
KEPT = ("force_mae_mev_A", "force_median_mev_A", "force_worst_frame_mev_A", "energy_mae_mev_atom", "dipole_mae_eA",
        "esp_rmse_mv", "esp_median_mv")  # fmt: skip


def trained(name: str, folder: Path, args: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """A model trained on the first frames and its scores on the others."""
    from consilience.frames.read import read_frames
    from consilience.frames.write import write_npz
    from consilience.jobs.common.options import RunOptions, TrainOptions
    from consilience.jobs.train.job import train

    known = read_frames(DATA / "qm" / name / f"{name}_mp2.npz")
    parts = {"train": np.arange(FRAMES[name]), "unseen": np.arange(FRAMES[name], len(known))}
    for part, chosen in parts.items():
        write_npz(folder / f"{name}-{part}.npz", known.select(chosen))
    options = TrainOptions(
        settings=tuple(args.set), epochs=args.epochs, ensemble=args.ensemble,
        free=str(folder / f"{name}-unseen.npz"), precision=args.precision,
    )  # fmt: skip
    began = time.process_time()
    run = RunOptions(output=folder / f"{name}-train", overwrite=True, seed=args.seed)
    done = train([folder / f"{name}-train.npz"], options=options, run=run)
    row = done.summary["table"]["free"]
    failed = [c["name"] for c in done.summary["checks"] if not c["passed"]]
    return done.model, {k: row[k] for k in KEPT if k in row} | {"cpu_s": time.process_time() - began, "failed": failed}


def vibrations(name: str, folder: Path) -> dict[str, Any]:
    """Largest differences from quantum chemistry: frequencies, cm^-1, and intensities over that of the strongest."""
    from consilience.jobs.common.dynamics_options import SpectrumOptions
    from consilience.jobs.common.options import RunOptions
    from consilience.jobs.spectrum.job import spectrum

    reference = DATA / "qm" / name / f"{name}_mp2_harmonic.json"
    files = [folder / f"{name}-train" / "model", folder / f"{name}-unseen.npz"]
    run = RunOptions(output=folder / f"{name}-spectrum", overwrite=True)
    rows = spectrum(files, options=SpectrumOptions(reference=reference), run=run).summary["reference"]
    ours, theirs = (np.array([r[k] for r in rows]) for k in ("ir_km_mol", "reference_ir_km_mol"))
    seen = theirs > 0.01 * theirs.max()
    return {
        "cm1": [round(r["difference_cm1"], 2) for r in rows],
        "largest_cm1": max(abs(r["difference_cm1"]) for r in rows),
        "ir_percent": np.round(100 * (ours - theirs)[seen] / theirs[seen], 2).tolist(),
        "largest_ir_percent": float(np.max(100 * np.abs(ours - theirs)[seen] / theirs[seen])),
    }


def scans(name: str, model: Any) -> dict[str, dict[str, float]]:
    """Energies, eV, along bonds from 0.3 to 4 times their length.

    `lowest`: over that of the minimum (below zero: a hole), `falls`: largest step downhill away from the minimum,
    `wall`: smallest slope under 1 Å (repulsive: above zero, eV/Å).
    """
    from consilience.frames.frames import Frames
    from consilience.md.optimise import optimise
    from consilience.potentials.dataset import batch_of
    from consilience.potentials.ensemble import mean_prediction
    from consilience.potentials.molecule import molecule_energy

    said = model.info["reference"]
    numbers = np.asarray(said["numbers"], np.int32)
    x = np.asarray(optimise(molecule_energy(model.potential, numbers), np.asarray(said["positions"])).positions)
    scale = np.unique(np.concatenate([np.linspace(0.3, 1.0, 71), np.linspace(1.0, 4.0, 151)]))
    out = {}
    for title, bonds in SCANS[name].items():
        points = np.repeat(x[None], len(scale), 0)
        for fixed, moved in bonds:
            points[:, moved] = x[fixed] + scale[:, None] * (x[moved] - x[fixed])
        batch = batch_of(Frames(np.tile(numbers, (len(scale), 1)), points), model.potential, ())
        e = np.asarray(mean_prediction(model.members, batch)["energy"])
        at = int(np.argmin(np.abs(scale - 1.0)))
        e = e - e[at]
        bond = max(float(np.linalg.norm(x[m] - x[f])) for f, m in bonds)
        short = scale * bond < 1.0
        out[title] = {
            "lowest": float(e.min()),
            "falls": float(max(np.max(np.maximum.accumulate(e[at:]) - e[at:]),
                               np.max(np.maximum.accumulate(e[at::-1]) - e[at::-1]))),
            "wall": float(np.min(-np.diff(e[short]) / np.diff(scale[short] * bond))),
            "end": float(e[-1]),
        }  # fmt: skip
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("molecules", nargs="*", help=f"of {', '.join(FRAMES)}; default: all")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one key of the recipe")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--ensemble", type=int, default=1)
    parser.add_argument("--precision", type=int, choices=(32, 64), default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=Path, default=PEERS / "runs" / "molecules")
    args = parser.parse_args()
    args.runs.mkdir(parents=True, exist_ok=True)
    for name in args.molecules or FRAMES:
        model, row = trained(name, args.runs, args)
        row |= vibrations(name, args.runs)
        row["scans"] = scans(name, model)
        print(name, json.dumps(row, indent=1), flush=True)


if __name__ == "__main__":
    main()
