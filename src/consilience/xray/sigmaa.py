"""How good is the model, by resolution: D and S of the likelihood, and the figure of merit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import i0e, i1e


@dataclass(frozen=True)
class ErrorModel:
    """D and log S at nodes in 1/d^2, linear in between. S is the variance of what the model misses, per epsilon.

    `kappa` in (0, 1] multiplies the measurement's variance: reported sigmas are often too large.
    """

    nodes: np.ndarray
    d: np.ndarray
    log_s: np.ndarray
    kappa: float = 1.0

    def at(self, inv_d2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(D, S) at reflections (m,)."""
        return np.interp(inv_d2, self.nodes, self.d), np.exp(np.interp(inv_d2, self.nodes, self.log_s))


@dataclass(frozen=True)
class AmplitudeData:
    """What the error model is fitted to: amplitudes, sigmas, |F_model|, epsilon, centric flags, 1/d^2; all (m,)."""

    f_obs: np.ndarray
    sigma: np.ndarray
    f_calc: np.ndarray
    epsilon: np.ndarray
    centric: np.ndarray
    inv_d2: np.ndarray

    def select(self, mask: np.ndarray) -> AmplitudeData:
        return AmplitudeData(*(getattr(self, k)[mask] for k in self.__dataclass_fields__))


def measured_variance(sigma: np.ndarray, centric: np.ndarray) -> np.ndarray:
    """What a measurement's sigma adds to the variance of the likelihood: 2 sigma^2 (acentric) or sigma^2 (centric)."""
    return np.where(centric, 1.0, 2.0) * sigma**2


def figure_of_merit(x: np.ndarray, centric: np.ndarray) -> np.ndarray:
    """Expected cosine of the phase error: I1/I0 (acentric) or tanh (centric) of X = 2 F_o D F_c / variance."""
    return np.where(centric, np.tanh(x / 2), i1e(x) / i0e(x))


def _log_bessel(x: np.ndarray, centric: np.ndarray) -> np.ndarray:
    """log cosh(x / 2) (centric) or log I0(x) (acentric), without overflow."""
    return np.where(centric, np.logaddexp(x / 2, -x / 2) - np.log(2), np.log(i0e(x)) + x)


def amplitude_nll(f_obs: np.ndarray, fc: np.ndarray, variance: np.ndarray, centric: np.ndarray) -> np.ndarray:
    """-log p(F_obs) in nats, (m,), as `likelihood.amplitude_nll` with fc = D |F_c|, in NumPy: for scores and fits."""
    half = np.where(centric, 0.5, 1.0)
    constant = np.where(centric, 0.5 * np.log(np.pi / 2), -np.log(2 * np.maximum(f_obs, 1e-30)))
    square = f_obs**2 + fc**2
    return constant + half * (np.log(variance) + square / variance) - _log_bessel(2 * f_obs * fc / variance, centric)


def _nll_and_slopes(data: AmplitudeData, d: np.ndarray, s: np.ndarray, kappa: float):
    """Sum of -log p and its slopes in D (m,), log S (m,) and log kappa ()."""
    measured = kappa * measured_variance(data.sigma, data.centric)
    v = data.epsilon * s + measured
    fc = d * data.f_calc
    x = 2 * data.f_obs * fc / v
    m = figure_of_merit(x, data.centric)
    square = data.f_obs**2 + fc**2
    half = np.where(data.centric, 0.5, 1.0)
    nll = amplitude_nll(data.f_obs, fc, v, data.centric)
    dx = half * m  # d log_bessel / dx
    slope_v = half * (1 / v - square / v**2) + dx * x / v
    slope_d = half * 2 * fc * data.f_calc / v - dx * 2 * data.f_obs * data.f_calc / v
    return nll.sum(), slope_d, slope_v * data.epsilon * s, float((slope_v * measured).sum())


