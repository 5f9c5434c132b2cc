"""Errors of the forces of a model of beads: pooled, by protein, by temperature."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from consilience.coarse.beads import Beads
from consilience.jobs.train_beads.forces import mean_forces
from consilience.jobs.train_beads.sets import BeadSets
from consilience.potentials.beads.model import BeadModel
from consilience.units import KCAL_MOL


def table_of(model: BeadModel, sets: BeadSets) -> dict[str, dict[str, float]]:
    """Force error and explained variance of each set."""
    return {name: row_of(squared(model, proteins)) for name, proteins in sets.by_name.items()}


def row_of(found: dict[str, dict[float, tuple[float, float, int]]]) -> dict[str, float]:
    """One row from squared errors by protein and temperature; per temperature where there are several."""
    parts = [(t, v) for by_heat in found.values() for t, v in by_heat.items()]
    row = _row([v for _, v in parts])
    heats = sorted({t for t, _ in parts})
    if len(heats) > 1:
        for t in heats:
            own = _row([v for u, v in parts if u == t])
            row |= {f"{k}_{t:g}K": v for k, v in own.items()}
    return row


def _row(parts: list[tuple[float, float, int]]) -> dict[str, float]:
    error, total, count = (float(sum(p[k] for p in parts)) for k in range(3))
    return {
        "force_rmse_kcal_A": float(np.sqrt(error / count)) / KCAL_MOL,
        "explained_variance": 1.0 - error / max(total, 1e-30),
    }


def by_protein(model: BeadModel, proteins: Sequence[Beads]) -> dict[str, dict[str, float]]:
    """A row of each protein."""
    return {name: row_of({name: by_heat}) for name, by_heat in squared(model, proteins).items()}


def squared(model: BeadModel, proteins: Sequence[Beads]) -> dict[str, dict[float, tuple[float, float, int]]]:
    """{protein: {temperature: (squared error, squared forces, components)}}, eV²/Å², of the mean of the members."""
    out: dict[str, dict[float, tuple[float, float, int]]] = {}
    for b in proteins:
        assert b.forces is not None
        found = mean_forces(model, b)
        for t in np.unique(b.temperature):
            rows = b.temperature == t
            e = float(((found[rows] - b.forces[rows]) ** 2).sum())
            f = float((b.forces[rows] ** 2).sum())
            old = out.setdefault(b.name, {}).get(float(t), (0.0, 0.0, 0))
            out[b.name][float(t)] = (old[0] + e, old[1] + f, old[2] + 3 * b.forces[rows, :, 0].size)
    return out
