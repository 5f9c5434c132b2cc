"""Model-free fits of all residues at once: every model, from several starts, in one compiled program."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from consilience.core.bounded import Bounded, least_squares
from consilience.core.compiled import light_jit
from consilience.nmr.amide_constants import R_NH
from consilience.nmr.constants import Constants, frequencies
from consilience.nmr.data import KINDS, RelaxationData
from consilience.nmr.diffusion import components, modes
from consilience.nmr.modelfree import PARAMETERS, Starts
from consilience.nmr.rates import Rates, rates

STEPS, NEWTON = 30, 6


class Tumbling(NamedTuple):
    """Modes of a tensor that is held: rates (k,) rad^2/ns; basis (5, 5): eigenvectors of the operator as rows.

    `group` (k, 5) adds up the weights of eigenvectors with one rate. One mode of isotropic tumbling has no direction:
    its basis is empty (1, 0).
    """

    rates: np.ndarray
    basis: np.ndarray
    group: np.ndarray = np.eye(5)

    def merged(self) -> Tumbling:
        """The same tumbling with equal rates (axial: three of five) taken together: fewer Lorentzians."""
        if self.basis.shape[1] == 0:
            return self
        same = np.abs(self.rates[:, None] - self.rates) <= 1e-10 * self.rates.max()
        first = np.flatnonzero([not same[i, :i].any() for i in range(len(self.rates))])
        return Tumbling(self.rates[first], self.basis, same[first].astype(float))

    @classmethod
    def of(cls, diffusion: np.ndarray, collapse: bool = True) -> Tumbling:
        """`collapse` takes the one mode of an isotropic tensor instead of five equal ones."""
        values, vectors = modes(diffusion)
        if collapse and np.ptp(values) <= 1e-12 * values[-1]:
            return cls(values[:1], np.zeros((1, 0)))
        return cls(values, vectors.T)


class Experiment(NamedTuple):
    """What the rates of one column are made of: frequencies, kinds and fields of the columns, r and priors of the CSA.

    `omega` (f, 5) rad/ns; `kind`, `field` (m,) int; `growth` (f,) of Rex with the field; `prior` (2, 2): mean and sigma
    of csa (ppm) and theta (rad).
    """

    omega: np.ndarray
    kind: np.ndarray
    field: np.ndarray
    growth: np.ndarray
    r6_inverse: np.ndarray
    prior: np.ndarray

    @classmethod
    def of(cls, data: RelaxationData, constants: Constants, prior, r: float = R_NH) -> Experiment:
        fields = data.fields
        return cls(
            frequencies(fields, constants),
            np.array([KINDS.index(c.kind) for c in data.columns]),
            np.array([int(np.flatnonzero(fields == c.field)[0]) for c in data.columns]),
            (fields / fields.min()) ** 2,
            np.array(r**-6.0),
            np.asarray(prior, float),
        )


class Measured(NamedTuple):
    """One residue: values y and 1/sigma w (m,), w 0 where nothing was measured; N-H direction and the in-plane normal.

    `nh`, `tilt` (3,): unit vectors; the CSA axis is cos(theta) nh + sin(theta) tilt.
    """

    y: np.ndarray
    w: np.ndarray
    nh: np.ndarray
    tilt: np.ndarray


class Method(NamedTuple):
    """Static choices: parameters that move, whether tumbling is each residue's own, whether CSA has its own axis.

    `collapse`: isotropic tumbling has one mode; False keeps one program for all tensors where several are compared.
    """

    active: tuple[int, ...]
    local: bool
    own_axis: bool
    constants: Constants
    collapse: bool = True


def _weights(tumbling: Tumbling, residue: Measured, theta, own_axis: bool):
    """Mode weights (k,) of dipole, CSA and cross correlation; sums 1, 1 and P2(cos theta)."""
    p2 = 1.5 * jnp.cos(theta) ** 2 - 0.5
    if tumbling.basis.shape[1] == 0:
        one = jnp.ones_like(tumbling.rates)
        return one, one, p2 * one
    a = jnp.asarray(tumbling.basis) @ components(residue.nh)
    axis = jnp.cos(theta) * residue.nh + jnp.sin(theta) * residue.tilt
    b = jnp.asarray(tumbling.basis) @ components(axis)
    group = jnp.asarray(tumbling.group)
    return group @ (a * a), group @ (b * b if own_axis else a * a), group @ (a * b)


def residue_rates(x, tumbling: Tumbling, residue: Measured, experiment: Experiment, method: Method) -> Rates:
    """Rates (f,) of one residue for its parameters x (8,) in the order of PARAMETERS."""
    s2f, s2s, tf, ts, rex, tm, csa, theta = x
    s2 = s2f * s2s
    rate = jnp.reshape(1.0 / tm, (1,)) if method.local else jnp.asarray(tumbling.rates)
    squared = jnp.asarray(experiment.omega)[..., None] ** 2

    def lorentzian(time):
        return time / (1 + squared * time * time)

    shapes = s2 * lorentzian(1 / rate)
    shapes = shapes + (s2f - s2) * lorentzian(ts / (1 + rate * ts))
    if PARAMETERS.index("tf") in method.active or PARAMETERS.index("s2f") in method.active:
        shapes = shapes + (1 - s2f) * lorentzian(tf / (1 + rate * tf))
    dipole, shielding, cross = (0.4 * (shapes @ c) for c in _weights(tumbling, residue, theta, method.own_axis))
    rex_at = rex * jnp.asarray(experiment.growth)
    omega = jnp.asarray(experiment.omega)
    return rates(dipole, shielding, cross, omega, experiment.r6_inverse, csa, rex_at, method.constants)


def predicted(x, tumbling: Tumbling, residue: Measured, experiment: Experiment, method: Method) -> jax.Array:
    """Values (m,) of the columns."""
    table = jnp.stack(list(residue_rates(x, tumbling, residue, experiment, method)))
    return table[experiment.kind, experiment.field]


def weighted_residuals(moving, x, tumbling, residue, experiment, method):
    """Differences over errors (m,), and of the CSA's priors (2,) where it is free; `moving` replaces the active x."""
    x = x.at[jnp.array(method.active, int)].set(moving) if method.active else x
    r = residue.w * (predicted(x, tumbling, residue, experiment, method) - residue.y)
    if PARAMETERS.index("csa") not in method.active:
        return r
    prior = (x[6:8] - experiment.prior[:, 0]) / experiment.prior[:, 1]
    return jnp.concatenate([r, prior])


