"""The files of a refinement: model, map coefficients, history and report."""

from __future__ import annotations

from typing import Any

import numpy as np

from consilience.jobs.common.output import OutputFolder
from consilience.jobs.refine.coot import write_coot
from consilience.jobs.refine.report import refinement_page
from consilience.jobs.refine.result import Refined
from consilience.jobs.refine.scores import cycle_rows
from consilience.report.render import write_page
from consilience.structure.write import write_mmcif, write_pdb
from consilience.xray.maps import map_coefficients
from consilience.xray.write import write_mtz


def write_files(folder: OutputFolder, result: Refined, summary: dict[str, Any]) -> None:
    """refined.cif, refined.pdb, refined.mtz, history.csv, coot.py, report.html, and errors.csv where asked for."""
    write_mmcif(result.structure, folder.path / "refined.cif", summary)
    write_pdb(result.structure, folder.path / "refined.pdb", summary)
    write_mtz(folder.path / "refined.mtz", result.crystal.reflections, map_columns(result))
    write_coot(folder.path / "coot.py", result)
    folder.write_csv("history.csv", cycle_rows(result.history))
    if result.errors is not None:
        folder.write_csv("errors.csv", result.errors.rows(result.structure.hierarchy[0]))
    full = {**summary, "warnings": list(folder.warnings), **folder.timings()}
    write_page(folder.path / "report.html", refinement_page(result, full))


def map_columns(result: Refined) -> dict[str, tuple[str, np.ndarray]]:
    """New columns of the MTZ: FC PHIC, FWT PHWT, DELFWT PHDELWT, FOM, over the observed reflections."""
    double, difference = map_coefficients(result.crystal, result.fitted)
    columns: dict[str, tuple[str, np.ndarray]] = {}
    for f, phi, value in (
        ("FC", "PHIC", result.fitted.f_model),
        ("FWT", "PHWT", double),
        ("DELFWT", "PHDELWT", difference),
    ):
        columns[f] = ("F", np.abs(value))
        columns[phi] = ("P", np.degrees(np.angle(value)))
    columns["FOM"] = ("W", result.fitted.fom)
    return columns
