"""Jelly body: springs to the distances as they are, so that groups move together where data are weak.

Murshudov et al., Acta Cryst. D67 (2011) 355, section 3.5: no force at the start of a cycle, only stiffness.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from scipy.spatial import KDTree

from consilience.core.params import Model
from consilience.core.terms import Score
from consilience.structure.atoms import Structure
from consilience.structure.restraints import safe_norm

REACH, SIGMA = 4.2, 0.02  # Å


class JellyBody(eqx.Module):
    """Pairs `index` (m, 2) with `distance` (m,) Å at the start of the cycle; half the sum of squares over sigma."""

    index: np.ndarray
    distance: np.ndarray
    name: str = eqx.field(static=True, default="jelly")

    @classmethod
    def of(cls, index: np.ndarray, xyz: np.ndarray) -> JellyBody:
        return cls(index, np.asarray(safe_norm(jnp.asarray(xyz)[index[:, 0]] - xyz[index[:, 1]])))

    @property
    def reads(self) -> frozenset[str]:
        return frozenset({"xyz"})

    def __call__(self, model: Model, obs: Any = None) -> Score:
        xyz = model["xyz"]
        d = safe_norm(xyz[self.index[:, 0]] - xyz[self.index[:, 1]])
        r = (d - self.distance) / SIGMA
        return Score(0.5 * jnp.sum(r * r), {"rms_shift": jnp.sqrt(jnp.mean((d - self.distance) ** 2))})

    def curvature(self, model: Model, obs: Any = None) -> dict[str, sp.csc_matrix]:
        """Gauss-Newton matrix (3n, 3n) in xyz."""
        xyz = np.asarray(model["xyz"])
        i, j = self.index.T
        d = xyz[i] - xyz[j]
        unit = d / np.maximum(np.linalg.norm(d, axis=1, keepdims=True), 1e-6) / SIGMA
        columns = (self.index[:, :, None] * 3 + np.arange(3)).reshape(len(i), 6)
        rows = np.broadcast_to(np.arange(len(i))[:, None], columns.shape)
        values = np.concatenate([unit, -unit], axis=1)
        jac = sp.csr_matrix((values.ravel(), (rows.ravel(), columns.ravel())), (len(i), xyz.size))
        return {"xyz": sp.csc_matrix(jac.T @ jac)}


def jelly_pairs(structure: Structure) -> np.ndarray:
    """Pairs (m, 2) of one chain closer than 4.2 Å, waters and different conformers left out."""
    chain = np.array([k for k, c in enumerate(structure.hierarchy[0]) for r in c for _ in r])
    water = np.array([r.is_water() for c in structure.hierarchy[0] for r in c for _ in r], bool)
    pairs = KDTree(structure.xyz).query_pairs(REACH, output_type="ndarray")
    i, j = np.sort(pairs, axis=1).T
    a, b = structure.altloc[i], structure.altloc[j]
    keep = (chain[i] == chain[j]) & ~water[i] & ~water[j] & ((a == b) | (a == "") | (b == ""))
    index = np.c_[i, j][keep]
    return index[np.lexsort(index.T[::-1])].astype(np.int32)
