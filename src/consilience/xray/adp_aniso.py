"""Restraints on anisotropic displacement: neighbours move alike, rigidly along bonds, and nothing without reason.

Similarity is the symmetric Kullback-Leibler divergence of two Gaussians, tr(U1 U2^-1 + U2 U1^-1) - 6 (Murshudov et al.,
Acta Cryst. D67 (2011) 355), which for isotropic atoms is the one of adp.py; rigid bonds follow Hirshfeld, Acta Cryst.
A32 (1976) 239.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp

from consilience.core.params import Model
from consilience.core.terms import Score
from consilience.xray.fourier import EIGHT_PI2, ISOTROPIC, inverse, matrix

RIGID_SIGMA = 0.01  # Å^2, of the difference of mean square displacements along a bond or a 1-3 distance
ISOTROPY_SIGMA = {"bonded": 1.5, "free": 0.4}  # of the logarithm of a principal U against the mean
KL_METRIC = np.array([4.0, 4.0, 4.0, 2.0, 2.0, 2.0]) / 3  # of tr(E^2) / 3 in the raw values of PositiveDefinite
TRACE = np.array([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])  # tr(AB) = sum(TRACE a b) of symmetric tensors as six numbers


class AnisotropicSimilarity(eqx.Module):
    """Pairs `index` (m, 2) with `sigma` (m,) of ln U; rigid pairs and each atom's own roundness. In nats.

    `rigid` (r, 2) with `along` (r, 6), which gives z'Uz of a tensor; `isotropy` (n,) sigma of ln of a principal U.
    Reads "u" (n, 6) Å^2.
    """

    index: np.ndarray
    sigma: np.ndarray
    rigid: np.ndarray
    along: np.ndarray
    isotropy: np.ndarray
    name: str = eqx.field(static=True, default="adp")

    @classmethod
    def of(cls, index, sigma, rigid, xyz, bonded) -> AnisotropicSimilarity:
        """Similar pairs (m, 2) with sigmas, pairs (r, 2) held rigid, xyz (n, 3) Å, `bonded` (n,) bool."""
        d = xyz[rigid[:, 0]] - xyz[rigid[:, 1]]
        along = _projection(d / np.maximum(np.linalg.norm(d, axis=1, keepdims=True), 1e-6))
        isotropy = np.where(bonded, ISOTROPY_SIGMA["bonded"], ISOTROPY_SIGMA["free"])
        return cls(index, sigma, rigid, along, isotropy)

    @property
    def reads(self) -> frozenset[str]:
        return frozenset({"u"})

    def __call__(self, model: Model, obs: Any = None) -> Score:
        u = model["u"]
        v = inverse(u)
        i, j = self.index.T
        alike = jnp.sum(TRACE * (u[i] * v[j] + u[j] * v[i]), -1) - 6
        mean = jnp.mean(u[:, :3], -1)
        round_ = mean * jnp.sum(v[:, :3], -1) - 3  # tr(<U> U^-1) + tr(U <U>^-1) - 6, the second trace is 3
        stretch = self.along * (u[self.rigid[:, 0]] - u[self.rigid[:, 1]])
        rigid = jnp.sum(stretch, -1) / RIGID_SIGMA
        parts = {
            "similarity": jnp.sum(alike / (3 * self.sigma**2)) / 2,
            "isotropy": jnp.sum(round_ / (3 * self.isotropy**2)) / 2,
            "rigid": jnp.sum(rigid * rigid) / 2,
        }
        return Score(sum(parts.values(), jnp.zeros(())), parts)

    def curvature(self, model: Model, obs: Any = None) -> dict[str, sp.csc_matrix]:
        """Near isotropy, in the raw values of PositiveDefinite, (6n, 6n); the six numbers of an atom taken apart."""
        u = np.asarray(model["u"])
        n, mean = len(u), u[:, :3].mean(1)
        alike = _laplacian(self.index, 1 / self.sigma**2, n)
        own = sp.diags(1 / self.isotropy**2)
        total = sp.kron(alike + own, sp.diags(KL_METRIC))
        step = np.where(np.arange(6) < 3, 2.0, 1.0) * self.along  # of z'Uz / U in raw values
        scale = mean[self.rigid].mean(1) / RIGID_SIGMA
        for k in range(6):
            pick = sp.diags((np.arange(6) == k).astype(float))
            total = total + sp.kron(_laplacian(self.rigid, (step[:, k] * scale) ** 2, n), pick)
        return {"u": sp.csc_matrix(total)}


def _projection(z: np.ndarray) -> np.ndarray:
    """(r, 6): sum(_projection(z) * u) = z' U z."""
    outer = [z[:, i] * z[:, j] for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))]
    return np.stack(outer, -1) * TRACE


def _laplacian(index: np.ndarray, weight: np.ndarray, n: int) -> sp.csr_matrix:
    i, j = index.T
    rows, columns = np.r_[i, j, i, j], np.r_[i, j, j, i]
    return sp.csr_matrix((np.r_[weight, weight, -weight, -weight], (rows, columns)), (n, n))


def isotropic(b: np.ndarray) -> np.ndarray:
    """Tensors (n, 6) Å^2 of isotropic B (n,) Å^2."""
    return np.asarray(b)[:, None] / EIGHT_PI2 * ISOTROPIC


def clipped(u: np.ndarray, low: float, high: float) -> np.ndarray:
    """Tensors (n, 6) Å^2 with their principal B within [low, high] Å^2."""
    values, vectors = np.linalg.eigh(matrix(u))
    outside = (values < low / EIGHT_PI2) | (values > high / EIGHT_PI2)
    m = np.einsum("nik,nk,njk->nij", vectors, np.clip(values, low / EIGHT_PI2, high / EIGHT_PI2), vectors)
    return np.where(np.any(outside, axis=1)[:, None], m[:, [0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]], u)
