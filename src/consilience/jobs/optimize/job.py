"""consil optimize: the relaxed geometry of a molecule, or of the atoms in a fixed cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from consilience.core.errors import Finding
from consilience.jobs.common.dynamics_options import OptimizeOptions
from consilience.jobs.common.html_table import Shown
from consilience.jobs.common.interrupt import interruptible
from consilience.jobs.common.open_folder import open_folder
from consilience.jobs.common.options import RunOptions
from consilience.jobs.common.output import OutputFolder
from consilience.jobs.common.runtime import prepare_jax


@dataclass(frozen=True, repr=False)
class OptimizeResult(Shown):
    """What `optimize` returns: the summary as written, the folder, the geometry (n, 3) Å and its path (k, n, 3)."""

    summary: dict[str, Any]
    folder: Path
    numbers: np.ndarray
    positions: np.ndarray
    path: np.ndarray
    energies: np.ndarray


def optimize(
    files: Sequence[str | Path], *, options: OptimizeOptions | None = None, run: RunOptions | None = None
) -> OptimizeResult:
    """Relax a start with a model; the command `consil optimize`.

    `files`: a model folder and a structure, in any order. Raises InputError for bad input before anything is written.
    """
    from consilience.jobs.common.start import load, model_files, sort_inputs

    options, run = (options or OptimizeOptions()).checked(), run or RunOptions()
    prepare_jax()
    place, file = sort_inputs(files)
    assert file is not None
    model, start = load(place, file, options.charge, options.precision)
    inputs = [*model_files(model), file]
    folder = open_folder("optimize", start.path.name.split(".")[0], run, inputs)
    with interruptible(folder):
        config = {f.name: getattr(options, f.name) for f in fields(options)}
        folder.begin(inputs, config, start.findings, [place, file])
        return _optimize(folder, model, start, options)


def _optimize(folder: OutputFolder, model: Any, start: Any, options: OptimizeOptions) -> OptimizeResult:
    from consilience.engines.source import Source
    from consilience.frames.geometry import superpose
    from consilience.frames.write import write_extxyz
    from consilience.jobs.optimize.report import write_report
    from consilience.md.optimise import optimise

    energy = model.energy_of(start.numbers, start.charge)
    folder.log(f"relaxing {start.formula}, charge {start.charge:g} e, until no force is above {options.fmax:g} eV/Å")
    done = optimise(
        energy, start.positions, tolerance=options.fmax, max_steps=options.max_steps, cutoff=energy.cutoff,
        **start.place(),
    )  # fmt: skip
    source = Source(energy)
    charges = source.value("charges", done.positions, **start.place())
    dipole = None if start.periodic else source.value("dipole", done.positions)
    write_extxyz(
        folder / "optimized.extxyz",
        start.as_frames(
            done.positions[None], energy=np.array([done.energy]), forces=done.forces[None], charges=charges[None],
            dipole=None if dipole is None else dipole[None],
        ),
    )  # fmt: skip
    write_extxyz(folder / "path.extxyz", start.as_frames(done.path, energy=done.energies))
    moved = done.positions if start.periodic else _superposed(done.positions, start.positions, superpose)
    shift = np.linalg.norm(moved - start.positions, axis=1)
    first = float(np.linalg.norm(source(start.positions, **start.place()).forces, axis=1).max())
    summary: dict[str, Any] = {
        "status": "ok" if done.converged else "checks_failed",
        "energy": done.energy,
        "energy_start": float(done.energies[0]),
        "max_force": done.max_force,
        "max_force_start": first,
        "converged": done.converged,
        "rmsd": float(np.sqrt(np.mean(shift**2))),
        "steps": done.steps,
        "evaluations": done.evaluations,
        "dipole_eA": None if dipole is None else float(np.linalg.norm(dipole)),
        "unit": "eV, eV/Å, Å",
        "n_atoms": len(start.numbers),
    }
    if not done.converged:
        fix = "more --max-steps, --precision 64, or a larger --fmax"
        folder.warn(
            Finding(
                "warn",
                "the geometry is not relaxed",
                str(folder.path / "optimized.extxyz"),
                f"a force of {done.max_force:.3g} eV/Å",
                f"at most {options.fmax:g} eV/Å",
                fix,
            )
        )
    rows = [{"step": i, "energy_eV": float(e)} for i, e in enumerate(done.energies)]
    folder.write_csv("history.csv", rows)
    full = {**summary, "warnings": list(folder.warnings), "seed": folder.run.seed, **folder.timings()}
    write_report(folder / "report.html", full, done, start, shift, model)
    summary = folder.write_summary(summary)
    folder.log(f"energy {done.energy:.6f} eV ({done.energy - done.energies[0]:+.6f}), largest force "
               f"{done.max_force:.2e} eV/Å after {done.steps} steps, r.m.s. displacement {summary['rmsd']:.4f} Å; "
               f"geometry: {folder / 'optimized.extxyz'}")  # fmt: skip
    return OptimizeResult(summary, folder.path, start.numbers, done.positions, done.path, done.energies)


def _superposed(x: np.ndarray, onto: np.ndarray, superpose: Any) -> np.ndarray:
    """x turned and shifted onto another geometry by least squares."""
    a, b = x - x.mean(0), onto - onto.mean(0)
    return a @ superpose(a[None], b[None])[0] + onto.mean(0)
