"""The global diffusion tensor: outer Gauss-Newton over the tensor, each residue's own parameters projected out.

For every residue the tensor's Jacobian is reduced by what its own parameters can absorb (variable projection; Golub &
Pereyra, SIAM J. Numer. Anal. 10 (1973) 413), so the normal equations are those of the joint problem. Tensors are given
by unconstrained numbers without Euler angles: positive definite for every value, smooth at every tensor.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from consilience.core.bounded import held
from consilience.core.compiled import light_jit
from consilience.core.params import PositiveDefinite
from consilience.nmr.diffusion import DiffusionKind, PrincipalAxes, correlation_time, principal_axes
from consilience.nmr.rates import rates
from consilience.nmr.residuefit import Experiment, Measured, Method, Tumbling, jacobians, refine
from consilience.nmr.spectral import spectral_densities

Shape = Literal["iso", "prolate", "oblate", "rhombic"]
SIZE: dict[Shape, int] = {"iso": 1, "prolate": 4, "oblate": 4, "rhombic": 6}
ITERATIONS = 60


def tensor_of(q: np.ndarray, shape: Shape) -> np.ndarray:
    """(3, 3) rad^2/ns from unconstrained q: log D; log D and a vector along the unique axis; a Cholesky factor."""
    if shape == "rhombic":
        d11, d22, d33, d12, d13, d23 = PositiveDefinite().forward(q)
        return np.array([[d11, d12, d13], [d12, d22, d23], [d13, d23, d33]])
    eye = np.eye(3)
    if shape == "iso":
        return np.exp(q[0]) * eye
    w = q[1:4]
    outer = np.outer(w, w)
    return np.exp(q[0]) * (eye + outer if shape == "prolate" else eye - outer / (1 + w @ w))


def _tensor_slope(q: np.ndarray, shape: Shape) -> np.ndarray:
    """(6, |q|) derivative of the tensor's elements xx yy zz xy xz yz, by central differences (good to 1e-9)."""
    steps = 1e-5 * np.eye(len(q))
    return np.stack([six(tensor_of(q + d, shape) - tensor_of(q - d, shape)) / 2e-5 for d in steps], 1)


def six(tensor: np.ndarray) -> np.ndarray:
    """(6,) elements xx yy zz xy xz yz of a symmetric (3, 3)."""
    return tensor[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]


def numbers_of(diffusion: np.ndarray, shape: Shape) -> np.ndarray:
    """The unconstrained numbers of the tensor of that shape nearest to a given one (3, 3)."""
    values, vectors = np.linalg.eigh(diffusion)
    if shape == "iso":
        return np.array([np.log(values.mean())])
    if shape == "rhombic":
        d = diffusion
        return np.asarray(PositiveDefinite().inverse(np.array([d[0, 0], d[1, 1], d[2, 2], d[0, 1], d[0, 2], d[1, 2]])))
    if shape == "prolate":
        across, along, axis = 0.5 * (values[0] + values[1]), values[2], vectors[:, 2]
        return np.r_[np.log(across), axis * np.sqrt(max(along / across - 1, 1e-3))]
    across, along, axis = 0.5 * (values[1] + values[2]), values[0], vectors[:, 0]
    return np.r_[np.log(across), axis * np.sqrt(max(across / along - 1, 1e-3))]


@partial(light_jit, static_argnames=("method",))
def tensor_jacobian(elements, x, residues: Measured, experiment: Experiment, method: Method):
    """Derivative (n, m, 6) of the weighted residuals in the tensor's elements (xx yy zz xy xz yz), the rest held."""
    s2f, s2s, tf, ts, rex, _, csa, theta = (x[:, k] for k in range(8))
    u = residues.nh
    v = jnp.cos(theta)[:, None] * u + jnp.sin(theta)[:, None] * residues.tilt
    omega = jnp.asarray(experiment.omega)

    def weighted(elements):
        tensor = elements[jnp.array([[0, 3, 4], [3, 1, 5], [4, 5, 2]])]
        dipole, shielding, cross = spectral_densities(tensor, u, v, omega, s2f * s2s, ts, s2f, tf)
        shielding = shielding if method.own_axis else dipole
        exchange = rex[:, None] * jnp.asarray(experiment.growth)
        found = rates(dipole, shielding, cross, omega, experiment.r6_inverse, csa[:, None], exchange, method.constants)
        table = jnp.stack(list(found), -1)  # (n, f, kinds)
        return residues.w * table[:, experiment.field, experiment.kind]

    return jax.jacfwd(weighted)(elements)


