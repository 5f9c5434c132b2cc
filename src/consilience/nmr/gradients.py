"""Float64 check of a finished analysis: derivatives of chi2 in dynamics and tensor against central differences."""

from __future__ import annotations

from typing import Any

import numpy as np

from consilience.nmr.analysis import Analysis
from consilience.nmr.residuefit import Tumbling, back_calculate, jacobians
from consilience.nmr.tumbling import six, tensor_jacobian

STEP = 1e-5


def check_derivatives(result: Analysis, directions: int = 2, seed: int = 0) -> dict[str, Any]:
    """{"max_rel_error", "pairs"}: |analytic - numerical| / (|gradient| |direction|) for each block, worst direction.

    The tensor's derivative comes from the diffusion operator, its differences from eigenmodes: two formulations that
    must agree.
    """
    s, rng = result.setup, np.random.default_rng(seed)
    method, x = s.method, result.x
    pairs: list[dict[str, Any]] = []

    def value(x: np.ndarray, tumbling: Tumbling) -> float:
        back = np.asarray(back_calculate(x, tumbling, s.residues, s.experiment, method))
        return 0.5 * float(np.sum((s.residues.w * (back - s.residues.y)) ** 2))

    tumbling = Tumbling(np.array([1.0 / result.tau_c]), np.zeros((1, 0)))
    if result.diffusion is not None:
        tumbling = Tumbling.of(result.diffusion, collapse=False)
    m = s.residues.y.shape[1]
    back = np.asarray(back_calculate(x, tumbling, s.residues, s.experiment, method))
    r = s.residues.w * (back - s.residues.y)

    def judged(block: str, gradient: np.ndarray, move: Any) -> None:
        worst = 0.0
        for _ in range(directions):
            d = rng.standard_normal(gradient.shape) * scale
            numerical = (move(STEP * d) - move(-STEP * d)) / (2 * STEP)
            size = max(float(np.linalg.norm(gradient)) * float(np.linalg.norm(d)), 1e-12)
            worst = max(worst, abs(float(np.sum(gradient * d)) - numerical) / size)
        pairs.append({"term": "nmr", "block": block, "rel_error": worst})

    if method.active:
        active = list(method.active)
        own = np.asarray(jacobians(x, tumbling, s.residues, s.experiment, method)[1])[:, :m]
        scale = np.maximum(np.abs(x[:, active]), 1e-2)

        def move_dynamics(step: np.ndarray) -> float:
            moved = x.copy()
            moved[:, active] += step
            return value(moved, tumbling)

        judged("dynamics", np.einsum("nmk,nm->nk", own, r), move_dynamics)
    if (diffusion := result.diffusion) is not None:
        slope = np.asarray(tensor_jacobian(six(diffusion), x, s.residues, s.experiment, method))
        scale = np.full(6, float(np.trace(diffusion)) / 3)

        def move_tensor(step: np.ndarray) -> float:
            moved = diffusion + step[np.array([[0, 3, 4], [3, 1, 5], [4, 5, 2]])]
            return value(x, Tumbling.of(moved, collapse=False))

        judged("diffusion", np.einsum("nmk,nm->k", slope, r), move_tensor)
    return {"max_rel_error": max((p["rel_error"] for p in pairs), default=0.0), "pairs": pairs}
