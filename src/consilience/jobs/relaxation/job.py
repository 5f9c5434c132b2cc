"""consil relaxation: diffusion tensor and model-free dynamics from relaxation data."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from consilience.jobs.common.html_table import Shown
from consilience.jobs.common.interrupt import interruptible
from consilience.jobs.common.open_folder import open_folder
from consilience.jobs.common.options import RelaxationOptions, RunOptions
from consilience.jobs.common.output import OutputFolder
from consilience.jobs.common.runtime import prepare_jax
from consilience.jobs.relaxation.inputs import RelaxationInputs, load_relaxation
from consilience.nmr.modelfree import parse_models

TOLERANCE = 1e-6  # of a gradient check


@dataclass(frozen=True, repr=False)
class RelaxationResult(Shown):
    """What `relaxation` returns: the summary as written, the folder, and the analysis with all arrays."""

    summary: dict[str, Any]
    folder: Path
    analysis: Any = None


def relaxation(
    files: Sequence[str | Path], *, options: RelaxationOptions | None = None, run: RunOptions | None = None
) -> RelaxationResult:
    """Fit tumbling and internal motion to relaxation data; the command `consil relaxation`.

    `files`: relaxation data (NMR-STAR, CSV, columns) and optionally a model for the N-H directions, in any order.
    Raises InputError for bad input before anything is written.
    """
    options, run = options or RelaxationOptions(), run or RunOptions()
    models = parse_models(options.models)
    inputs = load_relaxation(files, options)
    folder = open_folder("relaxation", Path(inputs.data.files[0]).name.split(".")[0], run, inputs.paths)
    prepare_jax()
    with interruptible(folder):
        return _relaxation(inputs, options, models, folder)


def _relaxation(
    inputs: RelaxationInputs, options: RelaxationOptions, models: tuple[str, ...], folder: OutputFolder
) -> RelaxationResult:
    from consilience.jobs.relaxation.files import write_files
    from consilience.jobs.relaxation.scores import relaxation_summary
    from consilience.nmr.analysis import AnalysisOptions, analyse
    from consilience.nmr.gradients import check_derivatives

    config = {f.name: getattr(options, f.name) for f in fields(options)}
    choices = AnalysisOptions(
        diffusion=options.diffusion,
        tau_c=options.tau_c,
        tensor=inputs.tensor,
        models=models,
        select=options.select,
        csa=options.csa,
        csa_angle=options.csa_angle,
        r_nh=options.r_nh,
        constants=options.constants,
        montecarlo=options.montecarlo,
        seed=folder.run.seed,
    )
    folder.begin(inputs.paths, config, inputs.findings)
    work, amides = inputs.work, inputs.amides
    folder.log(
        f"data: {int(work.measured.sum())} rates of {len(work.residues)} residues: "
        + ", ".join(str(c) for c in work.columns)
    )
    folder.log(f"r(N-H) {options.r_nh} Å, CSA {options.csa} ppm, constants {options.constants}")
    vectors, tilt = (None, None) if amides is None else (amides.vectors, amides.tilt)
    done = analyse(work, vectors, tilt, choices, folder.log, lambda finding: folder.tell([finding]))
    _tell_shielding(folder, done)
    gradients = check_derivatives(done)
    summary = relaxation_summary(done, inputs, gradients, _speed(done))
    if gradients["max_rel_error"] > TOLERANCE:
        summary["status"] = "checks_failed"
        folder.log(f"a gradient is off by {gradients['max_rel_error']:.1e}, more than {TOLERANCE:.0e}")
    write_files(folder, done, inputs, summary)
    summary = folder.write_summary(summary)
    error = summary["tau_c_err"]
    folder.log(
        f"{done.kind} tumbling, tau_c {summary['tau_c_ns']:.3f} ns"
        + (f" +- {error:.3f}" if error is not None else "")
        + f", chi2/freedom {summary['chi2_reduced']:.2f}, models "
        + ", ".join(f"{k} {v}" for k, v in summary["models"].items())
        + f"; report: {folder.path / 'report.html'}"
    )
    return RelaxationResult(summary, folder.path, done)


def _tell_shielding(folder: OutputFolder, done: Any) -> None:
    if done.setup.method.own_axis:
        angle = np.degrees(done.setup.experiment.prior[1, 0])
        folder.log(f"the CSA tensor's axis is {angle:.1f} degrees from N-H, in the peptide plane towards C'")
    else:
        folder.log("the CSA tensor's axis is taken along N-H (convention of relax); --csa-angle changes it")


def _speed(done: Any) -> float:
    """Model-free fits per second of a second, compiled run of all models of all residues."""
    from consilience.nmr.analysis import refit_speed

    began = time.perf_counter()
    fits = refit_speed(done)
    return fits / max(time.perf_counter() - began, 1e-9)
