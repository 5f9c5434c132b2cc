"""The same molecule moved by the integrators of ASE and OpenMM, with our energy as their force."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from consilience.core.errors import ConsilError, InputError
from consilience.jobs.common.dynamics_options import SimulateOptions
from consilience.jobs.common.start import Start
from consilience.md.autopsy import Bounds, autopsy, closest_pair
from consilience.md.lists import Listing
from consilience.md.record import Trajectory
from consilience.md.simulate import Simulation
from consilience.md.velocities import degrees_of_freedom, maxwell_boltzmann
from consilience.units import BOLTZMANN, FS

CHECKED = 200  # atoms; beyond, distances are looked at where frames are recorded only


class Stepper(Protocol):
    """An engine at a point of its run: positions Å, velocities Å/fs, potential energy eV, forces eV/Å, (n, 3)."""

    def step(self) -> None: ...

    def now(self) -> tuple[np.ndarray, np.ndarray, float, np.ndarray]: ...


class AseSteps:
    """Velocity Verlet or Langevin dynamics of ASE."""

    def __init__(self, energy: Any, start: Start, options: SimulateOptions, velocities: np.ndarray, seed: int):
        from ase import Atoms, units
        from ase.md.langevin import Langevin
        from ase.md.verlet import VelocityVerlet

        from consilience.engines.ase import calculator

        atoms = Atoms(numbers=start.numbers, positions=start.positions, cell=start.cell, pbc=start.pbc)
        atoms.set_masses(start.masses)  # pyright: ignore[reportArgumentType]
        atoms.set_velocities(velocities / units.fs)
        atoms.calc = calculator(energy, start.numbers, charge=start.charge)
        self.atoms, self._fs = atoms, units.fs
        dt = options.dt * units.fs
        if options.ensemble == "nve":
            self.engine = VelocityVerlet(atoms, dt)
        else:
            friction = options.friction / (1000 * units.fs)
            rng = np.random.default_rng([seed, 1])
            self.engine = Langevin(
                atoms, dt, temperature_K=options.temperature, friction=friction, fixcm=False, rng=rng
            )

    def step(self) -> None:
        self.engine.run(1)

    def now(self) -> tuple[np.ndarray, np.ndarray, float, np.ndarray]:
        a = self.atoms
        return a.get_positions(), a.get_velocities() * self._fs, float(a.get_potential_energy()), a.get_forces()


class OpenmmSteps:
    """OpenMM: velocity Verlet as a custom integrator, or its middle-scheme Langevin integrator; in float64."""

    def __init__(self, energy: Any, start: Start, options: SimulateOptions, velocities: np.ndarray, seed: int):
        import openmm

        from consilience.engines.openmm import context_of, python_force, system_of

        if any(start.pbc) and not all(start.pbc):
            raise InputError("OpenMM is periodic in all three directions or none", found=str(start.pbc))
        if options.ensemble == "nve":
            engine: Any = openmm.CustomIntegrator(options.dt / 1000)
            engine.addUpdateContextState()
            engine.addComputePerDof("v", "v+0.5*dt*f/m")
            engine.addComputePerDof("x", "x+dt*v")
            engine.addComputePerDof("v", "v+0.5*dt*f/m")
        else:
            engine = openmm.LangevinMiddleIntegrator(options.temperature, options.friction, options.dt / 1000)
            engine.setRandomNumberSeed(seed % 2**30 + 1)  # 0 would mean another seed every time
        place = start.place()
        system = system_of(start.masses, python_force(energy, **place), **place)
        self.engine, self.context = engine, context_of(system, engine)
        self.context.setPositions(start.positions / 10)
        self.context.setVelocities(velocities * 100)

    def step(self) -> None:
        self.engine.step(1)

    def now(self) -> tuple[np.ndarray, np.ndarray, float, np.ndarray]:
        from consilience.units import KJ_MOL

        s = self.context.getState(positions=True, velocities=True, energy=True, forces=True)
        x, v = s.getPositions(asNumpy=True)._value * 10, s.getVelocities(asNumpy=True)._value / 100
        return x, v, float(s.getPotentialEnergy()._value) * KJ_MOL, s.getForces(asNumpy=True)._value * (KJ_MOL / 10)


def stepper(energy: Any, start: Start, options: SimulateOptions, seed: int) -> Stepper:
    """The engine at its start, with the velocities that our own dynamics begins with. InputError: not installed."""
    rng = np.random.default_rng([seed, 0])
    natural = maxwell_boltzmann(
        start.positions, start.masses, options.temperature, rng, remove=_removed(start, options),
        exact=options.ensemble == "nve",
    )  # fmt: skip
    kind = AseSteps if options.engine == "ase" else OpenmmSteps
    try:
        return kind(energy, start, options, natural * FS, seed)
    except ModuleNotFoundError as err:
        extra = f"pip install 'consilience[{options.engine}]'"
        raise InputError(f"--engine {options.engine} is not installed", found=str(err), fix=extra) from None


def _removed(start: Start, options: SimulateOptions) -> Any:
    return "none" if options.ensemble == "nvt" else "momentum" if start.periodic else "rotation"


def run_engine(
    engine: Stepper,
    energy: Any,
    start: Start,
    options: SimulateOptions,
    block: int,
    on_block: Callable[[Trajectory, dict[str, np.ndarray]], Any],
) -> Simulation:
    """Let an engine run, with the bounds, frames and blocks of our own dynamics; see `md.simulate.simulate`."""
    n, bounds = len(start.numbers), Bounds()
    dof = 3 * n if options.ensemble == "nvt" else max(1, degrees_of_freedom(start.positions, _removed(start, options)))
    hottest = bounds.hottest(options.temperature)
    listing = Listing.choose(n, energy.cutoff, 1.0, start.cell, start.pbc)
    frames: list[tuple[int, np.ndarray, np.ndarray, float, float]] = []
    pieces: list[Trajectory] = []
    shortest, largest, failure, began, done = np.inf, 0.0, None, time.perf_counter(), 0
    last = engine.now()
    started = time.perf_counter()
    for step in range(options.steps + 1):
        if step:
            try:
                engine.step()
                here = engine.now()
            except Exception as err:
                if isinstance(err, ConsilError) and not isinstance(err, InputError):
                    raise
                if "NaN" not in str(err) and not isinstance(err, InputError):
                    raise  # of the engine itself, not of what moves in it
                here = (np.full((n, 3), np.nan), np.full((n, 3), np.nan), np.nan, np.full((n, 3), np.nan))
        else:
            here = last
        x, v, potential, forces = here
        moving = 0.5 * float(np.sum(start.masses[:, None] * (v / FS) ** 2))
        size = float(np.sqrt(np.max(np.sum(forces**2, 1))))
        near = _shortest(x, listing) if n <= CHECKED or step % options.every == 0 else np.inf
        code = 0
        code = 4 if 2 * moving / (dof * BOLTZMANN) > hottest else code
        code = 3 if near < bounds.min_distance else code
        code = 2 if size > bounds.max_force else code
        code = 1 if not np.isfinite([potential, size, moving]).all() else code
        shortest, largest = np.fmin(shortest, near), np.fmax(largest, size)
        if code:
            failure = autopsy(
                energy, listing, step=step, time_fs=step * options.dt, replica=0, code=code, dof=dof,
                kinetic_energy=moving, failed=(x, forces), last_good=(last[0], last[3]),
            )  # fmt: skip
        elif step % options.every == 0:
            frames.append((step, x, v, potential, moving))
        last, done = here, step
        if frames and (failure is not None or step == options.steps or (step and step % block == 0)):
            pieces.append(_piece(frames, options.dt, dof))
            on_block(pieces[-1], {})
            pieces[-1] = pieces[-1].scalars()
            frames = []
        if failure is not None:
            break
    seconds = time.perf_counter() - started
    return Simulation(
        "failed" if failure else "ok",
        Trajectory.joined(pieces) if pieces else _piece([(0, last[0], last[1], last[2], 0.0)], options.dt, dof),
        {}, failure, done, dof, n, done / max(seconds, 1e-9), started - began, float(shortest), float(largest),
    )  # fmt: skip


def _shortest(x: np.ndarray, listing: Listing) -> float:
    from consilience.md.autopsy import _distances

    if len(x) < 2 or not np.isfinite(x).all():
        return np.inf
    i, j = closest_pair(x, listing)
    return float(_distances(x[i], x[j][None], listing)[0])


def _piece(frames: list[tuple[int, np.ndarray, np.ndarray, float, float]], dt: float, dof: int) -> Trajectory:
    steps, x, v, potential, moving = zip(*frames, strict=True)
    step = np.array(steps)
    kinetic = np.array(moving)[None]
    temperature = 2 * kinetic / (dof * BOLTZMANN)
    return Trajectory(step, step * dt, np.stack(x)[None], np.stack(v)[None], np.array(potential)[None], kinetic,
                      temperature)  # fmt: skip
