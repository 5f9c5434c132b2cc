"""A bead model as a folder that LAMMPS runs: its prior and network in a compiled plug-in, or through `fix external`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from consilience.core.errors import Finding
from consilience.engines.lammps import build
from consilience.jobs.common.bead_start import BeadStart
from consilience.jobs.common.dynamics_options import ExportOptions
from consilience.jobs.common.output import OutputFolder
from consilience.jobs.export.inputs import template
from consilience.jobs.export.lammps_terms import bead_system, classical_terms, far_of_network, network_names
from consilience.potentials.beads.energy import BeadEnergy

RANKS = (1, 2)  # of the self-test

Evaluated = tuple[np.ndarray, np.ndarray]  # energies (f,) kcal/mol, forces (f, n, 3) kcal/mol/Å


@dataclass(frozen=True)
class Engine:
    """An engine that is there: its version, what `write` puts into the folder, and how frames are evaluated.

    evaluate: name of the way ("1 process") -> function of the folder and frames (f, n, 3).
    """

    name: str
    version: str
    write: Callable[[OutputFolder], list[str]]
    evaluate: dict[str, Callable[[Path, np.ndarray], Evaluated]]
    run: str
    findings: tuple[Finding, ...] = ()


def lammps_engine(energy: BeadEnergy, start: BeadStart, options: ExportOptions, seed: int) -> Engine:
    """LAMMPS with the plug-in where it can be compiled, else through `fix external`. InputError: no LAMMPS."""
    found = build.installation()
    lacking = []
    if build.compiler() is None:
        lacking.append("no C++ compiler is here (g++ or clang++)")
    if len(found.headers) < 2:
        lacking.append("mpi.h is missing (package mpich)")
    if energy.network is not None and found.pjrt is None:
        lacking.append("the PJRT plug-in for CPUs is missing (package lammps-jax-pjrt-cpu)")
    if lacking:
        what = "LAMMPS gets the model through fix external: pure Python, on one process"
        note = Finding("warn", what, found="; ".join(lacking), fix=f"install what is missing, e.g. {build.EXTRA}")
        return _external(energy, start, options, found, note)
    return _plugin(energy, start, options, found, seed)


def _plugin(
    energy: BeadEnergy, start: BeadStart, options: ExportOptions, found: build.Installation, seed: int
) -> Engine:
    from consilience.engines.lammps.evaluate import evaluate_frames
    from consilience.engines.lammps.inputs import coefficients_text, data_text, prepare, setup_text
    from consilience.engines.lammps.program import rows_for, slots_for, write_network

    system = bead_system(start)
    terms = classical_terms(energy, system)
    ready = prepare(system, terms)
    network = energy.network
    variables: dict[str, object] = {
        "plugin": f"plugin/{build.LIBRARY}", "data": "beads.data", "coefficients": "terms.lammps",
        "network": "network", "pjrt": found.pjrt or "none",
    }  # fmt: skip

    def write(folder: OutputFolder) -> list[str]:
        folder.write("beads.data", data_text(ready))
        folder.write("terms.lammps", coefficients_text(ready, network is not None))
        folder.write("setup.lammps", setup_text(ready, None if network is None else float(network.cutoff)))
        text = template("lammps.in").format(
            formula=start.formula, temperature=options.temperature, pjrt=found.pjrt or "none"
        )
        folder.write("in.lammps", text)
        folder.log("compiling the plug-in of LAMMPS")
        build.write_sources(folder / "plugin", terms.forms, found.release)
        build.compile_plugin(folder / "plugin", found)
        files = ["in.lammps", "setup.lammps", "beads.data", "terms.lammps", "plugin"]
        if network is not None:
            most = _neighbours(start, float(network.cutoff))
            slots = slots_for(float(network.cutoff), most, len(start) if start.cell is None else None)
            write_network(folder / "network", network, network_names(), rows_for(len(start)), slots, far_of_network())
            files.append("network")
        return files

    def on(ranks: int) -> Callable[[Path, np.ndarray], Evaluated]:
        def evaluate(folder: Path, frames: np.ndarray) -> Evaluated:
            shuffled = folder / "selftest.data"
            order = np.random.default_rng([seed, 4]).permutation(len(start))
            shuffled.write_text(data_text(ready, order))
            try:
                told = {**variables, "data": shuffled.name}
                got = evaluate_frames(found, folder / "setup.lammps", frames, told, cell=start.cell, ranks=ranks)
            finally:
                shuffled.unlink(missing_ok=True)
            return got.energies, got.forces

        return evaluate

    ways = {f"{k} process{'es' * (k > 1)}": on(k) for k in RANKS if k == 1 or found.mpiexec is not None}
    return Engine("lammps", found.release, write, ways, "lmp -in in.lammps")


def _external(
    energy: BeadEnergy, start: BeadStart, options: ExportOptions, found: build.Installation, note: Finding
) -> Engine:
    def write(folder: OutputFolder) -> list[str]:
        folder.write("run.py", template("external.py").format(temperature=options.temperature, bits=options.precision))
        return ["run.py"]

    def evaluate(folder: Path, frames: np.ndarray) -> Evaluated:
        from consilience.engines.lammps.external import External

        engine = External(energy, bead_system(start), folder)
        found = [engine.evaluate(x) for x in frames]
        engine.lammps.close()
        (folder / "external.data").unlink(missing_ok=True)
        return np.array([e for e, _ in found]), np.array([f for _, f in found])

    return Engine("lammps", found.release, write, {"fix external": evaluate}, "python run.py", (note,))


def _neighbours(start: BeadStart, cutoff: float) -> int:
    """The largest number of neighbours of a bead of the start."""
    from consilience.neighbours import neighbour_matrix

    pbc = (start.cell is not None,) * 3
    return neighbour_matrix(start.positions, cutoff, start.cell, pbc).capacity


def energy_of(model: Any, start: BeadStart, options: ExportOptions) -> BeadEnergy:
    """The energy of the start's beads at the temperature and precision of the options."""
    chosen = model.with_precision(options.precision)
    return chosen.beads_of(start.residues, start.chain, start.number, temperature=options.temperature)
