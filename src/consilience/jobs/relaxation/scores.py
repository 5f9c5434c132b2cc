"""The summary of a relaxation analysis (summary.json): tumbling, models, scores by kind of rate, information."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from consilience.jobs.relaxation.inputs import RelaxationInputs
from consilience.nmr.analysis import Analysis, setup
from consilience.nmr.data import KINDS
from consilience.nmr.residuefit import Tumbling, back_calculate


def held_out(done: Analysis, inputs: RelaxationInputs) -> tuple[np.ndarray, np.ndarray]:
    """Back-calculated values (n, f) of the columns held out, and their indices in `inputs.data`; no fit saw them."""
    columns = np.flatnonzero(inputs.free)
    if not len(columns):
        return np.zeros((len(done.data.residues), 0)), columns
    rows = _rows(done, inputs)
    data = inputs.data.select(rows=rows)
    amides = inputs.amides
    vectors, tilt = (None, None) if amides is None else (amides.vectors[rows], amides.tilt[rows])
    s = setup(data, vectors, tilt, done.options)
    tumbling = Tumbling(np.array([1.0 / done.tau_c]), np.zeros((1, 0)))
    if done.diffusion is not None:
        tumbling = Tumbling.of(done.diffusion, collapse=s.method.collapse)
    growth = np.array(s.experiment.growth) * (data.fields.min() / done.data.fields.min()) ** 2
    x = done.x.copy()
    if not done.setup.method.own_axis:  # eta was not fitted: its prior angle
        x[:, 7] = s.experiment.prior[1, 0]
    back = back_calculate(x, tumbling, s.residues, s.experiment._replace(growth=growth), s.method)
    return np.asarray(back)[:, columns], columns


def _rows(done: Analysis, inputs: RelaxationInputs) -> np.ndarray:
    number = {r: i for i, r in enumerate(inputs.data.residues)}
    return np.array([number[r] for r in done.data.residues])


def relaxation_summary(
    done: Analysis, inputs: RelaxationInputs, gradients: dict[str, Any], fits_per_s: float
) -> dict[str, Any]:
    """All keys of `consil relaxation` in CONTRACT.md, and scores of work and held-out rates by kind."""
    axes = done.axes
    errors = done.tumbling.errors() if done.tumbling is not None else {}
    local = done.diffusion is None
    kinds = {"kind": "local", "dx": None, "dy": None, "dz": None, "ratio": None, "theta": None, "phi": None}
    diffusion: dict[str, Any] = axes.as_dict() if axes is not None else kinds
    diffusion |= {f"{k}_err": errors.get(k) for k in ("ratio", "theta", "phi")}
    diffusion["tensor"] = None if local else np.asarray(done.diffusion).tolist()
    diffusion["held"] = done.tumbling is None and not local
    diffusion["tests"] = [vars(t) for t in done.tried]
    count = done.starts.count()[done.chosen]
    n_data = int(done.data.measured.sum())
    freedom = n_data - int(count.sum()) - (len(done.tumbling.q) if done.tumbling is not None else 0)
    chi2 = float(np.sum(done.chi2))
    spread = np.std(done.x[:, 5], ddof=1) / np.sqrt(len(done.x)) if local and len(done.x) > 1 else None
    return {
        "tau_c_ns": done.tau_c,
        "tau_c_err": spread if local else errors.get("tau_c"),
        "diffusion": diffusion,
        "n_residues": len(done.data.residues),
        "n_data": n_data,
        "chi2": chi2,
        "chi2_reduced": chi2 / freedom if freedom > 0 else None,
        "models": dict(sorted(Counter(done.models).items())),
        "select": done.options.select,
        "information": done.information,
        "consistency": [
            {"quantity": c.quantity, "first": c.first, "second": c.second, "ratio": c.ratio, "error": c.error, "n": c.n}
            for c in done.consistency
        ],
        "median_S2": float(np.median(done.s2)),
        "fits_per_s": fits_per_s,
        "gradients": gradients,
        "scores": _scores(done, inputs),
    }


def _scores(done: Analysis, inputs: RelaxationInputs) -> dict[str, Any]:
    back, columns = held_out(done, inputs)
    rows = _rows(done, inputs)
    out: dict[str, Any] = {}
    for kind in KINDS:
        work = [i for i, c in enumerate(done.data.columns) if c.kind == kind]
        free = [k for k, i in enumerate(columns) if inputs.data.columns[i].kind == kind]
        if not work and not free:
            continue
        value, sigma = inputs.data.value[rows][:, columns], inputs.data.sigma[rows][:, columns]
        out[f"nmr.{kind}"] = {
            "work": _score(done.back[:, work], done.data.value[:, work], done.data.sigma[:, work]) if work else {},
            "steer": {},
            "free": _score(back[:, free], value[:, free], sigma[:, free]) if free else {},
        }
    return out


def _score(back: np.ndarray, value: np.ndarray, sigma: np.ndarray) -> dict[str, float | int]:
    known = np.isfinite(value) & np.isfinite(sigma)
    z = ((back - value) / sigma)[known]
    difference = (back - value)[known]
    if not len(z):
        return {"n": 0}
    return {"n": len(z), "chi2_per_datum": float(np.mean(z**2)), "rms": float(np.sqrt(np.mean(difference**2)))}
