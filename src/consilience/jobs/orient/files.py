"""Summary, files and report of domains that were oriented with relaxation data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from consilience.jobs.common.output import OutputFolder
from consilience.jobs.orient.orientation import Orientation, TurnOfBody, angle_of
from consilience.jobs.orient.problem import Domains
from consilience.nmr.diffusion import DiffusionKind, correlation_time, principal_axes
from consilience.report.figures import line
from consilience.report.page import Card, Column, Page, Section, Table, Text, Viewer
from consilience.report.render import write_page
from consilience.structure.atoms import Structure
from consilience.structure.write import write_mmcif, write_pdb

SETS = ("work", "steer", "free")
XRAY = (
    "r_work_start", "r_free_start", "r_work", "r_free", "cc_work", "cc_free", "n_work", "n_free", "d_min", "d_max",
    "space_group", "rmsz", "rmsd_bond", "rmsd_angle", "shells", "b_mean", "k_sol", "b_sol",
)  # fmt: skip


def orientation_summary(
    done: Orientation, plain: Orientation | None, problem: Domains, gradients: Mapping[str, Any]
) -> dict[str, Any]:
    """summary.json: the keys of `consil refine`, those of diffraction null, and what relaxation says; angles in rad."""
    axial = done.shape in ("prolate", "oblate")
    kind: DiffusionKind = "axial" if axial else "rhombic"
    diffusion = principal_axes(done.diffusion, kind).as_dict()
    scores = {
        s: {"chi2": done.after[f"chi2_{s}"], "chi2_start": done.before[f"chi2_{s}"], "n": done.after[f"n_{s}"]}
        for s in SETS
    }
    return {
        **dict.fromkeys(XRAY),
        "cycles": cycle_rows(done),
        "turned": done.accepted,
        "decision": done.reason,
        "p": done.p,
        "domains": [_domain(t) for t in done.turns],
        "diffusion": {**diffusion, "tensor": done.diffusion.tolist()},
        "tau_c_ns": correlation_time(done.diffusion),
        "without_eta": None if plain is None else _without_eta(done, plain),
        "residues": {
            s: [str(problem.data.residues[i]) for i in np.flatnonzero(getattr(problem.split, s))] for s in SETS
        },
        "gradients": gradients,
        "scores": {"nmr": scores},
    }


def _domain(t: TurnOfBody) -> dict[str, Any]:
    return {
        "name": t.name,
        "angle": t.angle,
        "axis": t.axis.tolist(),
        "sigma": [None if np.isinf(s) else float(s) for s in t.sigma],
        "undetermined": t.undetermined.tolist(),
        "equivalent_turns": t.alternatives.tolist(),
    }


def _without_eta(done: Orientation, plain: Orientation) -> dict[str, Any]:
    apart = [angle_of(a @ b.T) for a, b in zip(done.found, plain.found, strict=True)]
    scores = {s: {"chi2": plain.after[f"chi2_{s}"], "n": plain.after[f"n_{s}"]} for s in SETS}
    turned = {"turned": plain.accepted, "decision": plain.reason, "domains": [_domain(t) for t in plain.turns]}
    return {**turned, "difference": apart, "scores": scores}


def cycle_rows(done: Orientation) -> list[dict[str, Any]]:
    """One row for each stage of the best start."""
    return [
        {
            "cycle": h["stage"] + 1,
            "block": "+".join(h["active"]) or "start",
            "r_work": None,
            "r_free": None,
            "chi2_work": h["scores"]["chi2_work"],
            "chi2_steer": h["scores"]["chi2_steer"],
            "chi2_free": h["free"]["chi2_free"],
            "weights": h["weights"],
            "gradient_norms": h.get("gradient_norms", {}),
            "accepted": h["accepted"],
        }
        for h in done.history
    ]


def write_files(
    folder: OutputFolder, structure: Structure, done: Orientation, problem: Domains, summary: Mapping[str, Any]
) -> None:
    """refined.cif, refined.pdb, history.csv, report.html."""
    write_mmcif(structure, folder.path / "refined.cif")
    write_pdb(structure, folder.path / "refined.pdb")
    folder.write_csv("history.csv", cycle_rows(done))
    warnings = (*folder.warnings, *summary.get("warnings", ()))
    write_page(folder.path / "report.html", orientation_page(structure, done, problem, summary, warnings))


def orientation_page(
    structure: Structure, done: Orientation, problem: Domains, summary: Mapping[str, Any], warnings: tuple[str, ...]
) -> Page:
    """The page: what turned and how surely, chi2 of the three sets, the model."""
    rows = summary["cycles"]
    per_datum = {s: np.array([r[f"chi2_{s}"] for r in rows]) / max(done.after[f"n_{s}"], 1) for s in SETS}
    plot = line("chi2", np.array([r["cycle"] for r in rows]), per_datum, x_title="stage", y_title="chi2 per datum",
                title="chi2 of the best start", markers=True)  # fmt: skip
    d = summary["diffusion"]
    columns = (
        Column("body"),
        Column("turned", "°", 2),
        *(Column(f"s.e. about {a}", "°", 2) for a in ("Dx", "Dy", "Dz")),
    )
    table = Table(
        columns,
        tuple(
            (t.name, np.degrees(t.angle), *(None if np.isinf(s) else np.degrees(s) for s in t.sigma))
            for t in done.turns
        ),
        "Turns from the start, and their standard errors about the axes of the tensor, ascending; a dash: undetermined",
    )
    free = done.after["chi2_free"] / max(done.after["n_free"], 1)
    before = done.before["chi2_free"] / max(done.before["n_free"], 1)
    cards = (
        Card("chi2 of free residues", free, f"per datum; {before:.2f} at the start", digits=2),
        Card("turned", np.degrees(max((t.angle for t in done.turns), default=0.0)), "the largest", unit="°", digits=2),
        Card("tau_c", summary["tau_c_ns"], f"Dx {d['dx']:.4f}, Dy {d['dy']:.4f}, Dz {d['dz']:.4f} rad²/ns", unit="ns"),
    )
    words = (
        "The first body stays and the diffusion tensor is fitted in its frame; the others turn. Relaxation tells "
        "nothing of translation, which is held. Half turns about the tensor's axes leave all rates as they are: the "
        "solution near the start is shown. Free residues were seen by no fit and no decision; their internal "
        "motion is fitted anew."
    )
    st = structure.hierarchy.clone()
    viewer = Viewer(st.make_pdb_string(), color_by="chain", title="Model")
    return Page(
        title=f"Domains of {Path(structure.source or 'model').name.split('.')[0]}",
        subtitle=f"{', '.join(problem.bodies.names)} · {summary['decision']}",
        status=summary.get("status", "ok"),
        cards=cards,
        sections=(Section("Orientation", words, (Text(done.reason), table, plot)), Section("Model", "", (viewer,))),
        warnings=warnings,
        next_command="consil relaxation data.csv refined.pdb",
    )
