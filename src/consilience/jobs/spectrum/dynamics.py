"""Spectra of dynamics: thermalised constant-energy runs of the model, or a trajectory that is there already."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from consilience.core.errors import Finding, InputError, RunError
from consilience.files import decode, read_bytes
from consilience.jobs.common.dynamics_options import SpectrumOptions
from consilience.jobs.common.start import Start
from consilience.jobs.simulate.job import block_of
from consilience.kinds import recognise_bytes
from consilience.md.spectra import Spectrum, infrared_spectrum, power_spectrum
from consilience.units import CM1, FS, LIGHT

WARM_STEPS, WARM_FRICTION = 2000, 5.0  # Langevin steps at the least, 1/ps
ROOM = 2**31  # bytes


@dataclass(frozen=True)
class Dynamic:
    """Spectra of one or several runs; ir is None for periodic cells. temperature K; frames, frame_fs: of each run."""

    power: Spectrum
    ir: Spectrum | None
    temperature: float
    frames: int
    frame_fs: float
    drift: float | None
    source: str


def of_model(
    energy: Any,
    start: Start,
    positions: np.ndarray,
    options: SpectrumOptions,
    seed: int,
    say: Callable[[str], None],
) -> Dynamic:
    """Langevin dynamics from the relaxed geometry, then constant-energy runs without momentum and rotation.

    Raises RunError where a run is not stable.
    """
    from consilience.md.simulate import simulate
    from consilience.md.velocities import without_motion

    n, replicas = len(start.numbers), options.replicas
    frames = options.md // options.every
    if frames * replicas * n * 48 > ROOM:
        raise InputError(
            "the frames of a spectrum need too much memory",
            found=f"{frames} frames of {replicas * n} atoms",
            fix="larger --every, fewer --replicas",
        )
    common: dict[str, Any] = {"dt": options.dt, "replicas": replicas, "cutoff": energy.cutoff, **start.place()}
    common |= {"temperature": options.temperature, "block": block_of(n * replicas)}
    warm_steps = max(WARM_STEPS, options.md // 5)
    say(f"dynamics: {replicas} runs of {warm_steps} Langevin and {options.md} constant-energy steps")
    warm = simulate(energy, positions, start.masses, steps=warm_steps, ensemble="nvt", friction=WARM_FRICTION,
                    every=warm_steps, seed=seed, **common)  # fmt: skip
    if warm.failure is not None:
        raise RunError(f"the dynamics for the spectrum is not stable: {warm.failure}")
    x, v = warm.trajectory.positions[:, -1], warm.trajectory.velocities[:, -1]
    remove = "momentum" if start.periodic else "rotation"
    still = np.stack([without_motion(a, b, start.masses, remove) for a, b in zip(x, v, strict=True)])
    run = simulate(energy, x, start.masses, steps=options.md, every=options.every, velocities=still, seed=seed + 1,
                   dipoles=not start.periodic, **common)  # fmt: skip
    if run.failure is not None:
        raise RunError(f"the dynamics for the spectrum is not stable: {run.failure}")
    t = run.trajectory
    frame = options.dt * options.every
    temperature = float(t.temperature.mean())
    power = power_spectrum(t.velocities, start.masses, frame, resolution=options.resolution, dt=options.dt)
    ir = None
    if t.dipole is not None:
        ir = infrared_spectrum(t.dipole, frame, temperature, resolution=options.resolution, dt=options.dt)
    kept = run.conservation
    return Dynamic(power, ir, temperature, len(t), frame, None if kept is None else kept.drift,
                   f"{replicas} run(s) of {options.md * options.dt / 1e3:g} ps at {temperature:.0f} K")  # fmt: skip


def of_trajectory(energy: Any, start: Start, path: Path, options: SpectrumOptions) -> tuple[Dynamic, list[Finding]]:
    """Spectra of the frames in a file: velocities by differences, dipoles by the model.

    Raises InputError for a trajectory of other atoms, or without the time between its frames.
    """
    x, frame, dt = read_trajectory(path, start)
    findings = []
    if options.frame_fs is not None:
        frame, dt = options.frame_fs, None
    if frame is None:
        raise InputError("the trajectory does not say the time between its frames", str(path), fix="give --frame-fs FS")
    if 0.5e15 / (frame * LIGHT) < 4500:
        what = "the frames are too far apart for the fastest vibrations: these appear at wrong places"
        expected = "at most 3.7 fs between frames (4500 cm^-1)"
        findings.append(Finding("warn", what, str(path), f"{frame:g} fs", expected, "record more often"))
    rate = np.diff(x, axis=0) / frame
    power = power_spectrum(rate[None], start.masses, frame, resolution=options.resolution, dt=dt)
    half = 0.5 * power.cm1 / CM1 * frame * FS
    lifted = power.intensity / np.maximum(np.sinc(half / np.pi), 0.2) ** 2
    power = Spectrum(power.cm1, lifted, None, power.unit, power.peaks_cm1, power.resolution_cm1)
    ir = None
    if not start.periodic:
        dipoles = _dipoles(energy, x)
        ir = infrared_spectrum(dipoles[None], frame, options.temperature, resolution=options.resolution, dt=dt)
    said = f"{path.name}, {len(x)} frames every {frame:g} fs"
    return Dynamic(power, ir, options.temperature, len(x), frame, None, said), findings


def read_trajectory(path: Path, start: Start) -> tuple[np.ndarray, float | None, float | None]:
    """Positions (F, n, 3), the time between frames and the time step in fs, None where the file does not say them."""
    from consilience.md.trajectory_read import is_dcd, parse_dcd

    data = read_bytes(path)
    if is_dcd(data):
        found = parse_dcd(data, str(path))
        x, frame, dt = found.positions, found.frame_fs or None, found.dt or None
    else:
        kind = recognise_bytes(data, path.name)
        if kind != "extxyz":
            expected = "DCD or extended XYZ"
            raise InputError("this is no trajectory that can be read", str(path), f"recognised as: {kind}", expected)
        from consilience.frames.read import read_frames

        frames = read_frames(path, strict=False)
        n = int(frames.natoms[0])
        if not (frames.numbers[:, :n] == start.numbers[:n]).all() if n == len(start.numbers) else True:
            raise InputError(
                "the trajectory is of other atoms than the start", str(path), fix="give both of one molecule"
            )
        x, dt = frames.positions[:, :n], None
        times = [float(t) for t in re.findall(r"\btime_fs=([-+.\deE]+)", decode(data[: 1 << 22], str(path)))]
        gaps = np.diff(times) if len(times) > 1 else np.zeros(0)
        frame = float(gaps[0]) if len(gaps) and gaps[0] > 0 and np.allclose(gaps, gaps[0], rtol=1e-3) else None
    if x.shape[1] != len(start.numbers):
        found, expected = f"{x.shape[1]} atoms", f"{len(start.numbers)}"
        raise InputError("the trajectory is of another molecule than the start", str(path), found, expected)
    if len(x) < 17:
        raise InputError("too few frames for a spectrum", str(path), f"{len(x)} frames", "17 at the least")
    return x, frame, dt


def _dipoles(energy: Any, x: np.ndarray) -> np.ndarray:
    from consilience.engines.source import Source

    source = Source(energy)
    return np.stack([source.value("dipole", one) for one in x])
