"""A strictly local network as programs of XLA (StableHLO) for fixed numbers of beads and neighbours.

A program maps vectors (m, K, 3) Å to neighbours, types (m,) and (m, K), separations (m, K) and counts (m,) to energies
(m,) kcal/mol of the m beads and forces (m, K, 3) kcal/mol/Å on their neighbours. Rows do not see one another: a caller
with more beads takes several calls, so only the number of neighbours limits what can be computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from consilience import _xla
from consilience.core.errors import InputError
from consilience.forces import forces_from
from consilience.units import KCAL_MOL

VERSION = 1
DENSITY = 1.0 / 134.0  # CA atoms in a cubic Å of folded protein
CROWDED = 2.0  # times that density: the most that programs are made for


def program(network: Any) -> Any:
    """The function that is exported: see above. network.energies(vectors, types_i, types_j, separation, mask) -> eV."""

    def energies_and_forces(vectors, types_i, types_j, separation, count):
        mask = jnp.arange(vectors.shape[1])[None] < count[:, None]

        def energy(v):
            found = network.energies(v, types_i, types_j, separation, mask)
            return jnp.asarray(found, jnp.float64) / KCAL_MOL

        return forces_from(energy)(vectors)

    return energies_and_forces


def slots_for(cutoff: float, most: int) -> tuple[int, ...]:
    """Numbers of neighbours to make programs for: what is met now (`most`) with a margin, and a crowded protein."""
    limit = CROWDED * DENSITY * 4.0 / 3.0 * np.pi * cutoff**3
    first = 8 * int(np.ceil((1.25 * most + 2) / 8))
    sizes = {first, 8 * int(np.ceil(max(limit, 2.0 * first) / 8))}
    return tuple(sorted(sizes))


def rows_for(beads: int) -> tuple[int, ...]:
    """Numbers of beads to make programs for: all beads of a small system, and few, for shares and remainders."""
    return tuple(sorted({min(16, 8 * int(np.ceil(beads / 8))), min(256, 8 * int(np.ceil(beads / 8)))}))


def write_network(
    folder: Path, network: Any, types: Sequence[str], rows: Sequence[int], slots: Sequence[int], far: int
) -> list[Path]:
    """Programs for all combinations of `rows` and `slots`, the options to compile them, and network.txt.

    types: names of the types that the network knows, in its order; far: separation of beads of different chains.
    Raises InputError where flatbuffers is missing, which JAX needs to export.
    """
    from jax import export
    from jaxlib import xla_client

    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"consilience-network {VERSION}", f"cutoff {float(network.cutoff)!r}", f"far {far}"]
    lines.append("types " + " ".join(types))
    paths = []
    with jax.enable_x64(True):
        for m in rows:
            for k in slots:
                path = folder / f"program-{m}x{k}.mlir"
                shapes = [
                    jax.ShapeDtypeStruct(shape, kind)
                    for shape, kind in (
                        ((m, k, 3), jnp.float64), ((m,), jnp.int32), ((m, k), jnp.int32), ((m, k), jnp.int32),
                        ((m,), jnp.int32),
                    )
                ]  # fmt: skip
                try:
                    made = export.export(jax.jit(program(network), keep_unused=True), platforms=("cpu",))(*shapes)
                    path.write_bytes(made.mlir_module_serialized)
                except ImportError as err:
                    raise InputError("flatbuffers is not installed, which JAX needs to export programs",
                                     found=str(err), fix="pip install 'consilience[lammps]'") from None  # fmt: skip
                lines.append(f"program {m} {k} {path.name}")
                paths.append(path)
    _xla.guard()  # the options carry the flags of this process, the guard against a faulty fusion among them
    options = xla_client.CompileOptions()
    options.num_replicas = options.num_partitions = 1
    (folder / "options.pb").write_bytes(options.SerializeAsString())
    (folder / "network.txt").write_text("\n".join(lines) + "\n")
    return [*paths, folder / "options.pb", folder / "network.txt"]
