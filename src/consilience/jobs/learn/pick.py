"""Frames worth labelling: dynamics of the members of a bead model, and the frames on which they disagree most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from consilience.coarse.beads import Beads
from consilience.coarse.internal import rmsd
from consilience.jobs.train_beads.forces import member_forces
from consilience.jobs.train_beads.sets import chains_of_beads
from consilience.potentials.beads.model import BeadModel

FRAMES = 200  # of each run
CLOSEST, STRETCHED = 3.0, 0.5  # Å: beads that are not bonded; bonds off those of the atoms
APART = 1.0  # Å r.m.s. between two frames that are picked; halved where there are too few


@dataclass(frozen=True)
class Explored:
    """Sound frames (no forces) of the members' dynamics of one protein, their disagreement (f,) eV/Å, and counts."""

    beads: Beads
    disagreement: np.ndarray
    n_frames: int  # with those that are not sound
    failed: int  # runs that broke


def explore(
    model: BeadModel,
    start: Beads,
    *,
    steps: int,
    dt: float = 5.0,
    temperature: float = 300.0,
    replicas: int = 4,
    seed: int = 0,
) -> Explored:
    """Langevin dynamics driven by each member from `replicas` frames of `start`, judged by all members.

    Frames with beads that touch or bonds that no atoms can have are left out: all-atom models cannot reach them.
    """
    from consilience.md.simulate import simulate

    rng = np.random.default_rng([seed, 11])
    chains = chains_of_beads(start)
    every = max(1, steps // FRAMES)
    pieces, failed = [], 0
    for i in range(len(model.networks)):
        energy = model.energy(chains, member=i, temperature=temperature)
        begin = start.positions[rng.choice(len(start), replicas, replace=len(start) < replicas)]
        run = simulate(energy, begin, start.masses, steps=steps, dt=dt, ensemble="nvt", temperature=temperature,
                       every=every, replicas=replicas, seed=seed * 1000 + i, cutoff=energy.cutoff)  # fmt: skip
        failed += run.status == "failed"
        x = run.trajectory.positions[:, 1:]
        pieces.append(x.reshape(-1, *x.shape[2:]))
    x = np.concatenate(pieces)
    kept = x[sound(x, start)]
    count = len(kept)
    beads = replace(start, positions=kept, forces=None, temperature=np.full(count, temperature),
                    trajectory=np.zeros(count, int), source=None, box=None)  # fmt: skip
    return Explored(beads, disagreement(model, beads), len(x), failed)


def sound(x: np.ndarray, start: Beads) -> np.ndarray:
    """(f,) bool: frames (f, n, 3) that are finite, keep beads apart, and have bonds as the frames of `start` have."""
    ok = np.asarray(np.isfinite(x).all((1, 2)))
    x = np.where(ok[:, None, None], x, 0.0)
    bonds = start.bonds
    if len(bonds):

        def lengths(y: np.ndarray) -> np.ndarray:
            return np.linalg.norm(y[:, bonds[:, 1]] - y[:, bonds[:, 0]], axis=-1)

        known = lengths(start.positions)
        low, high = known.min(0) - STRETCHED, known.max(0) + STRETCHED
        found = lengths(x)
        ok &= ((found > low) & (found < high)).all(1)
    n = x.shape[1]
    far = np.ones((n, n), bool)
    np.fill_diagonal(far, False)
    far[bonds[:, 0], bonds[:, 1]] = far[bonds[:, 1], bonds[:, 0]] = False
    i, j = np.nonzero(np.triu(far))
    for k in np.flatnonzero(ok) if len(i) else ():
        ok[k] = np.linalg.norm(x[k, i] - x[k, j], axis=-1).min() > CLOSEST
    return ok


def disagreement(model: BeadModel, beads: Beads) -> np.ndarray:
    """(f,) eV/Å: the largest over the beads of the members' standard deviation of the force vector."""
    if not len(beads):
        return np.zeros(0)
    forces = member_forces(model, beads)
    return np.sqrt(np.sum(np.var(forces, 0, ddof=1), -1)).max(1)


def pick(explored: Sequence[Explored], count: int, apart: float = APART) -> list[np.ndarray]:
    """Frames of each protein, `count` in all: those of largest disagreement that are mutually `apart` Å r.m.s. or more.

    Where there are fewer, the distance is halved until there are enough or no frames are left.
    """
    ranked = [(float(d), p, f) for p, e in enumerate(explored) for f, d in enumerate(e.disagreement)]
    ranked.sort(key=lambda r: (-r[0], r[1], r[2]))
    chosen: list[list[int]] = [[] for _ in explored]
    while sum(map(len, chosen)) < min(count, len(ranked)):
        for _, p, f in ranked:
            x = explored[p].beads.positions
            if f not in chosen[p] and (not chosen[p] or rmsd(x[chosen[p]], x[f]).min() >= apart):
                chosen[p].append(f)
                if sum(map(len, chosen)) == count:
                    break
        apart = apart / 2 if apart > 0.05 else 0.0
    return [np.array(c, int) for c in chosen]
