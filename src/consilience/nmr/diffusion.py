"""Rotational diffusion: the rank-2 operator of a tensor, its modes, and the tensor's axes, angles and correlation time.

A tensor is a symmetric (3, 3) matrix in rad^2/ns. Acting on symmetric traceless tensors (five dimensions), the operator
sum_ij D_ij J_i J_j is linear in D, so nothing here has the singular points of Euler angles (Woessner, J. Chem. Phys. 37
(1962) 647; Favro, Phys. Rev. 119 (1960) 53).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
import numpy as np

DiffusionKind = Literal["iso", "axial", "rhombic", "local"]


def _basis() -> np.ndarray:
    """(5, 3, 3) orthonormal symmetric traceless tensors."""
    e = np.zeros((5, 3, 3))
    s = np.sqrt(0.5)
    e[0] = np.diag([-1.0, -1.0, 2.0]) / np.sqrt(6)
    e[1] = np.diag([1.0, -1.0, 0.0]) * s
    for k, (i, j) in enumerate(((0, 1), (0, 2), (1, 2)), 2):
        e[k, i, j] = e[k, j, i] = s
    return e


def _squares() -> np.ndarray:
    """(3, 3, 5, 5): J_i J_j on the basis, symmetrised in i and j."""
    basis = _basis()
    turn = np.zeros((3, 3, 3))
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        turn[i, k, j], turn[i, j, k] = 1.0, -1.0
    rotated = np.einsum("ixy,byz->ibxz", turn, basis) - np.einsum("bxy,iyz->ibxz", basis, turn)
    generator = np.einsum("axz,ibxz->iab", basis, rotated)
    product = -np.einsum("iab,jbc->ijac", generator, generator)
    return 0.5 * (product + product.transpose(1, 0, 2, 3))


BASIS, SQUARES = _basis(), _squares()


def operator(diffusion):
    """(5, 5) symmetric matrix, rad^2/ns, of a tensor (3, 3); 6 D times the identity for isotropic diffusion."""
    return jnp.einsum("ij,ijab->ab", jnp.asarray(diffusion), jnp.asarray(SQUARES))


def components(u, xp=jnp):
    """(..., 5) of u u^T - 1/3 for unit vectors (..., 3), normalised: components(u) . components(v) = P2(u . v)."""
    return np.sqrt(1.5) * xp.einsum("...i,...j,aij->...a", u, u, BASIS)


def modes(diffusion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rates (5,) rad^2/ns ascending and eigenvectors (5, 5) as columns; for fits at a tensor that is held."""
    return np.linalg.eigh(np.einsum("ij,ijab->ab", np.asarray(diffusion, float), SQUARES))


def correlation_time(diffusion) -> float:
    """tau_c = 1 / (2 tr D) in ns."""
    return float(1.0 / (2.0 * np.trace(np.asarray(diffusion))))


def isotropic(tau_c: float) -> np.ndarray:
    """(3, 3) tensor of a sphere with correlation time tau_c ns."""
    return np.eye(3) / (6.0 * tau_c)


@dataclass(frozen=True)
class PrincipalAxes:
    """dx <= dy <= dz rad^2/ns (axial: dz is the unique one), axes (3, 3) as rows x, y, z in the model's frame."""

    kind: DiffusionKind
    values: np.ndarray
    axes: np.ndarray

    @property
    def ratio(self) -> float:
        """D_par / D_perp; rhombic: 2 Dz / (Dx + Dy)."""
        return float(2 * self.values[2] / (self.values[0] + self.values[1]))

    @property
    def angles(self) -> tuple[float, float]:
        """theta in [0, pi/2] and phi in (-pi, pi] of the z axis, rad."""
        z = self.axes[2]
        z = -z if z[2] < 0 or (z[2] == 0 and z[1] < 0) else z
        return float(np.arccos(np.clip(z[2], -1, 1))), float(np.arctan2(z[1], z[0]))

    def as_dict(self) -> dict[str, float | str | None]:
        """The contract's keys; without orientation for isotropic tumbling."""
        theta, phi = self.angles if self.kind in ("axial", "rhombic") else (None, None)
        dx, dy, dz = (float(v) for v in self.values)
        return {"kind": self.kind, "dx": dx, "dy": dy, "dz": dz, "ratio": self.ratio, "theta": theta, "phi": phi}


def principal_axes(diffusion: np.ndarray, kind: DiffusionKind) -> PrincipalAxes:
    """Eigenvalues and axes of a tensor; for "axial" the eigenvalue apart from the other two comes last."""
    values, vectors = np.linalg.eigh(np.asarray(diffusion, float))
    axes = vectors.T
    if kind == "axial" and values[1] - values[0] > values[2] - values[1]:
        values, axes = values[[1, 2, 0]], axes[[1, 2, 0]]
    axes = axes * np.sign(np.linalg.det(axes))
    return PrincipalAxes(kind, values, axes)


def tensor(values, axes) -> np.ndarray:
    """(3, 3) from eigenvalues (3,) and axes (3, 3) as rows."""
    axes = np.asarray(axes, float)
    return np.einsum("k,ki,kj->ij", np.asarray(values, float), axes, axes)
