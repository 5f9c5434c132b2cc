"""consil export of a bead model: to LAMMPS or OpenMM, with a ready input and a test of energies and forces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from consilience.core.errors import InputError, RunError
from consilience.files import write_atomic
from consilience.jobs.common.bead_start import BeadStart, read_bead_start
from consilience.jobs.common.dynamics_options import ExportOptions
from consilience.jobs.common.interrupt import interruptible
from consilience.jobs.common.open_folder import open_folder
from consilience.jobs.common.options import RunOptions
from consilience.jobs.common.output import OutputFolder
from consilience.jobs.export.inputs import template
from consilience.jobs.export.lammps import Engine, Evaluated, energy_of, lammps_engine
from consilience.jobs.export.lammps_terms import own_energy
from consilience.units import KCAL_MOL, KJ_MOL

FRAMES, SHAKEN = 8, 0.1  # of the self-test; Å
# tolerances by precision of the network: kcal/mol, and a fraction of the largest force in a frame
TOLERANCES = {64: (1e-6, 1e-6), 32: (1e-3, 1e-4)}


def export_beads(
    model: Any, place: Path, file: Path | None, options: ExportOptions, run: RunOptions
) -> tuple[dict[str, Any], Path]:
    """Write a bead model for another engine: (summary, folder).

    Raises InputError for bad input and where the engine is not installed, before anything is written; RunError where
    the plug-in cannot be compiled or the engine fails.
    """
    from consilience.jobs.common.start import model_files

    if options.to == "ase":
        raise InputError("--to ase is for molecules: beads have no elements", str(place), expected="lammps or openmm")
    if options.charge is not None:
        raise InputError("--charge is for molecules", found=f"{options.charge:g}", fix="leave it out")
    if file is None:
        raise InputError("a bead model is exported for a START", str(place), fix="give a bead file, PDB or mmCIF")
    start = read_bead_start(file)
    energy = energy_of(model, start, options)
    make = lammps_engine if options.to == "lammps" else openmm_engine
    engine = make(energy, start, options, run.seed)
    inputs = [*model_files(model), file]
    stem = place.resolve().parent.name if place.resolve().name == "model" else place.resolve().name
    folder = open_folder("export", stem, run, inputs)
    with interruptible(folder):
        config = {f.name: getattr(options, f.name) for f in fields(options)}
        folder.begin(inputs, config, (*start.findings, *engine.findings), [place, file])
        return _export(folder, model, start, energy, engine, options), folder.path


def openmm_engine(energy: Any, start: BeadStart, options: ExportOptions, seed: int) -> Engine:
    """OpenMM with a PythonForce. InputError where it is not installed."""
    try:
        import openmm

        from consilience.engines.openmm import context_of, python_force, system_of
    except ModuleNotFoundError as err:
        raise InputError("openmm is not installed: the export cannot be tested", found=str(err),
                         fix="pip install 'consilience[openmm]'") from None  # fmt: skip
    where = {"cell": start.cell, "pbc": start.cell is not None}

    def write(folder: OutputFolder) -> list[str]:
        folder.write(
            "run.py", template("openmm_beads.py").format(temperature=options.temperature, bits=options.precision)
        )
        return ["run.py"]

    def evaluate(folder: Path, frames: np.ndarray) -> Evaluated:
        force = python_force(energy, **where)
        context = context_of(system_of(start.masses, force, **where), openmm.VerletIntegrator(1e-3))
        energies, forces = [], []
        for x in frames:
            context.setPositions(x / 10)
            state = context.getState(energy=True, forces=True)
            energies.append(state.getPotentialEnergy()._value * KJ_MOL / KCAL_MOL)
            forces.append(state.getForces(asNumpy=True)._value * (KJ_MOL / 10 / KCAL_MOL))
        return np.array(energies), np.array(forces)

    return Engine("openmm", metadata.version("openmm"), write, {"PythonForce": evaluate}, "python run.py")


def frames_to_test(start: BeadStart, seed: int) -> np.ndarray:
    """Frames (f, n, 3): some of the start's file, from its beginning to its end, or the start shaken by 0.1 Å."""
    if len(start.frames) >= FRAMES:
        return start.frames[np.linspace(0, len(start.frames) - 1, FRAMES).astype(int)]
    shake = np.random.default_rng([seed, 3]).normal(0, SHAKEN, (FRAMES, *start.positions.shape))
    shake[0] = 0
    return start.positions + shake


