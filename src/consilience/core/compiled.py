"""jit with less effort of the compiler, for programs whose compilation takes longer than their runs.

Measured on second derivatives of an equivariant network (jaxlib 0.10 on a CPU): `light` takes four fifths of the time
to compile and runs as fast, `brief` takes half of it and runs at two thirds of the speed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax


def _filtered(level: int) -> Callable[[Any], Any]:
    options: dict[str, Any] = {"compiler_options": {"xla_backend_optimization_level": level}}
    return lambda function: eqx.filter_jit(function, **options)


light_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 1})
light_filter_jit = _filtered(1)  # for what runs for seconds at most
brief_filter_jit = _filtered(0)  # for what runs a few hundred times on one molecule
