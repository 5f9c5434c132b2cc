"""Small parts of neural networks: dense layers, activations, and norms that are smooth at zero."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np


class Dense(eqx.Module):
    """x (..., inputs) -> x W + b (..., outputs)."""

    weight: Any
    bias: Any

    def __call__(self, x):
        out = x @ self.weight
        return out if self.bias is None else out + self.bias


def dense(rng: np.random.Generator, inputs: int, outputs: int, *, bias: bool = True, scale: float = 1.0) -> Dense:
    """Weights uniform with variance scale² / inputs, zero bias; float32."""
    bound = scale * np.sqrt(3.0 / inputs)
    weight = rng.uniform(-bound, bound, (inputs, outputs)).astype(np.float32)
    return Dense(weight, np.zeros(outputs, np.float32) if bias else None)


class MLP(eqx.Module):
    """Dense layers with `silu` between them."""

    layers: tuple[Dense, ...]

    def __call__(self, x):
        for layer in self.layers[:-1]:
            x = jax.nn.silu(layer(x))
        return self.layers[-1](x)


def mlp(rng: np.random.Generator, *sizes: int, scale: float = 1.0, bias: bool = True) -> MLP:
    """An MLP of the given widths; `scale` multiplies the initial weights of its last layer."""
    pairs = list(pairwise(sizes))
    last = len(pairs) - 1
    return MLP(tuple(dense(rng, a, b, bias=bias, scale=scale if i == last else 1.4) for i, (a, b) in enumerate(pairs)))


def soft_norm(squared):
    """sqrt(1 + |v|²) - 1 of a squared norm: smooth where v vanishes by symmetry, where a plain norm has a cusp.

    A cusp there leaves the forces of symmetric molecules right and their vibrations wrong.
    """
    return squared / (jnp.sqrt(1.0 + squared) + 1.0)


def shifted_softplus(x):
    """ln(0.5 exp(x) + 0.5), the activation of SchNet and PhysNet."""
    return jax.nn.softplus(x) - np.log(2.0).astype(np.float32)


def species_index(numbers, species: tuple[int, ...]):
    """Place of each atomic number in `species`; padding and unknown elements get 0 (readers refuse them)."""
    table = np.zeros(120, np.int32)
    table[list(species)] = np.arange(len(species))
    return jnp.asarray(table)[numbers]