def _export(
    folder: OutputFolder, model: Any, start: BeadStart, energy: Any, engine: Engine, options: ExportOptions
) -> dict[str, Any]:
    from consilience.jobs.common.start import model_files
    from consilience.jobs.export.report import write_bead_report
    from consilience.model import load_model

    copy = folder / "model"
    copy.mkdir(exist_ok=True)
    for path in model_files(model):
        write_atomic(copy / path.name, path.read_bytes())
    load_model(copy)  # proves the hash
    _write_start(folder, start, options.temperature)
    files = engine.write(folder)
    readme = "readme_lammps" if "in.lammps" in files else "readme_beads"
    folder.write("README.txt", template(readme).format(
        engine=engine.name, formula=start.formula, version=metadata.version("consilience"),
        engine_version=engine.version))  # fmt: skip
    frames = frames_to_test(start, folder.run.seed)
    folder.log(f"self-test: {len(frames)} frames of {start.formula} by consilience and by {engine.name} "
               f"{engine.version}: {', '.join(engine.evaluate)}")  # fmt: skip
    own = own_energy(energy, start.cell)
    ours = [own(x) for x in frames]
    rows: list[dict[str, Any]] = []
    for way, evaluate in engine.evaluate.items():
        try:
            energies, forces = evaluate(folder.path, frames)
        except RunError:
            raise
        except Exception as err:
            raise RunError(f"{engine.name} {engine.version} could not evaluate the frames: {err}") from err
        rows += [_row(way, i, mine, (e, f)) for i, (mine, e, f) in enumerate(zip(ours, energies, forces, strict=True))]
    folder.write_csv("selftest.csv", rows)
    folder.write_csv("history.csv", rows)
    summary = _summary(rows, engine, start, options)
    summary["files"] = [*files, "model", "start.npz", "start.pdb", "selftest.csv", "README.txt"]
    full = {**summary, "warnings": list(folder.warnings), "seed": folder.run.seed, **folder.timings()}
    write_bead_report(folder / "report.html", full, rows, start, engine.run)
    summary = folder.write_summary(summary)
    folder.log(f"largest difference: forces {summary['max_force_difference']:.1e} kcal/mol/Å, energy "
               f"{summary['max_energy_difference']:.1e} kcal/mol; run it in {folder.path}: {engine.run}")  # fmt: skip
    return summary


def _row(way: str, frame: int, ours: tuple[float, np.ndarray], theirs: tuple[float, np.ndarray]) -> dict[str, Any]:
    (e, f), (e2, f2) = ours, theirs
    largest = float(np.abs(f).max())
    difference = float(np.abs(f - f2).max())
    return {
        "engine": way,
        "frame": frame,
        "energy_kcal": e,
        "engine_energy_kcal": float(e2),
        "energy_difference_kcal": abs(e - float(e2)),
        "max_force_kcal_A": largest,
        "force_difference_kcal_A": difference,
        "relative_force_difference": difference / max(largest, 1e-12),
    }


def _summary(
    rows: Sequence[Mapping[str, Any]], engine: Engine, start: BeadStart, options: ExportOptions
) -> dict[str, Any]:
    def worst(key: str) -> float:
        return max(float(r[key]) for r in rows)

    energy, force = TOLERANCES[options.precision]
    passed = worst("energy_difference_kcal") <= energy and worst("relative_force_difference") <= force
    return {
        "status": "ok" if passed else "checks_failed",
        "engine": engine.name,
        "engine_version": engine.version,
        "max_force_difference": worst("force_difference_kcal_A"),
        "max_relative_force_difference": worst("relative_force_difference"),
        "max_energy_difference": worst("energy_difference_kcal"),
        "unit": "kcal/mol/Å, kcal/mol",
        "tolerance": {"energy": energy, "relative_force": force},
        "ways": list(engine.evaluate),
        "n_frames": len({r["frame"] for r in rows}),
        "n_beads": len(start),
        "temperature": options.temperature,
        "precision": options.precision,
    }


def _write_start(folder: OutputFolder, start: BeadStart, temperature: float) -> None:
    from consilience.coarse.beads import Beads
    from consilience.coarse.write import write_beads

    folder.write("start.pdb", start.pdb())
    box = None if start.cell is None else start.cell[None]
    kelvin, trajectory = np.array([temperature]), np.zeros(1, int)
    one = Beads(start.name, start.residues, start.chain, start.number, start.positions[None], None, kelvin, trajectory,
                None, box, weights=start.masses)  # fmt: skip
    write_beads(folder / "start.npz", [one])
