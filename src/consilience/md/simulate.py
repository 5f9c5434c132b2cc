"""Molecular dynamics with any energy function: blocks of compiled steps, recorded frames, an exact way to go on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import equinox as eqx
import jax
import numpy as np

from consilience.core.errors import InputError
from consilience.md.autopsy import Bounds, Failure
from consilience.md.conservation import Conservation, conservation
from consilience.md.driver import Clock, Run
from consilience.md.engine import Ensemble, Settings, begin, with_settings
from consilience.md.lists import Kind, Listing
from consilience.md.record import Recorder, Trajectory
from consilience.md.restart import plain_state, restored
from consilience.md.velocities import Remove, degrees_of_freedom, maxwell_boltzmann
from consilience.units import BOLTZMANN, FS

ROOM = 2**28  # bytes of frames that a block may hold


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
    bounds: Bounds | None = None,
    watched: Any = None,
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
    `on_block(frames, state)` is called; True ends the run there. keep=False gives positions and velocities to it alone.
    A run that goes on from `state` with the same arguments gives the frames of one that was never interrupted, to the
    last bit; with other ones (dt, temperature) it goes on from the same point.

    A frame that crosses `bounds` ends the run: status "failed" and `failure`. `watched`: a module index (n, K) -> bool
    (n, K) that says for which pairs of atoms (row, index) the least distance counts. Raises InputError for bad input.
    """
    bounds = bounds or Bounds()
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
        watched=watched,
    )
    clock = Clock()
    record = Recorder(energy, listing, dof, dt, every, dipoles)
    pieces: list[Trajectory] = []
    begun: Trajectory | None = None
    if state is not None:
        progress, same = restored(state, x.shape, listing, settings, ensemble)
        if not same:
            progress = with_settings(progress, settings, ensemble=ensemble)
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
            progress = jax.block_until_ready(begin(energy, x, v, keys, made, settings, ensemble=ensemble))
        begun = record.single(progress, settings)
        pieces.append(begun if keep else begun.scalars())
    run = Run(energy, settings, listing, ensemble, clock)
    stopped, failure = False, None
    if np.any(np.asarray(progress.code) > 0):
        failure = run.examine(progress, progress, dt)
    frames_room = block // every + 1
    if frames_room * replicas * n * 48 > ROOM:
        frames_room = min(block, steps) // every + 1
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
        pieces.append(piece if keep else piece.scalars())
        if on_block is not None:
            shown = Trajectory.joined([begun, piece]) if begun is not None else piece
            stopped = bool(on_block(shown, plain_state(progress, listing, settings, ensemble)))
        begun = None
    status = "failed" if failure else "interrupted" if stopped and int(progress.state.step) < steps else "ok"
    empty = record.frames(record.room(1, replicas, n), 0, 0)
    slots = progress.lists.neighbours.index.shape[-1]
    return Simulation(
        status=status,
        trajectory=Trajectory.joined(pieces) if pieces else empty,
        state=plain_state(progress, listing, settings, ensemble),
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
