"""consil evaluate of a model of beads: forces against their noise, mean forces, and structure against a reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from consilience.coarse.beads import Beads
from consilience.coarse.divergence import divergences
from consilience.coarse.inversion import most_frequent
from consilience.coarse.meanforce import MeanForces, mean_force_error, read_mean_forces
from consilience.coarse.noise import residual_noise
from consilience.coarse.read import read_beads
from consilience.core.errors import Finding, InputError
from consilience.files import read_bytes
from consilience.frames.npz import arrays_of
from consilience.jobs.common.interrupt import interruptible
from consilience.jobs.common.open_folder import open_folder
from consilience.jobs.common.options import FrameOptions, RunOptions
from consilience.jobs.common.output import OutputFolder
from consilience.jobs.common.report_parts import footer
from consilience.jobs.evaluate.result import EvaluateResult
from consilience.jobs.train_beads.forces import mean_forces, member_forces
from consilience.jobs.train_beads.scores import row_of, squared
from consilience.jobs.train_beads.sets import chains_of_beads, in_order
from consilience.md.trajectory_read import is_dcd, parse_dcd
from consilience.potentials.beads.model import BeadModel
from consilience.units import KCAL_MOL

OWN_STEPS, OWN_REPLICAS, OWN_EVERY = 100_000, 4, 100  # of dynamics for the comparison of structures


@dataclass(frozen=True)
class BeadInputs:
    """Proteins with forces, frames without them (trajectories), mean forces with the protein that each is of."""

    proteins: tuple[Beads, ...]
    trajectories: tuple[Beads, ...]
    means: tuple[tuple[Beads, MeanForces], ...]
    reference: Beads | None
    findings: tuple[Finding, ...]
    paths: tuple[Path, ...]


def evaluate_beads(
    model: Any,
    files: Sequence[str | Path],
    *,
    reference: str | Path | None = None,
    frames: FrameOptions | None = None,
    run: RunOptions | None = None,
) -> Any:
    """Score a loaded model of beads; see `jobs.evaluate.evaluate`."""

    frames, run = frames or FrameOptions(), run or RunOptions()
    bundle = model.bundle
    data = load_bead_inputs(bundle, files, reference, frames)
    folder = open_folder("evaluate", Path(files[0]).name.split(".")[0], run, data.paths)
    with interruptible(folder):
        config = {"model": model.path, "keys": frames.keys, "units": frames.units, "reference": reference}
        folder.begin(data.paths, config, data.findings)
        summary, predictions = scores_of(bundle, data, folder)
        _report(folder, summary, data)
        return EvaluateResult(folder.write_summary(summary), folder.path, predictions)


def load_bead_inputs(
    model: BeadModel, files: Sequence[str | Path], reference: str | Path | None, frames: FrameOptions
) -> BeadInputs:
    """Read everything. Raises InputError for bad files, and mean forces or trajectories of no known protein."""
    from consilience.jobs.common.bead_start import read_bead_start

    findings: list[Finding] = []
    paths = [Path(f) for f in files] + ([] if reference is None else [Path(reference)])
    proteins: list[Beads] = []
    means: list[MeanForces] = []
    bare: list[Path] = []
    tops: list[Beads] = []
    for path in map(Path, files):
        data = read_bytes(path)
        if is_dcd(data):
            bare.append(path)
        elif data[:2] == b"PK" and "F_mean" in arrays_of(data, str(path)):
            means.append(read_mean_forces(path))
        elif data[:2] == b"PK":
            found, noticed = read_beads(path, keys=frames.keys, units=frames.units, need_forces=False)
            findings += noticed
            proteins += [in_order(b) for b in found]
        else:
            start = read_bead_start(path)
            findings += start.findings
            tops.append(_frames(start.name, start.residues, start.chain, start.number, start.frames, path))
    known = None
    if reference is not None:
        found, noticed = read_beads(reference, keys=frames.keys, units=frames.units, need_forces=False)
        findings += noticed
        known = in_order(found[0])
    candidates = [*proteins, *([] if known is None else [known]), *tops]
    trajectories = [b for b in proteins if b.forces is None]
    for path in bare:
        x = parse_dcd(read_bytes(path), str(path)).positions
        of = _match(candidates, x.shape[1], path)
        trajectories.append(replace(_frames(of.name, of.residues, of.chain, of.number, x, path)))
    paired = [(_of_model(model, candidates, m), m) for m in means]
    return BeadInputs(
        tuple(b for b in proteins if b.forces is not None), tuple(trajectories), tuple(paired), known, tuple(findings),
        tuple(paths),
    )  # fmt: skip


def _frames(name: str, residues: Any, chain: Any, number: Any, x: np.ndarray, path: Path) -> Beads:
    count = len(x)
    return Beads(name, tuple(residues), np.asarray(chain), np.asarray(number), np.asarray(x, float), None,
                 np.full(count, 300.0), np.zeros(count, int), path=path)  # fmt: skip


def _match(candidates: Sequence[Beads], n: int, path: Path) -> Beads:
    fitting = {b.residues: b for b in candidates if len(b.residues) == n}
    if len(fitting) != 1:
        what = "no" if not fitting else f"{len(fitting)}"
        raise InputError(f"{what} protein among the inputs has as many beads as this file", str(path), f"{n} beads",
                         fix="give a bead file or a PDB file of that protein too")  # fmt: skip
    return next(iter(fitting.values()))


def _of_model(model: BeadModel, candidates: Sequence[Beads], means: MeanForces) -> Beads:
    """The protein of mean forces: from the other inputs, or the sequence that the model is for or was trained on."""
    from consilience.residues import RESIDUES

    n = means.positions.shape[1]
    if any(len(b.residues) == n for b in candidates):
        return _match(candidates, n, means.path)
    sites = None if model.prior is None else model.prior.sequence
    said = model.info.get("reference") or {}
    residues = tuple(RESIDUES[t] for t in sites) if sites is not None else tuple(said.get("residues", ()))
    if len(residues) != n:
        return _match(candidates, n, means.path)
    number = np.arange(n) if sites is not None else np.asarray(said["number"])
    return _frames(means.path.name.split("_")[0], residues, np.zeros(n, int), number, means.positions, means.path)


def scores_of(model: BeadModel, data: BeadInputs, folder: OutputFolder) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The summary, and predicted forces by protein, eV/Å."""
    table: dict[str, Any] = {}
    summary: dict[str, Any] = {"status": "ok", "table": table}
    predictions = {b.name: mean_forces(model, b) for b in data.proteins}
    if data.proteins:
        found = squared(model, data.proteins)
        table["data"] = row_of(found)
        floors = {b.name: residual_noise(b) for b in data.proteins}
        for b in data.proteins:
            row = row_of({b.name: found[b.name]})
            floor = floors[b.name]
            table[b.name] = {**row, **({} if floor is None else {"noise_floor_kcal_A": floor / KCAL_MOL})}
        summary["noise_floor_kcal_A"] = {k: None if v is None else v / KCAL_MOL for k, v in floors.items()}
        summary["energy_by_term"] = {b.name: _by_term(model, b) for b in data.proteins}
        if len(model.networks) > 1:
            summary["disagreement"] = {b.name: _disagreement(model, b) for b in data.proteins}
        summary["scores"] = {"forces": {"free": table["data"]}}
    for name, row in table.items():
        folder.log(f"{name}: " + ", ".join(f"{k} {v:.4g}" for k, v in row.items()))
    rows = {}
    for beads, means in data.means:
        rows[beads.name] = _mean_row(model, beads, means)
        folder.log(f"{beads.name}, mean forces: " + ", ".join(f"{k} {v:.4g}" for k, v in rows[beads.name].items()
                                                              if isinstance(v, float)))  # fmt: skip
    if rows:
        summary["mean_force"] = rows
        summary["mean_force_rmse"] = float(np.sqrt(np.mean([r["rmse_kcal_A"] ** 2 for r in rows.values()])))
    if data.reference is not None:
        reference = _of_one_temperature(data.reference, folder)
        frames = data.trajectories or (_own_dynamics(model, reference, folder),)
        found = divergences(frames[0], reference)
        summary["js_divergence"] = {k: v.as_dict() for k, v in found.items()}
        words = ", ".join(f"{k} {v.value:.4f} ({v.reference_block:.4f})" for k, v in found.items())
        folder.log(f"Jensen-Shannon divergence (of the reference's own halves), nats: {words}")
    return summary, predictions


