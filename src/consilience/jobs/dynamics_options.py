"""Options of simulate, optimize, spectrum and export, with their defaults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from consilience.core.errors import InputError

METHODS = ("md", "remd", "metad", "umbrella")
ENGINES = ("native", "ase", "openmm", "lammps")


@dataclass(frozen=True)
class SimulateOptions:
    """Everything that `consil simulate` can be told. dt fs, temperature K, friction 1/ps, charge e.

    precision 32: the network's weights as they are stored; positions, velocities and sums are float64 either way.
    """

    ensemble: Literal["nve", "nvt"] = "nve"
    dt: float = 0.5
    steps: int = 10_000
    temperature: float = 300.0
    friction: float = 1.0
    every: int = 10
    replicas: int = 1
    engine: Literal["native", "ase", "openmm", "lammps"] = "native"
    method: Literal["md", "remd", "metad", "umbrella"] = "md"
    precision: Literal[32, 64] = 32
    format: Literal["dcd", "extxyz"] = "dcd"
    charge: float | None = None  # None: as the start says, else 0

    def checked(self) -> SimulateOptions:
        """The options, if each can be. Raises InputError."""
        if self.method != "md":
            raise InputError(f"--method {self.method} is not there yet for molecules", expected="md")
        if self.engine == "lammps":
            fix = "choose native, ase or openmm"
            raise InputError("--engine lammps is not there yet for molecules", fix=fix)
        at_least("--dt", self.dt, 1e-3, 100.0)
        at_least("--steps", self.steps, 1, 10**12)
        at_least("--every", self.every, 1, 10**9)
        at_least("--replicas", self.replicas, 1, 10_000)
        at_least("--temperature", self.temperature, 0.0, 1e5)
        at_least("--friction", self.friction, 0.0, 1e5)
        if self.engine != "native" and self.replicas > 1:
            raise InputError(f"--engine {self.engine} runs one replica", found=f"--replicas {self.replicas}")
        return self


@dataclass(frozen=True)
class OptimizeOptions:
    """Everything that `consil optimize` can be told: fmax eV/Å (the largest force that is left), charge e."""

    fmax: float = 1e-4
    max_steps: int = 2000
    precision: Literal[32, 64] = 64
    charge: float | None = None

    def checked(self) -> OptimizeOptions:
        """The options, if each can be. Raises InputError."""
        at_least("--fmax", self.fmax, 1e-8, 10.0)
        at_least("--max-steps", self.max_steps, 0, 10**7)
        return self


@dataclass(frozen=True)
class SpectrumOptions:
    """Everything that `consil spectrum` can be told: dt fs, temperature K, resolution cm^-1, charge e.

    md: steps of dynamics (0: none) for each of `replicas`. trajectory: frames of the same molecule instead; frame_fs:
    the time between them where the file does not say it. reference: frequencies to compare with (JSON).
    """

    md: int = 0
    trajectory: Path | None = None
    frame_fs: float | None = None
    reference: Path | None = None
    dt: float = 0.5
    temperature: float = 300.0
    every: int = 4
    replicas: int = 4
    resolution: float = 8.0
    fmax: float = 1e-5
    precision: Literal[32, 64] = 64
    charge: float | None = None

    def checked(self) -> SpectrumOptions:
        """The options, if each can be. Raises InputError."""
        at_least("--md", self.md, 0, 10**10)
        at_least("--dt", self.dt, 1e-3, 100.0)
        at_least("--temperature", self.temperature, 1.0, 1e5)
        at_least("--every", self.every, 1, 10**6)
        at_least("--replicas", self.replicas, 1, 1000)
        at_least("--resolution", self.resolution, 0.5, 200.0)
        at_least("--fmax", self.fmax, 1e-8, 1.0)
        if self.frame_fs is not None:
            at_least("--frame-fs", self.frame_fs, 1e-3, 1e4)
        if self.md and self.trajectory is not None:
            raise InputError("--md and --trajectory both give frames", fix="give one of them")
        if 0 < self.md < 64 * self.every:
            found, expected = f"--md {self.md}", f"at least {64 * self.every} steps with --every {self.every}"
            raise InputError("too few steps for a spectrum", found=found, expected=expected)
        return self


@dataclass(frozen=True)
class ExportOptions:
    """Everything that `consil export` can be told: the engine; of molecules the total charge, e; of beads K, bits."""

    to: Literal["lammps", "ase", "openmm"] = "ase"
    charge: float | None = None
    temperature: float = 300.0
    precision: Literal[32, 64] = 64

    def checked(self) -> ExportOptions:
        """The options, if each can be. Raises InputError."""
        at_least("--temperature", self.temperature, 1.0, 5000.0)
        return self


def at_least(name: str, value: float, low: float, high: float) -> None:
    """Raise InputError for a value outside its range (or nan)."""
    if not low <= value <= high:
        raise InputError(f"{name} is out of range", found=f"{value:g}", expected=f"{low:g} to {high:g}")
