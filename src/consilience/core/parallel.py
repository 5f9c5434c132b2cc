"""Data-parallel training: the same program on every device of every process, batches split among them.

With one device nothing changes. Several processes are joined by `jax.distributed.initialize` before the first
computation; each holds all data and the same weights, and the sums of gradients over a batch are exchanged by XLA.
"""

from __future__ import annotations

import os
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def join_processes() -> bool:
    """Join the processes named by JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID; False without them."""
    names = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
    if not all(os.environ.get(n) for n in names):
        return False
    if jax.distributed.is_initialized():
        return True
    address, count, index = (os.environ[n] for n in names)
    jax.distributed.initialize(address, int(count), int(index))
    return True


def is_follower() -> bool:
    """Whether this is one of several processes, and not the one that writes."""
    return jax.process_index() > 0


def devices_mesh() -> Mesh | None:
    """All devices along the axis "data", or None where there is only one."""
    return Mesh(np.array(jax.devices()), ("data",)) if jax.device_count() > 1 else None


def placed(tree: Any, mesh: Mesh | None, *axes: str | None) -> Any:
    """The arrays of a tree on all devices: whole copies, or split along `axes` (one name or None for each axis)."""
    if mesh is None:
        return tree
    sharding = NamedSharding(mesh, PartitionSpec(*axes))

    def put(x: Any) -> Any:
        if not isinstance(x, jax.Array | np.ndarray | np.generic):
            return x
        whole = np.asarray(x)
        return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])

    return jax.tree.map(put, tree)
