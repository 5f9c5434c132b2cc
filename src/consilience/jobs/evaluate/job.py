"""consil evaluate: the errors of a model on data it has not seen, by kind and temperature, and what it warns of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from consilience.core.errors import Finding, InputError
from consilience.frames.frames import CHANNELS, Frames
from consilience.frames.read import read_frames
from consilience.jobs.common.interrupt import interruptible
from consilience.jobs.common.open_folder import open_folder
from consilience.jobs.common.options import FrameOptions, RunOptions
from consilience.jobs.common.output import OutputFolder
from consilience.jobs.common.report_parts import footer
from consilience.jobs.common.runtime import prepare_jax
from consilience.jobs.evaluate.result import EvaluateResult

LARGE = 0.3  # eV/Å: a force error that a user must know of
FEW = 12  # different values of a label that still make rows


def evaluate(
    model: str | Path,
    files: Sequence[str | Path],
    *,
    reference: str | Path | None = None,
    frames: FrameOptions | None = None,
    run: RunOptions | None = None,
) -> EvaluateResult:
    """Score a trained model; the command `consil evaluate`.

    reference: frames of beads whose structure the model's shall have. Raises InputError for bad input.
    """
    from consilience.beads import LoadedBeads
    from consilience.model import load_model

    frames, run = frames or FrameOptions(), run or RunOptions()
    prepare_jax()
    found = load_model(model)
    if isinstance(found, LoadedBeads):
        from consilience.jobs.evaluate.beads import evaluate_beads

        return evaluate_beads(found, files, reference=reference, frames=frames, run=run)
    if reference is not None:
        raise InputError("--reference is for models of beads", str(model))
    loaded = found.bundle
    data = read_frames(list(files), keys=frames.keys, units=frames.units)
    paths = [Path(f) for f in files]
    folder = open_folder("evaluate", paths[0].name.split(".")[0], run, paths)
    with interruptible(folder):
        config = {"model": Path(model), "keys": frames.keys, "units": frames.units}
        folder.begin(paths, config, data.findings)
        return _evaluate(loaded, data, folder)


def _evaluate(loaded: Any, data: Frames, folder: OutputFolder) -> EvaluateResult:
    from consilience.potentials.dataset import batch_of
    from consilience.potentials.ensemble import mean_prediction
    from consilience.potentials.scores import score_row

    channels = tuple(c for c in CHANNELS if getattr(data, c) is not None)
    if "charges" not in loaded.info.get("channels", ()):
        channels = tuple(c for c in channels if c != "charges")  # charges of another kind than the model's
    batch = batch_of(data, loaded.potential, channels)
    found = mean_prediction(loaded.members, batch)
    table = {"data": score_row(found, batch)}
    for name, rows in _subsets(data):
        table[name] = score_row({k: v[rows] for k, v in found.items()}, batch.at(rows))
    for name, row in table.items():
        folder.log(name + ": " + ", ".join(f"{k} {v:.4g}" for k, v in row.items()))
    summary: dict[str, Any] = {"status": "ok", "table": table, "energy_by_term": _by_term(loaded.potential, batch)}
    if "disagreement" in found:
        summary["disagreement"] = _disagreement(found, batch, loaded.info, folder)
    summary["scores"] = {"molecules": {"free": table["data"]}}
    rows = [{"frame": i, **_frame_row(found, batch, i)} for i in range(len(batch))]
    folder.write_csv("frames.csv", rows)
    _report(folder, summary, found, batch, data)
    return EvaluateResult(folder.write_summary(summary), folder.path, found)


def _subsets(data: Frames) -> list[tuple[str, np.ndarray]]:
    """Rows of frames for each value of the labels that have few values."""
    out = []
    for label, column in data.groups.items():
        values = list(dict.fromkeys(column.tolist()))
        if 1 < len(values) <= FEW:
            out += [(f"{label} {v:g}" if isinstance(v, float) else f"{label} {v}", np.flatnonzero(column == v))
                    for v in sorted(values)]  # fmt: skip
    return out


def _frame_row(found: dict[str, np.ndarray], batch: Any, i: int) -> dict[str, float]:
    row: dict[str, float] = {}
    real = batch.numbers[i] > 0
    if "energy" in batch.labels:
        row["energy_eV"] = float(found["energy"][i])
        row["energy_error_meV_atom"] = float(found["energy"][i] - batch.labels["energy"][i]) * 1e3 / real.sum()
    if "forces" in batch.labels:
        error = (found["forces"][i] - batch.labels["forces"][i])[real]
        row["force_mae_meV_A"] = float(np.nanmean(np.abs(error))) * 1e3
        row["force_max_error_eV_A"] = float(np.nanmax(np.sqrt(np.sum(error**2, -1))))
    if "disagreement" in found:
        row["disagreement_eV_A"] = float(found["disagreement"][i])
    return row


def _by_term(potential: Any, batch: Any) -> dict[str, dict[str, float]]:
    """Mean and spread of each part of the energy, eV, over at most 64 frames."""
    few = batch.at(np.arange(min(64, len(batch))))
    parts = potential.energies(few.positions.reshape(-1, 3), few.graph)[0]
    return {k: {"mean_ev": float(np.mean(v)), "std_ev": float(np.std(v))} for k, v in parts.items()}


def _disagreement(found: dict[str, np.ndarray], batch: Any, info: dict[str, Any], folder: OutputFolder) -> dict:
    """How well the members' disagreement tells where forces are wrong, and how often it exceeds the card's bound."""
    spread = found["disagreement"]
    bound = (info.get("card") or {}).get("disagreement_ev_A")
    out: dict[str, Any] = {
        "median_ev_A": float(np.median(spread)),
        "max_ev_A": float(spread.max()),
        "bound_ev_A": bound,
    }
    flagged = spread > (bound if bound is not None else np.inf)
    out["flagged"] = float(np.mean(flagged))
    if "forces" in batch.labels:
        real = batch.numbers > 0
        error = np.sqrt(np.sum(np.where(real[..., None], found["forces"] - batch.labels["forces"], 0.0) ** 2, -1)).max(
            1
        )
        wrong = error > LARGE
        out["large_errors"] = int(wrong.sum())
        out["large_errors_flagged"] = float(np.mean(flagged[wrong])) if wrong.any() else None
    if flagged.any():
        what = f"the members of the model disagree on {int(flagged.sum())} of {len(spread)} frames, unlike any seen"
        where = ", ".join(str(i) for i in np.flatnonzero(flagged)[:8])
        folder.warn(Finding("warn", what, f"frames {where} (counted from 0)", f"up to {spread.max():.3g} eV/Å",
                            f"<= {bound:.3g}", "see frames.csv; add such frames to the training"))  # fmt: skip
    return out


def _report(
    folder: OutputFolder, summary: dict[str, Any], found: dict[str, np.ndarray], batch: Any, data: Frames
) -> None:
    from consilience.jobs.train.report import agreement_plots, error_table
    from consilience.report.page import Card, Page, Section
    from consilience.report.render import write_page

    row = summary["table"]["data"]
    cards = (
        Card("force error", row.get("force_mae_mev_A"), "mean absolute", None, "", "meV/Å"),
        Card("energy error", row.get("energy_mae_mev_atom"), "mean absolute", None, "", "meV/atom"),
        Card("frames", len(batch)),
    )
    sections = (
        Section("Errors", "Mean absolute errors unless named otherwise.", (error_table(summary["table"]),)),
        Section("Agreement", "", tuple(agreement_plots(found, batch, "data"))),
    )
    page = Page("Evaluation of a potential", ", ".join(data.files), "ok", cards, sections, folder.warnings, "",
                footer({**summary, **folder.timings()}))  # fmt: skip
    write_page(folder.path / "report.html", page)
