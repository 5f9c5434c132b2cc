"""How far a stochastic training has come: by epochs, or by wall time with the parts before a resumption."""

from __future__ import annotations

import time

import numpy as np

from consilience.core.epochs import PROGRESS
from consilience.core.fit import Carry

LONGEST = 0.02  # share of a run that one epoch may be expected to take: the first one compiles


class Pace:
    """Counts epochs and time in the carry of a fit; `minutes` ends a run before `epochs` do."""

    def __init__(self, epochs: int, minutes: float | None):
        self.epochs, self.minutes = epochs, minutes
        self.began, self.before = time.monotonic(), None

    def step(self, carry: Carry) -> tuple[Carry, bool]:
        """The carry for the next epoch, with its progress, and whether the run is done."""
        epoch = int(carry.get("epoch", np.asarray(-1))) + 1
        kept = {**carry, "epoch": np.asarray(epoch)}
        done, width = epoch / self.epochs, 1.0 / self.epochs
        if self.minutes is not None:
            elapsed = self.elapsed(carry)
            share = elapsed / (60.0 * self.minutes)
            last = share - float(carry[PROGRESS][0]) if epoch else 0.0
            done, width = max(done, share), max(width, min(last, LONGEST))
            kept["elapsed"] = np.asarray(elapsed)
        kept[PROGRESS] = np.asarray([done, width])
        return kept, done >= 1.0 - 0.5 * width

    def elapsed(self, carry: Carry) -> float:
        """Seconds of the whole run so far."""
        if self.before is None:
            self.before = float(carry.get("elapsed", np.asarray(0.0)))
        return self.before + time.monotonic() - self.began