def _mean_row(model: BeadModel, beads: Beads, means: MeanForces) -> dict[str, Any]:
    """Error against mean forces, that of the prior alone where the model has a network, and the paired gain."""
    from consilience.coarse.meanforce import compare_mean_forces

    frames = _frames(beads.name, beads.residues, beads.chain, beads.number, means.positions, means.path)
    frames = replace(frames, temperature=np.full(len(frames), means.temperature))
    own = mean_forces(model, frames)
    error = mean_force_error(own, means)
    row: dict[str, Any] = {
        "rmse_kcal_A": error.value / KCAL_MOL,
        "rmse_err_kcal_A": error.standard_error / KCAL_MOL,
        "rmse_raw_kcal_A": error.raw / KCAL_MOL,
        "rms_mean_force_kcal_A": means.rms / KCAL_MOL,
        "noise_kcal_A": None if means.noise_rms is None else means.noise_rms / KCAL_MOL,
        "explained_variance_limit": means.explained_limit,
    }
    if model.networks and model.prior is not None:
        alone = mean_forces(BeadModel(model.prior), frames)
        gain = compare_mean_forces(own, alone, means)
        row["prior_rmse_kcal_A"] = mean_force_error(alone, means).value / KCAL_MOL
        row["gain_over_prior_kcal_A"] = gain.gain / KCAL_MOL
        row["gain_in_standard_errors"] = gain.sigmas
    return row


