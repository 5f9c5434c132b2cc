"""Do rates follow the directions of N-H in a model? A test by permutation that no fit of a tensor can fool."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from consilience.nmr.data import Column

PERMUTATIONS = 999
FEWEST = 10  # residues
CLIP = 3.0  # of a robust standard deviation: exchange and internal motion leave their mark


def follow_directions(
    value: np.ndarray, measured: np.ndarray, columns: Sequence[Column], nh: np.ndarray, seed: int = 0
) -> float | None:
    """Probability that log(R2/R1) of residues follows a quadric in N-H as closely by chance; None for too few residues.

    value, measured (n, m) of `columns`; nh (n, 3) unit vectors. Local diffusion is a quadratic form of the direction
    (Brüschweiler, Liao & Wright, Science 268 (1995) 886), and log(R2/R1) nearly linear in it; the share it explains is
    compared with that after the ratios were dealt to other residues.
    """
    ratios = []
    for field in sorted({c.field for c in columns}):
        at = {c.kind: k for k, c in enumerate(columns) if c.field == field}
        if {"R1", "R2"} <= set(at):
            good = measured & (value > 0)
            r1, r2 = (np.where(good[:, at[k]], value[:, at[k]], np.nan) for k in ("R1", "R2"))
            ratio = np.log(r2 / r1)
            ratios.append(ratio - np.nanmedian(ratio) if np.isfinite(ratio).any() else ratio)
    if not ratios:
        return None
    table = np.array(ratios)
    known = np.isfinite(table).any(axis=0)
    if known.sum() < FEWEST:
        return None
    y, n = np.nanmean(table[:, known], axis=0), np.asarray(nh, float)[known]
    spread = max(1.4826 * float(np.median(np.abs(y - np.median(y)))), 1e-6)
    y = np.clip(y - np.median(y), -CLIP * spread, CLIP * spread)
    x, *rest = n.T
    design = np.stack([x * x, *(r * r for r in rest), x * rest[0], x * rest[1], rest[0] * rest[1]], axis=1)
    basis = np.linalg.qr(design)[0]
    rng = np.random.default_rng(seed)
    dealt = np.array([y] + [rng.permutation(y) for _ in range(PERMUTATIONS)])
    explained = np.sum((dealt @ basis) ** 2, axis=1)
    return float(np.mean(explained >= explained[0] * (1 - 1e-12)))
