"""jit for programs that run for seconds at most: compiled with half the effort, and no slower where it was measured."""

from __future__ import annotations

from functools import partial

import jax

light_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 1})
