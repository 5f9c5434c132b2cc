"""Stereochemical restraints on coordinates: bonds, angles, torsions, chiral volumes, planes, and the geometry term.

Every restraint is a residual in units of its standard deviation; the term is half their sum of squares, a negative
log-prior in nats. Gradients are finite everywhere (collinear angles and coinciding atoms included).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp

from consilience.core.params import Model
from consilience.core.terms import Score
from consilience.structure.contacts import Contacts, contact_distance

TINY = 1e-12


def safe_norm(v: jax.Array) -> jax.Array:
    """|v| along the last axis with a finite gradient at zero (in Å: wrong by less than 1e-6 Å there)."""
    return jnp.sqrt(jnp.sum(v * v, axis=-1) + TINY)


def bond_length(x: jax.Array) -> jax.Array:
    """x (2, 3) Å -> Å."""
    return safe_norm(x[0] - x[1])


def bond_angle(x: jax.Array) -> jax.Array:
    """x (3, 3) Å, apex second -> radians in [0, pi]."""
    a, b = x[0] - x[1], x[2] - x[1]
    return jnp.arctan2(safe_norm(jnp.cross(a, b)), jnp.dot(a, b))


def torsion_angle(x: jax.Array) -> jax.Array:
    """x (4, 3) Å -> radians in (-pi, pi], IUPAC sign."""
    a, b, c = x[1] - x[0], x[2] - x[1], x[3] - x[2]
    u, v = jnp.cross(a, b), jnp.cross(b, c)
    sine, cosine = jnp.dot(jnp.cross(u, v), b) / safe_norm(b), jnp.dot(u, v)
    flat = sine * sine + cosine * cosine < TINY  # collinear: no torsion, zero gradient
    return jnp.where(flat, 0.0, jnp.arctan2(jnp.where(flat, 0.0, sine), jnp.where(flat, 1.0, cosine)))


def chiral_volume(x: jax.Array) -> jax.Array:
    """x (4, 3) Å, centre first -> signed volume in Å^3."""
    return jnp.dot(x[1] - x[0], jnp.cross(x[2] - x[0], x[3] - x[0]))


def _bond(x, p):
    return (bond_length(x) - p[0])[None] / p[1]


def _angle(x, p):
    return (bond_angle(x) - p[0])[None] / p[1]


def _torsion(x, p):
    turn = 2 * jnp.pi / p[2]
    e = torsion_angle(x) - p[0]
    return (e - turn * jnp.round(e / turn))[None] / p[1]


def _chiral(x, p):
    return (chiral_volume(x) - p[0])[None] / p[1]


def _plane(x, p):
    """Distances from the best plane. Its normal minimises their squares: holding it fixed gives the exact gradient."""
    member = p[1:]
    y = (x - (member @ x) / jnp.maximum(member.sum(), 1.0)) * member[:, None]
    normal = jax.lax.stop_gradient(_smallest_eigenvector(y.T @ y))
    return (y @ normal) / p[0]


def _smallest_eigenvector(m: jax.Array) -> jax.Array:
    """Of a symmetric positive semi-definite 3 x 3 matrix: its adjugate, squared up, tends to that projector."""
    m = m / jnp.maximum(jnp.trace(m), TINY)
    shifted = jnp.trace(m) * jnp.eye(3) - m  # largest eigenvalue belongs to the wanted vector
    for _ in range(6):
        shifted = shifted @ shifted
        shifted = shifted / jnp.maximum(jnp.trace(shifted), 1e-30)
    column = shifted[:, jnp.argmax(jnp.diagonal(shifted))]
    return column / safe_norm(column)


RESIDUALS = {"bond": _bond, "angle": _angle, "torsion": _torsion, "chiral": _chiral, "plane": _plane}


class Restraints(eqx.Module):
    """Restraints by kind: `index[kind]` (m, k) atom numbers, `target[kind]` (m, p): ideal value, sigma, ...

    Bond Å; angle and torsion radians (torsion: ideal, sigma, period); chiral Å^3; plane: sigma, then a mask over
    members.
    """

    index: dict[str, np.ndarray]
    target: dict[str, np.ndarray]

    @classmethod
    def of(cls, index: Mapping[str, list], target: Mapping[str, list]) -> Restraints:
        width = {"bond": (2, 2), "angle": (3, 2), "torsion": (4, 3), "chiral": (4, 2)}
        idx, tgt = {}, {}
        for kind, (k, p) in width.items():
            idx[kind] = np.array(index[kind], np.int32).reshape(-1, k)
            tgt[kind] = np.array(target[kind], float).reshape(-1, p)
        largest = max([len(i) for i in index["plane"]], default=4)
        idx["plane"] = np.array([[*i, *[i[0]] * (largest - len(i))] for i in index["plane"]], np.int32)
        idx["plane"] = idx["plane"].reshape(-1, largest)
        tgt["plane"] = np.array(
            [
                [s[0], *[1.0] * len(i), *[0.0] * (largest - len(i))]
                for i, s in zip(index["plane"], target["plane"], strict=True)
            ]
        ).reshape(-1, largest + 1)
        return cls(idx, tgt)

    def plane_members(self) -> list[np.ndarray]:
        mask = self.target["plane"][:, 1:] > 0
        return [row[m] for row, m in zip(self.index["plane"], mask, strict=True)]

    def residuals(self, xyz: jax.Array | np.ndarray) -> dict[str, jax.Array]:
        """Residuals in units of sigma by kind: (m, 1), planes (m, members) with zeros beyond the mask."""
        return {k: jax.vmap(RESIDUALS[k])(xyz[self.index[k]], self.target[k]) for k in self.index}


class Geometry(eqx.Module):
    """The stereochemistry term: restraints and non-bonded contacts of the block "xyz", in nats."""

    restraints: Restraints
    contacts: Contacts
    name: str = eqx.field(static=True, default="geometry")

    @property
    def reads(self) -> frozenset[str]:
        return frozenset({"xyz"})

    def __call__(self, model: Model, obs: Any = None) -> Score:
        found = {**self.restraints.residuals(model["xyz"]), "contact": self.contacts.residuals(model["xyz"])}
        values = {k: 0.5 * jnp.sum(r * r) for k, r in found.items()}
        return Score(jnp.sum(jnp.stack(list(values.values()))), values)

    def curvature(self, model: Model, obs: Any = None) -> dict[str, sp.csc_matrix]:
        """Gauss-Newton matrix J'J of all residuals with respect to xyz (3n, 3n)."""
        xyz = np.asarray(model["xyz"])
        blocks = _jacobians(xyz, self)
        size = xyz.size
        total = sp.csc_matrix((size, size))
        for index, jacobian in blocks:
            total = total + _normal_matrix(np.asarray(index), np.asarray(jacobian), size)
        return {"xyz": total}


