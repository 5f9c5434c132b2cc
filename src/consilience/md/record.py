"""Recorded frames of a simulation, and how the engine's buffers become them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import equinox as eqx
import jax
import numpy as np

from consilience.core.errors import InputError
from consilience.md.engine import Frames, Progress, Settings
from consilience.md.integrate import kinetic
from consilience.md.lists import Listing, every_pair
from consilience.units import BOLTZMANN, FS


@dataclass(frozen=True)
class Trajectory:
    """F recorded frames of R replicas, NumPy. Atoms are never wrapped into the cell.

    step (F,); time (F,) fs; positions (R, F, n, 3) Å; velocities (R, F, n, 3) Å/fs; potential, kinetic (R, F) eV;
    temperature (R, F) K, kinetic; dipole (R, F, 3) e Å or None.
    """

    step: np.ndarray
    time: np.ndarray
    positions: np.ndarray
    velocities: np.ndarray
    potential: np.ndarray
    kinetic: np.ndarray
    temperature: np.ndarray
    dipole: np.ndarray | None = None

    @property
    def total(self) -> np.ndarray:
        """Potential plus kinetic energy (R, F), eV."""
        return self.potential + self.kinetic

    def __len__(self) -> int:
        return len(self.step)

    def scalars(self) -> Trajectory:
        """The same frames without positions and velocities: their arrays have no atoms."""
        return replace(self, positions=self.positions[:, :, :0], velocities=self.velocities[:, :, :0])

    @staticmethod
    def joined(parts: list[Trajectory]) -> Trajectory:
        """One trajectory of pieces that follow one another."""
        out = {}
        for f in fields(Trajectory):
            pieces = [getattr(p, f.name) for p in parts]
            axis = 0 if f.name in ("step", "time") else 1
            out[f.name] = None if any(p is None for p in pieces) else np.concatenate(pieces, axis)
        return Trajectory(**out)


class Recorder:
    """Turns recorded buffers into pieces of a trajectory, with dipoles where they are asked for."""

    def __init__(self, energy, listing: Listing, dof: int, dt: float, every: int, dipoles: bool):
        if dipoles and not hasattr(energy, "dipole"):
            raise InputError("this energy has no dipole", fix="use a model that was trained on dipoles")
        self.energy, self.listing, self.dof, self.dt, self.every = energy, listing, dof, dt, every
        self.dipoles = dipoles

    def room(self, count: int, replicas: int, n: int) -> Frames:
        return Frames(*(np.zeros((count, replicas, *s)) for s in ((n, 3), (n, 3), (), ())))

    def single(self, progress: Progress, settings: Settings) -> Trajectory:
        s = progress.state
        one = Frames(s.positions, s.velocities, s.energy, kinetic(s.velocities, settings.masses))
        return self._piece(jax.tree.map(lambda a: np.asarray(a)[None], one), np.asarray([int(s.step)]))

    def frames(self, frames: Frames, first: int, reached: int) -> Trajectory:
        """Frames first + 1 ... of a block that reached a step."""
        count = max(0, reached // self.every - first)
        kept = jax.tree.map(lambda a: np.array(a[:count]), frames)
        return self._piece(kept, self.every * np.arange(first + 1, first + count + 1))

    def _piece(self, f: Frames, steps: np.ndarray) -> Trajectory:
        swap = [np.moveaxis(np.asarray(a), 0, 1) for a in (f.positions, f.velocities, f.potential, f.kinetic)]
        x, v, potential, moving = swap
        dipole = self._dipoles(x) if self.dipoles else None
        temperature = 2 * moving / (self.dof * BOLTZMANN)
        return Trajectory(steps, steps * self.dt, x, v * FS, potential, moving, temperature, dipole)

    def _dipoles(self, x: np.ndarray) -> np.ndarray:
        flat = x.reshape(-1, *x.shape[2:])
        if not len(flat):
            return np.zeros((*x.shape[:2], 3))
        if self.listing.kind == "all":
            out = _dipoles_shared(self.energy, flat, every_pair(x.shape[2]))
        else:
            out = [_dipole(self.energy, one, self.listing.make(one[None]).neighbours) for one in flat]
        return np.asarray(out, float).reshape(*x.shape[:2], 3)


@eqx.filter_jit
def _dipoles_shared(energy, x, neighbours):
    return jax.lax.map(lambda one: energy.dipole(one, neighbours), x)


@eqx.filter_jit
def _dipole(energy, x, neighbours):
    return energy.dipole(x, jax.tree.map(lambda a: a[0], neighbours))
