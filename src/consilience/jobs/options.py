"""Options of the commands with their defaults, shared by the command line and the jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from consilience.errors import Finding, InputError, clean


def _silent(_: object) -> None:
    return None


@dataclass(frozen=True)
class RunOptions:
    """How any command runs: where it writes and how it speaks. `say` takes progress lines, `warn` findings."""

    output: Path | None = None  # None: a new folder VERB-STEM beside the user
    seed: int = 0
    overwrite: bool = False
    resume: bool = False
    device: Literal["cpu", "gpu"] | None = None
    quiet: bool = False
    json: bool = False
    debug: bool = False
    command: tuple[str, ...] = ()
    say: Callable[[str], None] = field(default=_silent, repr=False, compare=False)
    warn: Callable[[Finding], None] = field(default=_silent, repr=False, compare=False)


@dataclass(frozen=True)
class RefineOptions:
    """Everything that `consil refine` can be told about the refinement; resolutions in Å."""

    labels: str | None = None
    free_value: float | None = None
    make_free: Literal["random", "shells"] | None = None
    d_min: float | None = None
    d_max: float | None = None
    cycles: int = 20
    blocks: Literal["alternate", "joint"] = "joint"
    adp: Literal["iso", "aniso", "auto"] = "auto"
    weights: dict[str, float] | None = None  # None: automatic; else the user's weight of each named term
    ligands: tuple[Path, ...] = ()
    monlib: Path | None = None
    potential: Path | None = None
    target: Literal["auto", "ml", "ls"] = "auto"
    source: Literal["xray", "neutron", "electron"] = "xray"
    twin: bool = False
    rigid_first: bool = False
    jelly_body: bool = False
    ncs: bool = False
    xyz: bool = True
    b: bool = True
    occupancy: Literal["none", "partial"] = "none"


def user_weights(text: str) -> dict[str, float] | None:
    """Weights as a user writes them: "auto" (None), or TERM=X pairs separated by commas. Raises InputError."""
    if text.strip().lower() == "auto":
        return None
    out: dict[str, float] = {}
    for pair in text.split(","):
        name, _, value = pair.partition("=")
        try:
            weight = float(value)
        except ValueError:
            weight = float("nan")
        if not name.strip() or not 0.0 <= weight < float("inf"):
            expected = "auto, or TERM=X,... with X >= 0, e.g. geometry=2,adp=0.5"
            raise InputError("--weight is not understood", found=f"'{clean(pair)}'", expected=expected)
        out[name.strip()] = weight
    return out
