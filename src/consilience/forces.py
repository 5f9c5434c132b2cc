"""Forces and stress are minus the gradient of an energy: the only place in this project where a force is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def forces_from(energy: Callable[..., Any], *, has_aux: bool = False) -> Callable[..., Any]:
    """The function (x, *state) -> (E, F) with F = -dE/dx from `energy(x, *state) -> E`.

    x: (..., 3) in Å; E in eV, a number or an array of energies of systems that do not see one another (then F belongs
    to their sum, hence to each). With `has_aux`, `energy` returns (E, aux) and the function ((E, aux), F).
    Positive energies stay positive: nobody hands a negated energy around.
    """

    def total(x, *state, **named):
        out = energy(x, *state, **named)
        value, aux = out if has_aux else (out, None)
        return jnp.sum(value), (value, aux)

    def energy_and_forces(x, *state, **named):
        (_, (value, aux)), gradient = jax.value_and_grad(total, has_aux=True)(x, *state, **named)
        return ((value, aux), -gradient) if has_aux else (value, -gradient)

    return energy_and_forces


def forces_and_strain_from(energy: Callable[..., Any]) -> Callable[..., Any]:
    """The function (x, strain, *state) -> ((E, aux), F, dE/dstrain) from `energy(x, strain, *state) -> (E, aux)`.

    x: (..., 3) in Å; strain (..., 3, 3), of which `energy` takes the symmetric part (`deformation`), for one system or
    for each of those whose energies E holds; at zero strain its derivative over the volume is the stress.
    """

    def total(x, strain, *state):
        value, aux = energy(x, strain, *state)
        return jnp.sum(value), (value, aux)

    def found(x, strain, *state):
        (_, out), (dx, dstrain) = jax.value_and_grad(total, argnums=(0, 1), has_aux=True)(x, strain, *state)
        return out, -dx, dstrain

    return found


def deformation(strain):
    """What rows of coordinates are multiplied by, (..., 3, 3): 1 + the symmetric part of the strain (..., 3, 3)."""
    return jnp.eye(3, dtype=strain.dtype) + 0.5 * (strain + jnp.swapaxes(strain, -1, -2))


def stress_from(energy: Callable[..., Any]) -> Callable[..., Any]:
    """The function (x, neighbours, cell) -> (E, F, stress) from `energy(x, neighbours) -> E`, a scalar.

    cell: (3, 3), rows are lattice vectors, Å. stress: (3, 3), eV/Å³, (1/V) dE/d strain under the symmetric homogeneous
    strain of positions and periodic shifts (the sign of ASE: positive under tension).
    """

    def strained(x, strain, neighbours):
        deform = deformation(strain)
        return energy(x @ deform, neighbours.deformed(deform)), None

    def energy_forces_stress(x, neighbours, cell):
        zero = jnp.zeros((3, 3), x.dtype)
        (value, _), forces, slope = forces_and_strain_from(strained)(x, zero, neighbours)
        return value, forces, slope / jnp.abs(jnp.linalg.det(cell))

    return energy_forces_stress
