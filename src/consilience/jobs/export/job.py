"""consil export: a model made ready for another engine, with an input to run and a test of its energies and forces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from consilience.core.errors import InputError, RunError
from consilience.files import write_atomic
from consilience.jobs.common.dynamics_options import ExportOptions
from consilience.jobs.common.html_table import Shown
from consilience.jobs.common.interrupt import interruptible
from consilience.jobs.common.open_folder import open_folder
from consilience.jobs.common.options import RunOptions
from consilience.jobs.common.output import OutputFolder
from consilience.jobs.common.runtime import prepare_jax

FRAMES, SHAKEN = 8, 0.05  # of the self-test; Å
TOLERANCE = 1e-4  # eV/Å and eV per atom: float32 networks round at 1e-5

Evaluate = Callable[[np.ndarray], tuple[float, np.ndarray]]


@dataclass(frozen=True, repr=False)
class ExportResult(Shown):
    """What `export` returns: the summary as written, and the folder to take along."""

    summary: dict[str, Any]
    folder: Path


def export(
    files: Sequence[str | Path], *, options: ExportOptions | None = None, run: RunOptions | None = None
) -> ExportResult:
    """Write a model for another engine; the command `consil export`.

    `files`: a model folder and optionally a structure to start from (default: the molecule that the model keeps).
    Raises InputError for bad input, and where the engine is not installed, before anything is written.
    """
    from consilience.jobs.common.start import load, model_files, sort_inputs
    from consilience.model import LoadedModel, load_model

    options, run = (options or ExportOptions()).checked(), run or RunOptions()
    prepare_jax()
    place, file = sort_inputs(files, need_start=False)
    found = load_model(place)
    if not isinstance(found, LoadedModel):
        from consilience.jobs.export.beads import export_beads

        return ExportResult(*export_beads(found, place, file, options, run))
    if options.to == "lammps":
        raise InputError("--to lammps is for models of beads", str(place), expected="ase or openmm for molecules")
    if file is None:
        model = found
        start = _own_start(model, place)
    else:
        model, start = load(place, file, options.charge)
    if options.to == "openmm" and start.periodic and not all(start.pbc):
        raise InputError("OpenMM is periodic in all three directions or none", str(file), str(start.pbc))
    evaluate = _engine(options.to, model, start)
    inputs = [*model_files(model), *([file] if file is not None else [])]
    stem = place.resolve().parent.name if place.resolve().name == "model" else place.resolve().name
    folder = open_folder("export", stem, run, inputs)
    with interruptible(folder):
        config = {f.name: getattr(options, f.name) for f in fields(options)}
        folder.begin(inputs, config, start.findings, [p for p in (place, file) if p is not None])
        return _export(folder, model, start, evaluate, options)


def _own_start(model: Any, place: Path) -> Any:
    """The molecule in the description of a model that training left there."""
    from consilience.jobs.common.start import Start, masses_of

    said = model.info.get("reference")
    said = said if isinstance(said, dict) else {}
    try:
        numbers = np.asarray(said["numbers"], np.int32)
        x = np.asarray(said["positions"], float)
        charge = float(said.get("charge", 0.0))
        sound = numbers.ndim == 1 and x.shape == (len(numbers), 3) and len(x) and np.isfinite(x).all()
    except (KeyError, TypeError, ValueError):
        sound, numbers, x, charge = False, np.zeros(0), np.zeros((0, 3)), 0.0
    if not sound or set(numbers.tolist()) - set(model.elements):
        fix = "give a START, e.g. a frame of the training data"
        raise InputError("the model keeps no molecule to test the export with", str(place), fix=fix)
    return Start(numbers, x, charge, masses_of(numbers), None, (False, False, False), place)


def _engine(name: str, model: Any, start: Any) -> tuple[Evaluate, str]:
    """Energy (eV) and forces (eV/Å) of the start's atoms at other positions as the engine gives them; its version."""
    try:
        version = metadata.version(name)
        if name == "ase":
            from ase import Atoms

            atoms = Atoms(numbers=start.numbers, positions=start.positions, cell=start.cell, pbc=start.pbc)
            atoms.calc = model.ase(charge=start.charge)

            def by_ase(x: np.ndarray) -> tuple[float, np.ndarray]:
                atoms.set_positions(x)
                return float(atoms.get_potential_energy()), atoms.get_forces()

            return by_ase, version
        import openmm

        from consilience.engines.openmm import context_of, system_of
        from consilience.units import KJ_MOL

        force = model.openmm(start.numbers, start.charge, **start.place())
        context = context_of(system_of(start.masses, force, **start.place()), openmm.VerletIntegrator(1e-4))

        def by_openmm(x: np.ndarray) -> tuple[float, np.ndarray]:
            context.setPositions(x / 10)
            state = context.getState(energy=True, forces=True)
            forces = state.getForces(asNumpy=True)._value * (KJ_MOL / 10)
            return float(state.getPotentialEnergy()._value) * KJ_MOL, forces

        return by_openmm, version
    except ModuleNotFoundError as err:
        fix = f"pip install 'consilience[{name}]'"
        raise InputError(f"{name} is not installed: the export cannot be tested", found=str(err), fix=fix) from None