def _by_term(model: BeadModel, beads: Beads) -> dict[str, dict[str, float]]:
    """Mean and spread of each part of the energy, eV, over at most 64 frames."""
    from consilience.neighbours import all_pairs

    energy = model.energy(chains_of_beads(beads))
    pairs = all_pairs(len(beads.residues))
    parts = [energy.terms(x, pairs) for x in beads.positions[:: max(1, len(beads) // 16)][:16]]
    return {k: {"mean_ev": float(np.mean([float(p[k]) for p in parts])),
                "std_ev": float(np.std([float(p[k]) for p in parts]))} for k in parts[0]}  # fmt: skip


def _disagreement(model: BeadModel, beads: Beads) -> dict[str, float]:
    """Largest spread of a force over the members in a frame, kcal/mol/Å."""
    spread = np.sqrt(np.sum(np.var(member_forces(model, beads), 0), -1)).max(-1) / KCAL_MOL
    return {"median_kcal_A": float(np.median(spread)), "max_kcal_A": float(spread.max())}


def _of_one_temperature(reference: Beads, folder: OutputFolder) -> Beads:
    """Frames of the temperature that most have: distributions of two temperatures are not those of any dynamics."""
    heat = most_frequent([reference.temperature])
    kept = np.flatnonzero(np.abs(reference.temperature - heat) < 0.5)
    if len(kept) < len(reference):
        folder.log(f"reference: {len(kept)} of {len(reference)} frames, those of {heat:g} K")
    return reference.select(kept)


def _own_dynamics(model: BeadModel, reference: Beads, folder: OutputFolder) -> Beads:
    """Frames of the model's own dynamics at the reference's temperature, from frames of the reference."""
    from consilience.md.simulate import simulate

    heat = most_frequent([reference.temperature])
    chosen = np.linspace(0, len(reference) - 1, OWN_REPLICAS).astype(int)
    energy = model.energy(chains_of_beads(reference), temperature=heat)
    folder.log(f"{OWN_REPLICAS} runs of {OWN_STEPS} steps of 5 fs at {heat:g} K from frames of the reference")
    run = simulate(energy, reference.positions[chosen], reference.masses, steps=OWN_STEPS, dt=5.0, ensemble="nvt",
                   temperature=heat, every=OWN_EVERY, replicas=OWN_REPLICAS, seed=folder.run.seed,
                   cutoff=energy.cutoff)  # fmt: skip
    if run.failure is not None:
        folder.warn(Finding("warn", "the model's own dynamics failed", found=str(run.failure)))
    x = run.trajectory.positions[:, 1 + len(run.trajectory.step) // 10 :]
    return _frames(reference.name, reference.residues, reference.chain, reference.number,
                   x.reshape(-1, *x.shape[2:]), reference.path)  # fmt: skip


def _report(folder: OutputFolder, summary: Mapping[str, Any], data: BeadInputs) -> None:
    from consilience.jobs.train.report import error_table
    from consilience.jobs.train_beads.report import NOISE
    from consilience.report.page import Card, Column, Page, Section, Table
    from consilience.report.render import write_page

    row = summary["table"].get("data", {})
    cards = [
        Card("explained variance", row.get("explained_variance"), "of the forces"),
        Card("force error", row.get("force_rmse_kcal_A"), "r.m.s., noise included", None, "", "kcal/mol/Å"),
        Card("mean-force error", summary.get("mean_force_rmse"), "r.m.s., no noise in it", None, "", "kcal/mol/Å"),
    ]
    sections = []
    if summary["table"]:
        sections.append(Section("Forces", NOISE, (error_table(summary["table"]),)))
    if "mean_force" in summary:
        keys = list(dict.fromkeys(k for r in summary["mean_force"].values() for k in r))
        rows = tuple((k, *(r.get(k) for r in summary["mean_force"].values())) for k in keys)
        table = Table(("", *(Column(n) for n in summary["mean_force"])), rows)
        sections.append(Section("Mean forces", "Beads frozen, all else sampled: no noise hides the error.", (table,)))
    if "js_divergence" in summary:
        rows = tuple((k, v["value"], v["reference_block"]) for k, v in summary["js_divergence"].items())
        table = Table(("coordinate", Column("model, nats"), Column("halves of the reference")), rows)
        words = "Jensen-Shannon divergence of histograms: 0 is alike, 0.693 apart. Twice that of the halves is good."
        sections.append(Section("Structure", words, (table,)))
    names = ", ".join(dict.fromkeys(p.name for p in data.paths))
    page = Page("Evaluation of a potential of beads", names, "ok", tuple(cards), tuple(sections), folder.warnings, "",
                footer({**summary, **folder.timings()}))  # fmt: skip
    write_page(folder.path / "report.html", page)
