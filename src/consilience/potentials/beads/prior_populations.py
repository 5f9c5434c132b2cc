"""What populations say about the coefficients of a bead prior: relative entropy, minimised in Newton steps.

Forces tell the slopes of a potential. How deep one well lies against another behind a barrier that few frames cross is
an integral of what forces hardly know, but the frames themselves tell it: beta <U>_data + ln Z is their negative log
likelihood, the relative entropy but for a constant (Shell, J. Chem. Phys. 129 (2008) 144108). For U = c . phi its
gradient is beta (<phi>_data - <phi>_model), its curvature beta² cov(phi) in the model. Both count in nats, with forces.
The step takes the mean of the covariances in model and data: where dynamics do not yet go, the model's knows no end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import solve

from consilience.potentials.beads.chains import Chains
from consilience.potentials.beads.prior import Prior
from consilience.potentials.beads.prior_fit import CORRELATED, system
from consilience.potentials.beads.prior_normal import Normal, coefficients, flat, with_coefficients

LOCAL = ("angle", "dihedral")  # populations of contacts would need frames that fold and unfold many times
LONGEST = 1.0  # kT, r.m.s. change of the energy in one step
SHARES = (*(0.5 ** np.arange(20.0)).tolist(), 0.0)  # of the weight of populations in a step


@dataclass(frozen=True)
class Populations:
    """Mean features (k,) of frames of one protein at kT (eV), their covariance (k, k), and how many independent frames
    they are worth."""

    mean: np.ndarray
    covariance: np.ndarray
    kt: float
    count: float


def local_coefficients(prior: Prior) -> np.ndarray:
    """(p,) bool: which of all coefficients are of angles and dihedrals."""
    values = {
        k: jax.tree.map(lambda a, k=k: np.full(np.shape(a), k in LOCAL), v) for k, v in coefficients(prior).items()
    }
    return np.concatenate([np.ravel(a) for a in jax.tree.leaves(values)])


def features(prior: Prior, chains: Chains, positions: np.ndarray) -> np.ndarray:
    """(f, k): what multiplies each coefficient of angles and dihedrals in the energy of frames (f, n, 3), Å."""
    return np.asarray(_features(prior, chains, np.asarray(positions, float)))


@eqx.filter_jit
def _features(prior: Prior, chains: Chains, positions: Any):
    values = coefficients(prior)

    def energy(own, x):
        terms = with_coefficients(prior, {**values, **own}).prepared(chains).bonded(x)
        return terms["angle"] + terms["dihedral"]

    own = {k: jax.tree.map(jnp.asarray, values[k]) for k in LOCAL}
    return jax.lax.map(lambda x: flat(jax.grad(energy)(own, x)), positions, batch_size=64)


def populations(found: np.ndarray, parts: Sequence[np.ndarray], kt: float) -> Populations:
    """Populations from features (f, k) of frames, `parts` of them by trajectory (or block of one).

    Independent frames: the variance of features over that of their means in the parts, the harmonic mean over the
    features. Parts that differ as much as frames do count once each.
    """
    sizes = np.array([len(rows) for rows in parts], float)
    means = np.array([found[rows].mean(0) for rows in parts])
    spread = found.var(0)
    between = np.sum(sizes[:, None] * (means - found.mean(0)) ** 2, 0) / len(found)
    told = spread > 1e-10 * spread.max(initial=0.0)
    share = float(np.mean(between[told] / spread[told])) if told.any() else 1.0
    count = max(len(parts) - 1, 1) / max(share, 1e-12)
    return Populations(found.mean(0), np.cov(found.T), kt, min(count, float(len(found))))


@dataclass(frozen=True)
class Step:
    """Coefficients (p,) after a step, its length in kT (r.m.s. change of the energy), and the share of populations."""

    coefficients: np.ndarray
    length: float
    share: float


def corrected(
    prior: Prior,
    c: np.ndarray,
    work: Normal,
    components: int,
    factor: float,
    data: Sequence[tuple[Populations, np.ndarray]],
    floor: float = -np.inf,
) -> Step:
    """One Newton step on forces, shrinkage and populations together, shortened to LONGEST.

    prior: what coefficients are drawn to, by `factor`; components: forces of all frames, of which `work` holds some;
    data: populations of each protein, with features (f, k) of frames that c gives; floor: explained variance of `work`
    below which populations may not bring the forces: their weight is halved until they do not (else no step).
    """
    a, b, precision, centre = system(prior, work, factor)
    free = np.flatnonzero(local_coefficients(prior))
    pull, stiff = (a @ c - b + precision * (c - centre))[free], a[np.ix_(free, free)] + np.diag(precision[free])
    moments = [0.5 * (np.cov(drawn.T) + known.covariance) / known.kt**2 for known, drawn in data]
    weights = np.array([known.count * CORRELATED / components for known, _ in data])
    gradient = weights @ np.array([(known.mean - drawn.mean(0)) / known.kt for known, drawn in data])
    curvature = np.tensordot(weights, np.array(moments), 1)
    for share in SHARES:
        step = -solve(stiff + share * curvature, pull + share * gradient, assume_a="pos")
        length = float(np.sqrt(max(max(step @ m @ step for m in moments), 0.0)))
        step *= min(1.0, LONGEST / max(length, 1e-12))
        new = c.copy()
        new[free] += step
        if work.explained(new) >= floor:
            return Step(new, length, share)
    return Step(c, 0.0, 0.0)
