"""A short simulation of chains of beads as a trial of a model: does it stay together, and do beads keep apart?"""

from __future__ import annotations

from typing import Any

import numpy as np

from consilience.potentials.beads.energy import BeadEnergy

CLOSEST = 3.0  # Å, between beads that are not bonded
LONGEST, SPREAD = 0.5, 0.15  # Å, bonds off their mean, and their r.m.s.
TRIAL_STEPS = 10_000  # of the trial of a trained model


def trial(
    energy: BeadEnergy,
    positions: np.ndarray,
    masses: np.ndarray,
    *,
    steps: int,
    temperature: float = 300.0,
    dt: float = 5.0,
    replicas: int = 2,
    seed: int = 0,
) -> dict[str, Any]:
    """Langevin dynamics from positions (n, 3) Å: whether it is stable, with what it was judged by.

    Keys: stable, steps, temperature, min_distance (Å, of beads two or more apart), bond_rms and bond_max (Å, about the
    mean of each bond), why ("" where stable).
    """
    from consilience.md.autopsy import NotBonded
    from consilience.md.simulate import simulate

    every = max(1, min(100, steps // 100))
    run = simulate(energy, positions, masses, steps=steps, dt=dt, ensemble="nvt", temperature=temperature,
                   every=every, replicas=replicas, seed=seed, cutoff=energy.cutoff,
                   watched=NotBonded(energy.chains))  # fmt: skip
    x = run.trajectory.positions
    out: dict[str, Any] = {"steps": run.n_steps, "temperature": temperature, "dt_fs": dt, "replicas": replicas}
    out |= geometry(x.reshape(-1, *x.shape[2:]), energy)
    if out["min_distance"] is not None:  # of all steps, not of the frames alone
        out["min_distance"] = min(out["min_distance"], run.min_distance)
    why = "" if run.failure is None else str(run.failure)
    if not why and out["min_distance"] is not None and out["min_distance"] <= CLOSEST:
        why = f"two beads came as near as {out['min_distance']:.2f} Å"
    if not why and (out["bond_rms"] >= SPREAD or out["bond_max"] >= LONGEST):
        why = f"bonds vary by {out['bond_rms']:.2f} Å, at most {out['bond_max']:.2f} Å"
    return {**out, "stable": not why, "why": why}


def geometry(x: np.ndarray, energy: BeadEnergy) -> dict[str, Any]:
    """Shortest distance of beads that are not bonded, and the spread of bonds, of frames (f, n, 3)."""
    chains = energy.chains
    n = x.shape[1]
    i, j = np.triu_indices(n, 1)
    separation = np.asarray(chains.separation(np.broadcast_to(np.arange(n)[None], (n, n))))[i, j]
    apart = separation >= 2
    shortest = np.inf
    for frame in x:
        d = frame[i[apart]] - frame[j[apart]]
        shortest = min(shortest, float((d * d).sum(-1).min(initial=np.inf)))
    linked = np.asarray(chains.linked(2))
    bonds = np.linalg.norm(np.diff(x, axis=1), axis=-1)[:, linked]
    off = bonds - bonds.mean(0) if bonds.size else np.zeros((1, 1))
    return {
        "min_distance": float(np.sqrt(shortest)) if np.isfinite(shortest) else None,
        "bond_rms": float(np.sqrt((off**2).mean())),
        "bond_max": float(np.abs(off).max()),
    }