@eqx.filter_jit
def _jacobians(xyz, term: Geometry):
    out = []
    for kind, index in term.restraints.index.items():
        jac = jax.vmap(jax.jacrev(RESIDUALS[kind]))(xyz[index], term.restraints.target[kind])
        out.append((jnp.asarray(index), jac))
    c = term.contacts
    jac = jax.vmap(jax.grad(contact_distance))(xyz[c.index], c.rotation, c.shift)
    close = jax.vmap(contact_distance)(xyz[c.index], c.rotation, c.shift) < c.ideal
    out.append((jnp.asarray(c.index), jnp.where(close, 1.0 / c.sigma, 0.0)[:, None, None, None] * jac[:, None]))
    return out


def _normal_matrix(index: np.ndarray, jacobian: np.ndarray, size: int) -> sp.csc_matrix:
    """J'J for residuals (m, r) of k atoms each: index (m, k), jacobian (m, r, k, 3)."""
    m, r = jacobian.shape[:2]
    if m == 0:
        return sp.csc_matrix((size, size))
    column = (index[:, :, None] * 3 + np.arange(3)).reshape(m, 1, -1)
    column = np.broadcast_to(column, (m, r, column.shape[-1]))
    row = np.broadcast_to(np.arange(m * r).reshape(m, r, 1), column.shape)
    j = sp.csr_matrix((jacobian.reshape(-1), (row.ravel(), column.ravel())), (m * r, size))
    return (j.T @ j).tocsc()


@eqx.filter_jit
def _residuals(restraints: Restraints, xyz: jax.Array | np.ndarray) -> dict[str, jax.Array]:
    return restraints.residuals(xyz)


def residuals(restraints: Restraints, xyz: np.ndarray) -> dict[str, np.ndarray]:
    """`Restraints.residuals` as NumPy arrays, compiled once."""
    return jax.device_get(_residuals(restraints, np.asarray(xyz, float)))


def rmsz(restraints: Restraints, xyz: np.ndarray) -> dict[str, float]:
    """Root mean square residual in units of sigma, by kind (planes: over their true members)."""
    out = {}
    for kind, z in residuals(restraints, xyz).items():
        members = (restraints.target[kind][:, 1:] > 0).sum() if kind == "plane" else z.size
        if members:
            out[kind] = float(np.sqrt(np.sum(z * z) / members))
    return out


def rms_deviations(restraints: Restraints, xyz: np.ndarray) -> dict[str, float]:
    """Root mean square deviations from ideal bond lengths (Å) and angles (radians)."""
    out = {}
    for kind, z in residuals(restraints, xyz).items():
        if kind in ("bond", "angle"):
            sigma = restraints.target[kind][:, 1]
            out[kind] = float(np.sqrt(np.mean((z[:, 0] * sigma) ** 2))) if len(z) else 0.0
    return out
