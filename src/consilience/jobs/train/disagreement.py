"""How much the members of an ensemble disagree on forces, and the bound beyond which a frame is not to be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from consilience.core.errors import Finding
from consilience.jobs.common.start import Start
from consilience.model import LoadedModel

MARGIN = 5.0  # times the r.m.s. error of forces on data that the model has not seen


class Disagreement:
    """Evaluates all members of a model on frames of one molecule."""

    def __init__(self, model: LoadedModel, start: Start):
        from consilience.engines.source import Source

        members = range(len(model.bundle.members))
        self.sources = [Source(model.with_member(i).energy_of(start.numbers, start.charge)) for i in members]
        self.start = start

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        """(f,) eV/Å: the largest over the atoms of the members' standard deviation of the force vector (f, n, 3)."""
        forces = np.stack([s.many(positions, **self.start.place())[1] for s in self.sources])
        return np.sqrt(np.sum(np.var(forces, 0, ddof=1), -1)).max(1) if forces.shape[1] else np.zeros(0)


def bound_of(info: Mapping[str, Any]) -> float | None:
    """The bound in eV/Å from the card of a model: `disagreement_ev_A`, else 5 times its error of forces; or None."""
    card = info.get("card")
    card = card if isinstance(card, Mapping) else {}
    said = card.get("disagreement_ev_A")
    if isinstance(said, int | float) and said > 0:
        return float(said)
    unseen = card.get("unseen")
    error = unseen.get("force_rmse_mev_A") if isinstance(unseen, Mapping) else None
    return MARGIN * 1e-3 * float(error) if isinstance(error, int | float) and error > 0 else None


def judged(values: np.ndarray, bound: float | None, where: str) -> Finding | None:
    """A warning where the members disagree by more than the bound on some frames."""
    if bound is None or not len(values) or not np.max(values) > bound:
        return None
    share = float(np.mean(values > bound))
    what = f"the members of the model disagree on forces by more than their error in {100 * share:.3g} % of the frames"
    fix = "the simulation has left the data the model was trained on: add such frames to the training set"
    return Finding("warn", what, where, f"up to {np.max(values):.3g} eV/Å", f"at most {bound:.3g} eV/Å", fix)
