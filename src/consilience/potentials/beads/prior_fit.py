"""Fit a bead prior to forces: all terms jointly, by L-BFGS, with bounds that keep bonds stiff and walls repulsive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import solve

from consilience.core.fit import Fit, fit
from consilience.core.lbfgs import LBFGS
from consilience.core.params import Above, Block, Model
from consilience.core.stages import Stage
from consilience.core.terms import Score
from consilience.potentials.beads.prior import SOFTEST, WEAKEST, Prior
from consilience.potentials.beads.prior_normal import LINEAR, Normal, coefficients, flat, with_coefficients
from consilience.units import KCAL_MOL

BOUNDS = {"stiffness": SOFTEST, "excluded_volume": WEAKEST}
# how much coefficients of residue types, pairs of types and sites differ from the shared ones, kcal/mol (bond: per Å)
SPREAD = {"bond": 5.0, "stiffness": 100.0, "angle": 1.5, "dihedral": 0.7, "excluded_volume": 5.0, "pair": 0.3}
SHARED = 20.0  # times as much for what is shared by all
FACTORS = (0.1, 0.2, 0.4, 0.8, 1.6)  # of the spreads, among which unseen data choose
CORRELATED = 200.0  # force components that together say as much as one independent one
SEVERAL = 3  # proteins (or trajectories of one), from which on each of them is left out in turn


class ForceMatching(eqx.Module):
    """The term "forces": Gaussian likelihood of reference forces under the prior, nats per force component.

    sigma: r.m.s. of the noise, eV/Å. Reads the blocks of coefficients; observations are a `Normal`.
    """

    sigma: Any
    names: tuple[str, ...] = eqx.field(static=True, default=LINEAR)
    name: str = eqx.field(static=True, default="forces")

    @property
    def reads(self) -> frozenset[str]:
        return frozenset(self.names)

    def __call__(self, model: Model, obs: Normal) -> Score:
        c = flat({k: model[k] for k in self.names})
        error = obs.error(c)
        return Score(0.5 * error / self.sigma**2, {"mean_squared_error": error})


class Shrinkage(eqx.Module):
    """The term "shrinkage": -log of a normal distribution of the coefficients about `centre`, for each component."""

    centre: Any
    precision: Any  # as the coefficients, 1 / eV² times the share of one force component
    names: tuple[str, ...] = eqx.field(static=True, default=LINEAR)
    name: str = eqx.field(static=True, default="shrinkage")

    @property
    def reads(self) -> frozenset[str]:
        return frozenset(self.names)

    def __call__(self, model: Model, obs: Any = None) -> Score:
        d = flat({k: model[k] for k in self.names}) - self.centre
        return Score(0.5 * jnp.sum(self.precision * d * d), {})


@dataclass(frozen=True)
class FittedPrior:
    """The prior, the spread that was chosen, what every other would have explained of unseen data, and the fit.

    `uncertainty`: standard error of the explained variance over parts left out in turn, 0 where there are none.
    `populations`: what the match to them says (jobs.train_beads.populations), None where there was none.
    """

    prior: Prior
    factor: float
    explained: dict[str, float]
    fit: Fit
    uncertainty: float = 0.0
    populations: dict[str, Any] | None = None


def spreads(prior: Prior, factor: float) -> np.ndarray:
    """Standard deviations of all coefficients, eV, as `flat` orders them."""

    def of(name: str, tree: Any) -> Any:
        def leaf(path: Any, a: Any) -> np.ndarray:
            own = SPREAD[name] * KCAL_MOL
            part = getattr(path[-1], "name", "") if path else ""
            return np.full(np.shape(a), own * (factor if part in ("by_type", "by_pair", "sites") else SHARED))

        return jax.tree_util.tree_map_with_path(leaf, tree)

    return np.asarray(flat({k: of(k, v) for k, v in coefficients(prior).items()}))


def solved(prior: Prior, work: Normal, factor: float) -> np.ndarray:
    """Coefficients (p,) that minimise likelihood and shrinkage together, those that would cross a bound held there."""
    a, b, precision, centre = system(prior, work, factor)
    matrix, right = a.copy(), b + precision * centre
    np.fill_diagonal(matrix, matrix.diagonal() + precision)
    low = _lowest(prior)
    held = np.zeros(len(low), bool)
    while True:
        c = np.where(held, low, 0.0)
        free = np.flatnonzero(~held)
        c[free] = solve(matrix[np.ix_(free, free)], (right - matrix @ c)[free], assume_a="pos")
        new = ~held & (c < low)
        if not new.any():
            return c
        held |= new


def _left_out(prior: Prior, parts: Sequence[Normal], factor: float) -> tuple[float, float]:
    """Explained variance of parts that are left out in turn: of all together, and its standard error."""
    whole = total_of(parts)
    fits = [solved(prior, whole + part.times(-1.0), factor) for part in parts]
    error = sum(float(part.error(c) * part.count) for part, c in zip(parts, fits, strict=True))
    each = [part.explained(c) for part, c in zip(parts, fits, strict=True)]
    return 1.0 - error / float(whole.total), float(np.std(each, ddof=1) / np.sqrt(len(each)))


def _lowest(prior: Prior) -> np.ndarray:
    """Lower bounds of all coefficients, a little inside; -inf where there is none."""
    values = coefficients(prior)
    low = {k: jax.tree.map(lambda x: np.full(np.shape(x), -np.inf), v) for k, v in values.items()}
    for name, bound in BOUNDS.items():
        low[name] = np.broadcast_to(1.001 * np.asarray(bound), np.shape(values[name]))
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(low)])


def system(prior: Prior, work: Normal, factor: float):
    """Curvature and pull of the likelihood of one force component, the precision of the shrinkage, and its centre."""
    scale = float(work.total)
    precision = CORRELATED / float(work.count) / spreads(prior, factor) ** 2
    a = np.asarray(work.matrix) / scale  # likelihood over count, with sigma² = total / count
    return a, np.asarray(work.vector) / scale, precision, np.asarray(flat(coefficients(prior)))


def fit_prior(prior: Prior, parts: Sequence[Normal], steer: Normal | None = None, *, steps: int = 300) -> FittedPrior:
    """The prior whose forces explain `parts` best, starting from `prior`; coefficients are drawn to it.

    parts: proteins, or trajectories of one. How strongly is what explains parts best that are left out in turn, where
    there are several; else what explains `steer` best; else by a factor of 1.
    """
    work = total_of(parts)
    if len(parts) >= SEVERAL:
        scored = {factor: _left_out(prior, parts, factor)[0] for factor in FACTORS}
    elif steer is not None:
        scored = {factor: steer.explained(solved(prior, work, factor)) for factor in FACTORS}
    else:
        scored = {}
    factor = max(scored, key=lambda k: scored[k]) if scored else 1.0
    uncertainty = _left_out(prior, parts, factor)[1] if len(parts) > 1 else 0.0
    start = with_coefficients(prior, of_flat(prior, solved(prior, work, factor)))
    values = coefficients(start)
    names = tuple(values)
    _, _, precision, centre = system(prior, work, factor)
    sigma = np.asarray(np.sqrt(float(work.total) / float(work.count)))
    blocks = {k: Block.of(v, Above(np.asarray(BOUNDS[k])) if k in BOUNDS else None) for k, v in values.items()}
    terms = {"forces": ForceMatching(sigma, names), "shrinkage": Shrinkage(centre, precision, names)}
    stage = Stage(names, steps, LBFGS(memory=30, tolerance=1e-9), phase="prior", decide=False)
    done = fit(Model.of(**blocks), terms, (stage,), obs={"forces": work, "shrinkage": None})
    found = {k: jax.tree.map(np.asarray, done.model[k]) for k in names}
    explained = {str(k): v for k, v in scored.items()}
    return FittedPrior(with_coefficients(prior, found), factor, explained, done, uncertainty)


def of_flat(prior: Prior, c: Any) -> dict[str, Any]:
    """Coefficients by kind of term from one vector, as `flat` makes it."""
    like = coefficients(prior)
    leaves, structure = jax.tree.flatten(like)
    ends = np.cumsum([np.size(a) for a in leaves])
    parts = [c[e - np.size(a) : e].reshape(np.shape(a)) for e, a in zip(ends, leaves, strict=True)]
    return jax.tree.unflatten(structure, parts)


def total_of(parts: Sequence[Normal]) -> Normal:
    """The sum of several sets."""
    out = parts[0]
    for p in parts[1:]:
        out = out + p
    return out
