"""consil refine: coordinates and B factors of a model against diffraction data (relaxation alone: orient)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from consilience.core.errors import Finding, InputError, RunError
from consilience.jobs.common.html_table import Shown
from consilience.jobs.common.interrupt import interruptible
from consilience.jobs.common.open_folder import open_folder
from consilience.jobs.common.options import RefineOptions, RunOptions
from consilience.jobs.common.output import JOB, OutputFolder
from consilience.jobs.common.runtime import prepare_jax
from consilience.jobs.orient.domains import find_bodies
from consilience.jobs.refine.inputs import RefineInputs, composition, load_inputs, relaxation_alone
from consilience.structure.atoms import Structure
from consilience.structure.rigid import bodies_of

if TYPE_CHECKING:
    from consilience.jobs.fit.mixture import Mixture

STEER_SHARE = 0.05
GRADIENT_DIRECTIONS = 2
TOLERANCE = 1e-6  # of a gradient check


@dataclass(frozen=True, repr=False)
class RefineResult(Shown):
    """What `refine` returns: the summary as written, the folder, and the refined structure and arrays."""

    summary: dict[str, Any]
    folder: Path
    refined: Any = None


def refine(
    files: Sequence[str | Path],
    *,
    options: RefineOptions | None = None,
    run: RunOptions | None = None,
    mixture: Mixture | None = None,
) -> RefineResult:
    """Refine a model against diffraction data and more, or orient domains with relaxation data; `consil refine`.

    `files`: a model (PDB, mmCIF), reflections (MTZ, SF-mmCIF), relaxation data and restraint dictionaries, or a model
    and relaxation data alone, in any order. `mixture`: the job of `consil fit` that this is, with its stages. Raises
    InputError for bad input before anything is written, RunError where the run fails.
    """
    options = options or RefineOptions()
    run = run or RunOptions()
    if relaxation_alone(files):
        from consilience.jobs.orient.job import refine_relaxation

        return RefineResult(*refine_relaxation([Path(f) for f in files], options, run))
    if options.all_atoms:
        raise InputError("--all-atoms goes with relaxation data alone", fix="run without --all-atoms")
    inputs = load_inputs([Path(f) for f in files], options, run.seed)
    if inputs.rates is None and options.tensor is not None:
        raise InputError("--tensor goes with relaxation data", fix="run without --tensor")
    bodies = _bodies(inputs.structure, options)
    model_path = inputs.given.source
    prepare_jax()
    if options.potential is not None:
        from consilience.jobs.joint.potential import potential_evidence

        potential_evidence(options.potential, inputs.structure, inputs.topology)  # refuses what does not match
    verb = "refine" if mixture is None else "fit"
    folder = open_folder(verb, Path(model_path).name.split(".")[0], run, inputs.paths)
    with interruptible(folder):
        return _refine(inputs, options, bodies, folder, run, mixture)


def _bodies(structure: Structure, options: RefineOptions) -> np.ndarray | None:
    """Number (n,) of the rigid body of each atom, of domains or chains; None: no such cycles."""
    if options.domains is not None:
        return find_bodies(structure, options.domains).body
    return bodies_of(structure) if options.rigid_first else None


def _refine(
    inputs: RefineInputs,
    options: RefineOptions,
    bodies: np.ndarray | None,
    folder: OutputFolder,
    run: RunOptions,
    mixture: Mixture | None,
) -> RefineResult:
    from consilience.core.fit import fit
    from consilience.jobs.refine.files import write_files
    from consilience.jobs.refine.joint import ALONE, fold_scores, in_table, join, joint_summary, whole_course
    from consilience.jobs.refine.problem import Refinement
    from consilience.jobs.refine.protocol import displacement_model, listed_stages, refinement_protocol, steered_weights
    from consilience.jobs.refine.scores import cycle_line, refinement_summary
    from consilience.xray.experiment import Crystal
    from consilience.xray.french_wilson import amplitudes

    config = {f.name: getattr(options, f.name) for f in fields(options)}
    folder.write_manifest(inputs.paths, config)
    if mixture is None:
        folder.write_job(config)
    else:
        folder.write(JOB, mixture.as_yaml(folder.path))
    folder.tell(inputs.findings)
    data = inputs.reflections
    amplitude, sigma = amplitudes(data)
    crystal = Crystal.of(data, amplitude, sigma, STEER_SHARE, run.seed)
    target = {"auto": "mli" if data.kind == "intensity" else "ml"}.get(options.target, options.target)
    if target == "ml" and data.kind == "intensity":
        target = "mli"
    adp = displacement_model(options.adp, float(data.d.min()), int(crystal.work.sum()), inputs.structure)
    partial = options.occupancy == "partial"
    problem = Refinement(
        inputs.structure,
        inputs.topology,
        crystal,
        target,  # type: ignore[arg-type]
        options.source,
        adp,
        occupancies=partial,
        jelly=options.jelly_body,
    )
    if bodies is not None:
        from consilience.jobs.refine.rigid_body import place_bodies

        placed = place_bodies(problem, bodies)
        shift = float(np.sqrt(np.mean(np.sum((placed - inputs.structure.xyz) ** 2, axis=1))))
        problem = replace(problem, structure=inputs.structure.with_atoms(xyz=placed))
        folder.log(f"{int(bodies.max()) + 1} rigid bodies: atoms moved by {shift:.2f} Å r.m.s.")
    folder.log(f"model {inputs.given.source}: {composition(inputs.structure)}")
    folder.log(f"displacement parameters: {'isotropic' if adp == 'iso' else 'anisotropic'}")
    shares = problem.shares if partial else None
    if shares is not None:
        folder.log(f"occupancies: {len(shares.group)} parameters for {int((shares.states >= 0).sum())} atoms")
    elif partial:
        folder.log("--occupancy partial: no atom is partial, all occupancies stay")
    if problem.special.any:
        folder.log(f"{int((problem.special.order > 1).sum())} atoms on special positions stay there")
    folder.log(
        f"data {data.source}: {len(data)} reflections to {data.d.min():.2f} Å in {data.spacegroup.xhm()}, "
        f"{int(data.free.sum())} free, columns {', '.join(data.columns.values())}"
    )

    def tell(record: dict[str, Any], state: Any) -> None:
        if not record.get("replayed"):
            folder.log(cycle_line(record))

    joint = None
    if inputs.rates is not None or options.potential is not None:
        joint = join(problem, inputs.rates, options, folder, as_it_is=mixture is not None and bool(mixture.stages))
        problem = joint.problem
    user = {**(options.weights or {}), **(joint.weights if joint else {})}
    cycles, more = (joint.cycles, joint.blocks) if joint else (options.cycles, ())
    protocol = refinement_protocol(cycles, options.blocks, options.xyz, options.b, user, adp, partial, more)
    model = problem.start()
    stages = mixture.stages if mixture is not None else ()
    if stages:
        protocol = listed_stages(stages, user, model.names)
    done = fit(
        model,
        {},
        protocol,
        prepare=problem.prepare,
        controller=None if stages else steered_weights,
        callbacks=[tell],
        checkpoint=folder.checkpoint,
        resume=folder.resumed,
    )
    result = problem.result(done, inputs.given.without_hydrogens())
    gradients = problem.check_gradients(done, GRADIENT_DIRECTIONS) if protocol else None
    if options.errors:
        from consilience.jobs.joint.uncertainty import coordinate_errors

        folder.log("coordinate errors from the Hessian of all terms")
        try:
            result = replace(result, errors=coordinate_errors(done, run.seed))
        except RunError as err:
            fix = "more --cycles, or without the potential: its energy is far from quadratic here"
            folder.warn(Finding("warn", f"no coordinate errors: {err}", fix=fix))
    if joint is not None:
        result = replace(result, history=whole_course(joint, result.history))
    summary = refinement_summary(result, gradients)
    if joint is not None:
        folder.log("without each term in turn, from here")
        summary = fold_scores({**summary, **joint_summary(joint, done, done.history[0])})
        for words in in_table(summary):
            folder.log(words)
    if gradients is not None and gradients["max_rel_error"] > TOLERANCE:
        summary["status"] = "checks_failed"
        folder.log(f"a gradient is off by {gradients['max_rel_error']:.1e}, more than {TOLERANCE:.0e}")
    write_files(folder, result, summary)
    summary = folder.write_summary(summary)
    for name in (folder.checkpoint, folder.path / ALONE):
        name.unlink(missing_ok=True)
    folder.log(
        f"R-work {summary['r_work_start']:.4f} -> {summary['r_work']:.4f}, "
        f"R-free {summary['r_free_start']:.4f} -> {summary['r_free']:.4f}; report: {folder.path / 'report.html'}"
    )
    return RefineResult(summary, folder.path, result)
