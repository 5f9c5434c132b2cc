"""Options of consil learn with their defaults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from consilience.core.errors import InputError
from consilience.jobs.common.dynamics_options import at_least

FORCE_FIELD = ("amber99sbildn.xml", "amber99_obc.xml")


@dataclass(frozen=True)
class LearnOptions:
    """Everything that `consil learn` can be told. temperature K; dt fs; ps: of atoms, for each frame that is labelled.

    steps, dt, replicas: dynamics of the beads, each member driving `replicas` runs. From config on: of the training.
    """

    rounds: int = 1
    frames: int = 10
    temperature: float = 300.0
    steps: int = 20_000
    dt: float = 5.0
    replicas: int = 4
    ps: float = 10.0
    force_map: Path | None = None
    force_field: tuple[str, ...] = FORCE_FIELD
    config: Path | None = None
    settings: tuple[str, ...] = ()
    valid: str = "0.05"
    free: str | None = None
    epochs: int | None = None
    minutes: float | None = None

    def checked(self) -> LearnOptions:
        """The options, if each can be. Raises InputError."""
        at_least("--rounds", self.rounds, 1, 100)
        at_least("--frames", self.frames, 1, 100_000)
        at_least("--temperature", self.temperature, 1.0, 5000.0)
        at_least("--steps", self.steps, 1, 10**10)
        at_least("--dt", self.dt, 1e-3, 50.0)
        at_least("--replicas", self.replicas, 1, 1000)
        at_least("--ps", self.ps, 0.05, 1e6)
        if not self.force_field or not all(self.force_field):
            raise InputError("--force-field names no files", expected=",".join(FORCE_FIELD))
        return self
