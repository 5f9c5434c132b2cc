"""Velocity Verlet and Langevin (BAOAB) steps as pure functions of an explicit state.

A step has two halves with the evaluation of forces between them: `verlet` or `baoab` move the atoms, `complete` gives
the second kick. Arrays may have leading axes (replicas). Time is the natural time Å sqrt(amu/eV) of `units`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

NOISE_STEPS = 16  # steps whose noise is drawn at once


class State(eqx.Module):
    """A point of a trajectory at the end of a step, float64.

    positions (..., n, 3) Å; velocities (..., n, 3) Å per natural time; forces (..., n, 3) eV/Å; energy (...) eV,
    potential; key (..., 2) uint32, constant: the noise of a step is drawn from key and step; step () int.
    """

    positions: Any
    velocities: Any
    forces: Any
    energy: Any
    key: Any
    step: Any


class Moved(eqx.Module):
    """Atoms moved by a step, before their forces are known: positions, and velocities half a kick short."""

    positions: Any
    velocities: Any


def verlet(state: State, masses, dt) -> Moved:
    """Half a kick and a drift of velocity Verlet (Swope et al. 1982); masses (n,) amu, dt natural time."""
    velocities = state.velocities + 0.5 * dt * state.forces / masses[:, None]
    return Moved(state.positions + dt * velocities, velocities)


def baoab(state: State, masses, dt, friction, kt, normal=None) -> Moved:
    """Kick, half a drift, friction and noise, half a drift (Leimkuhler & Matthews 2013, Appl. Math. Res. Express).

    friction: per natural time. kt: eV, () or one for each replica. normal: the noise of the step where it is at hand
    (None: it is drawn). Samples positions of a harmonic oscillator exactly at any stable dt; velocities with an error
    of second order.
    """
    mass = masses[:, None]
    velocities = state.velocities + 0.5 * dt * state.forces / mass
    middle = state.positions + 0.5 * dt * velocities
    kt = jnp.asarray(kt)[..., None, None]
    keep = jnp.exp(-friction * dt)
    width = jnp.sqrt(-jnp.expm1(-2 * friction * dt) * kt / mass)
    normal = noise(state.key, state.step, velocities.shape[-2:]) if normal is None else normal
    velocities = keep * velocities + width * normal
    return Moved(middle + 0.5 * dt * velocities, velocities)


def complete(state: State, moved: Moved, energy, forces, masses, dt) -> State:
    """The second half of a kick, with the energy and forces at `moved.positions`."""
    velocities = moved.velocities + 0.5 * dt * forces / masses[:, None]
    return State(moved.positions, velocities, forces, energy, state.key, state.step + 1)


def verlet_step(state: State, energy_and_forces: Callable[..., Any], masses, dt) -> State:
    """One step of velocity Verlet; energy_and_forces(positions) -> (energy, forces), as `forces_from` makes it."""
    moved = verlet(state, masses, dt)
    energy, forces = energy_and_forces(moved.positions)
    return complete(state, moved, energy, forces, masses, dt)


def baoab_step(state: State, energy_and_forces: Callable[..., Any], masses, dt, friction, kt) -> State:
    """One step of Langevin dynamics, BAOAB."""
    moved = baoab(state, masses, dt, friction, kt)
    energy, forces = energy_and_forces(moved.positions)
    return complete(state, moved, energy, forces, masses, dt)


def noise(key, step, shape: tuple[int, int]):
    """Standard normal numbers (..., n, 3) of a step: a function of key (..., 2) and step only."""
    return noises(key, step, shape)[noise_slot(step)]


def noises(key, step, shape: tuple[int, int]):
    """The noise (NOISE_STEPS, ..., n, 3) of the steps among which `step` is, b * NOISE_STEPS + 1 and the following.

    Drawn in float32, whose spacing and tail (5.4 standard deviations) dynamics does not see, at a fifth of the cost.
    """

    def draw(key):
        block = jax.random.fold_in(key, (step + NOISE_STEPS - 1) // NOISE_STEPS)
        return jax.random.normal(block, (NOISE_STEPS, *shape), jnp.float32)

    if key.ndim == 1:
        return draw(key)
    return draw(key[0])[:, None] if key.shape[0] == 1 else jax.vmap(draw, out_axes=1)(key)


def noise_slot(step):
    """Where in `noises` the noise of a step is."""
    return (step + NOISE_STEPS - 1) % NOISE_STEPS


def kinetic(velocities, masses):
    """Kinetic energy (...) of velocities (..., n, 3) in natural units, eV."""
    return 0.5 * jnp.sum(velocities**2 * masses[:, None], (-2, -1))
