"""What dynamics leave behind: the result, the keys of its summary, its history, and a line of progress now and then."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from consilience.jobs.common.dynamics_options import SimulateOptions
from consilience.jobs.common.html_table import Shown
from consilience.jobs.common.output import OutputFolder

LEAP = 0.05  # eV/atom; beyond this and kT the energy of an isolated system is not conserved in any sense
SPOKEN = 5.0  # seconds between lines of progress


@dataclass(frozen=True, repr=False)
class SimulateResult(Shown):
    """What `simulate` returns: the summary as written, the folder, and the observables of all frames.

    observables: arrays (frames, replicas) of step, E (eV), T (K), time_fs, E_pot, E_kin (eV), and with an ensemble
    force_disagreement_eV_A.
    """

    summary: dict[str, Any]
    folder: Path
    observables: dict[str, np.ndarray]


def simulate_summary(result: Any, table: dict[str, np.ndarray], options: SimulateOptions, n: int) -> dict[str, Any]:
    """The keys of `consil simulate` in CONTRACT.md. Drift and r.m.s. of the total energy for constant energy only."""
    from consilience.md.conservation import conservation

    time_fs = table["time_fs"][:, 0]
    kept = conservation(time_fs, table["E"].T, n) if options.ensemble == "nve" and len(time_fs) else None
    temperature = table["T"]
    failure = None if result.failure is None else result.failure.as_dict()
    if failure is None and options.ensemble == "nve":
        failure = _not_conserved(table, options, n)
    return {
        "status": "ok",
        "stable": failure is None,
        "n_steps": result.n_steps,
        "dt_fs": options.dt,
        "ensemble": options.ensemble,
        "engine": options.engine,
        "method": options.method,
        "replicas": options.replicas,
        "n_atoms": n,
        "n_frames": len(time_fs),
        "temperature_mean": float(temperature.mean()) if temperature.size else None,
        "temperature_std": float(temperature.std()) if temperature.size else None,
        "drift": None if kept is None else kept.drift,
        "drift_err": None if kept is None else kept.drift_err,
        "energy_rms": None if kept is None else kept.rms,
        "unit": "meV/atom/ps, meV/atom",
        "steps_per_s": result.steps_per_s,
        "min_distance": result.min_distance if np.isfinite(result.min_distance) else None,
        "max_force": result.max_force,
        "failure": failure,
    }


def _not_conserved(table: dict[str, np.ndarray], options: SimulateOptions, n: int) -> dict[str, Any] | None:
    """The first frame whose total energy is off that of the start by more than LEAP + kT for each atom, or None."""
    from consilience.units import BOLTZMANN

    bound = LEAP + BOLTZMANN * options.temperature
    off = np.abs(table["E"] - table["E"][:1]) / n
    frames, replicas = np.nonzero(off > bound)
    if not len(frames):
        return None
    f, r = int(frames[0]), int(replicas[0])
    step, time_fs = int(table["step"][f, r]), float(table["time_fs"][f, r])
    message = (
        f"the total energy is not conserved: off by {off[f, r]:.3g} eV/atom at step {step} ({time_fs:g} fs), "
        f"replica {r} (bound {bound:.3g}); take a shorter time step"
    )
    none = dict.fromkeys(("distance", "max_force", "max_force_atom", "term"))
    return {
        "step": step,
        "time_fs": time_fs,
        "replica": r,
        "reason": "total energy not conserved",
        "atoms": [],
        "temperature": float(table["T"][f, r]),
        "message": message,
        **none,
        "term_energies": {},
        "term_forces": {},
    }


def history_rows(table: dict[str, np.ndarray], n: int, rows: int = 50) -> list[dict[str, Any]]:
    """The run in at most some 50 equal stretches: last step, mean temperature, mean and spread of energies per atom."""
    count = len(table["step"])
    out = []
    for part in np.array_split(np.arange(count), min(rows, count)) if count else ():
        e = table["E"][part] * 1e3 / n
        e0 = table["E"][0] * 1e3 / n
        out.append(
            {
                "step": int(table["step"][part[-1], 0]),
                "time_fs": float(table["time_fs"][part[-1], 0]),
                "T_mean_K": float(table["T"][part].mean()),
                "E_change_meV_atom": float((e - e0).mean()),
                "E_rms_meV_atom": float(e.std(0).mean()),
                "E_pot_mean_eV": float(table["E_pot"][part].mean()),
            }
        )
    return out


class Progress:
    """A line now and then with the time left."""

    def __init__(self, folder: OutputFolder, steps: int):
        self.folder, self.steps = folder, steps
        self.first: tuple[float, int] | None = None
        self.spoken = -np.inf

    def __call__(self, step: int, piece: Any) -> None:
        now = time.monotonic()
        if now - self.spoken < SPOKEN:
            return
        left = ""
        if self.first is None:
            self.first = now, step
        elif step > self.first[1]:
            rate = (now - self.first[0]) / (step - self.first[1])
            left = f", {rate * (self.steps - step):.0f} s left"
        self.spoken = now
        temperature = float(piece.temperature.mean())
        self.folder.log(f"step {step} of {self.steps}: {temperature:.0f} K, E {piece.total[:, -1].mean():.6f} eV{left}")
