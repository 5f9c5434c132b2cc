"""PhysNet (Unke & Meuwly, J. Chem. Theory Comput. 2019, 15, 3678): scalar messages, masked by learned attention.

Faithful to the paper: exponential Gaussians, interaction modules with pre-activation residual blocks, an output from
every module, energies and charges scaled and shifted by element, and the penalty on outputs that do not decay from
module to module. Long-range terms stand beside the network, in `Potential`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from consilience.potentials.equivariant import Features
from consilience.potentials.layers import Dense, dense, shifted_softplus, species_index
from consilience.potentials.radial import exponential_gaussians, physnet_envelope


class Residual(eqx.Module):
    """x + W2 act(W1 act(x) + b1) + b2 (eq. 4)."""

    inner: Dense
    outer: Dense

    def __call__(self, x):
        return x + self.outer(shifted_softplus(self.inner(shifted_softplus(x))))


class Module(eqx.Module):
    """One interaction block with its atomic residuals and its output (fig. 2 of the paper)."""

    attention: Any  # (radial, F), no bias
    own: Dense
    others: Dense
    interaction: tuple[Residual, ...]
    gate: Any  # (F,)
    update: Dense
    atomic: tuple[Residual, ...]
    readout: tuple[Residual, ...]
    output: Dense

    def __call__(self, x, basis, neighbours):
        """New features (n, F) and this module's output (n, 2)."""
        active = shifted_softplus(x)
        sent = shifted_softplus(self.others(active))[neighbours.index]
        v = shifted_softplus(self.own(active)) + jnp.sum((basis @ self.attention) * sent, 1)
        for block in self.interaction:
            v = block(v)
        x = self.gate * x + self.update(shifted_softplus(v))
        for block in self.atomic:
            x = block(x)
        y = x
        for block in self.readout:
            y = block(y)
        return x, self.output(shifted_softplus(y))


class PhysNet(eqx.Module):
    """Per-atom energies and charges from distances."""

    embedding: Any
    modules: tuple[Module, ...]
    scale: Any  # (species, 2)
    shift: Any  # (species, 2)
    species: tuple[int, ...] = eqx.field(static=True)
    cutoff: float = eqx.field(static=True)
    radial_size: int = eqx.field(static=True)

    def __call__(self, vectors, numbers, neighbours):
        """Outputs (n, 2), features, and the hierarchy penalty (eq. 12), for vectors to the neighbours (n, K, 3) Å."""
        r = jnp.sqrt(jnp.sum(vectors * vectors, -1))
        inside = jnp.where(neighbours.mask, physnet_envelope(r / self.cutoff), 0.0)
        basis = exponential_gaussians(r, self.cutoff, self.radial_size) * inside[..., None]
        index = species_index(numbers, self.species)
        x = jnp.asarray(self.embedding)[index]
        outputs = []
        for module in self.modules:
            x, out = module(x, basis, neighbours)
            outputs.append(out)
        total = sum(outputs) * jnp.asarray(self.scale)[index] + jnp.asarray(self.shift)[index]
        return total, Features(x, None), _hierarchy(outputs, numbers > 0)


def _hierarchy(outputs, real):
    """Mean over atoms and later modules of E_m² / (E_m² + E_(m-1)²), in energies and charges alike."""
    total = jnp.zeros((), outputs[0].dtype)
    for before, after in pairwise(outputs):
        a, b = after * after, before * before
        total = total + jnp.sum(jnp.where(real[:, None], a / (a + b + 1e-7), 0.0))
    return total / jnp.maximum(jnp.sum(real), 1)


def physnet(
    rng: np.random.Generator,
    species: tuple[int, ...],
    *,
    cutoff: float = 6.0,
    features: int = 128,
    modules: int = 5,
    radial_size: int = 64,
    interaction_residuals: int = 3,
    atomic_residuals: int = 2,
    output_residuals: int = 1,
) -> PhysNet:
    """A network with random weights and, as in the paper, outputs of zero."""

    def residuals(count: int) -> tuple[Residual, ...]:
        return tuple(
            Residual(dense(rng, features, features), dense(rng, features, features, scale=0.1)) for _ in range(count)
        )

    def module() -> Module:
        return Module(
            dense(rng, radial_size, features, bias=False).weight,
            dense(rng, features, features),
            dense(rng, features, features),
            residuals(interaction_residuals),
            np.ones(features, np.float32),
            dense(rng, features, features),
            residuals(atomic_residuals),
            residuals(output_residuals),
            dense(rng, features, 2, bias=False, scale=1e-3),
        )

    return PhysNet(
        rng.uniform(-np.sqrt(3), np.sqrt(3), (len(species), features)).astype(np.float32),
        tuple(module() for _ in range(modules)),
        np.ones((len(species), 2), np.float32),
        np.zeros((len(species), 2), np.float32),
        tuple(species),
        float(cutoff),
        radial_size,
    )
