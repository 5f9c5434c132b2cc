"""consil tour: every job on built-in examples of ours, each result beside its known truth."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from consilience.examples import example_path
from consilience.jobs.options import RefineOptions, RunOptions
from consilience.jobs.output import interruptible, open_folder
from consilience.jobs.refine import refine
from consilience.structure.read import read_structure

NEXT = "consil refine model.pdb data.mtz"


@dataclass(frozen=True)
class TourResult:
    """The summary as written and the folder."""

    summary: dict[str, Any]
    folder: Path


def tour(*, run: RunOptions | None = None) -> TourResult:
    """Run all jobs on the built-in examples and compare with the truth. Raises what the jobs raise."""
    run = run or RunOptions()
    folder = open_folder("tour", "examples", run)
    with interruptible(folder):
        folder.log("refinement of a simulated crystal")
        inside = replace(run, output=folder.path / "refine", overwrite=True, resume=False, json=False)
        start, data = example_path("crystal/start.pdb"), example_path("crystal/data.mtz")
        done = refine([start, data], options=RefineOptions(adp="iso"), run=inside)
        results = _crystal(done.refined, done.summary)
        for r in results:
            mark = "" if r["ok"] else "  (worse than expected)"
            folder.log(f"  {r['quantity']}: {r['found']:.3f} {r['unit']}, true {r['true']:.3f}{mark}")
        _report(folder.path / "report.html", done.refined, results, done.summary)
        status = "ok" if all(r["ok"] for r in results) else "checks_failed"
        summary = folder.write_summary({"status": status, "results": results, "scores": done.summary["scores"]})
        folder.log(f"report: {folder.path / 'report.html'}; for your own data: {NEXT}")
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

    def row(quantity: str, value: float, expected: float, unit: str, ok: bool) -> dict[str, Any]:
        return {
            "job": "refine", "quantity": quantity, "found": float(value), "true": float(expected), "unit": unit,
            "ok": bool(ok),
        }  # fmt: skip

    return [
        row("coordinate error at the start", begun, 0.0, "Å", True),
        row("coordinate error", found, 0.0, "Å", found < 0.5 * begun),
        row("correlation of B with the truth", agreement, 1.0, "", agreement > 0.7),
        row("k_sol", summary["k_sol"], k_sol, "e/Å³", abs(summary["k_sol"] - k_sol) < 0.15),
        row("B_sol", summary["b_sol"], b_sol, "Å²", True),
    ]


def _report(path: Path, refined: Any, results: list[dict[str, Any]], summary: dict[str, Any]) -> None:
    from consilience.jobs.refine_report import refinement_page
    from consilience.report.render import write_page

    known = {r["quantity"]: (r["found"], r["true"], r["unit"]) for r in results}
    page = refinement_page(replace(refined, truth=known), summary)
    write_page(path, replace(page, title="Tour: a simulated crystal", next_command=NEXT))
