"""Harmonic vibrations by automatic differentiation: frequencies, normal modes and infrared intensities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from consilience.core.compiled import brief_filter_jit, light_filter_jit
from consilience.core.errors import InputError
from consilience.forces import forces_from
from consilience.md.velocities import rigid_motions
from consilience.neighbours import Neighbours, all_pairs
from consilience.units import CM1, KM_MOL, QUANTUM

SOFT = 50.0  # cm^-1


@dataclass(frozen=True)
class Vibrations:
    """Normal modes of a molecule of n atoms, sorted by frequency.

    cm1 (m,): m = 3n - 6 (linear: 3n - 5; periodic: 3n - 3); imaginary frequencies are given as negative numbers.
    modes (m, n, 3): dx/dQ in amu^-1/2. ir_km_mol (m,): double harmonic, or None without dipoles.
    hessian (3n, 3n): eV/Å², symmetrised; dipole_derivative (3n, 3): e. linear: two rotations only.
    """

    cm1: np.ndarray
    modes: np.ndarray
    ir_km_mol: np.ndarray | None
    hessian: np.ndarray
    dipole_derivative: np.ndarray | None
    linear: bool

    @property
    def zero_point_energy(self) -> float:
        """Half the sum of the quanta of the real modes, eV."""
        return 0.5 * QUANTUM * float(self.cm1[self.cm1 > 0].sum())


def vibrations(
    energy: Any, positions: Any, masses: Any, neighbours: Neighbours | None = None, *, periodic: bool = False
) -> Vibrations:
    """Vibrations of energy(positions, neighbours) at a stationary point positions (n, 3) Å; masses (n,) amu.

    Translations and rotations are projected out of the mass-weighted Hessian exactly. Intensities where the energy has
    dipole(positions, neighbours) -> (3,), e Å. neighbours None: all pairs. Raises InputError where the Hessian is not
    finite.
    """
    x = np.asarray(positions, float)
    neighbours = all_pairs(len(x)) if neighbours is None else neighbours
    h = hessian(energy, x, neighbours)
    derivative = dipole_derivative(energy, x, neighbours) if hasattr(energy, "dipole") else None
    return normal_modes(h, x, masses, derivative, periodic=periodic)


def normal_modes(
    hessian: np.ndarray,
    positions: Any,
    masses: Any,
    dipole_derivative: np.ndarray | None = None,
    *,
    periodic: bool = False,
) -> Vibrations:
    """Vibrations from a Hessian (3n, 3n), eV/Å², and the derivative of the dipole (3n, 3), e."""
    x, m = np.asarray(positions, float), np.asarray(masses, float)
    h = np.asarray(hessian, float)
    if h.shape != (x.size, x.size) or not np.isfinite(h).all():
        raise InputError("the Hessian must be finite, of shape (3n, 3n)", found=str(h.shape))
    h = 0.5 * (h + h.T)
    root = np.sqrt(np.repeat(m, 3))
    rigid = rigid_motions(x, m, rotation=not periodic)
    inner = np.linalg.qr(rigid, mode="complete")[0][:, rigid.shape[1] :]
    values, vectors = np.linalg.eigh(inner.T @ (h / np.outer(root, root)) @ inner)
    modes = (inner @ vectors).T / root
    ir = None
    if dipole_derivative is not None:
        ir = KM_MOL * np.sum((modes @ dipole_derivative) ** 2, 1)
    cm1 = np.sign(values) * np.sqrt(np.abs(values)) * CM1
    linear = not periodic and rigid.shape[1] == 5
    return Vibrations(cm1, modes.reshape(-1, *x.shape), ir, h, dipole_derivative, linear)


def hessian(energy: Any, positions: Any, neighbours: Neighbours) -> np.ndarray:
    """Second derivatives (3n, 3n), eV/Å², forward over reverse, column by column; not symmetrised."""
    return np.asarray(_hessian(energy, np.asarray(positions, float), neighbours), float)


@light_filter_jit
def _hessian(energy, x, neighbours):
    _, push = jax.linearize(lambda flat: -forces_from(energy)(flat.reshape(x.shape), neighbours)[1].ravel(), x.ravel())
    return jax.lax.map(push, jnp.eye(x.size, dtype=x.dtype)).T  # one by one: batches of models fail in some compilers


def dipole_derivative(energy: Any, positions: Any, neighbours: Neighbours) -> np.ndarray:
    """Derivatives (3n, 3) of energy.dipole, e."""
    return np.asarray(_dipole_derivative(energy, np.asarray(positions, float), neighbours), float)


@light_filter_jit
def _dipole_derivative(energy, x, neighbours):
    _, pull = jax.vjp(lambda flat: energy.dipole(flat.reshape(x.shape), neighbours), x.ravel())
    return jnp.stack([pull(jnp.eye(3, dtype=jnp.result_type(energy.dipole(x, neighbours)))[k])[0] for k in range(3)], 1)


@dataclass(frozen=True)
class HessianCheck:
    """AD against differences of forces: step (Å), largest difference (eV/Å²) and that of frequencies (cm^-1)."""

    step: float
    max_difference: float
    max_cm1: float


def check_hessian(
    energy: Any,
    positions: Any,
    masses: Any,
    neighbours: Neighbours | None = None,
    steps: Sequence[float] = (0.002, 0.01),
    rows: np.ndarray | None = None,
) -> list[HessianCheck]:
    """Is the energy smooth at this (symmetric) geometry? AD Hessian against central differences of forces.

    A kink on the scale of a step, which test forces at other geometries do not show, gives a difference that does not
    fall with the square of the step. rows (k,): of these atoms alone, the others held.
    """
    x, masses = np.asarray(positions, float), np.asarray(masses, float)
    neighbours = all_pairs(len(x)) if neighbours is None else neighbours
    if rows is not None:
        energy, x, masses = _Some(energy, x, rows), x[rows], masses[rows]
    exact = normal_modes(hessian(energy, x, neighbours), x, masses)
    out = []
    for step in steps:
        h = _differences(energy, x, neighbours, step)
        numeric = normal_modes(h, x, masses)
        difference = float(np.max(np.abs(0.5 * (h + h.T) - exact.hessian)))
        out.append(HessianCheck(step, difference, float(np.max(_apart(numeric.cm1, exact.cm1), initial=0.0))))
    return out


class _Some(eqx.Module):
    """energy(positions (k, 3), neighbours) of atoms `rows` (k,) among others that are held."""

    energy: Any
    positions: Any
    rows: Any

    def __call__(self, x, neighbours):
        return self.energy(jnp.asarray(self.positions).at[self.rows].set(x), neighbours)


def _apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Differences of frequencies, cm^-1; of soft modes those of their squares count, which near zero say less."""
    return np.abs(a * np.abs(a) - b * np.abs(b)) / np.maximum(np.abs(a) + np.abs(b), 2 * SOFT)


@brief_filter_jit
def _force_columns(energy, points, neighbours):
    return jax.lax.map(lambda x: forces_from(energy)(x, neighbours)[1].ravel(), points)


def _differences(energy, x: np.ndarray, neighbours: Neighbours, step: float) -> np.ndarray:
    moves = step * np.eye(x.size).reshape(-1, *x.shape)
    forces = np.asarray(_force_columns(energy, np.concatenate([x + moves, x - moves]), neighbours), float)
    return -(forces[: x.size] - forces[x.size :]) / (2 * step)
