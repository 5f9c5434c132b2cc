"""Expected curvature of the diffraction term in each atom's own parameters: the data's share of the preconditioner."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from consilience.core.params import Model
from consilience.xray.sigmaa import figure_of_merit

if TYPE_CHECKING:
    from consilience.xray.term import Diffraction, Observed

SHELLS = 30
FLOOR = 0.2  # of the median: weak atoms must not take giant steps


def amplitude_curvature(term: Diffraction, f_model: np.ndarray, obs: Observed) -> np.ndarray:
    """(m,) expected second derivative of each reflection's -log likelihood in |F_model|."""
    x = 2 * np.sqrt(np.maximum(obs.value, 0)) if term.target == "mli" else 2 * obs.value
    fom = figure_of_merit(x * term.d * np.abs(f_model) / term.variance, obs.centric)
    sharp = np.where(obs.centric, 1.0, 2.0) * (term.d * fom) ** 2 / term.variance
    if term.target == "ls":
        sharp = 1.0 / term.variance
    return sharp


def expected_term(term: Diffraction, model: Model, obs: Observed) -> tuple[Diffraction, Observed]:
    """Least squares about the model's own amplitudes, as sharp as the likelihood is expected to be there.

    Its Hessian at the model is the Fisher information, which has no negative directions.
    """
    f = np.abs(term.overall * (term.f_calc(model) + term.f_solvent))
    variance = 1.0 / np.maximum(amplitude_curvature(term, f, obs), 1e-12)
    return replace(term, target="ls", variance=variance), obs._replace(value=f)


def data_fisher(term: Diffraction, model: Model, obs: Observed) -> dict[str, np.ndarray]:
    """Diagonals for raw "xyz" (3n,), "b" (n,; per log B), "occ" and "u" (6n,; per log Cholesky factor)."""
    f_model = term.overall * (term.f_calc(model) + term.f_solvent)
    weight = amplitude_curvature(term, f_model, obs) * np.abs(term.overall) ** 2 * obs.counts
    s2 = term.at.inv_d2
    edges = np.linspace(s2.min(), s2.max() * (1 + 1e-9), SHELLS + 1)
    shell = np.clip(np.searchsorted(edges, s2, side="right") - 1, 0, SHELLS - 1)
    count = np.bincount(shell, minlength=SHELLS)
    mean_s2 = np.where(count > 0, np.bincount(shell, s2, SHELLS) / np.maximum(count, 1), 0.5 * (edges[1:] + edges[:-1]))
    w = np.bincount(shell, weight, SHELLS)
    n = len(np.asarray(model["b"]))
    a, b5 = term.plan.a5[:n], term.plan.b5[:n]
    b, occ = np.asarray(model["b"]), np.asarray(model["occ"])
    f = np.einsum("ng,ngs->ns", a, np.exp(-b5[:, :, None] * mean_s2 / 4))
    f = f * np.exp(-b[:, None] * mean_s2 / 4)
    copies = len(term.at.index) * 0.5 * (np.abs(term.at.phase).max()) ** 2
    power = copies * f * f * w
    squared = power * occ[:, None] ** 2
    xyz = _floored(squared @ mean_s2 * (4 * np.pi**2 / 3))
    log_b = _floored(squared @ (mean_s2**2 / 16) * b**2)
    out = {"xyz": np.repeat(xyz, 3), "b": log_b, "occ": _floored(power.sum(1))}
    block = model.blocks["occ"]
    out["occ"] = block.bijector.pull(out["occ"], np.asarray(block.raw))
    if term.aniso:
        u_iso = np.asarray(model["u"])[:, :3].mean(1)
        quartic = squared @ (mean_s2**2) * 4 * np.pi**4 * u_iso**2
        out["u"] = np.stack([_floored(quartic * 4 / 5)] * 3 + [_floored(quartic * 4 / 15)] * 3, 1).ravel()
    return out


def _floored(x: np.ndarray) -> np.ndarray:
    return x + FLOOR * np.median(x) + 1e-12
