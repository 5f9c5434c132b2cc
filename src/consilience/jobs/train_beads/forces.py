"""Forces of a model of beads on many frames."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import numpy as np

from consilience.coarse.beads import Beads
from consilience.forces import forces_from
from consilience.jobs.train_beads.sets import chains_of_beads
from consilience.neighbours import Neighbours, all_pairs
from consilience.potentials.beads.energy import BeadEnergy
from consilience.potentials.beads.model import BeadModel

STRIDE = 256  # frames in one call


def mean_forces(model: BeadModel, beads: Beads) -> np.ndarray:
    """Forces (f, n, 3), eV/Å, of the mean of the members on a protein's frames, each at its temperature."""
    return np.mean(member_forces(model, beads), 0)


def member_forces(model: BeadModel, beads: Beads) -> np.ndarray:
    """Forces (members, f, n, 3), eV/Å."""
    chains = chains_of_beads(beads)
    members = max(len(model.networks), 1)
    out = np.zeros((members, *beads.positions.shape))
    heats = np.unique(beads.temperature) if model.shape is not None and model.shape.temperature else [300.0]
    for t in heats:
        rows = beads.temperature == t if len(heats) > 1 else np.ones(len(beads), bool)
        for i in range(members):
            energy = model.energy(chains, member=i, temperature=float(t))
            out[i, rows] = forces_of(energy, beads.positions[rows])
    return out


def forces_of(energy: BeadEnergy, positions: np.ndarray) -> np.ndarray:
    """Forces (f, n, 3), eV/Å, of frames (f, n, 3)."""
    count = len(positions)
    pairs = all_pairs(positions.shape[1])
    step = min(STRIDE, max(count, 1))
    forces = []
    for start in range(0, count, step):
        chosen = np.minimum(np.arange(start, start + step), count - 1)
        forces.append(np.asarray(_batch(energy, np.asarray(positions[chosen], float), pairs))[: count - start])
    return np.concatenate(forces)


@eqx.filter_jit
def _batch(energy: BeadEnergy, x: Any, neighbours: Neighbours):
    return jax.lax.map(lambda one: forces_from(energy)(one, neighbours)[1], x)
