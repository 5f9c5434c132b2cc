"""Restraints on displacement parameters: neighbours in space and along bonds move alike, never alike to the mean.

For two Gaussians the symmetric Kullback-Leibler divergence of B1 and B2 is proportional to sinh^2 of half the
difference of their logarithms (Murshudov et al., Acta Cryst. D67 (2011) 355); in log B it is nearly quadratic.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from scipy.spatial import KDTree

from consilience.core.params import Model
from consilience.core.terms import Score

SIGMA = {"bond": 0.25, "angle": 0.35, "space": 0.7}  # of the difference of log B


class Similarity(eqx.Module):
    """Isotropic similarity: pairs (m, 2) with sigma (m,) of ln(B_i / B_j). Residual 2 sinh(d / 2) / sigma."""

    index: np.ndarray
    sigma: np.ndarray
    name: str = eqx.field(static=True, default="adp")

    @property
    def reads(self) -> frozenset[str]:
        return frozenset({"b"})

    def __call__(self, model: Model, obs: Any = None) -> Score:
        r = self.residuals(jnp.log(model["b"]))
        value = 0.5 * jnp.sum(r * r)
        return Score(value, {"rmsz": jnp.sqrt(jnp.mean(r * r))})

    def residuals(self, log_b: jax.Array) -> jax.Array:
        d = log_b[self.index[:, 0]] - log_b[self.index[:, 1]]
        return 2 * jnp.sinh(0.5 * d) / self.sigma

    def curvature(self, model: Model, obs: Any = None) -> dict[str, sp.csc_matrix]:
        """Gauss-Newton matrix (n, n) in log B."""
        log_b = np.log(np.asarray(model["b"]))
        i, j = self.index.T
        slope = np.cosh(0.5 * (log_b[i] - log_b[j])) / self.sigma
        m, n = len(i), len(log_b)
        rows = np.arange(m)
        jac = sp.csr_matrix((np.r_[slope, -slope], (np.r_[rows, rows], np.r_[i, j])), (m, n))
        return {"b": (jac.T @ jac).tocsc()}


def similar_pairs(
    bonded: np.ndarray, angled: np.ndarray, xyz: np.ndarray, altloc: np.ndarray, reach: float = 4.0
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (m, 2) and sigmas (m,): bonds, 1-3 neighbours, and atoms closer than `reach` Å within the molecule."""
    seen: dict[tuple[int, int], float] = {}
    if reach > 0:
        for i, j in KDTree(xyz).query_pairs(reach):
            a, b = altloc[i], altloc[j]
            if a == b or not a or not b:
                d = float(np.linalg.norm(xyz[i] - xyz[j]))
                seen[(min(i, j), max(i, j))] = SIGMA["space"] * (1 + (d / reach) ** 4)
    for kind, pairs in (("angle", angled), ("bond", bonded)):
        for i, j in pairs.tolist():
            seen[(i, j)] = SIGMA[kind]
    index = np.array(sorted(seen), np.int32).reshape(-1, 2)
    return index, np.array([seen[int(i), int(j)] for i, j in index])