def frames_to_test(start: Any, seed: int) -> np.ndarray:
    """Frames (f, n, 3) of the start's atoms: those of its file, or the start and itself shaken by 0.05 Å."""
    if start.frames is not None:
        n = len(start.numbers)
        same = (start.frames.natoms == n) & (start.frames.numbers[:, :n] == start.numbers).all(1)
        rows = np.flatnonzero(same)[:FRAMES]
        if len(rows) > 2 and not start.periodic:
            return start.frames.positions[rows, :n]
    shake = np.random.default_rng([seed, 3]).normal(0, SHAKEN, (FRAMES, *start.positions.shape))
    shake[0] = 0
    return start.positions + shake


def _export(
    folder: OutputFolder, model: Any, start: Any, engine: tuple[Evaluate, str], options: ExportOptions
) -> ExportResult:
    from consilience.frames.write import write_extxyz
    from consilience.jobs.common.start import model_files
    from consilience.jobs.export.inputs import template
    from consilience.jobs.export.report import write_report
    from consilience.model import load_model

    evaluate, version = engine
    copy = folder / "model"
    copy.mkdir(exist_ok=True)
    for path in model_files(model):
        write_atomic(copy / path.name, path.read_bytes())
    load_model(copy)  # proves the hash
    write_extxyz(folder / "start.extxyz", start.as_frames(start.positions[None]))
    text = template(f"{options.to}.py").format(charge=repr(float(start.charge)))
    folder.write("run.py", text)
    ours = metadata.version("consilience")
    folder.write("README.txt", template("readme").format(engine=options.to, version=ours, engine_version=version))
    frames = frames_to_test(start, folder.run.seed)
    energies, forces = _own(model, start, frames)
    folder.log(f"self-test: {len(frames)} frames of {start.formula} by consilience and through {options.to} {version}")
    rows = []
    for i, x in enumerate(frames):
        e, f = float(energies[i]), forces[i]
        try:
            e2, f2 = evaluate(x)
        except Exception as err:
            raise RunError(f"{options.to} {version} could not evaluate frame {i}: {err}") from err
        rows.append(
            {
                "frame": i,
                "energy_eV": e,
                "engine_energy_eV": e2,
                "energy_difference_eV": abs(e - e2),
                "max_force_eV_A": float(np.abs(f).max()),
                "force_difference_eV_A": float(np.abs(f - f2).max()),
            }
        )
    folder.write_csv("selftest.csv", rows)
    folder.write_csv("history.csv", rows)
    worst_f = max(r["force_difference_eV_A"] for r in rows)
    worst_e = max(r["energy_difference_eV"] for r in rows)
    passed = worst_f <= TOLERANCE and worst_e <= TOLERANCE * len(start.numbers)
    summary: dict[str, Any] = {
        "status": "ok" if passed else "checks_failed",
        "engine": options.to,
        "engine_version": version,
        "max_force_difference": worst_f,
        "max_energy_difference": worst_e,
        "unit": "eV/Å, eV",
        "tolerance": TOLERANCE,
        "n_frames": len(rows),
        "n_atoms": len(start.numbers),
        "files": ["model", "run.py", "start.extxyz", "selftest.csv", "README.txt"],
    }
    full = {**summary, "warnings": list(folder.warnings), "seed": folder.run.seed, **folder.timings()}
    write_report(folder / "report.html", full, rows, start)
    summary = folder.write_summary(summary)
    folder.log(f"largest difference: forces {worst_f:.1e} eV/Å, energy {worst_e:.1e} eV; run it: "
               f"python {folder / 'run.py'}")  # fmt: skip
    return ExportResult(summary, folder.path)


def _own(model: Any, start: Any, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Energies (f,) and forces (f, n, 3) by the way that training and evaluation take: padded batches, exact lists."""
    import jax

    from consilience.potentials.dataset import batch_of
    from consilience.potentials.scores import predicted

    potential = model.bundle.members[model.member]
    with jax.enable_x64(True):
        found = predicted(potential, batch_of(start.as_frames(frames), potential, ()))
    return np.asarray(found["energy"], float), np.asarray(found["forces"], float)
