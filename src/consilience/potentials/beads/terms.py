"""Terms over a network of beads (and a prior that trains with it): reference forces, a cap of forces, smoothness."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from consilience.core.params import Model
from consilience.core.terms import Score
from consilience.forces import forces_from
from consilience.potentials.beads.batch import Packs
from consilience.potentials.beads.energy import BeadEnergy
from consilience.potentials.beads.prior import Prior
from consilience.potentials.beads.prior_normal import LINEAR, with_coefficients


def pack_forces(network: Any, packs: Packs, prior: Prior | None = None, moved=0.0):
    """Forces (p, n, 3), eV/Å, of a network, and of a prior where one is given, on all beads of some packs.

    moved (p, n, 3) Å or 0: added to the positions; the lists stay.
    """
    chains = packs.chains
    if network is not None:
        network = eqx.tree_at(lambda a: a.warmth, network, packs.warmth.reshape(-1)[:, None, None])
    energy = BeadEnergy(chains, None if prior is None else prior.prepared(chains), network)
    x = (packs.positions + moved).reshape(-1, 3)
    return forces_from(energy)(x, packs.neighbours)[1].reshape(packs.positions.shape)


class BeadForces(eqx.Module):
    """The term "forces": Gaussian likelihood of the forces of all real beads, nats per component.

    The noise of projected forces is the same whatever the model, so that no heavy tail may be used: it would move the
    mean, and the mean is what is wanted. sigma: eV/Å. Reads "net", and the blocks of a prior that trains too.
    """

    rest: Any  # the network without its weights
    prior: Prior | None
    sigma: Any
    name: str = eqx.field(static=True, default="forces")

    @property
    def reads(self) -> frozenset[str]:
        return frozenset({"net"}) | (frozenset() if self.prior is None else trained(self.prior))

    def __call__(self, model: Model, obs: Packs) -> Score:
        network, prior = joined(model, self.rest, self.prior)
        r = pack_forces(network, obs, prior) - obs.forces
        error = jnp.sum(obs.weight[..., None] * r * r) / jnp.maximum(3.0 * jnp.sum(obs.weight), 1e-9)
        return Score(0.5 * error / self.sigma**2, {"mean_squared_error": error})


class ForceCap(eqx.Module):
    """The term "force_cap": squared excess of the network's force on a bead over `cap` (eV/Å), relative to it."""

    rest: Any
    cap: Any
    name: str = eqx.field(static=True, default="force_cap")

    @property
    def reads(self) -> frozenset[str]:
        return frozenset({"net"})

    def __call__(self, model: Model, obs: Packs) -> Score:
        f = pack_forces(joined(model, self.rest, None)[0], obs)
        size = jnp.sqrt(jnp.sum(f * f, -1) + 1e-12)
        excess = jnp.where(obs.weight > 0, jnp.maximum(size / self.cap - 1.0, 0.0), 0.0)
        return Score(jnp.sum(excess**2) / jnp.maximum(jnp.sum(obs.weight > 0), 1), {})


class Smoothness(eqx.Module):
    """The term "smoothness": how much the network's forces change where beads move by `step` (Å), relative to sigma."""

    rest: Any
    sigma: Any
    step: Any
    name: str = eqx.field(static=True, default="smoothness")

    @property
    def reads(self) -> frozenset[str]:
        return frozenset({"net"})

    def __call__(self, model: Model, obs: Packs) -> Score:
        network = joined(model, self.rest, None)[0]
        shape = obs.positions.shape
        moved = self.step * jax.random.normal(jax.random.key(0), shape, obs.positions.dtype)
        d = pack_forces(network, obs, moved=moved) - pack_forces(network, obs)
        d = jnp.where(obs.weight[..., None] > 0, d, 0.0)
        return Score(0.5 * jnp.sum(d * d) / self.sigma**2 / jnp.maximum(3.0 * jnp.sum(obs.weight > 0), 1), {})


def trained(prior: Prior) -> frozenset[str]:
    """The blocks of a prior that trains."""
    return frozenset(k for k in LINEAR if getattr(prior, k) is not None)


def joined(model: Model, rest: Any, prior: Prior | None) -> tuple[Any, Prior | None]:
    """The network and the prior with the values of a model."""
    network = eqx.combine(model["net"], rest)
    if prior is None:
        return network, None
    return network, with_coefficients(prior, {k: model[k] for k in LINEAR if k in trained(prior)})
