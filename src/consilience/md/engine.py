"""One compiled program that runs molecular dynamics up to a given step, or to where something must be looked at.

The loop stops by itself when its work is done, when a bound is crossed (see `autopsy`), when a neighbour list does not
fit, or when the host has to make a new one; no step is ever taken with a list that may miss a pair.
"""

from __future__ import annotations

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp

from consilience.core.compiled import light_filter_jit
from consilience.forces import forces_from
from consilience.md.integrate import NOISE_STEPS, Moved, State, baoab, complete, kinetic, noise_slot, noises, verlet
from consilience.md.lists import Kind, Lists, remade, stale
from consilience.neighbours import Box
from consilience.units import BOLTZMANN

Ensemble = Literal["nve", "nvt"]
FINE, NOT_FINITE, FORCE, CLOSE, HOT = range(5)  # what is wrong with a frame, in the order of the questions


class Settings(eqx.Module):
    """Numbers of a run that are arguments of the program, so that a change does not compile it again.

    masses (n,) amu; dt natural time; friction per natural time; kt (R,) eV; dof: degrees of freedom; every: steps
    between frames; cutoff and skin Å; bounds on distance (Å), force (eV/Å) and temperature (K); box: cell or None.
    watched: a module index (n, K) -> bool (n, K), the pairs whose distance has the bound; None: all.
    """

    masses: Any
    dt: Any
    friction: Any
    kt: Any
    dof: Any
    every: Any
    cutoff: Any
    skin: Any
    min_distance: Any
    max_force: Any
    max_temperature: Any
    box: Box | None
    watched: Any = None


class Frames(eqx.Module):
    """Room for frames of R replicas: positions, velocities (F, R, n, 3), energies (F, R); the last is never kept."""

    positions: Any
    velocities: Any
    potential: Any
    kinetic: Any


class Progress(eqx.Module):
    """Where a run stands: the state, its lists, a code of what is wrong (R,), and the extremes met so far.

    `moved` is the first half of the next step: kept, because computed elsewhere its last bits might be others.
    """

    state: State
    moved: Moved
    lists: Lists
    code: Any
    shortest: Any
    largest: Any


def evaluate(energy, positions, lists: Lists):
    """Energies (R,) and forces (R, n, 3) of the replicas at positions (R, n, 3), float64."""
    batched = lists.neighbours.index.ndim == 3

    def one(x, neighbours):
        value, forces = forces_from(energy)(x, neighbours)
        return jnp.asarray(value, jnp.float64), jnp.asarray(forces, jnp.float64)

    if positions.shape[0] == 1:  # no batch axis: leaner, and some compilers fail on batches of models
        neighbours = jax.tree.map(lambda a: a[0], lists.neighbours) if batched else lists.neighbours
        value, forces = one(positions[0], neighbours)
        return value[None], forces[None]
    return jax.vmap(one, (0, 0 if batched else None))(positions, lists.neighbours)


def shortest_pair(positions, lists: Lists, watched: Any = None):
    """Shortest distance between neighbours that are `watched` in each replica (R,), Å; inf where there is none."""

    def one(x, neighbours):
        if neighbours.index.shape[1] == 1 and x.shape[0] == 1:
            return jnp.asarray(jnp.inf)
        seen = neighbours.mask if watched is None else neighbours.mask & watched(neighbours.index)
        return jnp.sqrt(jnp.min(jnp.where(seen, neighbours.squared(x), jnp.inf)))

    batched = lists.neighbours.index.ndim == 3
    return jax.vmap(one, (0, 0 if batched else None))(positions, lists.neighbours)


class Look(eqx.Module):
    """When distances were last looked at: positions (R, n, 3) and the shortest distance then () of any replica, Å."""

    positions: Any
    near: Any


def look(positions, lists: Lists, settings: Settings, last: Look, shortest):
    """Shortest distances (R,), inf where they were not looked at, and the look that stands.

    They are looked at where they could be below `shortest` (), the least so far: where atoms have moved so far since
    the last look that a pair may have come that near. So no crossing and no extreme is missed.
    """
    moved = 2 * jnp.sqrt(jnp.max(jnp.sum((positions - last.positions) ** 2, -1)))
    idle = jnp.minimum(last.near, settings.cutoff) - moved > shortest

    def now():
        near = shortest_pair(positions, lists, settings.watched)
        return near, Look(positions, jnp.min(near))

    return jax.lax.cond(idle, lambda: (jnp.full(positions.shape[0], jnp.inf), last), now)


def inspect(state: State, kinetic_energy, near, settings: Settings):
    """What is wrong with each replica (R,) and the largest force () of a frame; near (R,): its shortest distances."""
    largest = jnp.sqrt(jnp.max(jnp.sum(state.forces**2, -1), -1))
    hot = 2 * kinetic_energy / (settings.dof * BOLTZMANN) > settings.max_temperature
    finite = jnp.isfinite(state.energy) & jnp.isfinite(largest) & jnp.isfinite(kinetic_energy)
    code = jnp.where(hot, HOT, FINE)
    code = jnp.where(near < settings.min_distance, CLOSE, code)
    code = jnp.where(largest > settings.max_force, FORCE, code)
    return jnp.where(finite, code, NOT_FINITE), jnp.max(largest)


