"""consil simulate: molecular dynamics of a molecule or cell with a trained potential."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from consilience.core.errors import Finding, InputError
from consilience.jobs.common.dynamics_options import SimulateOptions
from consilience.jobs.common.interrupt import interruptible
from consilience.jobs.common.open_folder import open_folder
from consilience.jobs.common.options import RunOptions
from consilience.jobs.common.output import OutputFolder
from consilience.jobs.common.runtime import prepare_jax
from consilience.jobs.simulate.result import Progress, SimulateResult, history_rows, simulate_summary

STRAINED = 5.0  # eV/Å, a force at the start


def simulate(
    files: Sequence[str | Path], *, options: SimulateOptions | None = None, run: RunOptions | None = None
) -> SimulateResult:
    """Run dynamics of a start with a model; the command `consil simulate`.

    `files`: a model folder and a structure, in any order. Raises InputError for bad input before anything is written.
    """
    from consilience.engines.source import Source
    from consilience.jobs.common.start import load, model_files, sort_inputs

    options, run = (options or SimulateOptions()).checked(), run or RunOptions()
    prepare_jax()
    place, file = sort_inputs(files)
    assert file is not None
    if of_beads(place):
        from consilience.jobs.simulate.beads import simulate_beads

        return simulate_beads(place, file, options, run)
    options = options.of_molecule()
    model, start = load(place, file, options.charge, options.precision)
    energy = model.energy_of(start.numbers, start.charge)
    begun = Source(energy)(start.positions, **start.place())
    if not (np.isfinite(begun.energy) and np.isfinite(begun.forces).all()):
        raise InputError("the start has no finite energy and forces", str(file), fix="move atoms that lie upon others")
    inputs = [*model_files(model), file]
    folder = open_folder("simulate", start.path.name.split(".")[0], run, inputs)
    with interruptible(folder):
        config = {f.name: getattr(options, f.name) for f in fields(options)}
        folder.begin(inputs, config, start.findings, [place, file])
        _tell_start(folder, start, begun, file)
        return _simulate(folder, model, start, energy, options)


def of_beads(place: Path) -> bool:
    """Is this the folder of a model of beads?"""
    from consilience.model import described

    said = described(place) or described(place / "model")
    return said is not None and said.get("format") == "consilience-beads"


def _tell_start(folder: OutputFolder, start: Any, begun: Any, file: Path) -> None:
    size = np.linalg.norm(begun.forces, axis=1)
    folder.log(
        f"start: {start.formula}, charge {start.charge:g} e{', periodic' if start.periodic else ''}; "
        f"energy {begun.energy:.6f} eV, largest force {size.max():.3g} eV/Å"
    )
    if size.max() > STRAINED:
        where = f"{file}, atom {int(np.argmax(size))} ({start.elements[int(np.argmax(size))]})"
        fix = "relax it first: consil optimize MODEL START"
        folder.warn(Finding("warn", "the start is strained: it will heat up by itself", where,
                            f"a force of {size.max():.3g} eV/Å", f"at most {STRAINED:g} eV/Å", fix))  # fmt: skip


def _simulate(folder: OutputFolder, model: Any, start: Any, energy: Any, options: SimulateOptions) -> SimulateResult:
    from consilience.jobs.simulate.files import SPREAD, Recording, write_failure
    from consilience.jobs.simulate.report import write_report
    from consilience.jobs.train.disagreement import Disagreement, bound_of, judged

    ensemble = Disagreement(model, start) if len(model.bundle.members) > 1 else None
    recording = Recording(folder, start, options, () if ensemble is None else (SPREAD,))
    progress = Progress(folder, options.steps)

    def on_block(piece: Any, state: dict[str, np.ndarray]) -> None:
        spread = None if ensemble is None else np.stack([ensemble(x) for x in piece.positions])
        sound = not np.any(state.get("code", np.zeros(1)) > 0)
        recording.write(piece, state, {} if spread is None else {SPREAD: spread}, sound)
        if len(piece):
            progress(int(piece.step[-1]), piece)

    try:
        result = _run(folder, start, energy, options, recording.state, on_block)
    except KeyboardInterrupt:
        recording.save()
        raise
    finally:
        recording.close()
    if result.failure is None:
        recording.save()
    table = recording.table
    history = history_rows(table, len(start.numbers))
    if ensemble is not None:
        bound = bound_of(model.info)
        found = judged(table[SPREAD].ravel(), bound, str(folder.path / "observables.csv"))
        if found is not None:
            folder.warn(found)
    summary = simulate_summary(result, table, options, len(start.numbers))
    if not summary["stable"]:
        summary["status"] = "checks_failed"
        folder.log(f"unstable: {summary['failure']['message']}")
    if ensemble is not None:
        spread = table[SPREAD]
        summary["force_disagreement"] = {"mean": float(spread.mean()), "max": float(spread.max()), "unit": "eV/Å",
                                         "bound": bound_of(model.info)} if spread.size else None  # fmt: skip
    if result.failure is not None:
        write_failure(folder, start, result.failure)
        folder.log(f"the last sound frame is in {folder / 'failure.extxyz'}")
    folder.write_csv("history.csv", history)
    full = {**summary, "warnings": list(folder.warnings), "seed": folder.run.seed, **folder.timings()}
    write_report(folder / "report.html", full, table, start, options, model)
    summary = folder.write_summary(summary)
    drift = summary["drift"]
    folder.log(
        f"{summary['n_steps']} steps of {options.dt:g} fs, {summary['steps_per_s']:.4g} steps/s, "
        f"mean temperature {_shown(summary['temperature_mean'])} K"
        + (f", drift {drift:.3g} +- {summary['drift_err']:.2g} meV/atom/ps" if drift is not None else "")
        + f"; report: {folder.path / 'report.html'}"
    )
    return SimulateResult(summary, folder.path, table)


def _run(
    folder: OutputFolder, start: Any, energy: Any, options: SimulateOptions, state: Any, on_block: Callable[..., Any]
) -> Any:
    """The run by whichever engine; other engines than our own begin anew when resumed, and repeat themselves."""
    block = block_of(len(start.numbers) * options.replicas)
    seed = folder.run.seed
    if options.engine != "native":
        from consilience.jobs.simulate.engines import run_engine, stepper

        if folder.resumed:
            folder.log(f"the run by {options.engine} begins anew: it repeats itself to the last bit")
        return run_engine(stepper(energy, start, options, seed), energy, start, options, block, on_block)
    from consilience.md.simulate import simulate as run_native

    return run_native(
        energy,
        start.positions,
        start.masses,
        steps=options.steps,
        dt=options.dt,
        ensemble=options.ensemble,
        temperature=options.temperature,
        friction=options.friction,
        every=options.every,
        replicas=options.replicas,
        seed=seed,
        cutoff=energy.cutoff,
        block=block,
        state=state,
        on_block=on_block,
        keep=False,
        **start.place(),
    )


def block_of(atoms: int) -> int:
    """Steps between visits to the host: a second or so of work, the same for every run of a system."""
    return int(np.clip(20_000 // max(atoms, 1), 50, 1000))


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
