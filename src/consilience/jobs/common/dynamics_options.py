"""Options of simulate, optimize, spectrum and export, with their defaults."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from consilience.core.errors import InputError

METHODS = ("md", "remd", "metad", "umbrella")
COORDINATES = ("rg", "rmsd", "q")
ENGINES = ("native", "ase", "openmm", "lammps")


@dataclass(frozen=True)
class SimulateOptions:
    """Everything that `consil simulate` can be told. dt fs, temperature K, friction 1/ps, charge e.

    ensemble, dt: None: constant energy at 0.5 fs for molecules, Langevin dynamics at 5 fs for beads. precision 32: the
    network's weights as they are stored; positions, velocities and sums are float64 either way. For beads: method,
    cv (what is biased, of which free energies are made), reference (a structure, for RMSD and Q; None: the start),
    t_max: K, the highest temperature of remd (None: half as much again); replicas: temperatures, walkers or windows.
    """

    ensemble: Literal["nve", "nvt"] = None  # pyright: ignore[reportAssignmentType]  # until it is known what moves
    dt: float = None  # pyright: ignore[reportAssignmentType]
    steps: int = 10_000
    temperature: float = 300.0
    friction: float = 1.0
    every: int = 10
    replicas: int = 1
    engine: Literal["native", "ase", "openmm", "lammps"] = "native"
    method: Literal["md", "remd", "metad", "umbrella"] = "md"
    cv: Literal["rg", "rmsd", "q"] | None = None
    reference: Path | None = None
    t_max: float | None = None
    precision: Literal[32, 64] = 32
    format: Literal["dcd", "extxyz"] = "dcd"
    charge: float | None = None  # None: as the start says, else 0

    def checked(self) -> SimulateOptions:
        """The options, if each can be. Raises InputError."""
        if self.dt is not None:  # pyright: ignore[reportUnnecessaryComparison]
            at_least("--dt", self.dt, 1e-3, 100.0)
        at_least("--steps", self.steps, 1, 10**12)
        at_least("--every", self.every, 1, 10**9)
        at_least("--replicas", self.replicas, 1, 10_000)
        at_least("--temperature", self.temperature, 0.0, 1e5)
        at_least("--friction", self.friction, 0.0, 1e5)
        if self.t_max is not None:
            at_least("--t-max", self.t_max, self.temperature + 1, 1e5)
        if self.engine != "native" and self.replicas > 1:
            raise InputError(f"--engine {self.engine} runs one replica", found=f"--replicas {self.replicas}")
        return self

    def of_molecule(self) -> SimulateOptions:
        """The options with what was left open, for a molecule. Raises InputError for what only beads can do."""
        if self.method != "md":
            raise InputError(f"--method {self.method} is not there yet for molecules", expected="md")
        if self.engine == "lammps":
            fix = "choose native, ase or openmm"
            raise InputError("--engine lammps is not there yet for molecules", fix=fix)
        given = [n for n in ("cv", "reference", "t_max") if getattr(self, n) is not None]
        if given:
            raise InputError(f"--{given[0].replace('_', '-')} is for models of beads")
        return replace(self, ensemble=self.ensemble or "nve", dt=0.5 if self.dt is None else self.dt)

    def of_beads(self) -> SimulateOptions:
        """The options with what was left open, for beads. Raises InputError for what only molecules can do."""
        if self.engine != "native":
            fix = "consil export MODEL --to lammps|openmm makes a ready input"
            raise InputError(f"--engine {self.engine} does not run beads from here", expected="native", fix=fix)
        if self.method != "md" and self.ensemble == "nve":
            raise InputError(f"--method {self.method} needs a constant temperature", fix="--ensemble nvt")
        if self.method != "md":
            at_least("--temperature", self.temperature, 1.0, 1e5)
        many = {"remd": 6, "umbrella": 16}.get(self.method, 1)
        return replace(
            self,
            ensemble=self.ensemble or "nvt",
            dt=5.0 if self.dt is None else self.dt,
            replicas=many if self.replicas == 1 else self.replicas,
            cv=self.cv or ("rg" if self.method in ("metad", "umbrella") else None),
            t_max=(1.5 * self.temperature if self.t_max is None else self.t_max)
            if self.method == "remd"
            else self.t_max,
        )


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