class Joint(NamedTuple):
    """A tensor with the parameters x (n, 8) of its residues: chi2 of all, and the reduced normal equations."""

    q: np.ndarray
    x: np.ndarray
    chi2: float
    normal: np.ndarray
    gradient: np.ndarray


@dataclass(frozen=True)
class TumblingFit:
    """A fitted tensor (3, 3) rad^2/ns, its shape, chi2 over the residues used, and the covariance of its numbers."""

    diffusion: np.ndarray
    shape: Shape
    q: np.ndarray
    covariance: np.ndarray
    chi2: float
    x: np.ndarray
    converged: bool

    @property
    def kind(self) -> DiffusionKind:
        """As the contract names it."""
        return "axial" if self.shape in ("prolate", "oblate") else self.shape  # type: ignore[return-value]

    @property
    def axes(self) -> PrincipalAxes:
        """Principal values and axes."""
        return principal_axes(self.diffusion, self.kind)

    def errors(self) -> dict[str, float | None]:
        """Standard errors of tau_c (ns), ratio, theta and phi (rad), by propagation; None where it has no meaning."""

        def quantities(q: np.ndarray) -> np.ndarray:
            d = tensor_of(q, self.shape)
            p = principal_axes(d, self.kind)
            return np.array([correlation_time(d), p.ratio, *p.angles])

        centre, rows = quantities(self.q), []
        spread = np.sqrt(np.maximum(np.diag(self.covariance), 1e-300))
        for k in range(len(self.q)):
            step = np.zeros(len(self.q))
            step[k] = 1e-3 * spread[k]
            difference = quantities(self.q + step) - quantities(self.q - step)
            difference[3] = (difference[3] + np.pi) % (2 * np.pi) - np.pi
            rows.append(difference / (2 * step[k]))
        slope = np.array(rows)
        error = np.sqrt(np.maximum(np.einsum("ka,kl,la->a", slope, self.covariance, slope), 0.0))
        names = ("tau_c", "ratio", "theta", "phi")
        turned = self.kind != "iso"
        return {n: float(e) if turned or n == "tau_c" else None for n, e in zip(names, error, strict=True)} | (
            {} if np.all(np.isfinite(centre)) else {"tau_c": None}
        )


def _solve_inner(q, x, lower, upper, residues, experiment, shape, method) -> tuple[np.ndarray, float]:
    x, chi2 = refine(
        x, lower, upper, Tumbling.of(tensor_of(q, shape), collapse=method.collapse), residues, experiment, method
    )
    return x, float(np.sum(chi2))


def _assemble(q, x, lower, upper, chi2, residues, experiment, shape, method) -> Joint:
    tumbling = Tumbling.of(tensor_of(q, shape), collapse=method.collapse)
    r, own = (np.asarray(a) for a in jacobians(x, tumbling, residues, experiment, method))
    slope = np.asarray(tensor_jacobian(six(tensor_of(q, shape)), x, residues, experiment, method))
    outer = slope @ _tensor_slope(q, shape)
    outer = np.concatenate([outer, np.zeros((len(r), r.shape[1] - outer.shape[1], outer.shape[2]))], 1)
    active = list(method.active)
    pinned = held(x[:, active], np.einsum("nmk,nm->nk", own, r), lower[:, active], upper[:, active])
    own = np.where(pinned[:, None, :], 0.0, own)
    if own.shape[2]:
        coefficient = np.linalg.pinv(own, rcond=1e-10)
        outer = outer - own @ (coefficient @ outer)
    normal = np.einsum("nma,nmb->ab", outer, outer)
    return Joint(np.asarray(q), x, chi2, normal, np.einsum("nma,nm->a", outer, r))


