"""Errors of a potential on frames, as the tables give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import numpy as np

from consilience.potentials.labels import Batch, predict
from consilience.potentials.potential import Potential

_predict = eqx.filter_jit(predict)
CHUNK = 64


def predicted(potential: Potential, batch: Batch) -> dict[str, np.ndarray]:
    """Predictions for all frames, in chunks of one shape: arrays as `labels.predict` returns them."""
    b = len(batch)
    size = min(CHUNK, b)
    parts = []
    for start in range(0, b, size):
        index = np.minimum(np.arange(start, start + size), b - 1)
        found = _predict(potential, batch.at(index))
        kept = min(size, b - start)
        parts.append({k: np.asarray(v)[:kept] for k, v in found.items() if np.ndim(v)})
    return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}


def score_row(found: Mapping[str, Any], batch: Batch) -> dict[str, float]:
    """One row of the table: errors on every channel for which there are labels (see the contract for the names)."""
    real = batch.numbers > 0
    row: dict[str, float] = {"frames": float(len(batch))}
    labels = batch.labels
    if "energy" in labels:
        e = (found["energy"] - labels["energy"]) / np.maximum(real.sum(1), 1)
        e = e[np.isfinite(e)]
        row |= {"energy_mae_mev_atom": _mean(np.abs(e)) * 1e3}
    if "forces" in labels:
        known = real[..., None] & np.isfinite(labels["forces"])
        f = (found["forces"] - np.where(known, labels["forces"], 0.0))[known]
        size = np.sqrt(_mean(labels["forces"][known] ** 2))
        per_frame = np.sqrt(
            np.sum(np.where(known, found["forces"] - labels["forces"], 0.0) ** 2, (1, 2)) / known.sum((1, 2)).clip(1)
        )
        row |= {
            "force_mae_mev_A": _mean(np.abs(f)) * 1e3,
            "force_median_mev_A": float(np.median(np.abs(f))) * 1e3 if f.size else 0.0,
            "force_rmse_mev_A": float(np.sqrt(_mean(f**2))) * 1e3,
            "force_rel": float(np.sqrt(_mean(f**2))) / max(float(size), 1e-12),
            "force_worst_frame_mev_A": float(per_frame.max(initial=0.0)) * 1e3,
        }
    if "stress" in labels:
        s = np.abs(found["stress"] - labels["stress"])
        row |= {"stress_mae_mev_A3": _mean(s[np.isfinite(s)]) * 1e3}
    if "dipole" in labels:
        d = np.abs(found["dipole"] - labels["dipole"])
        row |= {"dipole_mae_eA": _mean(d[np.isfinite(d)])}
    if "charges" in labels:
        q = np.abs(found["charges"] - labels["charges"])[real]
        row |= {"charge_mae_e": _mean(q[np.isfinite(q)])}
    if "esp" in labels:
        v = found["esp"] - labels["esp"]
        known = np.isfinite(v)
        each = np.sqrt(np.sum(np.where(known, v, 0.0) ** 2, 1) / known.sum(1).clip(1))[known.any(1)]
        row |= {
            "esp_rmse_mv": float(np.sqrt(_mean(v[known] ** 2))) * 1e3,
            "esp_median_mv": float(np.median(each)) * 1e3 if each.size else 0.0,  # of frames
        }
    return row


def _mean(x: np.ndarray) -> float:
    return float(np.mean(x)) if x.size else 0.0