def move(state: State, settings: Settings, ensemble: Ensemble, normal=None) -> Moved:
    """The first half of a step; normal: its noise where it is at hand."""
    if ensemble == "nve":
        return verlet(state, settings.masses, settings.dt)
    return baoab(state, settings.masses, settings.dt, settings.friction, settings.kt, normal)


@light_filter_jit
def begin(energy, positions, velocities, keys, lists: Lists, settings: Settings, *, ensemble: Ensemble) -> Progress:
    """The state at positions and velocities (R, n, 3), with its energy and forces, inspected."""
    value, forces = evaluate(energy, positions, lists)
    state = State(positions, velocities, forces, value, keys, jnp.asarray(0))
    near = shortest_pair(positions, lists, settings.watched)
    code, largest = inspect(state, kinetic(velocities, settings.masses), near, settings)
    return Progress(state, move(state, settings, ensemble), lists, code, jnp.min(near), largest)


@light_filter_jit
def with_settings(progress: Progress, settings: Settings, *, ensemble: Ensemble) -> Progress:
    """The same point of a run that goes on with another time step, friction or temperature."""
    return eqx.tree_at(lambda p: p.moved, progress, move(progress.state, settings, ensemble))


@eqx.filter_jit(donate="all-except-first")
def advance(kept, frames: Frames, *, ensemble: Ensemble, kind: Kind) -> tuple[Progress, Frames]:
    """Run from `progress.state` to step `last`, recording step k every as frame k - first - 1 of `frames`.

    kept: (energy, progress, settings, last, first). The new progress says by `state.step` how far it came; it may need
    lists for `moved.positions` from the host: always where `kind` is "host", on an overflow where it is "graph".
    """
    energy, progress, settings, last, first = kept
    masses, shape = settings.masses, progress.state.positions.shape[-2:]

    def open_(carry):
        progress, *_ = carry
        go = (progress.state.step < last) & jnp.all(progress.code == FINE)
        if kind == "all":
            return go
        return go & ~jnp.any(progress.lists.neighbours.overflow)

    def usable(carry):
        progress, *_ = carry
        if kind == "all":
            return open_(carry)
        return open_(carry) & ~stale(progress.lists.reference, progress.moved.positions, settings.skin)

    def step(carry, normal=None):
        progress, seen = carry
        value, forces = evaluate(energy, progress.moved.positions, progress.lists)
        state = complete(progress.state, progress.moved, value, forces, masses, settings.dt)
        kinetic_energy = kinetic(state.velocities, masses)
        near, seen = look(state.positions, progress.lists, settings, seen, progress.shortest)
        code, largest = inspect(state, kinetic_energy, near, settings)
        shortest, largest = jnp.minimum(progress.shortest, jnp.min(near)), jnp.maximum(progress.largest, largest)
        ahead = move(state, settings, ensemble, None if normal is None else normal[noise_slot(state.step)])
        return Progress(state, ahead, progress.lists, code, shortest, largest), seen

    def to_frame(carry, normal=None, end=None):
        """Steps up to the next frame, or to step `end`."""
        progress, frames, seen = carry
        until = (progress.state.step // settings.every + 1) * settings.every
        until = until if end is None else jnp.minimum(until, end)
        progress, seen = jax.lax.while_loop(
            lambda c: usable(c) & (c[0].state.step < until), lambda c: step(c, normal), (progress, seen)
        )
        state = progress.state
        slot = (state.step + settings.every - 1) // settings.every - first - 1  # the last write to a slot stays
        now = Frames(state.positions, state.velocities, state.energy, kinetic(state.velocities, masses))
        frames = jax.tree.map(lambda all_, one: jax.lax.dynamic_update_index_in_dim(all_, one, slot, 0), frames, now)
        return progress, frames, seen

    def steps(carry):
        if ensemble == "nve":
            return to_frame(carry)
        state = carry[0].state
        drawn = noises(state.key, state.step + 1, shape)
        end = (state.step // NOISE_STEPS + 1) * NOISE_STEPS
        return jax.lax.while_loop(
            lambda c: usable(c) & (c[0].state.step < end), lambda c: to_frame(c, drawn, end), carry
        )

    def with_list(carry):
        progress, *rest = carry
        ahead = progress.moved.positions
        lists = jax.lax.cond(
            stale(progress.lists.reference, ahead, settings.skin),
            lambda lists: remade(lists, ahead, settings.cutoff + settings.skin, settings.box),
            lambda lists: lists,
            progress.lists,
        )
        progress = eqx.tree_at(lambda p: p.lists, progress, lists)
        return steps((progress, *rest))

    carry = (progress, frames, Look(progress.state.positions, jnp.asarray(-jnp.inf)))
    if kind == "graph":
        carry = jax.lax.while_loop(open_, with_list, carry)
    else:
        carry = jax.lax.while_loop(usable, steps, carry)
    return carry[0], carry[1]
