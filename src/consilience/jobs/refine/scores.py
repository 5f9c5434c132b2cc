"""The summary of a refinement (summary.json) and the line that each cycle prints."""

from __future__ import annotations

from typing import Any

import numpy as np

from consilience.jobs.refine.result import Refined
from consilience.xray.statistics import correlation, r_factor, shells


def cycle_line(record: dict[str, Any]) -> str:
    """One line per stage: what moved, R-work, R-free, geometry, weights, gradient norms."""
    s, f = record["scores"], record["free"]
    z = s["rmsz"]
    head = f"{record['stage'] + 1:3d} {'+'.join(record['active']) or 'start':<6s}"
    text = (
        f"{head} R-work {s['r_work']:.4f} R-free {f['r_free']:.4f} CC {s['cc_work']:.4f}/{f['cc_free']:.4f} "
        f"bond Z {z.get('bond', 0.0):.2f} angle Z {z.get('angle', 0.0):.2f}"
    )
    if record["weights"]:
        text += "  weights " + " ".join(f"{k} {v:.3g}" for k, v in record["weights"].items() if v)
        norms = record["gradient_norms"]
        text += "  |g| " + " ".join(
            f"{t}/{b} {g:.3g}" for t, blocks in norms.items() for b, g in blocks.items() if g > 0
        )
    return text if record["accepted"] else text + "  rolled back: the steer score worsened"


def cycle_rows(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The contract's `cycles`, one for each stage, the start first."""
    return [
        {
            "cycle": h["stage"] + 1,
            "block": "+".join(h["active"]) or "start",
            "r_work": h["scores"]["r_work"],
            "r_free": h["free"]["r_free"],
            "r_steer": h["scores"]["r_steer"],
            "cc_work": h["scores"]["cc_work"],
            "cc_free": h["free"]["cc_free"],
            "rmsz": h["scores"]["rmsz"],
            "weights": h["weights"],
            "gradient_norms": h.get("gradient_norms", {}),
            "left_out": h.get("left_out", {}),
            "accepted": h["accepted"],
            "evaluations": h["evaluations"],
        }
        for h in history
    ]


def refinement_summary(result: Refined, gradients: dict[str, Any] | None) -> dict[str, Any]:
    """All keys of `consil refine` in CONTRACT.md, from the final state."""
    c, fitted = result.crystal, result.fitted
    f, y = c.amplitude, fitted.f_model
    work, free = c.work, c.reflections.free
    start, end = result.history[0], result.history[-1]
    r = c.reflections
    r_work, r_free = r_factor(f[work], y[work]), r_factor(f[free], y[free])
    has_free = bool(free.any())
    return {
        "r_work_start": start["scores"]["r_work"],
        "r_free_start": start["free"]["r_free"] if has_free else None,
        "r_work": r_work,
        "r_free": r_free if has_free else None,
        "cc_work": correlation(f[work], y[work]),
        "cc_free": correlation(f[free], y[free]) if has_free else None,
        "n_work": int(work.sum()),
        "n_free": int(free.sum()),
        "d_min": float(r.d.min()),
        "d_max": float(r.d.max()),
        "space_group": r.spacegroup.xhm(),
        "rmsz": result.geometry["rmsz"],
        "rmsd_bond": result.geometry["rmsd_bond"],
        "rmsd_angle": result.geometry["rmsd_angle"],
        "cycles": cycle_rows(result.history),
        "shells": shells(f, y, c.inv_d2, work, free),
        "b_mean": float(np.average(result.structure.b_iso, weights=np.maximum(result.structure.occ, 1e-3))),
        "k_sol": fitted.scale.k_sol,
        "b_sol": fitted.scale.b_sol,
        "b_aniso": [float(v) for v in fitted.scale.b_aniso],
        "columns": r.columns,
        "free_value": r.free_value,
        "ramachandran": result.geometry.get("ramachandran"),
        "gradients": gradients,
        **({"coordinate_errors": result.errors.summary} if result.errors is not None else {}),
        "scores": {
            "xray": {
                "work": {"r": r_work, "nll": end["scores"].get("nll_work")},
                "steer": {"r": start["scores"]["r_steer"], "nll": _last_steer(result.history)},
                "free": {"r": r_free, "nll": end["free"]["nll_free"]} if has_free else {},
            },
            "geometry": {"work": result.geometry["rmsz"], "steer": {}, "free": {}},
        },
    }


def _last_steer(history: list[dict[str, Any]]) -> float | None:
    """Of the last stage that did not fit the steer reflections."""
    return next((h["scores"].get("nll_steer") for h in reversed(history) if h.get("phase") != "final"), None)
