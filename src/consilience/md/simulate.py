"""Molecular dynamics with any energy function: blocks of compiled steps, recorded frames, an exact way to go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import equinox as eqx
import jax
import numpy as np

from consilience.core.errors import InputError
from consilience.md.autopsy import Bounds, Failure, autopsy
from consilience.md.conservation import Conservation, conservation
from consilience.md.engine import Ensemble, Frames, Progress, Settings, advance, begin
from consilience.md.integrate import State, kinetic
from consilience.md.lists import Kind, Listing, Lists, spare
from consilience.md.velocities import Remove, degrees_of_freedom, maxwell_boltzmann
from consilience.neighbours import Neighbours, all_pairs
from consilience.units import BOLTZMANN, FS

ROOM = 2**28  # bytes of frames that a block may hold


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

    @staticmethod
    def joined(parts: list[Trajectory]) -> Trajectory:
        """One trajectory of pieces that follow one another."""
        out = {}
        for f in fields(Trajectory):
            pieces = [getattr(p, f.name) for p in parts]
            axis = 0 if f.name in ("step", "time") else 1
            out[f.name] = None if any(p is None for p in pieces) else np.concatenate(pieces, axis)
        return Trajectory(**out)


@dataclass(frozen=True)
class Simulation:
    """What a run gave. `state`: plain arrays that `simulate(..., state=)` goes on from, bit-identically.

    steps_per_s: of each replica, without compilation. min_distance Å, max_force eV/Å: extremes over all steps.
    """

    status: Literal["ok", "failed", "interrupted"]
    trajectory: Trajectory
    state: dict[str, np.ndarray]
    failure: Failure | None
    n_steps: int
    dof: int
    n_atoms: int
    steps_per_s: float
    compile_s: float
    min_distance: float
    max_force: float
    lists: dict[str, Any] = field(default_factory=dict)

    @property
    def conservation(self) -> Conservation | None:
        """Drift and fluctuation of the total energy; of meaning for constant energy."""
        return conservation(self.trajectory.time, self.trajectory.total, self.n_atoms)


def simulate(
    energy: Any,
    positions: Any,
    masses: Any,
    *,
    steps: int,
    dt: float = 0.5,
    ensemble: Ensemble = "nve",
    temperature: Any = 300.0,
    friction: float = 1.0,
    every: int = 10,
    replicas: int = 1,
    seed: int = 0,
    velocities: Any = None,
    remove: Remove | None = None,
    exact_temperature: bool | None = None,
    cell: Any = None,
    pbc: Any = False,
    cutoff: float | None = None,
    skin: float = 1.0,
    lists: Kind | Literal["auto"] = "auto",
    capacity: int | None = None,
    bounds: Bounds = Bounds(),
    block: int = 1000,
    dipoles: bool = False,
    state: Mapping[str, np.ndarray] | None = None,
    on_block: Callable[[Trajectory, dict[str, np.ndarray]], bool | None] | None = None,
    keep: bool = True,
) -> Simulation:
    """Run `energy(positions (n, 3), neighbours) -> eV`, an Equinox module, from positions (n, 3) or (R, n, 3), Å.

    masses (n,) amu; dt fs; temperature K, one or one per replica; friction 1/ps (NVT: Langevin, BAOAB); frames every
    `every` steps and at step 0. Velocities: given (Å/fs), or drawn for `temperature`; constant energy: at exactly that
    temperature, without momentum and (not periodic) rotation; Langevin: a plain sample. A list of neighbours within
    `cutoff` is used where all pairs would be too many.

    `steps` counts from the beginning also when going on from `state`. After each `block` of steps
    `on_block(frames, state)` is called; True ends the run there. keep=False leaves frames to it alone.
    Frames are the same whatever the blocks, to the last bit only with the same `block`.

    A frame that crosses `bounds` ends the run: status "failed" and `failure`. Raises InputError for bad input.
    """
    start = _read_start(energy, positions, masses, velocities, replicas)
    _check_numbers(steps=steps, dt=dt, every=every, replicas=replicas, block=block)
    x, m = start.positions, start.masses
    n = len(m)
    kelvin = np.broadcast_to(np.asarray(temperature, float), (replicas,))
    if not (np.isfinite(kelvin).all() and (kelvin >= 0).all() and np.isfinite(friction) and friction >= 0):
        raise InputError("temperature and friction must not be negative", found=f"{temperature} K, {friction} /ps")
    listing = Listing.choose(n, cutoff, skin, cell, pbc, lists)
    if remove is None:
        remove = "none" if ensemble == "nvt" else "momentum" if listing.cell is not None else "rotation"
    dof = 3 * n if ensemble == "nvt" else max(1, degrees_of_freedom(x[0], remove))
    settings = Settings(
        masses=m,
        dt=np.float64(dt * FS),
        friction=np.float64(friction / (1000 * FS)),
        kt=BOLTZMANN * kelvin,
        dof=np.float64(dof),
        every=np.int64(every),
        cutoff=np.float64(listing.cutoff),
        skin=np.float64(listing.skin),
        min_distance=np.float64(bounds.min_distance),
        max_force=np.float64(bounds.max_force),
        max_temperature=np.float64(bounds.hottest(float(kelvin.max()))),
        box=listing.box(),
    )
    clock = _Clock()
    record = _Recorder(energy, listing, dof, dt, every, dipoles)
    pieces: list[Trajectory] = []
    if state is not None:
        progress = _restored(state, x.shape, listing)
    else:
        v = start.velocities
        if v is None:
            rng = [np.random.default_rng([seed, r]) for r in range(replicas)]
            exact = ensemble == "nve" if exact_temperature is None else exact_temperature
            args = zip(x, kelvin, rng, strict=True)
            v = np.stack([maxwell_boltzmann(a, m, t, r, remove=remove, exact=exact) for a, t, r in args])
        keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.PRNGKey(seed), np.arange(replicas))
        made = listing.make(x, capacity)
        if np.any(made.neighbours.overflow):
            made = listing.make(x)
        with clock.compiling():
            progress = jax.block_until_ready(begin(energy, x, v, keys, np.int64(0), made, settings))
        pieces.append(record.single(progress, settings))
    run = _Run(energy, settings, listing, ensemble, clock)
    stopped, failure, fresh = False, None, state is None
    if np.any(np.asarray(progress.code) > 0):
        failure = run.examine(progress, progress, dt)
    frames_room = max(1, min(block, max(steps, 1)) // every + 1)
    if frames_room * replicas * n * 48 > ROOM:
        raise InputError(
            "a block of frames needs too much memory",
            found=f"{frames_room} frames of {replicas * n} atoms",
            fix="record less often (every) or take shorter blocks",
        )
    while failure is None and not stopped and int(progress.state.step) < steps:
        now = int(progress.state.step)
        last = min(steps, (now // block + 1) * block)
        first = now // every
        frames = record.room(frames_room + 1, replicas, n)
        progress, frames, before = run.to(progress, last, first, frames)
        reached = int(progress.state.step)
        if np.any(np.asarray(progress.code) > 0):
            failure = run.examine(progress, before, dt)
            reached -= 1  # the frame that failed is in the report, not among the frames
        piece = record.frames(frames, first, reached)
        pieces.append(piece)
        if on_block is not None:
            shown = Trajectory.joined(pieces[-2:]) if fresh and len(pieces) == 2 else piece
            stopped = bool(on_block(shown, _plain_state(progress, listing)))
        fresh = False
        if not keep:
            pieces = [piece]
    status = "failed" if failure else "interrupted" if stopped and int(progress.state.step) < steps else "ok"
    empty = record.frames(record.room(1, replicas, n), 0, 0)
    slots = progress.lists.neighbours.index.shape[-1]
    return Simulation(
        status=status,
        trajectory=Trajectory.joined(pieces) if pieces else empty,
        state=_plain_state(progress, listing),
        failure=failure,
        n_steps=int(progress.state.step),
        dof=dof,
        n_atoms=n,
        steps_per_s=clock.rate(),
        compile_s=clock.compile_s,
        min_distance=float(progress.shortest),
        max_force=float(progress.largest),
        lists={"kind": listing.kind, "slots": slots, "made": int(progress.lists.made), "grown": run.grown},
    )


class _Start(eqx.Module):
    positions: np.ndarray
    masses: np.ndarray
    velocities: np.ndarray | None


def _read_start(energy, positions, masses, velocities, replicas: int) -> _Start:
    """Positions (R, n, 3), masses (n,) and velocities in natural units, checked."""
    if not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        raise InputError("molecular dynamics needs float64", fix='jax.config.update("jax_enable_x64", True)')
    if not callable(energy):
        raise InputError("the energy is not a function", found=type(energy).__name__, expected="an Equinox module")
    m = np.asarray(masses, float)
    x = np.array(positions, float)
    x = np.broadcast_to(x, (replicas, *x.shape[-2:])).copy() if x.ndim in (2, 3) and len(x) else x
    if x.ndim != 3 or x.shape[-1] != 3 or m.shape != x.shape[1:2]:
        raise InputError("positions and masses do not fit", found=f"{x.shape} and {m.shape}", expected="(n, 3), (n,)")
    if not (np.isfinite(m).all() and (m > 0).all()):
        atom = int(np.flatnonzero(~(np.isfinite(m) & (m > 0)))[0])
        raise InputError("masses must be positive", f"atom {atom}", f"{m[atom]} amu")
    _finite("positions", x)
    if velocities is None:
        return _Start(x, m, None)
    v = np.broadcast_to(np.asarray(velocities, float), x.shape) / FS
    _finite("velocities", v)
    return _Start(x, m, v.copy())


def _finite(name: str, a: np.ndarray) -> None:
    bad = np.argwhere(~np.isfinite(a).all(-1))
    if len(bad):
        raise InputError(f"{name} that are not finite", f"replica {bad[0][0]}, atom {bad[0][1]}", str(a[tuple(bad[0])]))


def _check_numbers(**numbers: float) -> None:
    for name, value in numbers.items():
        low = 0 if name == "steps" else 1 if name != "dt" else 1e-6
        if not (np.isfinite(value) and value >= low):
            raise InputError(f"{name} is too small", found=str(value), expected=f"at least {low}")


class _Clock:
    """Seconds of compilation and of running, and the steps run."""

    def __init__(self):
        self.compile_s, self.run_s, self.steps = 0.0, 0.0, 0

    def compiling(self) -> _Clock:
        return self

    def __enter__(self):
        self._t = time.perf_counter()

    def __exit__(self, *_):
        self.compile_s += time.perf_counter() - self._t

    def rate(self) -> float:
        return self.steps / self.run_s if self.run_s > 0 else 0.0


class _Run:
    """Advances a simulation on the host's side: makes and grows lists, measures, looks back at a failure."""

    def __init__(self, energy, settings: Settings, listing: Listing, ensemble: Ensemble, clock: _Clock):
        self.energy, self.settings, self.listing, self.clock = energy, settings, listing, clock
        self.ensemble, self.grown = ensemble, 0
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
                    _, _, frames = self._advance(progress, now, first, frames)
            began = time.perf_counter()
            before = progress
            progress, moved, frames = self._advance(progress, last, first, frames)
            progress = jax.tree.map(np.asarray, progress)
            self.clock.run_s += time.perf_counter() - began
            self.clock.steps += int(progress.state.step) - now
            if int(progress.state.step) >= last or np.any(progress.code > 0):
                return progress, frames, before
            progress = self._with_new_lists(progress, np.asarray(moved.positions))

    def _with_new_lists(self, progress: Progress, positions: np.ndarray) -> Progress:
        """Lists for the next positions (R, n, 3), with more slots where the old ones do not suffice."""
        slots = progress.lists.neighbours.index.shape[-1]
        began = time.perf_counter()
        lists = self.listing.make(positions, slots)
        if np.any(lists.neighbours.overflow):
            self.grown += 1
            lists = self.listing.make(positions, max(spare(slots), self.listing.make(positions).neighbours.index.shape[-1]))
        made = progress.lists.made if np.any(progress.lists.neighbours.overflow) else progress.lists.made + 1
        self.clock.run_s += time.perf_counter() - began
        lists = Lists(lists.neighbours, positions, np.asarray(made))
        return Progress(progress.state, lists, progress.code, progress.shortest, progress.largest)

    def examine(self, failed: Progress, before: Progress, dt: float) -> Failure:
        """The autopsy of a failed frame; the frame before it is found by running again up to it."""
        step = int(failed.state.step)
        good = before
        if step - 1 > int(before.state.step):
            n, replicas = len(self.settings.masses), len(failed.code)
            room = Frames(*(np.zeros((2, replicas, *s)) for s in ((n, 3), (n, 3), (), ())))
            every = eqx.tree_at(lambda s: s.every, self.settings, np.int64(2**40))  # records nothing
            kept = (self.energy, before, every, np.int64(step - 1), np.int64(0))
            good, _, _ = advance(kept, room, ensemble=self.ensemble, kind=self.listing.kind)
        replica = int(np.flatnonzero(np.asarray(failed.code))[0])
        x, f, v = (np.asarray(a[replica]) for a in (failed.state.positions, failed.state.forces, failed.state.velocities))
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
            last_good=(np.asarray(good.state.positions[replica]), np.asarray(good.state.forces[replica])),
        )


