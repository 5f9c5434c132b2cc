"""consil predict: energies, forces, stress, charges, dipoles and electrostatic potentials of a model for all frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from consilience.frames.frames import Frames
from consilience.frames.read import read_frames
from consilience.frames.write import write_extxyz, write_npz
from consilience.jobs.common.html_table import Shown, summary_table
from consilience.jobs.common.interrupt import interruptible
from consilience.jobs.common.open_folder import open_folder
from consilience.jobs.common.options import FrameOptions, RunOptions
from consilience.jobs.common.runtime import prepare_jax


@dataclass(frozen=True, repr=False)
class PredictResult(Shown):
    """What `predict` returns: the summary, the folder, and the frames with the model's labels."""

    summary: dict[str, Any]
    folder: Path
    frames: Frames

    def _repr_html_(self) -> str:
        return summary_table(self.summary, self.folder)


def predict(
    model: str | Path,
    files: Sequence[str | Path],
    *,
    form: Literal["extxyz", "npz"] = "extxyz",
    frames: FrameOptions | None = None,
    run: RunOptions | None = None,
) -> PredictResult:
    """Predict for all frames; the command `consil predict`. Raises InputError for bad input."""
    from consilience.potentials.bundle import load_bundle
    from consilience.potentials.dataset import batch_of
    from consilience.potentials.ensemble import mean_prediction

    frames, run = frames or FrameOptions(), run or RunOptions()
    prepare_jax()
    loaded = load_bundle(model)
    data = read_frames(list(files), keys=frames.keys, units=frames.units, strict=False)
    paths = [Path(f) for f in files]
    folder = open_folder("predict", paths[0].name.split(".")[0], run, paths)
    with interruptible(folder):
        config = {"model": Path(model), "format": form, "keys": frames.keys, "units": frames.units}
        folder.write_manifest(paths, config)
        folder.write_job(config)
        channels = ("esp", "stress") if data.esp_xyz is not None and data.esp is not None else ("stress",)
        batch = batch_of(data, loaded.potential, channels)
        found = mean_prediction(loaded.members, batch)
        stress = found.get("stress")
        if stress is not None:
            stress = np.where(np.isfinite(batch.volume)[:, None, None], stress, np.nan)
        labelled = replace(
            data,
            energy=found["energy"],
            forces=found["forces"],
            dipole=found["dipole"],
            charges=found["charges"],
            esp=found.get("esp"),
            esp_xyz=data.esp_xyz if "esp" in found else None,
            stress=stress,
        )
        name = f"predictions.{form}"
        (write_extxyz if form == "extxyz" else write_npz)(folder / name, labelled)
        summary = {"n_frames": len(data), "file": name}
        if "disagreement" in found:
            summary["disagreement_ev_A"] = {
                "median": float(np.median(found["disagreement"])), "max": float(found["disagreement"].max())
            }  # fmt: skip
        folder.log(f"{len(data)} frames: {folder.path / name}")
        return PredictResult(folder.write_summary(summary), folder.path, labelled)
