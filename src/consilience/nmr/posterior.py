"""Posterior samples of model-free parameters by the No-U-Turn sampler; needs the extra `bayes` (blackjax).

Hoffman & Gelman, J. Mach. Learn. Res. 15 (2014) 1593. Flat priors within the bounds of the model, Gaussian ones on CSA
and its angle where they are free; the tensor is held.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from consilience.core.errors import InputError
from consilience.nmr.analysis import Analysis
from consilience.nmr.choice import modes_of
from consilience.nmr.modelfree import PARAMETERS
from consilience.nmr.residuefit import Measured, Tumbling, weighted_residuals


def sample_posterior(
    result: Analysis, residue: int, *, samples: int = 1000, warmup: int = 500, seed: int = 0
) -> dict[str, np.ndarray]:
    """{parameter: (samples,)} for the free parameters of one residue's chosen model, and S2.

    `residue`: row in `result.data.residues`. Units as PARAMETERS: ns, s^-1, ppm, rad. Raises InputError without
    blackjax, and where the model has no free parameter.
    """
    try:
        blackjax: Any = import_module("blackjax")
    except ImportError:
        raise InputError("sampling needs blackjax", fix="pip install 'consilience[bayes]'") from None
    s = result.setup
    k = int(result.chosen[residue])
    lower, upper = result.fits.lower[k], result.fits.upper[k]
    active = np.flatnonzero(upper > lower)
    if not len(active):
        raise InputError("the model of this residue has no free parameter", found=result.models[residue])
    x0 = np.asarray(result.x[residue])
    low, high = jnp.asarray(lower[active]), jnp.asarray(upper[active])
    own = Measured(*(np.asarray(a[residue]) for a in s.residues))
    tumbling = Tumbling(np.array([1.0 / result.tau_c]), np.zeros((1, 0)))
    if result.diffusion is not None:
        tumbling = modes_of(s, result.diffusion)
    method = s.method._replace(active=tuple(int(i) for i in active))

    def values(z: jax.Array) -> jax.Array:
        return low + (high - low) * jax.nn.sigmoid(z)

    def log_density(z: jax.Array) -> jax.Array:
        r = weighted_residuals(values(z), jnp.asarray(x0), tumbling, own, s.experiment, method)
        jacobian = jnp.sum(jax.nn.log_sigmoid(z) + jax.nn.log_sigmoid(-z))
        return -0.5 * jnp.sum(r * r) + jacobian

    share = np.clip((x0[active] - lower[active]) / (upper[active] - lower[active]), 1e-3, 1 - 1e-3)
    start = jnp.asarray(np.log(share / (1 - share)))
    tune, run = jax.random.split(jax.random.PRNGKey(seed))
    adapt = blackjax.window_adaptation(blackjax.nuts, log_density)
    (state, parameters), _ = adapt.run(tune, start, num_steps=warmup)
    kernel = blackjax.nuts(log_density, **parameters)

    def step(state: Any, key: Any) -> tuple[Any, Any]:
        state, _ = kernel.step(key, state)
        return state, state.position

    _, z = jax.lax.scan(step, state, jax.random.split(run, samples))
    x = np.tile(x0, (samples, 1))
    x[:, active] = np.asarray(jax.vmap(values)(z))
    out = {PARAMETERS[i]: x[:, i] for i in active}
    return {**out, "S2": x[:, 0] * x[:, 1]}