def fit_error_model(data: AmplitudeData, per_node: int = 250, smooth: float = 2.0, start: ErrorModel | None = None):
    """Penalised maximum likelihood for D and S, smooth in resolution -> ErrorModel.

    The penalty is on second differences of the nodes. Raises ValueError for an empty selection.
    """
    m = len(data.f_obs)
    if m == 0:
        raise ValueError("no reflections to estimate the error model from")
    count = int(np.clip(m // per_node, 3, 20))
    nodes = start.nodes if start is not None else np.quantile(data.inv_d2, np.linspace(0, 1, count))
    count = len(nodes)
    place = np.clip(np.searchsorted(nodes, data.inv_d2) - 1, 0, count - 2)
    share = np.clip((data.inv_d2 - nodes[place]) / np.maximum(nodes[place + 1] - nodes[place], 1e-12), 0, 1)

    def spread(slopes):
        return np.bincount(place, slopes * (1 - share), count) + np.bincount(place + 1, slopes * share, count)

    def bend(v):
        return v[2:] - 2 * v[1:-1] + v[:-2]

    def bend_t(r):
        out = np.zeros(count)
        out[2:] += r
        out[1:-1] -= 2 * r
        out[:-2] += r
        return out

    stiff = smooth * m / count * 0.05

    def objective(p):
        d_nodes, log_s = p[:count], p[count:-1]
        d = d_nodes[place] * (1 - share) + d_nodes[place + 1] * share
        s = np.exp(log_s[place] * (1 - share) + log_s[place + 1] * share)
        value, slope_d, slope_s, slope_k = _nll_and_slopes(data, d, s, np.exp(p[-1]))
        bd, bs = bend(d_nodes), bend(log_s)
        value += 0.5 * stiff * (10 * bd @ bd + bs @ bs)
        return value, np.r_[spread(slope_d) + stiff * 10 * bend_t(bd), spread(slope_s) + stiff * bend_t(bs), slope_k]

    residual = (data.f_obs - data.f_calc) ** 2 / data.epsilon
    level = np.log(np.maximum(spread(residual) / np.maximum(spread(np.ones(m)), 1e-9), 1e-6 * np.mean(data.f_obs**2)))
    if start is None:
        p0 = np.r_[np.full(count, 0.95), level, np.log(0.5)]
    else:
        p0 = np.r_[start.d, start.log_s, np.log(start.kappa)]
    # S cannot fall far below the residuals: where it would, the sigmas are overestimated
    bounds = [(0.01, 1.1)] * count + [(v - 1.5, v + 3.0) for v in level] + [(np.log(0.05), 0.0)]
    fit = minimize(
        objective,
        np.clip(p0, *np.array(bounds).T),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 60, "ftol": 1e-8},
    )
    return ErrorModel(nodes, fit.x[:count], fit.x[count:-1], float(np.exp(fit.x[-1])))


def correct_error_model(model: ErrorModel, held_out: AmplitudeData) -> ErrorModel:
    """The same shape with log S raised by a quadratic and D scaled by a line in 1/d^2, by maximum likelihood on
    reflections that the fit did not see: where parameters are many the fitted reflections understate S, most at high
    resolution.
    """
    d, s = model.at(held_out.inv_d2)
    span = model.nodes[-1] - model.nodes[0]

    def basis(inv_d2):
        t = 2 * (inv_d2 - model.nodes[0]) / span - 1
        return np.stack([np.ones_like(t), t, t * t], 1)

    x = basis(held_out.inv_d2)
    width = np.array([0.1, 0.1, 1.0, 1.0])  # prior standard deviations: D (level, slope), log S (slope, bend)

    def objective(p):
        value, slope_d, slope_s, _ = _nll_and_slopes(
            held_out, d * (1 + x[:, :2] @ p[:2]), s * np.exp(x @ p[2:]), model.kappa
        )
        pull = np.r_[p[:2] / width[:2] ** 2, 0.0, p[3:] / width[2:] ** 2]
        return value + 0.5 * pull @ p, np.r_[(slope_d * d) @ x[:, :2], slope_s @ x] + pull

    bounds = [(-0.3, 0.2), (-0.3, 0.3), (-1.0, 5.0), (-3.0, 3.0), (-3.0, 3.0)]
    fit = minimize(objective, np.r_[0.0, 0.0, 0.3, 0.0, 0.0], jac=True, method="L-BFGS-B", bounds=bounds)
    at_nodes = basis(model.nodes)
    new_d = np.clip(model.d * (1 + at_nodes[:, :2] @ fit.x[:2]), 0.01, 1.2)
    return ErrorModel(model.nodes, new_d, model.log_s + at_nodes @ fit.x[2:], model.kappa)
