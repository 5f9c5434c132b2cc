"""Which numbers of a network or potential are weights, by name, and in which precision."""

from __future__ import annotations

from typing import Any, TypeVar

import equinox as eqx
import jax
import numpy as np

Model = TypeVar("Model")


def split(model: Any) -> tuple[Any, Any]:
    """The trainable weights of a module, and everything else (`equinox.combine` joins them).

    What its class names in `held` are numbers, but no weights.
    """
    marked = jax.tree.map(eqx.is_inexact_array, model)
    marked = eqx.tree_at(lambda m: [getattr(m, name) for name in m.held], marked, [False] * len(model.held))
    return eqx.partition(model, marked)


def cast(model: Model, kind: Any) -> Model:
    """The same model with its weights in `kind` (float32 or float64)."""
    weights, rest = split(model)
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
