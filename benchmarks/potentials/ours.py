"""The networks of this project as the benchmarks call them: the only file here that knows their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

NAMES: tuple[str, ...] = ()  # fill in when the potentials are there: ("equivariant-128", ...)


def ours(name: str, z: np.ndarray, frames: np.ndarray, cutoff: float) -> tuple[Any, Any, Any]:
    """ADAPTER, to be filled in: (potential, positions, graph) of frames (m, n, 3) of one molecule z (n,).

    `potential(positions (m n, 3), graph) -> Prediction(energy (m,), ...)`, an equinox module in float32; the graph
    holds what its kind needs (elements, neighbours or edges within `cutoff`, the frame of each atom).
    """
    raise SystemExit(f"{name}: the potentials of this project are not connected here yet")


def calculator(name: str, z: np.ndarray, cutoff: float) -> Any:
    """ADAPTER, to be filled in: our ASE calculator of a freshly initialised network for molecule z (n,)."""
    raise SystemExit(f"{name}: the ASE calculator of this project is not connected here yet")


def dynamics(name: str, z: np.ndarray, x: np.ndarray, dt_fs: float, steps: int, cutoff: float) -> Callable[[], Any]:
    """ADAPTER, to be filled in: a call without arguments that does `steps` NVE steps in the graph, from rest.

    x: (n, 3) one molecule, or (replicas, n, 3) that move at once. The call returns arrays to wait for.
    """
    raise SystemExit(f"{name}: the dynamics of this project is not connected here yet")


def train(name: str, problem: dict[str, np.ndarray], options: dict, cutoff: float) -> dict:
    """ADAPTER, to be filled in: the project's own training on problem (see cases.ethanol), options["budget_s"] CPU s.

    Returns at least energy_mae_mev, force_mae_mev_A on the test frames, epochs, steps, parameters, cpu_s, wall_s.
    """
    raise SystemExit(f"{name}: the training of this project is not connected here yet")
