"""consil tour: every job on built-in examples of ours, each result beside its known truth."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from consilience.examples import example_path
from consilience.jobs.common.dynamics_options import SimulateOptions, SpectrumOptions
from consilience.jobs.common.html_table import Shown
from consilience.jobs.common.interrupt import interruptible
from consilience.jobs.common.open_folder import open_folder
from consilience.jobs.common.options import RefineOptions, RelaxationOptions, RunOptions, TrainOptions
from consilience.jobs.refine.job import refine
from consilience.jobs.relaxation.job import relaxation
from consilience.jobs.simulate.job import simulate
from consilience.jobs.spectrum.job import spectrum
from consilience.jobs.tour.beads import BeadTour, bead_tour
from consilience.jobs.tour.beside import beads_beside
from consilience.jobs.train.job import train
from consilience.structure.read import read_structure

NEXT = (
    "consil refine model.pdb data.mtz",
    "consil relaxation rates.csv model.pdb",
    "consil train frames.npz",
    "consil coarsen run.npz:protein.pdb",
)
BEADS = (
    "Scores on a trajectory that nothing was fitted to; a hybrid is a prior and a network. Bead forces are noisy, as "
    "the atoms about the beads move: the exact mean force would explain no more than the last row says. Mean forces "
    "were measured with the beads frozen, free of it."
)


@dataclass(frozen=True, repr=False)
class TourResult(Shown):
    """The summary as written and the folder."""

    summary: dict[str, Any]
    folder: Path


def tour(*, run: RunOptions | None = None) -> TourResult:
    """Run all jobs on the built-in examples and compare with the truth. Raises what the jobs raise."""
    run = run or RunOptions()
    folder = open_folder("tour", "examples", run)
    inside = replace(run, overwrite=True, resume=False, json=False)
    with interruptible(folder), beads_beside(folder.path, inside) as wait_for_beads:
        folder.log("refinement of a simulated crystal")
        start, data = example_path("crystal/start.pdb"), example_path("crystal/data.mtz")
        done = refine(
            [start, data], options=RefineOptions(adp="iso"), run=replace(inside, output=folder.path / "refine")
        )
        results = _crystal(done.refined, done.summary)
        _tell(folder, results)
        folder.log("dynamics from simulated relaxation data of the same protein")
        rates, model = example_path("relaxation/rates.csv"), example_path("crystal/true.pdb")
        moved = relaxation(
            [rates, model],
            options=RelaxationOptions(diffusion="axial", models="m1..m5"),
            run=replace(inside, output=folder.path / "relaxation"),
        )
        dynamics = _relaxation(moved.analysis)
        _tell(folder, dynamics)
        results += dynamics
        folder.log("a potential of formaldehyde from quantum chemistry (MP2), its vibrations and its dynamics")
        molecule = _molecule(replace(inside, output=folder.path / "train"), folder.path)
        _tell(folder, molecule)
        results += molecule
        folder.log("a force field of beads from dynamics of a peptide, coarse-grained")
        wait_for_beads()
        beads = bead_tour(folder.path)
        chain = [_row(*row) for row in beads.rows]
        _tell(folder, chain)
        results += chain
        _report(folder.path / "report.html", done.refined, results, done.summary, beads)
        status = "ok" if all(r["ok"] for r in results) else "checks_failed"
        scores = {**done.summary["scores"], **moved.summary["scores"]}
        summary = folder.write_summary({"status": status, "results": results, "scores": scores})
        folder.log(f"report: {folder.path / 'report.html'}; for your own data: {', '.join(NEXT)}")
    return TourResult(summary, folder.path)


def _crystal(refined: Any, summary: dict[str, Any]) -> list[dict[str, Any]]:
    truth = json.loads(example_path("crystal/truth.json").read_text())
    true = read_structure(example_path("crystal/true.pdb")).without_hydrogens()
    solute = np.array([not r.is_water() for chain in true.hierarchy[0] for r in chain for _ in r])

    def error(structure: Any) -> float:
        return float(np.sqrt(np.mean(np.sum((structure.xyz - true.xyz)[solute] ** 2, axis=1))))

    found, begun = error(refined.structure), error(refined.start)
    agreement = float(np.corrcoef(refined.structure.b_iso[solute], true.b_iso[solute])[0, 1])
    k_sol, b_sol = truth.get("k_sol", 0.0), truth.get("b_sol", truth.get("B_sol", 0.0))

    return [
        _row("refine", "coordinate error at the start", begun, 0.0, "Å", True),
        _row("refine", "coordinate error", found, 0.0, "Å", found < 0.5 * begun),
        _row("refine", "correlation of B with the truth", agreement, 1.0, "", agreement > 0.7),
        _row("refine", "k_sol", summary["k_sol"], k_sol, "e/Å³", abs(summary["k_sol"] - k_sol) < 0.15),
        _row("refine", "B_sol", summary["b_sol"], b_sol, "Å²", True),
    ]


def _relaxation(analysis: Any) -> list[dict[str, Any]]:
    truth = json.loads(example_path("relaxation/truth.json").read_text())
    true = np.array([truth["residues"][str(r.number)]["S2"] for r in analysis.data.residues])
    error = float(np.sqrt(np.mean((analysis.s2 - true) ** 2)))
    agreement = float(np.corrcoef(analysis.s2, true)[0, 1])
    theta, phi = truth["theta"], truth["phi"]
    axis = np.array([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)])
    off = float(np.degrees(np.arccos(min(1.0, abs(axis @ analysis.axes.axes[2])))))
    tau, ratio = analysis.tau_c, analysis.axes.ratio

    def row(quantity: str, found: float, expected: float, unit: str, ok: bool) -> dict[str, Any]:
        return _row("relaxation", quantity, found, expected, unit, ok)

    return [
        row("tau_c", tau, truth["tau_c_ns"], "ns", abs(tau / truth["tau_c_ns"] - 1) < 0.05),
        row("D_par / D_perp", ratio, truth["ratio"], "", abs(ratio - truth["ratio"]) < 0.25),
        row("angle of the tensor's axis to the true one", off, 0.0, "°", off < 12),
        row("error of S2 (r.m.s.)", error, 0.0, "", error < 0.04),
        row("correlation of S2 with the truth", agreement, 1.0, "", agreement > 0.95),
    ]


def _molecule(inside: RunOptions, place: Path) -> list[dict[str, Any]]:
    """Train on 270 of 300 frames; compare the harmonic spectrum with the QM one, and run at constant energy."""
    frames, reference = example_path("molecule/frames.npz"), example_path("molecule/harmonic.json")
    recipe = TrainOptions(settings=("features=32", "layers=2"), epochs=150, valid="0.1")
    trained = train([frames], options=recipe, run=inside).summary
    model = place / "train" / "model"
    options = SpectrumOptions(reference=reference)
    modes = spectrum([model, frames], options=options, run=replace(inside, output=place / "spectrum")).summary
    ran = simulate(
        [model, frames], options=SimulateOptions(steps=8000), run=replace(inside, output=place / "simulate")
    ).summary
    true = json.loads(reference.read_text())
    found = np.array(modes["harmonic_cm1"])
    expected = np.array(true["frequencies_cm1"])[-len(found) :]
    worst = float(np.abs(found - expected).max())
    error = trained["table"]["valid"]["force_median_mev_A"]
    failed = sum(not c["passed"] for c in trained["checks"])
    return [
        _row("train", "force error on unseen frames (median)", error, 0.0, "meV/Å", error < 20),
        _row("train", "laws that do not hold", failed, 0.0, "", failed == 0),
        _row("spectrum", "largest error of a harmonic frequency", worst, 0.0, "cm⁻¹", worst < 25),
        _row("simulate", "drift of the energy", ran["drift"], 0.0, "meV/atom/ps", abs(ran["drift"]) < 0.02),
    ]


def _row(job: str, quantity: str, found: float, true: float, unit: str, ok: bool) -> dict[str, Any]:
    return {
        "job": job, "quantity": quantity, "found": float(found), "true": float(true), "unit": unit, "ok": bool(ok)
    }  # fmt: skip


def _tell(folder: Any, results: list[dict[str, Any]]) -> None:
    for r in results:
        mark = "" if r["ok"] else "  (worse than expected)"
        folder.log(f"  {r['quantity']}: {r['found']:.3f} {r['unit']}, true {r['true']:.3f}{mark}")


def _report(path: Path, refined: Any, results: list[dict[str, Any]], summary: dict[str, Any], beads: BeadTour) -> None:
    from consilience.jobs.refine.report import refinement_page
    from consilience.jobs.train_beads.report import HISTOGRAMS
    from consilience.report.page import Section
    from consilience.report.render import write_page

    known = {r["quantity"]: (r["found"], r["true"], r["unit"]) for r in results}
    page = refinement_page(replace(refined, truth=known), summary)
    found = Section("A force field of beads", BEADS, (beads.table,))
    local = Section("Structure of the chain of beads", HISTOGRAMS, beads.plots)
    first, *rest = page.sections
    title = "Tour: a simulated crystal, its protein in solution, a molecule, and a peptide of beads"
    sections = (first, found, local, *rest)
    write_page(path, replace(page, title=title, sections=sections, next_command="\n".join(NEXT)))
