"""consil refine with relaxation data alone: rigid domains of a model are oriented in the frame of their tumbling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from consilience.core.errors import Finding, InputError, raise_errors
from consilience.jobs.common.interrupt import interruptible
from consilience.jobs.common.open_folder import open_folder
from consilience.jobs.common.options import RefineOptions, RunOptions
from consilience.jobs.common.output import OutputFolder
from consilience.jobs.common.runtime import prepare_jax
from consilience.jobs.orient.domains import Bodies, find_bodies
from consilience.jobs.refine.inputs import composition, refuse_unavailable, restraints_of
from consilience.jobs.relaxation.inputs import read_tensor
from consilience.kinds import recognise
from consilience.nmr.data import KINDS, RelaxationData
from consilience.nmr.lists import some
from consilience.nmr.read import KINDS as FILE_KINDS
from consilience.nmr.read import read_relaxation
from consilience.nmr.vectors import amide_vectors
from consilience.structure.atoms import Structure
from consilience.structure.read import read_structure

if TYPE_CHECKING:
    from consilience.jobs.orient.orientation import Orientation
    from consilience.jobs.orient.problem import Domains
    from consilience.nmr.tumbling import Shape
    from consilience.structure.topology import Topology

FEWEST_AMIDES = 8  # of a body that is to be oriented: three angles, and something held out
FLEXIBLE_NOE = 0.65
POOR = 5.0  # chi2 per datum
TOLERANCE = 1e-6  # of a gradient check
ETA = ("etaxy", "etaz")
NO_DIRECTIONS = (
    "isotropic tumbling carries no information on orientation: with r(N-H) fixed the rates do not depend on the "
    "coordinates"
)


@dataclass(frozen=True)
class DomainInputs:
    """What was read: the model, its bodies, data of residues whose amide the model has, atoms (n, 3) of each amide."""

    structure: Structure
    bodies: Bodies
    data: RelaxationData
    atoms: np.ndarray
    tensor: np.ndarray | None
    topology: Topology | None  # where all atoms are to move
    findings: tuple[Finding, ...]
    paths: tuple[Path, ...]


def load_domains(files: Sequence[Path], options: RefineOptions) -> DomainInputs:
    """Read a model and relaxation data. Raises InputError for anything that must stop the run."""
    from consilience.nmr.amides import amide_atoms

    _refuse(options)
    tables, models = [], []
    for path in files:
        kind = recognise(path)
        if kind not in FILE_KINDS and kind not in ("pdb", "mmcif", "cif"):
            expected = "a model (PDB, mmCIF) and relaxation data (NMR-STAR, CSV, columns)"
            raise InputError("orienting domains cannot use this file", str(path), kind, expected)
        (tables if kind in FILE_KINDS else models).append(path)
    if len(models) != 1:
        found = ", ".join(map(str, models)) or "none"
        raise InputError("orienting domains takes exactly one model (PDB or mmCIF)", found=found)
    structure, data = read_structure(models[0]), read_relaxation(tables)
    data = data.select(columns=np.array([c.kind not in options.without for c in data.columns]))
    amides = amide_vectors(structure, data.residues)
    raise_errors(amides.findings)
    topology = None
    if options.all_atoms:
        structure = structure.without_hydrogens()
        topology, found = restraints_of(structure, options.ligands, options.monlib)
        data = replace(data, findings=(*data.findings, *found))
    atoms = amide_atoms(structure, data.residues)
    known = np.asarray((atoms >= 0).all(axis=1) & data.measured.any(axis=1))
    bodies = find_bodies(structure, options.domains)
    data, atoms = data.select(rows=known), atoms[known]
    counts = [int(np.sum(bodies.body[atoms[:, 1]] == k)) for k in range(len(bodies.names))]
    for name, count in zip(bodies.names, counts, strict=True):
        if count < FEWEST_AMIDES:
            expected = f"at least {FEWEST_AMIDES} in each body"
            raise InputError(f"too few amides with data in the body {name}", found=str(count), expected=expected)
    tensor = read_tensor(options.tensor) if options.tensor is not None else None
    findings = (*structure.findings, *data.findings, *amides.findings)
    return DomainInputs(structure, bodies, data, atoms, tensor, topology, findings, tuple(files))


def _refuse(options: RefineOptions) -> None:
    refuse_unavailable(options)
    if options.diffusion == "iso":
        raise InputError(NO_DIRECTIONS, fix="measure at anisotropic tumbling, or use consil relaxation for dynamics")
    if not options.xyz or options.cycles == 0:
        raise InputError("--no-xyz and --cycles 0 leave nothing to orient", fix="use consil relaxation")
    if options.weights is not None:
        what = "--weight does not apply to relaxation data: their errors are their weights"
        raise InputError(what, fix="correct the errors in the data")
    for name in options.without:
        if name not in KINDS:
            raise InputError("--without names no kind of rate", found=name, expected=", ".join(KINDS))


def refine_relaxation(
    files: Sequence[Path], options: RefineOptions, run: RunOptions
) -> tuple[dict[str, Any], Path, Orientation]:
    """Orient domains; returns the summary as written, the folder, and the result with all arrays.

    The tensor is fitted in the frame of the first body, the others turn about their pivots. Translation is not
    determined by relaxation and is held; what a turn does to a linker is left to a refinement of the geometry. Raises
    InputError for bad input and for isotropic tumbling, before anything is written.
    """
    inputs = load_domains(files, options)
    prepare_jax()
    from consilience.jobs.orient.problem import Domains, Split

    data = inputs.data
    kinds = tuple(c.kind for c in data.columns)
    split = Split.of(_stiff(data), inputs.bodies.body[inputs.atoms[:, 1]], run.seed)
    present = tuple(k for k in KINDS if k in kinds)
    problem = Domains(inputs.structure.xyz, inputs.bodies, inputs.atoms, data, split, present)
    tensor, shape, hold = _tensor(problem, inputs, options, run)
    folder = open_folder("refine", Path(inputs.structure.source).name.split(".")[0], run, inputs.paths)
    with interruptible(folder):
        return _orient(inputs, problem, tensor, shape, hold, options, folder)


def _stiff(data: RelaxationData) -> np.ndarray:
    """(n,) bool: at least two values, and no NOE below that of a stiff amide.

    R2/R1 is no criterion here as it is for isotropic tumbling (`rigid_residues`): what it scatters by is the signal.
    """
    noe = np.array([c.kind == "NOE" for c in data.columns])
    return np.asarray((data.measured.sum(axis=1) >= 2) & ~np.any(data.value[:, noe] < FLEXIBLE_NOE, axis=1))


def _tensor(
    problem: Domains, inputs: DomainInputs, options: RefineOptions, run: RunOptions, xyz: np.ndarray | None = None
) -> tuple[np.ndarray, Shape, bool]:
    """(tensor, shape, held): given, or fitted to the work residues. Raises InputError for isotropic tumbling."""
    import jax.numpy as jnp

    from consilience.nmr.amides import amide_frames
    from consilience.nmr.analysis import AnalysisOptions, analyse

    if inputs.tensor is not None:
        values = np.linalg.eigvalsh(inputs.tensor)
        if np.ptp(values) < 0.02 * values[-1]:
            raise InputError(NO_DIRECTIONS, str(options.tensor), f"eigenvalues {values} rad^2/ns")
        low, high = values[1] - values[0], values[2] - values[1]
        shape: Shape = "rhombic" if min(low, high) > 1e-6 * values[2] else "prolate" if high > low else "oblate"
        return inputs.tensor, shape, True
    work = problem.split.work
    nh, side = amide_frames(jnp.asarray(problem.xyz if xyz is None else xyz)[inputs.atoms[work]])
    choices = AnalysisOptions(
        diffusion=options.diffusion, models=("m2" if problem.slow else "m1",), csa_angle=problem.csa_angle
    )
    done = analyse(problem.data.select(rows=work), np.asarray(nh), np.asarray(side), choices, run.say)
    if done.kind == "iso" or done.tumbling is None:
        tests = ", ".join(f"{t.kind} p = {t.p:.1e}" for t in done.tried if t.p is not None)
        fix = "nothing to refine; --diffusion axial or rhombic overrules the F tests"
        raise InputError(NO_DIRECTIONS, found=f"tumbling is isotropic within the errors (F tests: {tests})", fix=fix)
    return done.tumbling.diffusion, done.tumbling.shape, False


def _orient(
    inputs: DomainInputs,
    problem: Domains,
    tensor: np.ndarray,
    shape: Shape,
    hold: bool,
    options: RefineOptions,
    folder: OutputFolder,
) -> tuple[dict[str, Any], Path, Orientation]:
    from consilience.jobs.orient.files import orientation_summary, write_files
    from consilience.jobs.orient.orientation import orient
    from consilience.jobs.orient.restrained_atoms import restrain

    config = {f.name: getattr(options, f.name) for f in fields(options)}
    folder.begin(inputs.paths, config, inputs.findings)
    split, names = problem.split, inputs.bodies.names
    folder.log(f"model {inputs.structure.source}: {composition(inputs.structure)}; bodies {', '.join(names)}")
    unused = int(np.sum(~(split.work | split.steer | split.free)))
    folder.log(f"data: {', '.join(map(str, inputs.data.columns))}")
    folder.log(
        f"residues: {int(split.work.sum())} work, {int(split.steer.sum())} steer, {int(split.free.sum())} free, "
        f"{unused} left out (NOE below {FLEXIBLE_NOE}, or too few data)"
    )
    folder.log(
        f"r(N-H) {problem.r_nh} Å and the CSA (its axis {problem.csa_angle:g} degrees from N-H) are fixed; "
        "translation is not determined by relaxation and is held"
    )
    seed = folder.run.seed
    done = orient(problem, tensor, shape, hold=hold, seed=seed)
    if done.accepted and not hold and options.diffusion == "auto":
        again, better, _ = _tensor(problem, inputs, options, folder.run, done.xyz)
        if better != shape and shape != "rhombic":
            folder.log(f"with the domains turned, tumbling is {better}: once more")
            done = orient(problem, again, better, hold=hold, seed=seed)
    fewer = problem.without_outliers(done.xyz, done.diffusion)
    out = np.flatnonzero((problem.split.work | problem.split.steer) & ~(fewer.split.work | fewer.split.steer))
    if len(out):
        folder.log(
            f"residues that no rigid amide explains are left out: {some([str(problem.data.residues[i]) for i in out])}"
        )
        problem = fewer
        done = orient(problem, done.diffusion, done.shape, hold=hold, seed=seed)
    plain = None
    if set(ETA) & set(problem.kinds) and set(problem.kinds) - set(ETA):
        fewer = replace(problem, kinds=tuple(k for k in problem.kinds if k not in ETA))
        plain = orient(fewer, done.diffusion, done.shape, hold=hold, starts=1, seed=seed)
    gradients = _gradients(problem, done)
    _tell(done, plain, folder)
    summary, xyz = orientation_summary(done, plain, problem, gradients), done.xyz
    if inputs.topology is not None:
        atoms = restrain(problem, done, inputs.structure, inputs.topology)
        folder.log(atoms.reason)
        xyz = atoms.xyz
        summary |= {"rmsz": atoms.after["rmsz"] if atoms.accepted else atoms.before["rmsz"], "all_atoms": vars(atoms)}
        summary["all_atoms"] = {k: v for k, v in summary["all_atoms"].items() if k != "xyz"}
    if gradients["max_rel_error"] > TOLERANCE:
        summary["status"] = "checks_failed"
        folder.log(f"a gradient is off by {gradients['max_rel_error']:.1e}, more than {TOLERANCE:.0e}")
    write_files(folder, inputs.structure.with_atoms(xyz=xyz), done, problem, summary)
    summary = folder.write_summary(summary)
    folder.log(f"report: {folder.path / 'report.html'}")
    return summary, folder.path, done


def _tell(done: Orientation, plain: Orientation | None, folder: OutputFolder) -> None:
    """The outcome in words; what is undetermined, and free residues that did not gain, are warnings."""
    folder.log(done.reason)
    for turn in done.turns:
        sigma = ", ".join("undetermined" if np.isinf(s) else f"{np.degrees(s):.2f}" for s in turn.sigma)
        axis = " ".join(f"{x:.3f}" for x in turn.axis)
        folder.log(f"body {turn.name}: turned by {np.degrees(turn.angle):.2f} degrees about ({axis}); "
                   f"standard errors about the tensor's axes {sigma} degrees")  # fmt: skip
        for a in turn.undetermined:
            where = " ".join(f"{x:.3f}" for x in a)
            axial = done.shape in ("prolate", "oblate")
            why = ", the unique axis of the axial diffusion tensor" if axial else ""
            what = f"the turn of body {turn.name} about ({where}){why} is not determined by the data"
            folder.warn(Finding("warn", what, fix="take this angle from elsewhere, or leave it as it was"))
        if done.accepted and turn.alternatives.min() < turn.angle:
            far = np.degrees(turn.alternatives.min())
            what = (
                f"an equivalent turn of body {turn.name} by half a turn about an axis of the tensor is nearer the start"
            )
            folder.warn(Finding("warn", what, found=f"{far:.0f} against {np.degrees(turn.angle):.0f} degrees"))
    b, a = done.before, done.after
    parts = (
        f"{k} {b[f'chi2_{k}'] / b[f'n_{k}']:.2f} -> {a[f'chi2_{k}'] / a[f'n_{k}']:.2f}"
        for k in ("work", "steer", "free")
    )
    folder.log(f"chi2 per datum: {', '.join(parts)}")
    if done.accepted and a["chi2_free"] >= b["chi2_free"]:
        what = "the free residues did not gain from the turn: do not trust it"
        folder.warn(Finding("warn", what, found=f"chi2 {b['chi2_free']:.1f} -> {a['chi2_free']:.1f}"))
    if a["chi2_work"] > POOR * a["n_work"]:
        what = "no orientation explains the data: their errors are too small, or the model or the data are wrong"
        folder.warn(Finding("warn", what, found=f"chi2 per datum {a['chi2_work'] / a['n_work']:.1f}"))
    if plain is not None:
        angles = ", ".join(f"{t.name} {np.degrees(t.angle):.2f}" for t in plain.turns)
        folder.log(f"without eta: {'turned by ' + angles + ' degrees' if plain.accepted else plain.reason}")


def _gradients(problem: Domains, done: Orientation) -> dict[str, Any]:
    """Of the term, near the result (at it they vanish)."""
    from consilience.core.gradcheck import check_gradients

    rng, model = np.random.default_rng(0), done.model
    moved = {k: model.blocks[k].raw for k in ("xyz", "diffusion", "dynamics")}
    moved = {k: np.asarray(v) + 0.05 * rng.normal(size=np.shape(v)) for k, v in moved.items()}
    rows = problem.split.work | problem.split.steer
    pairs = check_gradients(problem.term, model.with_raw(moved), problem.observed(rows), directions=2)
    return {"max_rel_error": max(p.rel_error for p in pairs), "pairs": [p.as_dict() for p in pairs]}
