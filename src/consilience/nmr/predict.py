"""Relaxation rates of amides from N-H vectors, a diffusion tensor and internal motion; differentiable."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from consilience.core.errors import InputError
from consilience.nmr.amide_constants import CSA
from consilience.nmr.constants import Constants, constants_named, frequencies
from consilience.nmr.rates import rates
from consilience.nmr.spectral import spectral_densities
from consilience.precision import full_products


def predict_rates(
    nh: Any,
    diffusion: Any,
    fields: Any,
    *,
    s2: Any = 1.0,
    te: Any = 0.0,
    s2f: Any = 1.0,
    tf: Any = 0.0,
    rex: Any = 0.0,
    csa: Any = CSA,
    csa_axis: Any = None,
    r: Any = None,
    constants: str = "codata2022",
) -> dict[str, Any]:
    """R1, R2, NOE, etaxy, etaz (n, f) of amides; s^-1, NOE dimensionless.

    nh (n, 3): N to H vectors, Å; diffusion (3, 3): symmetric, rad^2/ns; fields (f,): MHz of 1H. s2, s2f (order
    parameters; S2 = S2f S2s), te, tf (ns), rex (s^-1 at the lowest field, grows as its square), csa (ppm), r (Å; None:
    the length of nh): numbers or (n,). `csa_axis` (n, 3): unit vectors of the shielding tensor; None: along N-H. Given,
    it serves the autocorrelation too. `constants`: "codata2022" or "relax". NumPy and Python numbers give float64,
    arrays of JAX the precision that they have. Differentiable in everything but `constants`; a vector of length zero
    gives finite rates and a zero gradient of its direction.

    J(w) as in `spectral_densities`, rates as in `rates`. Raises InputError for arrays of another shape.

    >>> import consilience as con, numpy as np
    >>> rates = con.nmr.predict_rates([[0, 0, 1.02]], np.eye(3) / 30.0, [600.0], s2=0.85)
    >>> round(rates["R1"].item(), 2)
    2.0
    """
    arguments = (nh, diffusion, fields, s2, te, s2f, tf, rex, csa, csa_axis, r)
    with _precision_of(arguments):
        return _predict(*arguments, constants_named(constants))


def _precision_of(arguments: tuple) -> AbstractContextManager:
    """Float64 for this call where NumPy or Python numbers of that precision come in; JAX's own setting stays."""
    if any(isinstance(a, jax.Array) for a in arguments):
        return nullcontext()
    doubles = any(np.asarray(a).dtype != np.float32 for a in arguments[:1])
    return jax.enable_x64(True) if doubles else nullcontext()


@full_products
def _predict(nh, diffusion, fields, s2, te, s2f, tf, rex, csa, csa_axis, r, chosen: Constants) -> dict[str, Any]:
    nh, diffusion, fields = jnp.asarray(nh), jnp.asarray(diffusion), jnp.atleast_1d(jnp.asarray(fields))
    for name, array, expected in (("nh", nh, "(n, 3)"), ("diffusion", diffusion, "(3, 3)"), ("fields", fields, "(f,)")):
        good = {"nh": nh.ndim == 2 and nh.shape[-1] == 3, "diffusion": diffusion.shape == (3, 3)}
        if not good.get(name, array.ndim == 1):
            raise InputError(f"{name} has the wrong shape", found=str(array.shape), expected=expected)
    dtype = jnp.result_type(nh, jnp.float32)
    nh, diffusion, fields = nh.astype(dtype), diffusion.astype(dtype), fields.astype(dtype)
    n = nh.shape[0]

    def each(value):
        return jnp.broadcast_to(jnp.asarray(value, dtype), (n,))

    square = jnp.sum(nh * nh, axis=-1)
    nonzero = square > 0
    safe = jnp.where(nonzero, square, 1.0)
    u = jnp.where(nonzero[:, None], nh / jnp.sqrt(safe)[:, None], jnp.array([0, 0, 1], dtype))
    r2_inverse = 1.0 / safe if r is None else each(r) ** -2
    v = u if csa_axis is None else jnp.asarray(csa_axis, dtype)
    if v.shape != (n, 3):
        raise InputError("csa_axis has the wrong shape", found=str(v.shape), expected=f"({n}, 3)")
    omega = frequencies(fields, chosen, jnp)
    j = spectral_densities(diffusion, u, v, omega, each(s2), each(te), each(s2f), each(tf))
    exchange = each(rex)[:, None] * (fields / jnp.min(fields)) ** 2
    found = rates(*j, omega, (r2_inverse**3)[:, None], each(csa)[:, None], exchange, chosen)
    return found._asdict()
