"""Preconditioners from the terms' own curvature: sparse factorisations of sum_t w_t H_t, one for each active block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spl

from consilience.core.params import Model, ravel

Curvatures = dict[str, dict[str, Any]]  # term -> block -> sparse matrix in raw coordinates


def curvatures(terms: Mapping[str, Any], obs: Mapping[str, Any], model: Model, active: Iterable[str]) -> Curvatures:
    """What each term knows of its own Hessian in the active blocks (nothing without a method `curvature`)."""
    names = set(active)
    out: Curvatures = {}
    for name, term in terms.items():
        if hasattr(term, "curvature") and names & term.reads:
            found = term.curvature(model, obs.get(name))
            out[name] = {block: h for block, h in found.items() if block in names}
    return out


def factorised(found: Curvatures, weights: Mapping[str, float]) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """block -> v -> (sum of w_t H_t)^-1 v."""
    total: dict[str, Any] = {}
    for name, blocks in found.items():
        for block, h in blocks.items():
            if weights.get(name, 0.0) > 0:
                total[block] = weights[name] * h + total.get(block, 0)
    return {block: _solver(h) for block, h in total.items()}


def _solver(h) -> Callable[[np.ndarray], np.ndarray]:
    diagonal = h.diagonal()
    h = (h + sp.diags(1e-9 * np.mean(diagonal) + 1e-3 * (diagonal <= 0))).tocsc()
    lu = spl.splu(h, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    return lu.solve


def metrics(found: Curvatures, reference: str) -> dict[str, Callable[[Any], float]]:
    """block -> g -> g' P^-1 g with P the diagonal of the reference term's curvature: no balanced term can change it."""

    def metric(diagonal: np.ndarray) -> Callable[[Any], float]:
        inverse = 1.0 / np.maximum(diagonal, max(1e-12 * diagonal.max(), 1e-300))
        return lambda g: float(np.sum(np.square(ravel(g)) * inverse))

    return {block: metric(h.diagonal()) for block, h in found.get(reference, {}).items()}
