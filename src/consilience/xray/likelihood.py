"""Targets of refinement: the likelihood of an observed amplitude or intensity given a calculated structure factor.

With F_c the scaled model amplitude, D its expected correlation with the truth and S the variance of what the model
misses (times epsilon), acentric amplitudes follow a Rice distribution and centric ones Woolfson's (Murshudov et al.
1997).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

TINY = 1e-30


def log_bessel_i0(x: jax.Array) -> jax.Array:
    """log I0(x) without overflow."""
    return jnp.log(jax.scipy.special.i0e(x)) + jnp.abs(x)


def log_cosh(x: jax.Array) -> jax.Array:
    """log cosh(x) without overflow."""
    a = jnp.abs(x)
    return a + jnp.log1p(jnp.exp(-2 * a)) - jnp.log(2.0)


def amplitude_nll(f_obs, f_calc, d, variance, centric) -> jax.Array:
    """-log p(F_obs | F_calc), (m,), in nats: Rice (acentric) or Woolfson (centric).

    f_obs, f_calc >= 0, d (m,) in units of the data; variance (m,) = epsilon S plus the measurement's (2 sigma^2
    acentric, sigma^2 centric); centric (m,) bool. Murshudov, Vagin & Dodson, Acta Cryst. D53 (1997) 240, equations 1
    and 2.
    """
    fc = d * f_calc
    square = f_obs**2 + fc**2
    x = 2 * f_obs * fc / variance
    rice = jnp.log(variance / (2 * jnp.maximum(f_obs, TINY))) + square / variance - log_bessel_i0(x)
    woolfson = 0.5 * jnp.log(jnp.pi * variance / 2) + square / (2 * variance) - log_cosh(x / 2)
    return jnp.where(centric, woolfson, rice)


def least_squares_nll(f_obs, f_calc, variance) -> jax.Array:
    """Gaussian -log p of amplitudes, (m,): no phase uncertainty; for tests and well-determined crystals."""
    return 0.5 * (f_obs - f_calc) ** 2 / variance + 0.5 * jnp.log(2 * jnp.pi * variance)


def safe_abs(f: jax.Array) -> jax.Array:
    """|F| of complex values with a finite gradient at F = 0."""
    return jnp.sqrt(jnp.real(f) ** 2 + jnp.imag(f) ** 2 + 1e-12)


# Gauss-Hermite nodes for the integral over the true amplitude given a measured intensity
_NODES, _WEIGHTS = np.polynomial.hermite.hermgauss(20)


def intensity_nll(i_obs, sigma, f_calc, d, variance, centric) -> jax.Array:
    """-log p(I_obs | F_calc), (m,): the Rice or Woolfson density of the true intensity, blurred by the measurement.

    `variance` is epsilon S alone; the measurement's sigma (m,) enters here. Weak and negative intensities need no
    French-Wilson correction. The integral over the true amplitude is taken by Gauss-Hermite quadrature around the
    maximum of the integrand (Laplace's approximation as the frame, exact in the limit of many nodes).
    """
    fc = d * f_calc
    i_obs, sigma = jnp.asarray(i_obs), jnp.maximum(jnp.asarray(sigma), 1e-6)

    def log_integrand(f):
        prior = -amplitude_nll(f, f_calc, d, variance, centric)
        return prior - 0.5 * ((i_obs - f * f) / sigma) ** 2 - 0.5 * jnp.log(2 * jnp.pi * sigma**2)

    # frame: a Gaussian in the amplitude that matches measurement and model roughly; any frame gives the same integral
    f_i = jnp.sqrt(jnp.maximum(i_obs, 0.25 * sigma))
    var_i = (sigma / (2 * f_i)) ** 2
    half = jnp.where(centric, 1.0, 0.5)
    var_c = half * variance
    centre = jax.lax.stop_gradient((f_i / var_i + fc / var_c) / (1 / var_i + 1 / var_c))
    width = jax.lax.stop_gradient(jnp.sqrt(2.0 / (1 / var_i + 1 / var_c)))
    centre = jnp.maximum(centre, 0.3 * width)
    terms = []
    for node, weight in zip(_NODES, _WEIGHTS, strict=True):
        f = centre + width * node
        inside = f > 0
        value = log_integrand(jnp.where(inside, f, centre))
        terms.append(jnp.where(inside, value + node * node + jnp.log(weight * width), -jnp.inf))
    return -jax.scipy.special.logsumexp(jnp.stack(terms), axis=0)
