"""The files of a relaxation analysis: dynamics.csv, dynamics.str, backcalc.csv, history.csv, report.html."""

from __future__ import annotations

from typing import Any

import numpy as np

from consilience.jobs.common.output import OutputFolder
from consilience.jobs.relaxation.inputs import RelaxationInputs
from consilience.jobs.relaxation.report import relaxation_page
from consilience.jobs.relaxation.scores import held_out
from consilience.nmr.analysis import Analysis
from consilience.nmr.modelfree import EXTENDED, FREE, PARAMETERS
from consilience.nmr.star_write import write_order_parameters
from consilience.report.render import write_page


def dynamics_rows(done: Analysis) -> list[dict[str, Any]]:
    """One record per residue: the columns of dynamics.csv (te, errors ps; ts ns; Rex s^-1 at the lowest field)."""
    sigma = done.sigma
    index = {p: i for i, p in enumerate(PARAMETERS)}
    rows = []
    for i, (residue, model) in enumerate(zip(done.data.residues, done.models, strict=True)):
        free, extended = FREE[model], model in EXTENDED

        def at(name: str, factor: float = 1.0, i: int = i, free: tuple[str, ...] = free) -> tuple[Any, Any]:
            if name not in free:
                return None, None
            return float(done.x[i, index[name]]) * factor, float(sigma[i, index[name]]) * factor

        te, te_err = at("tf", 1e3) if extended else at("ts", 1e3)
        ts, ts_err = at("ts") if extended else (None, None)
        rex, rex_err = at("rex")
        rows.append(
            {
                "residue": residue.number,
                "model": model,
                "S2": float(done.s2[i]),
                "S2_err": float(sigma[i, -1]),
                "S2f": float(done.x[i, index["s2f"]]) if extended else None,
                "te_ps": te,
                "te_err": te_err,
                "ts_ns": ts,
                "Rex": rex,
                "Rex_err": rex_err,
                "chi2": float(done.chi2[i]),
                "n_data": int(done.data.measured[i].sum()),
                "name": residue.name,
                "chain": residue.chain,
                "ts_err": ts_err,
                "S2_average": float(done.averages[i, 0] * done.averages[i, 1]),
                "tau_c_ns": float(done.x[i, index["tm"]]) if done.diffusion is None else None,
                "csa_ppm": float(done.x[i, index["csa"]]) if index["csa"] in done.setup.method.active else None,
                "rigid": bool(done.core[i]),
            }
        )
    return rows


def backcalc_rows(done: Analysis, inputs: RelaxationInputs) -> list[dict[str, Any]]:
    """One record per measured rate: value, error, back-calculated, residual in errors, and whether it was fitted."""
    back, columns = held_out(done, inputs)
    number = {r: i for i, r in enumerate(inputs.data.residues)}
    out = []
    for i, residue in enumerate(done.data.residues):
        row = number[residue]
        fitted = [(c, done.data.value[i, k], done.data.sigma[i, k], done.back[i, k], "work")
                  for k, c in enumerate(done.data.columns)]  # fmt: skip
        held = [(inputs.data.columns[c], inputs.data.value[row, c], inputs.data.sigma[row, c], back[i, k], "free")
                for k, c in enumerate(columns)]  # fmt: skip
        for column, value, sigma, calculated, used in [*fitted, *held]:
            if np.isfinite(value) and np.isfinite(sigma):
                out.append(
                    {
                        "residue": residue.number,
                        "rate": column.kind,
                        "field_mhz": column.field,
                        "value": float(value),
                        "error": float(sigma),
                        "calculated": float(calculated),
                        "z": float((value - calculated) / sigma),
                        "set": used,
                        "name": residue.name,
                        "chain": residue.chain,
                    }
                )
    return out


def write_files(
    folder: OutputFolder,
    done: Analysis,
    inputs: RelaxationInputs,
    summary: dict[str, Any],
    truth: dict[str, tuple[Any, Any, str]] | None = None,
) -> None:
    """All files but summary and manifest."""
    rows = dynamics_rows(done)
    folder.write_csv("dynamics.csv", rows)
    star = [{**r, "residue": residue} for r, residue in zip(rows, done.data.residues, strict=True)]
    for row in star:
        if row["model"] in EXTENDED:
            row["tf_ps"], row["tf_err"], row["te_ps"], row["te_err"] = row["te_ps"], row["te_err"], None, None
    write_order_parameters(folder.path / "dynamics.str", star, rex_field_mhz=float(done.data.fields.min()))
    folder.write_csv("backcalc.csv", backcalc_rows(done, inputs))
    tests = [{"kind": t.kind, "chi2": t.chi2, "freedom": t.freedom, "p": t.p} for t in done.tried]
    only = [{"kind": done.kind, "chi2": float(np.sum(done.chi2)), "freedom": None, "p": None}]
    folder.write_csv("history.csv", tests or only)
    full = {**summary, "warnings": list(folder.warnings), **folder.timings()}
    write_page(folder.path / "report.html", relaxation_page(done, full, inputs.structure, truth))
