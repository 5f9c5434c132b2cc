"""What a term is: one experiment, restraint or energy that scores a model; and the split of its observations."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax

from consilience.core.params import Model


class Score(NamedTuple):
    """Negative log-likelihood in nats (data), or energy over kT, or -log prior (restraints), with named diagnostics."""

    value: jax.Array
    diagnostics: dict[str, jax.Array]


@runtime_checkable
class Term(Protocol):
    """One experiment, restraint or energy. A frozen pytree: arrays are leaves, everything static is an int or a string.

    `reads` names the blocks it depends on; `__call__` must not use others. It is passed to compiled code as an
    argument, so that new arrays of the same shape need no recompilation. Optional methods: `pin(model) -> Term`, with
    everything discrete (boxes, lists, bins) held still for finite differences; `curvature(model) -> dict` of sparse
    positive semi-definite matrices, one for each block's raw values, an approximation of the Hessian.
    """

    name: str

    @property
    def reads(self) -> frozenset[str]: ...

    def __call__(self, model: Model, obs: Any) -> Score: ...


class Observations(NamedTuple):
    """Observations of one term. Solvers see `work`, decisions may look at `steer`, `free` is for the final score alone.

    `free` never enters a compiled program that a solver or a decision runs.
    """

    work: Any = None
    steer: Any = None
    free: Any = None


def pin(term: Any, model: Model) -> Any:
    """The term with its discrete choices held still at this model, where it has any."""
    return term.pin(model) if hasattr(term, "pin") else term


def shapes(term: Any) -> tuple:
    """Shapes of all arrays of a term: two terms with equal shapes share one compiled program."""
    return tuple(getattr(leaf, "shape", ()) for leaf in jax.tree.leaves(eqx.filter(term, eqx.is_array_like)))
