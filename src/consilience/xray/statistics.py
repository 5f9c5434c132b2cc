"""R factors and correlations, overall and by resolution."""

from __future__ import annotations

import numpy as np


def r_factor(f_obs: np.ndarray, f_model: np.ndarray) -> float:
    """sum ||F_o| - |F_m|| / sum |F_o|; nan-free: 0 reflections give 0."""
    total = float(np.sum(f_obs))
    return float(np.sum(np.abs(f_obs - np.abs(f_model))) / total) if total > 0 else 0.0


def correlation(f_obs: np.ndarray, f_model: np.ndarray) -> float:
    """Pearson correlation of |F_o| and |F_m|."""
    y = np.abs(f_model)
    if len(y) < 3 or np.std(y) == 0 or np.std(f_obs) == 0:
        return 0.0
    return float(np.corrcoef(f_obs, y)[0, 1])


def shells(f_obs, f_model, inv_d2, work, free, per_shell: int = 1000) -> list[dict[str, float]]:
    """Statistics in shells of equal numbers of reflections, low resolution first."""
    count = int(np.clip(len(f_obs) // per_shell, 5, 20))
    order = np.argsort(inv_d2, kind="stable")
    out = []
    for part in np.array_split(order, count):
        w, f = part[work[part]], part[free[part]]
        out.append(
            {
                "d_max": float(inv_d2[part].min() ** -0.5),
                "d_min": float(inv_d2[part].max() ** -0.5),
                "n": len(part),
                "n_free": len(f),
                "r_work": r_factor(f_obs[w], f_model[w]),
                "r_free": r_factor(f_obs[f], f_model[f]) if len(f) else None,
                "cc_work": correlation(f_obs[w], f_model[w]),
                "cc_free": correlation(f_obs[f], f_model[f]) if len(f) > 3 else None,
            }
        )
    return out
