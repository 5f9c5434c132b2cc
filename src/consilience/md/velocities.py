"""Initial velocities from the Maxwell-Boltzmann distribution, without total momentum or rotation, at a temperature."""

from __future__ import annotations

from typing import Literal

import numpy as np

from consilience.units import BOLTZMANN

Remove = Literal["none", "momentum", "rotation"]


def maxwell_boltzmann(
    positions: np.ndarray,
    masses: np.ndarray,
    temperature: float,
    rng: np.random.Generator,
    *,
    remove: Remove = "momentum",
    exact: bool = True,
) -> np.ndarray:
    """Velocities (n, 3) in Å per natural time for positions (n, 3) Å, masses (n,) amu, temperature K.

    `remove`: total momentum, or that and the angular momentum about the centre of mass ("rotation"). `exact`: scaled
    so that the kinetic energy is that of `temperature` for the degrees of freedom which remain.
    """
    masses = np.asarray(masses, float)
    v = rng.standard_normal((len(masses), 3)) * np.sqrt(BOLTZMANN * temperature / masses)[:, None]
    v = without_motion(positions, v, masses, remove)
    dof = degrees_of_freedom(positions, remove)
    energy = 0.5 * np.sum(masses[:, None] * v**2)
    if exact and energy > 0:
        v = v * np.sqrt(0.5 * dof * BOLTZMANN * temperature / energy)
    return v


def without_motion(positions: np.ndarray, velocities: np.ndarray, masses: np.ndarray, remove: Remove) -> np.ndarray:
    """Velocities (n, 3) with the motion of the whole taken out, mass-weighted."""
    if remove == "none" or len(masses) < 2:
        return velocities
    root = np.sqrt(masses)[:, None]
    basis = rigid_motions(positions, masses, rotation=remove == "rotation")
    flat = (root * velocities).ravel()
    return (flat - basis @ (basis.T @ flat)).reshape(-1, 3) / root


def degrees_of_freedom(positions: np.ndarray, remove: Remove) -> int:
    """Number of velocity components that are free: 3n, less 3 for momentum and 3 (linear: 2) for rotation."""
    n = len(positions)
    if remove == "none" or n < 2:
        return 3 * n
    return 3 * n - rigid_motions(positions, np.ones(n), rotation=remove == "rotation").shape[1]


def rigid_motions(positions: np.ndarray, masses: np.ndarray, *, rotation: bool = True) -> np.ndarray:
    """Orthonormal mass-weighted translations and rotations (3n, 3 to 6) of a molecule at positions (n, 3).

    A molecule whose atoms lie within about 1e-3 of its length of a line has two rotations, an atom none.
    """
    masses = np.asarray(masses, float)
    root = np.sqrt(masses)[:, None, None]
    translations = (root * np.eye(3)).reshape(-1, 3) / np.sqrt(masses.sum())
    if not rotation:
        return translations
    x = np.asarray(positions, float) - np.average(positions, axis=0, weights=masses)
    turns = (root * np.cross(np.eye(3)[None], x[:, None])).transpose(0, 2, 1).reshape(-1, 3)
    left, size, _ = np.linalg.svd(turns, full_matrices=False)
    kept = left[:, size > 1e-3 * size[0]] if size[0] > 1e-6 else left[:, :0]
    return np.concatenate([translations, kept], 1)
