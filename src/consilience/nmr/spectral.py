"""Spectral densities of a vector in a tumbling molecule with internal motion, smooth at every tensor.

J(w) = 2/5 sum over modes k of c_k { S2 L_k(w) + (S2f - S2) L_ks(w) + (1 - S2f) L_kf(w) }, with L the Lorentzian of
the tumbling rate, and of it plus 1/te or 1/tf (Lipari & Szabo, J. Am. Chem. Soc. 104 (1982) 4546; Clore et al., ibid.
112 (1990) 4989). Written as a function of the diffusion operator, Re (A - iw)^-1, no eigenvectors are needed, so
derivatives exist where eigenvalues coincide.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from consilience.core.cholesky import solve_positive_definite
from consilience.nmr.diffusion import components, operator


class Densities(NamedTuple):
    """J in ns at (n, f, 5) frequencies: dipole, shielding anisotropy, and their cross correlation."""

    dipole: jnp.ndarray
    csa: jnp.ndarray
    cross: jnp.ndarray


def _lorentzian(a, scale, omega, tensors):
    """x . Re (A/scale - i omega)^-1 y for the pairs of `tensors` (n, 5, 2), with A = 1/scale in the limit of 0.

    a (n, 5, 5) is scale times the operator, scale (n,) in ns, omega (w,) rad/ns -> three (n, w).
    """
    wt = omega * scale[:, None]
    normal = (a @ a)[:, None] + (wt * wt)[..., None, None] * jnp.eye(5, dtype=a.dtype)
    right = jnp.swapaxes(a @ tensors, -1, -2)[:, None]  # (n, 1, 2, 5)
    out = solve_positive_definite(normal[:, :, None], right) * scale[:, None, None, None]
    u, v = tensors[:, None, :, 0], tensors[:, None, :, 1]
    first, second = out[..., 0, :], out[..., 1, :]
    return jnp.sum(u * first, -1), jnp.sum(v * second, -1), jnp.sum(v * first, -1)


def spectral_densities(diffusion, u, v, omega, s2, te, s2f, tf) -> Densities:
    """Densities of dipoles along u (n, 3) and shielding axes v (n, 3), unit vectors, at omega (f, 5) rad/ns.

    diffusion (3, 3) rad^2/ns; s2, te, s2f, tf (n,), times in ns (0: infinitely fast). S2f = 1 is the simple model.
    """
    n = u.shape[0]
    flat = omega.reshape(-1)
    base = operator(diffusion).astype(u.dtype)
    tau = 1.0 / (2.0 * jnp.trace(jnp.asarray(diffusion))).astype(u.dtype)  # a scale of order one, nothing more
    tensors = jnp.stack([components(u), components(v)], -1).astype(u.dtype)
    # tumbling alone, and with each internal time added to its rates: the operator plus 1/time, times time
    times = jnp.concatenate([te, tf])
    shifted = jnp.eye(5, dtype=u.dtype) + times[:, None, None] * base
    operators = jnp.concatenate([jnp.broadcast_to(tau * base, (n, 5, 5)), shifted])
    scales = jnp.concatenate([jnp.broadcast_to(tau, (n,)), times])
    found = _lorentzian(operators, scales, flat, jnp.concatenate([tensors] * 3))
    shape = (n, *omega.shape)
    s2, s2f = s2[:, None], s2f[:, None]
    parts = (0.4 * (s2 * x[:n] + (s2f - s2) * x[n : 2 * n] + (1 - s2f) * x[2 * n :]) for x in found)
    return Densities(*(p.reshape(shape) for p in parts))
