"""Small chains of beads with a known prior, and frames of its own dynamics with noisy forces."""

from __future__ import annotations

from pathlib import Path

import equinox as eqx
import jax
import numpy as np

from consilience.forces import forces_from
from consilience.md.simulate import simulate
from consilience.neighbours import all_pairs
from consilience.potentials.beads.chains import Chains, chains_of
from consilience.potentials.beads.energy import BeadEnergy, bead_energy
from consilience.potentials.beads.prior import Prior, empty_prior, walls
from consilience.units import KCAL_MOL

SEQUENCE = ("GLY", "TRP", "LYS", "ASP", "PRO", "VAL")


def chains(sequence: tuple[str, ...] = SEQUENCE) -> Chains:
    return chains_of(sequence, np.zeros(len(sequence)), np.arange(len(sequence)))


def known_prior(seed: int = 0, *, sites: tuple[int, ...] | None = None) -> Prior:
    """Coefficients of the size that proteins have."""
    prior = empty_prior(walls(np.radians(155), np.radians(78)), sites=sites)
    rng = np.random.default_rng(seed)
    part = "sites" if sites is not None else "by_type"

    def filled(table, size):
        values = getattr(table, part)
        return eqx.tree_at(lambda t: getattr(t, part), table, size * KCAL_MOL * rng.normal(size=np.shape(values)))

    return eqx.tree_at(
        lambda p: (p.angle, p.dihedral),
        prior,
        (filled(prior.angle, 1.0), filled(prior.dihedral, 0.5)),
    )


def helix(n: int) -> np.ndarray:
    """A helical chain (n, 3), Å, of bonds of 3.8 Å: every bead has neighbours."""
    t = np.radians(100.0) * np.arange(n)
    return np.stack([2.28 * np.cos(t), 2.28 * np.sin(t), 1.5 * np.arange(n)], 1)


def sampled(energy: BeadEnergy, frames: int, *, seed: int = 0, temperature: float = 300.0) -> np.ndarray:
    """Frames (f, n, 3) of dynamics."""
    n = len(energy.chains.types)
    run = simulate(energy, helix(n), np.full(n, 110.0), steps=frames * 20, dt=5.0, ensemble="nvt", every=20,
                   temperature=temperature, seed=seed, cutoff=energy.cutoff)  # fmt: skip
    assert run.status == "ok"
    return run.trajectory.positions[0, 1:]


@eqx.filter_jit
def _forces(energy, x, pairs):
    return jax.vmap(lambda y: forces_from(energy)(y, pairs)[1])(x)


def forces(energy: BeadEnergy, x: np.ndarray) -> np.ndarray:
    return np.asarray(_forces(energy, x, all_pairs(x.shape[1])))


def write_bead_file(path: Path, *, frames: int = 200, noise: float = 0.2, seed: int = 0, **arrays) -> BeadEnergy:
    """A bead file of a known prior's dynamics, forces with noise (eV/Å); returns that prior's energy."""
    energy = bead_energy(chains(), known_prior())
    x = sampled(energy, frames, seed=seed)
    f = forces(energy, x) + noise * np.random.default_rng(seed).normal(size=x.shape)
    said = {
        "R": x,
        "F": f / KCAL_MOL,
        "seq": np.array(SEQUENCE),
        "temp": np.full(frames, 300.0),
        "traj": np.repeat([0, 1], [frames // 2, frames - frames // 2]),
    }
    np.savez(path, **(said | arrays))
    return energy