def fit_tensor(
    start: np.ndarray,
    shape: Shape,
    x: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    residues: Measured,
    experiment: Experiment,
    method: Method,
    *,
    rtol: float = 1e-12,
) -> TumblingFit:
    """Minimise chi2 over a tensor of the given shape and all parameters x (n, 8) within their bounds (n, 8).

    `start` (3, 3) rad^2/ns. Levenberg-Marquardt on the reduced problem; the inner ones are solved anew at each trial.
    """
    q, damping, converged = numbers_of(start, shape), 1e-3, False
    x, chi2 = _solve_inner(q, x, lower, upper, residues, experiment, shape, method)
    x, chi2 = _solve_inner(q, x, lower, upper, residues, experiment, shape, method)
    state = _assemble(q, x, lower, upper, chi2, residues, experiment, shape, method)
    for _ in range(ITERATIONS):
        diagonal = np.diag(state.normal)
        scale = np.diag(np.maximum(diagonal, 1e-10 * diagonal.max() + 1e-300))
        step = -np.linalg.solve(state.normal + damping * scale, state.gradient)
        step = step * min(1.0, 1.0 / max(np.abs(step).max(), 1e-300))
        trial = state.q + step
        x, chi2 = _solve_inner(trial, state.x, lower, upper, residues, experiment, shape, method)
        if np.isfinite(chi2) and chi2 < state.chi2:
            fall = state.chi2 - chi2
            state = _assemble(trial, x, lower, upper, chi2, residues, experiment, shape, method)
            damping = max(damping * 0.2, 1e-15)
            if fall <= rtol * max(state.chi2, 1.0) and np.abs(step).max() < 1e-6:
                converged = True
                break
        else:
            if np.abs(step).max() < 1e-9:
                converged = True
                break
            damping = max(damping * 6.0, 1e-8)
            if damping > 1e12:
                converged = True
                break
    covariance = np.linalg.pinv(state.normal, rcond=1e-12, hermitian=True)
    diffusion = tensor_of(state.q, shape)
    return TumblingFit(diffusion, shape, state.q, covariance, state.chi2, state.x, converged)


def tau_from_ratio(r2_over_r1: float, omega: np.ndarray, experiment: Experiment, method: Method) -> float:
    """Correlation time (ns) at which a rigid isotropic rotor has this R2/R1 at the frequencies omega (5,)."""
    from consilience.nmr.amide_constants import CSA

    tau = np.geomspace(0.3, 200.0, 4000)
    j = 0.4 * tau[:, None] / (1 + (omega * tau[:, None]) ** 2)
    found = rates(j[:, None], j[:, None], j[:, None], omega[None], experiment.r6_inverse, CSA, 0.0, method.constants)
    ratio = (found.R2 / found.R1)[:, 0]
    rising = np.maximum.accumulate(ratio)
    return float(np.interp(r2_over_r1, rising, tau))


def rigid_residues(
    value: np.ndarray, kinds: tuple[str, ...], fields: np.ndarray, expected: np.ndarray | None = None
) -> np.ndarray:
    """(n,) bool: no sign of fast large or of slow motion, from the rates (n, m) alone.

    NOE not below 0.65, and R2/R1 within three robust standard deviations of the median (after Tjandra et al., J. Am.
    Chem. Soc. 117 (1995) 12562), or of what a tensor says of rigid residues: `expected` (n, m).
    """
    good = np.ones(len(value), bool)
    for k, kind in enumerate(kinds):
        if kind == "NOE":
            good &= ~(value[:, k] < 0.65)

    def log_ratio(table: np.ndarray, r1: int, r2: int) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return np.log(np.maximum(table[:, r2] / table[:, r1], 1e-6))

    for f in np.unique(fields):
        r1 = [k for k, kind in enumerate(kinds) if kind == "R1" and fields[k] == f]
        r2 = [k for k, kind in enumerate(kinds) if kind == "R2" and fields[k] == f]
        if not r1 or not r2:
            continue
        ratio = log_ratio(value, r1[0], r2[0])
        if expected is not None:
            ratio = ratio - log_ratio(expected, r1[0], r2[0])
        known = np.isfinite(ratio) & good
        if known.sum() < 6:
            continue
        middle = np.median(ratio[known])
        width = max(1.4826 * np.median(np.abs(ratio[known] - middle)), 0.05)
        good &= ~(np.abs(ratio - middle) > 3 * width)
    return good


def quadric(tau: np.ndarray, nh: np.ndarray) -> np.ndarray:
    """A tensor (3, 3) from local correlation times (n,) ns and N-H directions (n, 3).

    1/(6 tau) = u.Q.u with Q = (tr D - D)/2:

    Right to first order in the anisotropy (Bruschweiler, Liao & Wright, Science 268 (1995) 886). Eigenvalues are kept
    positive.
    """
    pairs = [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)]
    design = np.stack([nh[:, i] * nh[:, j] * (1 if i == j else 2) for i, j in pairs], 1)
    local = 1 / (6 * tau)
    q6, *_ = np.linalg.lstsq(design, local, rcond=1e-6)
    q = np.array([[q6[0], q6[3], q6[4]], [q6[3], q6[1], q6[5]], [q6[4], q6[5], q6[2]]])
    d = np.trace(q) * np.eye(3) - 2 * q
    values, vectors = np.linalg.eigh(d)
    mean = local.mean()
    return (vectors * np.clip(values, 0.3 * mean, 3.0 * mean)) @ vectors.T