def _one(
    x, lower, upper, tumbling, residue, experiment, method, steps, newton, damping=1e-2
) -> tuple[jax.Array, jax.Array]:
    """(x (8,), chi2) from one start."""
    if not method.active:
        return x, jnp.sum(weighted_residuals(x[:0], x, tumbling, residue, experiment, method) ** 2)
    i = jnp.array(method.active)

    def residuals(moving):
        return weighted_residuals(moving, x, tumbling, residue, experiment, method)

    done: Bounded = least_squares(residuals, x[i], lower[i], upper[i], steps=steps, newton=newton, damping=damping)
    return x.at[i].set(done.x), 2 * done.value


@partial(light_jit, static_argnames=("method",))
def _all_starts(x, lower, upper, tumbling, residues, experiment, method):
    over_starts = jax.vmap(lambda a, b, c, r: _one(a, b, c, tumbling, r, experiment, method, STEPS, 0), (0, 0, 0, None))
    return jax.vmap(over_starts, (None, None, None, 0))(x, lower, upper, residues)


@partial(light_jit, static_argnames=("method", "steps", "newton", "damping"))
def _refine(x, lower, upper, tumbling, residues, experiment, method, steps, newton, damping):
    each = jax.vmap(
        lambda a, b, c, r: _one(a, b, c, tumbling, r, experiment, method, steps, newton, damping), (0, 0, 0, 0)
    )
    return each(x, lower, upper, residues)


class ResidueFits(NamedTuple):
    """Best solution of each residue and model: x (n, models, 8), chi2 (n, models), lower and upper (models, 8)."""

    x: np.ndarray
    chi2: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


def fit_models(
    starts: Starts, tumbling: Tumbling, residues: Measured, experiment: Experiment, method: Method
) -> ResidueFits:
    """Fit all models to all residues (arrays of `residues` have a leading axis n)."""
    x, chi2 = _all_starts(starts.x, starts.lower, starts.upper, tumbling, residues, experiment, method)
    x, chi2, count = np.asarray(x), np.asarray(chi2), len(starts.models)
    best = np.stack(
        [np.flatnonzero(starts.model == k)[np.argmin(chi2[:, starts.model == k], axis=1)] for k in range(count)], 1
    )
    return polish(np.take_along_axis(x, best[..., None], 1), starts, tumbling, residues, experiment, method)


def polish(
    x: np.ndarray, starts: Starts, tumbling: Tumbling, residues: Measured, experiment: Experiment, method: Method
) -> ResidueFits:
    """Solutions of all models near x (n, models, 8), to full precision: for a tensor that has changed a little."""
    n, count = x.shape[:2]
    first = np.array([np.flatnonzero(starts.model == k)[0] for k in range(count)])
    lower, upper = starts.lower[first], starts.upper[first]
    flat = jax.tree.map(lambda a: np.repeat(np.asarray(a), count, axis=0), residues)
    x, chi2 = refine(
        x.reshape(n * count, -1),
        np.tile(lower, (n, 1)),
        np.tile(upper, (n, 1)),
        tumbling,
        flat,
        experiment,
        method,
        steps=10,
        newton=NEWTON,
    )
    return ResidueFits(x.reshape(n, count, -1), chi2.reshape(n, count), lower, upper)


def refine(
    x, lower, upper, tumbling, residues, experiment, method, *, steps: int = 12, newton: int = 0, damping: float = 1e-2
):
    """Solutions (b, 8) and chi2 (b,) from one start for each of b problems; `residues` has a leading axis b."""
    x, chi2 = _refine(x, lower, upper, tumbling, residues, experiment, method, steps, newton, damping)
    return np.asarray(x), np.asarray(chi2)


@partial(light_jit, static_argnames=("method",))
def back_calculate(x, tumbling: Tumbling, residues: Measured, experiment: Experiment, method: Method) -> jax.Array:
    """Values (n, m) of all columns for solutions x (n, 8)."""
    return jax.vmap(lambda a, r: predicted(a, tumbling, r, experiment, method))(x, residues)


@partial(light_jit, static_argnames=("method",))
def jacobians(x, tumbling: Tumbling, residues: Measured, experiment: Experiment, method: Method):
    """Weighted residuals (n, m') and their Jacobian (n, m', active) at x (n, 8); priors are rows of their own."""
    i = jnp.array(method.active, int)

    def one(a, residue):
        def residuals(moving):
            return weighted_residuals(moving, a, tumbling, residue, experiment, method)

        return residuals(a[i]), jax.jacfwd(residuals)(a[i])

    return jax.vmap(one)(x, residues)
