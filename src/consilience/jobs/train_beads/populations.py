"""A prior that the populations of its own dynamics are matched with: simulate, correct, simulate again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from consilience.coarse.beads import Beads
from consilience.coarse.forcemap import folds
from consilience.coarse.inversion import most_frequent
from consilience.jobs.train_beads.sets import chains_of_beads
from consilience.potentials.beads.model import BeadModel
from consilience.potentials.beads.prior import Prior
from consilience.potentials.beads.prior_fit import FittedPrior, of_flat
from consilience.potentials.beads.prior_normal import Normal, coefficients, flat, with_coefficients
from consilience.potentials.beads.prior_populations import corrected, features, populations
from consilience.units import BOLTZMANN

ROUNDS, KEPT = 8, 4  # simulations; the coefficients of the last of them are averaged, which halves their noise
REPLICAS, EVERY, SETTLED = 10, 500, 0.2  # of each, frames by steps of 5 fs, share that is left out
FRAMES = 4000  # of the data of each protein


def match_populations(
    start: Prior, found: FittedPrior, work: Normal, proteins: Sequence[Beads], *, steps: int,
    rounds: int = ROUNDS, seed: int = 0, say: Callable[[str], None] = lambda line: None,
) -> FittedPrior:  # fmt: skip
    """`found`, fitted to `work` and drawn to `start`, with angles and dihedrals corrected by populations of `proteins`.

    Dynamics at the temperature that most frames have, from some of them; each round goes on where the last one ended.
    Populations may take of the forces' explained variance no more than its standard error over what is left out
    (Breiman et al., Classification and Regression Trees, 1984, section 3.4.3). Where dynamics fail, `found` as it is,
    and `populations["failed"]` says why.
    """
    from consilience.md.simulate import simulate

    heat = most_frequent([b.temperature for b in proteins])
    cold = [b.select(np.flatnonzero(np.abs(b.temperature - heat) < 0.5)) for b in proteins]
    cold = [b for b in cold if len(b)]
    chains = [chains_of_beads(b) for b in cold]
    known, places = [], []
    rng = np.random.default_rng([seed, 23])
    for b, chain in zip(cold, chains, strict=True):
        some = np.unique(np.linspace(0, len(b) - 1, FRAMES).astype(int))
        phi = features(start, chain, b.positions[some])
        known.append(populations(phi, folds(b.trajectory[some]), BOLTZMANN * heat))
        places.append(b.positions[rng.choice(len(b), REPLICAS)])
    c = np.asarray(flat(coefficients(found.prior)))
    worth = {b.name: k.count for b, k in zip(cold, known, strict=True)}
    told: dict[str, Any] = {"temperature_k": heat, "independent_frames": worth, "rounds": []}
    components = sum(b.positions.size for b in proteins)
    last, floor = [c], work.explained(c) - found.uncertainty
    for k in range(rounds):
        energy = BeadModel(_prior(start, c))
        data = []
        for i, (b, chain) in enumerate(zip(cold, chains, strict=True)):
            own = energy.energy(chain)
            run = simulate(own, places[i], b.masses, steps=steps, dt=5.0, ensemble="nvt", temperature=heat,
                           every=max(1, min(EVERY, steps // 20)), replicas=REPLICAS, seed=seed + k,
                           cutoff=own.cutoff)  # fmt: skip
            if run.failure is not None:
                return replace(found, populations={**told, "failed": f"{b.name}: {run.failure}"})
            x = run.trajectory.positions
            places[i] = x[:, -1]
            settled = x[:, int(SETTLED * x.shape[1]) :]
            data.append((known[i], features(start, chain, settled.reshape(-1, *settled.shape[2:]))))
        step = corrected(start, c, work, components, found.factor, data, floor)
        c = step.coefficients
        row = {"round": k + 1, "change_kt": step.length, "explained": work.explained(c), "share": step.share}
        told["rounds"].append(row)
        held = "" if step.share == 1.0 else f", held back by forces to {step.share:.2g} of its weight"
        explained = f"explained variance {row['explained']:.4f}"
        say(f"populations, round {k + 1} of {rounds}: a change of {step.length:.2f} kT, {explained}{held}")
        last = [*last[1 - KEPT :], c]
    return replace(found, prior=_prior(start, np.mean(last, 0)), populations=told)


def _prior(like: Prior, c: np.ndarray) -> Prior:
    return with_coefficients(like, jax.tree.map(np.asarray, of_flat(like, c)))
