"""Choose among model-free models: information criteria, elimination of models that failed, and averages over models."""

from __future__ import annotations

from typing import Literal

import numpy as np

from consilience.nmr.modelfree import ELIMINATED, EXTENDED, PARAMETERS, TM_RANGE, Starts
from consilience.nmr.residuefit import ResidueFits

Criterion = Literal["aic", "aicc", "bic"]


def criterion(chi2: np.ndarray, k: np.ndarray, n: np.ndarray, kind: Criterion) -> np.ndarray:
    """chi2 (r, models) penalised for k (models,) parameters with n (r,) data; infinite where k exceeds n.

    AIC = chi2 + 2k needs no correction for small samples where the errors are known; AICc has one all the same (Hurvich
    & Tsai 1989) and is infinite for n <= k + 1; BIC = chi2 + k ln n.
    """
    n = np.asarray(n)[:, None]
    k = np.asarray(k)[None, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        if kind == "bic":
            penalty = k * np.log(np.maximum(n, 1))
        else:
            penalty = 2.0 * k + (np.where(n > k + 1, 2.0 * k * (k + 1) / (n - k - 1), np.inf) if kind == "aicc" else 0)
            penalty = np.where(k == 0, 0.0, penalty)
    return np.where(k > n, np.inf, chi2 + penalty)


def eliminated(fits: ResidueFits, starts: Starts, tau_c: np.ndarray) -> np.ndarray:
    """(n, models) bool: internal motion slower than 1.5 tumbling times tau_c (n, models), or a time at its end.

    Such models have failed (d'Auvergne & Gooley, J. Biomol. NMR 35 (2006) 117): what they describe is not in the data.
    """
    s2f, s2s, _, ts, _, tm, *_ = (fits.x[..., i] for i in range(len(PARAMETERS)))
    extended = np.array([m in EXTENDED for m in starts.models])
    share = np.where(extended, s2f - s2f * s2s, 1 - s2s)
    moves = fits.upper[:, PARAMETERS.index("ts")] > fits.lower[:, PARAMETERS.index("ts")]
    too_slow = moves & (ts >= ELIMINATED * tau_c) & (share > 1e-6)
    local = fits.upper[:, PARAMETERS.index("tm")] > fits.lower[:, PARAMETERS.index("tm")]
    return too_slow | (local & (tm >= 0.25 * TM_RANGE[1]))


def choose(values: np.ndarray, out: np.ndarray) -> np.ndarray:
    """(n,) number of the best model of each residue; eliminated ones only where nothing else is left."""
    kept = np.where(out, np.inf, values)
    nothing = ~np.isfinite(kept).any(axis=1)
    kept[nothing] = values[nothing]
    return np.argmin(kept, axis=1)


def weights(values: np.ndarray, out: np.ndarray) -> np.ndarray:
    """(n, models) weights exp(-difference / 2) of models in averages (Burnham & Anderson 2002), eliminated ones 0."""
    kept = np.where(out | ~np.isfinite(values), np.inf, values)
    nothing = ~np.isfinite(kept).any(axis=1)
    kept[nothing] = np.where(np.isfinite(values[nothing]), values[nothing], 1e300)
    best = kept.min(axis=1, keepdims=True)
    w = np.exp(-0.5 * np.minimum(kept - best, 1e3))
    return w / w.sum(axis=1, keepdims=True)


def order_parameter(x: np.ndarray) -> np.ndarray:
    """S2 = S2f S2s of parameters (..., 8)."""
    return x[..., 0] * x[..., 1]
