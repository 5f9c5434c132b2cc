"""consil spectrum: harmonic frequencies and infrared intensities, and spectra of dynamics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from consilience.core.errors import Finding, InputError
from consilience.jobs.common.dynamics_options import SpectrumOptions
from consilience.jobs.common.html_table import Shown
from consilience.jobs.common.interrupt import interruptible
from consilience.jobs.common.open_folder import open_folder
from consilience.jobs.common.options import RunOptions
from consilience.jobs.common.output import OutputFolder
from consilience.jobs.common.runtime import prepare_jax

IMAGINARY = -1.0  # cm^-1


@dataclass(frozen=True, repr=False)
class SpectrumResult(Shown):
    """What `spectrum` returns: the summary as written, the folder, the vibrations, and dynamic spectra or None."""

    summary: dict[str, Any]
    folder: Path
    vibrations: Any
    dynamic: Any = None


def spectrum(
    files: Sequence[str | Path], *, options: SpectrumOptions | None = None, run: RunOptions | None = None
) -> SpectrumResult:
    """Vibrations of a start after relaxation; the command `consil spectrum`.

    `files`: a model folder and a structure, in any order. Raises InputError for bad input before anything is written.
    """
    from consilience.jobs.common.start import load, model_files, sort_inputs
    from consilience.jobs.spectrum.dynamics import read_trajectory
    from consilience.jobs.spectrum.reference import read_reference
    from consilience.md.velocities import degrees_of_freedom

    options, run = (options or SpectrumOptions()).checked(), run or RunOptions()
    prepare_jax()
    place, file = sort_inputs(files)
    assert file is not None
    model, start = load(place, file, options.charge, options.precision)
    modes = degrees_of_freedom(start.positions, "momentum" if start.periodic else "rotation")
    possible = {modes} if start.periodic else {modes, modes + 1}  # a bent start may relax to a line
    reference = None if options.reference is None else read_reference(options.reference, possible, start.masses)
    if reference is not None and reference.masses is not None:
        start = replace(start, masses=reference.masses)
    if options.trajectory is not None:
        read_trajectory(options.trajectory, start)
    inputs = [*model_files(model), file, *(p for p in (options.trajectory, options.reference) if p is not None)]
    folder = open_folder("spectrum", start.path.name.split(".")[0], run, inputs)
    with interruptible(folder):
        config = {f.name: getattr(options, f.name) for f in fields(options)}
        folder.begin(inputs, config, start.findings, [place, file])
        return _spectrum(folder, model, start, reference, options)


def _spectrum(folder: OutputFolder, model: Any, start: Any, reference: Any, options: SpectrumOptions) -> SpectrumResult:
    from consilience.engines.source import Source
    from consilience.frames.write import write_extxyz
    from consilience.jobs.spectrum.dynamics import of_model, of_trajectory
    from consilience.jobs.spectrum.reference import ALIKE, comparison, difference_of_shape
    from consilience.jobs.spectrum.report import write_report
    from consilience.md.optimise import optimise
    from consilience.md.vibrations import dipole_derivative, hessian, normal_modes

    if reference is not None and reference.masses is not None:
        folder.log(f"masses of the reference, amu: {', '.join(f'{m:.4f}' for m in start.masses[:12])}")
    energy = model.energy_of(start.numbers, start.charge)
    relaxed = optimise(energy, start.positions, tolerance=options.fmax, max_steps=5000, cutoff=energy.cutoff,
                       **start.place())  # fmt: skip
    where = str(folder.path)
    folder.log(f"{start.formula}: relaxed in {relaxed.steps} steps to a largest force of {relaxed.max_force:.1e} eV/Å")
    if not relaxed.converged:
        fix = "relax it with other settings first, or give a larger --fmax"
        folder.warn(
            Finding(
                "warn",
                "the geometry is not relaxed: low frequencies are not to be trusted",
                where,
                f"a force of {relaxed.max_force:.2g} eV/Å",
                f"at most {options.fmax:g} eV/Å",
                fix,
            )
        )
    x = relaxed.positions
    lists = Source(energy).neighbours(x, **start.place())
    slopes = None if start.periodic else dipole_derivative(energy, x, lists)
    modes = normal_modes(hessian(energy, x, lists), x, start.masses, slopes, periodic=start.periodic)
    imaginary = int(np.sum(modes.cm1 < IMAGINARY))
    if imaginary:
        fix = "start from another geometry: this one is a saddle point"
        folder.warn(Finding("warn", f"{imaginary} imaginary frequencies (given as negative numbers)", where,
                              f"{modes.cm1[0]:.1f} cm^-1", "none at a minimum", fix))  # fmt: skip
    channels = model.info.get("channels")
    if isinstance(channels, list) and not {"dipole", "charges", "esp"} & set(channels) and not start.periodic:
        what = "the model was not trained on dipoles or charges: infrared intensities mean nothing"
        folder.warn(Finding("warn", what, where, f"trained on {', '.join(map(str, channels))}", "dipole"))
    dynamic = None
    if options.md:
        dynamic = of_model(energy, start, x, options, folder.run.seed, folder.log)
    elif options.trajectory is not None:
        dynamic, findings = of_trajectory(energy, start, options.trajectory, options)
        folder.tell(findings)
    ir = modes.ir_km_mol
    folder.write_csv("harmonic.csv", [
        {"mode": i + 1, "cm1": float(f), "ir_km_mol": None if ir is None else float(ir[i])}
        for i, f in enumerate(modes.cm1)
    ])  # fmt: skip
    table = spectrum_table(modes, dynamic, options)
    folder.write_csv("spectrum.csv", _rows(table))
    folder.write_csv("history.csv", [{"step": i, "energy_eV": float(e)} for i, e in enumerate(relaxed.energies)])
    shape = start.as_frames(x[None], energy=np.array([relaxed.energy]), forces=relaxed.forces[None])
    write_extxyz(folder / "optimized.extxyz", shape)
    summary = _summary(modes, relaxed, dynamic, table, start)
    if reference is not None and len(reference.cm1) != len(modes.cm1):
        found, expected = f"{len(reference.cm1)} modes", f"{len(modes.cm1)}, as the relaxed molecule has"
        raise InputError("the reference is of another shape of the molecule", str(reference.path), found, expected)
    if reference is not None and reference.positions is not None and not start.periodic:
        away = difference_of_shape(x, reference.positions, start.numbers)
        if away > ALIKE:
            what = "the molecule relaxed to another conformation than that of the reference"
            fix = "give a start in the conformation of the reference"
            folder.warn(Finding("warn", what, str(reference.path), f"distances of atoms differ by up to {away:.2f} Å",
                                f"at most {ALIKE:g} Å", fix))  # fmt: skip
    if reference is not None:
        rows = comparison(modes.cm1, ir, reference)
        off = np.array([r["difference_cm1"] for r in rows])
        summary |= {
            "reference": rows,
            "reference_level": reference.level,
            "reference_mae_cm1": float(np.abs(off).mean()),
            "reference_max_cm1": float(np.abs(off).max()),
        }
        folder.log(f"against the reference{f' ({reference.level})' if reference.level else ''}: "
                   f"mean deviation {np.abs(off).mean():.2f} cm^-1, largest {np.abs(off).max():.2f} cm^-1")  # fmt: skip
    if not relaxed.converged or imaginary:
        summary["status"] = "checks_failed"
    full = {**summary, "warnings": list(folder.warnings), "seed": folder.run.seed, **folder.timings()}
    write_report(folder / "report.html", full, table, modes, dynamic, reference, start, x, model)
    summary = folder.write_summary(summary)
    folder.log(f"{len(modes.cm1)} modes from {modes.cm1.min(initial=0 if not len(modes.cm1) else np.inf):.1f} to "
               f"{modes.cm1.max(initial=0):.1f} cm^-1; report: {folder.path / 'report.html'}")  # fmt: skip
    return SpectrumResult(summary, folder.path, modes, dynamic)


def spectrum_table(modes: Any, dynamic: Any, options: SpectrumOptions) -> dict[str, np.ndarray]:
    """Spectra on one grid of wavenumbers (cm^-1): infrared in km/mol per cm^-1, power in eV per cm^-1.

    Harmonic sticks get a Lorentzian of full width `resolution`.
    """
    top = max(500.0, 1.15 * float(modes.cm1.max(initial=0.0)))
    step = options.resolution / 4
    cm1 = step * np.arange(int(top / step) + 1)
    out = {"cm1": cm1}
    if modes.ir_km_mol is not None:
        half = options.resolution / 2
        shape = half / np.pi / ((cm1[:, None] - modes.cm1) ** 2 + half**2)
        out["ir_harmonic"] = shape @ modes.ir_km_mol
    if dynamic is not None:
        for name, found in (("ir", dynamic.ir), ("power", dynamic.power)):
            if found is not None:
                out[name] = np.interp(cm1, found.cm1, found.intensity, right=0.0)
                if found.error is not None:
                    out[f"{name}_err"] = np.interp(cm1, found.cm1, found.error, right=0.0)
    return out


def _rows(table: dict[str, np.ndarray]) -> list[dict[str, float]]:
    return [{k: float(f"{v[i]:.8g}") for k, v in table.items()} for i in range(len(table["cm1"]))]


def _summary(modes: Any, relaxed: Any, dynamic: Any, table: dict[str, np.ndarray], start: Any) -> dict[str, Any]:
    from consilience.md.spectra import peaks

    found: dict[str, list[float]] = {}
    for name, column in (("harmonic", "ir_harmonic"), ("ir", "ir"), ("power", "power")):
        if column in table:
            at = peaks(table["cm1"], table[column], 0.005)
            found[name] = [float(p) for p in at if p > 30.0]
    main = found.get("ir") or found.get("power") or found.get("harmonic") or []
    ir = modes.ir_km_mol
    return {
        "status": "ok",
        "harmonic_cm1": [float(f) for f in modes.cm1],
        "ir_km_mol": None if ir is None else [float(i) for i in ir],
        "peaks_cm1": main,
        "peaks": found,
        "n_imaginary": int(np.sum(modes.cm1 < IMAGINARY)),
        "linear": modes.linear,
        "zero_point_energy": modes.zero_point_energy,
        "energy": relaxed.energy,
        "max_force": relaxed.max_force,
        "converged": relaxed.converged,
        "unit": "cm^-1, km/mol, eV, eV/Å",
        "n_atoms": len(start.numbers),
        "dynamics": None if dynamic is None else {
            "source": dynamic.source, "temperature": dynamic.temperature, "frames": dynamic.frames,
            "frame_fs": dynamic.frame_fs, "drift_meV_atom_ps": dynamic.drift,
            "resolution_cm1": dynamic.power.resolution_cm1,
        },
    }  # fmt: skip
