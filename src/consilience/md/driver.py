"""The host's side of a simulation: calls the compiled program, makes and grows lists, looks back at a failure."""

from __future__ import annotations

import time

import equinox as eqx
import jax
import numpy as np

from consilience.md.autopsy import Failure, autopsy
from consilience.md.engine import Ensemble, Frames, Progress, Settings, advance
from consilience.md.integrate import kinetic
from consilience.md.lists import Listing, Lists, spare


class Clock:
    """Seconds of compilation and of running, and the steps run."""

    def __init__(self):
        self.compile_s, self.run_s, self.steps = 0.0, 0.0, 0

    def compiling(self) -> Clock:
        return self

    def __enter__(self):
        self._t = time.perf_counter()

    def __exit__(self, *_):
        self.compile_s += time.perf_counter() - self._t

    def rate(self) -> float:
        return self.steps / self.run_s if self.run_s > 0 else 0.0


class Run:
    """Advances a simulation on the host's side: makes and grows lists, measures, looks back at a failure."""

    def __init__(self, energy, settings: Settings, listing: Listing, ensemble: Ensemble, clock: Clock):
        self.energy, self.settings, self.listing, self.clock = energy, settings, listing, clock
        self.ensemble: Ensemble = ensemble
        self.grown = 0
        self._warm: set[tuple[int, ...]] = set()

    def _advance(self, progress: Progress, last: int, first: int, frames: Frames):
        kept = (self.energy, progress, self.settings, np.int64(last), np.int64(first))
        out = advance(kept, frames, ensemble=self.ensemble, kind=self.listing.kind)
        return jax.block_until_ready(out)

    def to(self, progress: Progress, last: int, first: int, frames: Frames) -> tuple[Progress, Frames, Progress]:
        """Progress at step `last` or at a failure, the frames, and a sound progress from which that was reached."""
        progress = jax.tree.map(np.asarray, progress)
        while True:
            shape = (*frames.positions.shape, progress.lists.neighbours.index.shape[-1])
            now = int(progress.state.step)
            if shape not in self._warm:  # compile by a run of no steps
                self._warm.add(shape)
                with self.clock.compiling():
                    _, frames = self._advance(progress, now, first, frames)
            began = time.perf_counter()
            before = progress
            progress, frames = self._advance(progress, last, first, frames)
            progress = jax.tree.map(np.asarray, progress)
            self.clock.run_s += time.perf_counter() - began
            self.clock.steps += int(progress.state.step) - now
            if int(progress.state.step) >= last or np.any(progress.code > 0):
                return progress, frames, before
            progress = self._with_new_lists(progress)

    def _with_new_lists(self, progress: Progress) -> Progress:
        """Lists for the next positions, with more slots where the old ones do not suffice."""
        positions = progress.moved.positions
        slots = progress.lists.neighbours.index.shape[-1]
        began = time.perf_counter()
        lists = self.listing.make(positions, slots)
        if np.any(lists.neighbours.overflow):
            self.grown += 1
            enough = self.listing.make(positions).neighbours.index.shape[-1]
            lists = self.listing.make(positions, max(spare(slots), enough))
        made = progress.lists.made if np.any(progress.lists.neighbours.overflow) else progress.lists.made + 1
        self.clock.run_s += time.perf_counter() - began
        lists = Lists(lists.neighbours, positions, np.asarray(made))
        return eqx.tree_at(lambda p: p.lists, progress, lists)

    def examine(self, failed: Progress, before: Progress, dt: float) -> Failure:
        """The autopsy of a failed frame; the frame before it is found by running again up to it."""
        step = int(failed.state.step)
        good = before
        if step - 1 > int(before.state.step):
            n, replicas = len(self.settings.masses), len(failed.code)
            room = Frames(*(np.zeros((2, replicas, *s)) for s in ((n, 3), (n, 3), (), ())))
            settings = eqx.tree_at(lambda s: s.every, self.settings, np.int64(2**40))  # records nothing
            kept = (self.energy, before, settings, np.int64(step - 1), np.int64(0))
            good, _ = advance(kept, room, ensemble=self.ensemble, kind=self.listing.kind)
        replica = int(np.flatnonzero(np.asarray(failed.code))[0])
        x, f, v = (
            np.asarray(a[replica]) for a in (failed.state.positions, failed.state.forces, failed.state.velocities)
        )
        return autopsy(
            self.energy,
            self.listing,
            step=step,
            time_fs=step * dt,
            replica=replica,
            code=int(failed.code[replica]),
            dof=int(self.settings.dof),
            kinetic_energy=float(kinetic(v, self.settings.masses)),
            failed=(x, f),
            watched=self.settings.watched,
            last_good=(np.asarray(good.state.positions[replica]), np.asarray(good.state.forces[replica])),
        )
