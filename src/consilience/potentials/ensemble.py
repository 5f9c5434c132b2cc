"""Several potentials as one: the mean of their predictions, and how much they disagree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from consilience.potentials.labels import Batch
from consilience.potentials.potential import Potential
from consilience.potentials.scores import predicted


def mean_prediction(members: Sequence[Potential], batch: Batch) -> dict[str, np.ndarray]:
    """Predictions of all frames: means over the members, and with two or more also "disagreement".

    disagreement (b,): the largest over the atoms of the members' standard deviation of the force vector, eV/Å. Sites
    and their charges are those of the first member.
    """
    each = [predicted(member, batch) for member in members]
    if len(each) == 1:
        return each[0]
    out = {k: v if k in ("sites", "site_charges") else np.mean([e[k] for e in each], 0) for k, v in each[0].items()}
    forces = np.stack([e["forces"] for e in each])
    spread = np.sqrt(np.sum(np.var(forces, 0, ddof=1), -1))
    return {**out, "disagreement": spread.max(1)}
