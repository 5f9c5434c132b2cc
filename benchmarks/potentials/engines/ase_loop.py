"""Molecular dynamics by ASE's velocity Verlet around a calculator, timed by the step."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from ase.md.verlet import VelocityVerlet
from timing import milliseconds, summary


class ArrayCalculator(Calculator):
    """The thinnest calculator around a function positions (n, 3) -> energy, forces (n, 3)."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def __init__(self, evaluate: Callable[[np.ndarray], tuple[float, np.ndarray]]):
        super().__init__()
        self.evaluate = evaluate

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        energy, forces = self.evaluate(self.atoms.positions)
        self.results = {"energy": energy, "forces": forces}


def per_step(z: np.ndarray, x: np.ndarray, calculator: Calculator, options: dict) -> dict[str, float]:
    """CPU ms of a step, from repeated blocks of `options["steps"]` steps that begin at rest in x."""
    atoms = Atoms(numbers=z, positions=x, calculator=calculator)
    dynamics = VelocityVerlet(atoms, options["dt_fs"] * units.fs)

    def block() -> None:
        atoms.positions = x
        atoms.set_velocities(np.zeros_like(x))
        dynamics.run(options["steps"])

    block()
    moved = float(np.abs(atoms.positions - x).max())
    return {"moved": moved} | summary([t / options["steps"] for t in milliseconds(block, options["seconds"])])
