"""Which numbers of a potential are weights, by name, and in which precision."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import numpy as np

from consilience.potentials.potential import Potential


def split(potential: Potential) -> tuple[Any, Any]:
    """The trainable weights, and everything else (`equinox.combine` joins them): offsets and scale do not train."""
    marked = jax.tree.map(eqx.is_inexact_array, potential)
    marked = eqx.tree_at(lambda p: (p.offsets, p.scale), marked, (False, False))
    return eqx.partition(potential, marked)


def cast(potential: Potential, kind: Any) -> Potential:
    """The same potential with its weights in `kind` (float32 or float64)."""
    weights, rest = split(potential)
    return eqx.combine(jax.tree.map(lambda x: np.asarray(x, kind), weights), rest)


def named(weights: Any) -> dict[str, np.ndarray]:
    """Arrays by their path, such as "network.interactions.0.radial.weight"."""
    found = jax.tree_util.tree_flatten_with_path(weights)[0]
    return {_name(path): np.asarray(leaf) for path, leaf in found}


def from_named(like: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Weights shaped as `like` from arrays by name. Raises KeyError or ValueError where they do not fit."""
    found, tree = jax.tree_util.tree_flatten_with_path(like)
    leaves = []
    for path, leaf in found:
        array = arrays[_name(path)]
        if np.shape(array) != np.shape(leaf):
            raise ValueError(f"{_name(path)} has shape {np.shape(array)}, not {np.shape(leaf)}")
        leaves.append(np.asarray(array))
    return jax.tree.unflatten(tree, leaves)


def _name(path: Any) -> str:
    return ".".join(str(getattr(p, "name", getattr(p, "idx", getattr(p, "key", p)))) for p in path)
