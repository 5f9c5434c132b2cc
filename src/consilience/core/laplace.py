"""How uncertain a fitted block is: variances of its numbers about the truth, and what each term adds to certainty."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import jax
import numpy as np
import scipy.sparse as sp

from consilience.core.errors import RunError
from consilience.core.objective import Objective
from consilience.core.params import Model, Raw, ravel, unravel
from consilience.core.precondition import curvatures, factorised

LOOSE = 5.0
NO_MINIMUM = "the fit is at no minimum: the Hessian of its terms has negative directions"
FEW = 2  # probes that may meet negative curvature in any case
DENSE = 1000  # numbers; up to here all columns of a Hessian cost less than the probes' conjugate gradients
STEP = 1e-3  # of the largest raw number, for differences of gradients
FLOATING = 1e-3  # of the usual curvature of a number
TOLERANCE, LIMIT = 1e-2, 200  # of conjugate gradients: relative residual in the norm of the preconditioner, steps


@dataclass(frozen=True)
class Laplace:
    """Variances of a block about the truth, and shares of the terms in its precision.

    `variance`: shape of the block, other active blocks marginalised. `share` {term: shape of the block}: the diagonal
    of H_t H^-1, one in sum over the terms. Both are means over random `probes`, the relative error of one number is
    about 2 / sqrt(probes); probes 0: exact. `indefinite` probes met negative curvature, where the optimum is none (of
    exact ones: so many directions, counted as curved the other way).
    """

    variance: np.ndarray
    share: Mapping[str, np.ndarray]
    probes: int
    indefinite: int


def laplace(
    objective: Objective, model: Model, active: Iterable[str], block: str, *, probes: int = 32, seed: int = 0
) -> Laplace:
    """Covariance H^-1 M H^-1 of what minimises an objective in nats, over all active blocks; its diagonal for one.

    H is the Hessian of the weighted sum, M = sum_t w_t^2 H_t that of its gradient at the truth, with terms that are
    likelihoods or priors by themselves (White, Econometrica 50 (1982) 1): where all weights are one it is H^-1,
    Laplace's approximation. Of up to DENSE numbers whole Hessians are made. Beyond, the diagonal is a mean over random
    vectors of signs (Bekas, Kokiopoulou & Saad, Appl. Numer. Math. 57 (2007) 1214), and systems are solved by conjugate
    gradients with the preconditioners of the terms. Products with Hessians are central differences of gradients.
    Numbers of other blocks that nothing tells have a raw standard deviation of LOOSE. Where a block of positions may
    move as a whole and no term tells, its centre counts as known. Raises RunError where the point is no minimum.
    """
    active = tuple(sorted(active))
    raw = model.raw(active)
    start, fixed = ravel(raw), model.blocks[block]
    where = ravel({n: np.full_like(np.asarray(v, float), n == block) for n, v in raw.items()}) > 0
    here = np.asarray(raw[block], float)
    pull = jax.vjp(fixed.bijector.forward, here)[1]
    push = jax.linearize(fixed.bijector.forward, here)[1]
    loose = np.where(where, 0.0, 1.0 / LOOSE**2)
    terms = {t: objective.reweighted({t: w}) for t, w in objective.weights.items() if w > 0}

    def product(v: np.ndarray, of: Objective) -> np.ndarray:
        h = STEP / max(float(np.max(np.abs(v))), 1e-300)
        ends = [ravel(of.value_and_grad(unravel(start + s * h * v, raw), model)[1]) for s in (1, -1)]
        return (ends[0] - ends[1]) / (2 * h)

    floating, stiff = _floating(where, here.shape, lambda v: product(v, objective), pull, push)
    if len(start) <= DENSE:
        hessians = {t: np.stack([product(e, alone) for e in np.eye(len(start))]) for t, alone in terms.items()}
        jacobian = np.zeros((len(start), here.size))
        jacobian[where] = [np.ravel(push(e.reshape(here.shape))) for e in np.eye(here.size)]
        jacobian -= floating @ (floating.T @ jacobian)
        prior = np.diag(loose) + stiff * floating @ floating.T
        return _exact(hessians, objective.weights, prior, jacobian, np.shape(fixed.value))
    found = curvatures(objective.terms, objective.obs, model, active)
    found[""] = {n: sp.diags(np.full(np.size(v), 1.0 / LOOSE**2)) for n, v in raw.items() if n != block}
    inverse = _by_block(factorised(found, {**objective.weights, "": 1.0}), raw)

    def solve(b: np.ndarray) -> tuple[np.ndarray, bool]:
        b = b - floating @ (floating.T @ b)

        def apply(v: np.ndarray) -> np.ndarray:
            return product(v, objective) + loose * v + stiff * floating @ (floating.T @ v)

        return conjugate_gradients(apply, b, inverse)

    def value(x: np.ndarray) -> np.ndarray:
        return np.asarray(push(np.reshape(x[where], here.shape)))

    rng = np.random.default_rng(seed)
    variance, indefinite = np.zeros(np.shape(fixed.value)), 0
    share = {t: np.zeros_like(variance) for t in terms}
    for _ in range(probes):
        u = rng.choice((-1.0, 1.0), variance.shape)
        z = np.zeros(len(start))
        z[where] = np.ravel(pull(u)[0])
        x, convex = solve(z)
        parts = {t: product(x, alone) for t, alone in terms.items()}
        y, again = solve(sum((objective.weights[t] * part for t, part in parts.items()), np.zeros(len(start))))
        indefinite += not (convex and again)
        if indefinite > max(FEW, probes // 4):
            raise RunError(NO_MINIMUM)
        variance += u * value(y) / probes
        for t, part in parts.items():
            share[t] += u * value(part) / probes
    total = np.maximum(sum(share.values(), np.zeros_like(variance)), 1e-9)
    return Laplace(np.maximum(variance, 0.0), {t: s / total for t, s in share.items()}, probes, indefinite)


def _floating(
    where: np.ndarray,
    shape: tuple[int, ...],
    product: Callable[[np.ndarray], np.ndarray],
    pull: Callable,
    push: Callable,
) -> tuple[np.ndarray, float]:
    """Orthonormal directions (n, k) in which the block (m, 3) moves as a whole unseen by all terms; its mean curvature.

    The origin of a polar space group floats so.
    """
    out = np.zeros((len(where), 0))
    if len(shape) != 2 or shape[1] != 3:
        return out, 0.0
    signs = np.zeros(len(where))
    signs[where] = np.random.default_rng(0).choice((-1.0, 1.0), where.sum())
    usual = float(signs @ product(signs)) / where.sum()
    for k in range(3):
        shift = np.zeros(shape)
        shift[:, k] = 1.0
        raw = np.asarray(pull(shift)[0])
        if np.allclose(push(raw), shift):  # else a symmetry element holds some atom
            column = np.zeros((len(where), 1))
            column[where, 0] = np.ravel(raw) / np.linalg.norm(raw)
            out = np.hstack([out, column])
    if out.shape[1]:
        curvature, turn = np.linalg.eigh(out.T @ np.stack([product(v) for v in out.T], 1))
        out = (out @ turn)[:, curvature < FLOATING * usual]
    return out, usual


def _exact(
    hessians: Mapping[str, np.ndarray],
    weights: Mapping[str, float],
    prior: np.ndarray,
    jacobian: np.ndarray,
    shape: tuple[int, ...],
) -> Laplace:
    """From the weighted Hessian of each term (n, n), what no term says, and the derivatives (n, m) of numbers."""
    hessians = {t: 0.5 * (h + h.T) for t, h in hessians.items()}
    values, vectors = np.linalg.eigh(sum(hessians.values(), prior))
    zero = 1e-10 * np.max(np.abs(values))  # a number that its symmetry forbids to move has no curvature
    negative = int(np.sum(values < -zero))
    if negative > FEW:
        raise RunError(NO_MINIMUM)
    inverse = np.divide(1.0, np.abs(values), out=np.zeros_like(values), where=np.abs(values) > zero)
    moved = vectors @ (inverse[:, None] * (vectors.T @ jacobian))
    spread = sum((weights[t] * h for t, h in hessians.items()), np.zeros_like(vectors))
    variance = np.sum(moved * (spread @ moved), axis=0).reshape(shape)
    share = {t: np.sum(jacobian * (h @ moved), axis=0).reshape(shape) for t, h in hessians.items()}
    total = np.maximum(sum(share.values(), np.zeros(shape)), 1e-9)
    return Laplace(np.maximum(variance, 0.0), {t: s / total for t, s in share.items()}, 0, negative)


def conjugate_gradients(
    apply: Callable[[np.ndarray], np.ndarray], b: np.ndarray, inverse: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, bool]:
    """x with A x = b, and whether A was positive along the way (else the x before; Steihaug 1983)."""
    x, r = np.zeros_like(b), b.copy()
    y = inverse(r)
    p, rho = y.copy(), float(r @ y)
    first = rho
    if first < 0:  # the preconditioner itself is not positive
        return y, False
    for _ in range(LIMIT):
        if rho <= TOLERANCE**2 * first:
            break
        a = apply(p)
        curvature = float(p @ a)
        if curvature <= 1e-10 * float(p @ p):
            return (x if np.any(x) else y), False
        t = rho / curvature
        x, r = x + t * p, r - t * a
        y = inverse(r)
        rho, before = float(r @ y), rho
        p = y + (rho / before) * p
    return x, True


def _by_block(solvers: Mapping[str, Callable], raw: Raw) -> Callable[[np.ndarray], np.ndarray]:
    def apply(v: np.ndarray) -> np.ndarray:
        parts = unravel(v, raw)
        done = {n: solvers[n](np.ravel(p)).reshape(np.shape(p)) if n in solvers else p for n, p in parts.items()}
        return ravel(done)

    return apply
