"""The conformance suite that every term must pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from consilience.core.compiled import brief_filter_jit
from consilience.core.gradcheck import GradientError, check_gradients, float64
from consilience.core.params import Model
from consilience.core.terms import Term, pin


@dataclass(frozen=True)
class TermReport:
    """What `check_term` measured; `failures` is empty for a good term."""

    gradients: list[GradientError]
    jit_difference: float
    failures: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.failures


@brief_filter_jit
def _value(term, model: Model, obs):
    return term(model, obs).value


def check_term(
    term: Any, model: Model, obs: Any = None, *, directions: int = 20, tolerance: float = 1e-6, seed: int = 0
) -> TermReport:
    """Prove a term: it has the protocol's shape, is finite, equals itself jitted and eager, has right gradients in
    float64 for every block it reads, and depends on no other block.
    """
    if not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        with jax.enable_x64(True):
            return check_term(term, model, obs, directions=directions, tolerance=tolerance, seed=seed)
    failures = []
    if not isinstance(term, Term):
        failures.append("does not have name, reads and __call__(model, obs)")
    m, o = jax.tree.map(jnp.asarray, float64(model)), float64(obs)
    pinned = jax.tree.map(jnp.asarray, float64(pin(term, m)))
    eager = float(pinned(m, o).value)
    jitted = float(_value(pinned, m, o))
    difference = abs(eager - jitted) / max(abs(eager), 1.0)
    if not np.isfinite(eager):
        failures.append(f"value is {eager}")
    if difference > 1e-9:
        failures.append(f"jitted and eager values differ by {difference:.1e}")
    unknown = set(term.reads) - set(model.names)
    gradients: list[GradientError] = []
    if unknown:
        failures.append(f"reads blocks that the model lacks: {sorted(unknown)}")
    else:
        try:
            gradients = check_gradients(term, model, obs, directions=directions, seed=seed)
        except ValueError as err:
            failures.append(str(err))
    failures += [f"gradient in {g.block} is off by {g.rel_error:.1e}" for g in gradients if g.rel_error > tolerance]
    for name in sorted(set(model.names) - set(term.reads)):
        moved = jax.tree.map(lambda x: x + 0.1, m.raw([name]))
        if float(_value(pinned, m.with_raw(moved), o)) != jitted:
            failures.append(f"depends on block {name}, which it does not say it reads")
    return TermReport(gradients, difference, tuple(failures))
