"""Write bead files: npz in Å and kcal/mol/Å, several proteins padded to one shape, by atomic rename."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from consilience.coarse.beads import Beads
from consilience.core.errors import InputError
from consilience.files import write_atomic
from consilience.units import KCAL_MOL

UNITS = "angstrom, kcal/mol/angstrom"


def write_beads(path: str | Path, proteins: Sequence[Beads], extra: Mapping[str, np.ndarray] | None = None) -> None:
    """Write one file that `read_beads` reads: R (frames, beads, 3) Å, F kcal/mol/Å, seq, chain, number, temp, traj.

    Several proteins are padded with zeros to the largest, and told apart by `protein` (frames) and `mask`
    (frames, beads). `extra`: arrays to be added as they are. Raises InputError where there are no beads, or where only
    some proteins have forces, a box or labels of source.
    """
    if not proteins:
        raise InputError("there are no beads to write", str(path))
    most = max(len(p.residues) for p in proteins)
    together = len(proteins) > 1
    arrays: dict[str, np.ndarray] = {"R": np.concatenate([_padded(p.positions, most) for p in proteins])}
    if _all_or_none("forces", proteins):
        arrays["F"] = np.concatenate([_padded(p.forces, most) for p in proteins if p.forces is not None]) / KCAL_MOL
    per_bead = {
        "seq": [np.array(p.residues) for p in proteins],
        "chain": [p.chain for p in proteins],
        "number": [p.number for p in proteins],
    }
    if any(p.weights is not None for p in proteins):
        per_bead["masses"] = [p.masses for p in proteins]
    for name, rows in per_bead.items():
        full = [np.concatenate([r, np.zeros(most - len(r), r.dtype)]) for r in rows]
        repeated = [np.broadcast_to(r, (len(p), most)) for r, p in zip(full, proteins, strict=True)]
        arrays[name] = np.concatenate(repeated) if together else full[0]
    arrays["temp"] = np.concatenate([p.temperature for p in proteins])
    arrays["traj"] = np.concatenate([p.trajectory for p in proteins])
    if _all_or_none("source", proteins):
        arrays["source"] = np.concatenate([np.array(p.source) for p in proteins])
    if _all_or_none("box", proteins):
        arrays["box"] = np.concatenate([p.box for p in proteins if p.box is not None])
    arrays["protein"] = np.concatenate([np.full(len(p), p.name) for p in proteins])
    if together:
        masks = [np.broadcast_to(np.arange(most) < len(p.residues), (len(p), most)) for p in proteins]
        arrays["mask"] = np.concatenate(masks)
    arrays["units"] = np.array(UNITS)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays, **dict(extra or {}))  # type: ignore[arg-type]
    write_atomic(path, buffer.getvalue())


def _padded(x: np.ndarray, most: int) -> np.ndarray:
    return np.pad(x, ((0, 0), (0, most - x.shape[1]), (0, 0))).astype(np.float32)


def _all_or_none(name: str, proteins: Sequence[Beads]) -> bool:
    there = [getattr(p, name) is not None for p in proteins]
    if any(there) and not all(there):
        lacking = ", ".join(p.name for p, has in zip(proteins, there, strict=True) if not has)
        raise InputError(f"some proteins have no {name}", lacking, expected="all of them or none")
    return all(there)
