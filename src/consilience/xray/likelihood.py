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


# Gauss-Legendre nodes on (0, 1) for the integral over the true amplitude given a measured intensity
_NODES, _WEIGHTS = (0.5 * v for v in np.polynomial.legendre.leggauss(48))
_NODES = _NODES + 0.5
_BISECTIONS = 40


def intensity_nll(i_obs, sigma, f_calc, d, variance, centric) -> jax.Array:
    """-log p(I_obs | F_calc), (m,): the Rice or Woolfson density of the true amplitude, blurred by the measurement.

    p = integral over F of p(F | F_calc) N(I_obs; F^2, sigma^2). `variance` is epsilon S alone; the measurement's sigma
    (m,) enters here. Weak and negative intensities need no French-Wilson correction. Gauss-Legendre quadrature over the
    part of F > 0 where the integrand is within 1e-9 of its peak.
    """
    fc = d * f_calc
    i_obs, sigma = jnp.asarray(i_obs), jnp.maximum(jnp.asarray(sigma), 1e-6)
    low, high = jax.lax.stop_gradient(_amplitude_range(i_obs, sigma, fc, variance, centric))
    f = low + (high - low) * _NODES[:, None]
    prior = -amplitude_nll(f, f_calc, d, variance, centric)
    measured = -0.5 * ((i_obs - f * f) / sigma) ** 2 - 0.5 * jnp.log(2 * jnp.pi * sigma**2)
    log_weight = np.log(_WEIGHTS)[:, None] + jnp.log(high - low)
    return -jax.scipy.special.logsumexp(prior + measured + log_weight, axis=0)


def _amplitude_range(i_obs, sigma, fc, variance, centric):
    """(low, high), (m,): around the mode of the integrand, found by bisection, some standard deviations to both sides.

    The ratio I1/I0(x) is replaced by x / (1/2 + sqrt(x^2 + 9/4)), right at both ends: only the range depends on it.
    """
    pull = jnp.where(centric, 1.0, 2.0) / variance

    def slope(f):
        x = pull * f * fc
        merit = jnp.where(centric, jnp.tanh(x), x / (0.5 + jnp.sqrt(x * x + 2.25)))
        rise = jnp.where(centric, 0.0, 1.0 / f)
        return rise - pull * f + pull * fc * merit + 2 * f * (i_obs - f * f) / sigma**2

    def halve(_, ends):
        left, right = ends
        middle = 0.5 * (left + right)
        up = slope(middle) > 0
        return jnp.where(up, middle, left), jnp.where(up, right, middle)

    top = jnp.sqrt(jnp.maximum(i_obs, 0.0)) + fc + jnp.sqrt(variance)
    left, right = jax.lax.fori_loop(0, _BISECTIONS, halve, (1e-6 * top, 2 * top))
    mode = 0.5 * (left + right)
    x = pull * mode * fc
    root = jnp.sqrt(x * x + 2.25)
    bend = jnp.where(centric, 1 / jnp.cosh(jnp.minimum(x, 300.0)) ** 2, (0.5 + 2.25 / root) / (0.5 + root) ** 2)
    curvature = pull + jnp.where(centric, 0.0, 1 / mode**2) - (pull * fc) ** 2 * bend
    curvature = curvature + 2 * (3 * mode**2 - i_obs) / sigma**2
    width = 1 / jnp.sqrt(jnp.maximum(curvature, 1e-3 * pull))
    # where the measurement decides, its quartic fall bounds the range more closely than the width at the mode
    cap = jnp.sqrt(jnp.maximum(i_obs, mode**2) + 8 * sigma)
    foot = jnp.where(mode**2 <= i_obs, jnp.sqrt(jnp.maximum(mode**2 - 8 * sigma, 0.0)), 0.0)
    return jnp.maximum(mode - 15 * width, foot), jnp.minimum(mode + 9 * width, cap)