class _Recorder:
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
            out = _dipoles_shared(self.energy, flat, all_pairs(x.shape[2]))
        else:
            out = [_dipole(self.energy, one, self.listing.make(one[None]).neighbours) for one in flat]
        return np.asarray(out, float).reshape(*x.shape[:2], 3)


@eqx.filter_jit
def _dipoles_shared(energy, x, neighbours):
    return jax.lax.map(lambda one: energy.dipole(one, neighbours), x)


@eqx.filter_jit
def _dipole(energy, x, neighbours):
    return energy.dipole(x, jax.tree.map(lambda a: a[0], neighbours))


def _plain_state(progress: Progress, listing: Listing) -> dict[str, np.ndarray]:
    """The state as named arrays for a checkpoint; natural time units."""
    s, lists = progress.state, progress.lists
    out = {f.name: getattr(s, f.name) for f in fields(State)}
    out |= {"code": progress.code, "shortest": progress.shortest, "largest": progress.largest}
    if listing.kind != "all":
        out |= {f"list.{k}": getattr(lists.neighbours, k) for k in ("index", "mask", "shift", "overflow")}
        out |= {"list.reference": lists.reference, "list.made": lists.made}
    return {k: np.array(v) for k, v in out.items() if v is not None}


def _restored(state: Mapping[str, np.ndarray], shape: tuple[int, ...], listing: Listing) -> Progress:
    try:
        s = State(**{f.name: np.asarray(state[f.name]) for f in fields(State)})
        if listing.kind == "all":
            lists = Lists(all_pairs(shape[1]), s.positions, np.asarray(0))
        else:
            parts = (np.asarray(state[f"list.{k}"]) for k in ("index", "mask"))
            shift = np.asarray(state["list.shift"]) if "list.shift" in state else None
            found = Neighbours(*parts, shift, np.asarray(state["list.overflow"]))
            lists = Lists(found, np.asarray(state["list.reference"]), np.asarray(state["list.made"]))
        rest = (np.asarray(state[k]) for k in ("code", "shortest", "largest"))
        progress = Progress(s, lists, *rest)
    except KeyError as err:
        raise InputError("the state does not belong to this kind of run", found=f"no {err}", fix="start anew") from err
    if s.positions.shape != shape:
        raise InputError("the state is of another system", found=str(s.positions.shape), expected=str(shape))
    return progress
