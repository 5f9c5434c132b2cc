"""map.json: the maps of positions and forces that a coarsening used, and those of another one read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from consilience.coarse.project import Coarsened
from consilience.coarse.sharedmap import SharedMap, shared_map_of
from consilience.core.errors import InputError


def map_as_dict(made: Sequence[Coarsened], shared: SharedMap | None) -> dict[str, Any]:
    """Per protein the atoms with their weights in each bead (positions) and in each bead force; and the shared map."""
    return {
        "schema_version": 1,
        "kind": made[0].chosen.kind,
        "shared": None if shared is None else shared.as_dict(),
        "proteins": [_protein(m) for m in made],
    }


def _protein(m: Coarsened) -> dict[str, Any]:
    top = m.frames.topology
    atoms = [
        f"{top.chain_names[top.chain[r]]}:{top.residue_names[r]}{top.residue_seqid[r]}:{name}"
        for r, name in zip(top.residue, top.names, strict=True)
    ]
    return {
        "name": m.frames.name,
        "beads": list(m.map.names),
        "atoms": atoms,
        "positions": [_sparse(w) for w in m.map.weights],
        "forces": [_sparse(w) for w in m.chosen.weights],
        "ridge": m.chosen.ridge,
    }


def _sparse(w: np.ndarray) -> dict[str, float]:
    """{index of atom: weight} of the weights that are not zero."""
    return {str(int(a)): round(float(w[a]), 6) for a in np.flatnonzero(np.abs(w) > 1e-6)}


def shared_of_file(said: Mapping[str, Any], where: str) -> SharedMap:
    """The shared map of a map.json. Raises InputError where the file has none."""
    shared = said.get("shared", said if "weights" in said else None)
    if not isinstance(shared, Mapping):
        fix = "coarsen CA beads with --forces optimal; its map.json holds a map for any protein"
        raise InputError("the file holds no force map for other proteins", where, fix=fix)
    return shared_map_of(shared, where)
