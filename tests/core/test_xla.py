"""XLA on this machine can be trusted: compiled equals eager where a known fault made it differ."""

from __future__ import annotations

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np


def test_matrix_vector_products_of_many_rows() -> None:
    rng = np.random.default_rng(0)
    rotation, x = jnp.asarray(rng.normal(size=(20_000, 3, 3))), jnp.asarray(rng.normal(size=(20_000, 3)))

    def f(r, v):
        return jnp.sum((r @ v) ** 2)

    expected = np.sum(np.einsum("nij,nj->ni", rotation, x) ** 2, axis=1)
    np.testing.assert_allclose(jax.jit(jax.vmap(f))(rotation, x), expected, rtol=1e-10)


def test_the_guard_keeps_the_users_flags_and_comes_before_xla() -> None:
    code = (
        "import os, consilience.core, consilience._xla as x; flags = os.environ['XLA_FLAGS'];"
        "assert '--xla_cpu_multi_thread_eigen=true' in flags;"
        "assert x.FLAG in flags or not (x.FIRST <= x._version() < x.LAST);"
        "x.guard(); assert os.environ['XLA_FLAGS'] == flags; import jax; print(float(jax.numpy.ones(2).sum()))"
    )
    env = {**os.environ, "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=true"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "2.0"
