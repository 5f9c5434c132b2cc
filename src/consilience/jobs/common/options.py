"""Options of the commands with their defaults, shared by the command line and the jobs."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from consilience.core.errors import Finding, InputError, clean
from consilience.nmr.amide_constants import CSA, R_NH


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
    errors: bool = False  # of coordinates, from the joint objective
    domains: str | None = None  # rigid bodies, first or (relaxation data alone) all there is; None: chains
    all_atoms: bool = False  # with relaxation data: after the domains, all atoms with geometry restraints
    diffusion: Literal["iso", "axial", "rhombic", "auto"] = "auto"
    tensor: Path | None = None  # of diffusion, held
    without: tuple[str, ...] = ()  # kinds of rates that are not used


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


def residue_numbers(text: str) -> tuple[int, ...]:
    """Residue numbers from "1-4,72". Raises InputError for anything else."""
    out: list[int] = []
    for part in (p for p in text.replace(" ", "").split(",") if p):
        found = re.fullmatch(r"(-?\d+)(?:(?:-|\.\.)(-?\d+))?", part)
        if found is None or (found[2] and int(found[2]) < int(found[1])):
            raise InputError("residue numbers are not understood", found=clean(part), expected="e.g. 1-4,72")
        first = int(found[1])
        out += range(first, int(found[2] or first) + 1)
    return tuple(out)


@dataclass(frozen=True)
class RelaxationOptions:
    """Everything that `consil relaxation` can be told about the analysis."""

    diffusion: Literal["iso", "axial", "rhombic", "auto", "local"] = "auto"
    tau_c: float | None = None  # ns, held
    tensor: Path | None = None  # held
    models: str = "m0..m9"
    select: Literal["aic", "aicc", "bic"] = "aic"
    csa: float = CSA  # ppm
    csa_angle: float | None = None  # degrees
    r_nh: float = R_NH  # Å
    constants: Literal["codata2022", "relax"] = "codata2022"
    montecarlo: int = 0
    without: tuple[str, ...] = ()
    exclude: tuple[int, ...] = ()
    field: float | None = None  # MHz of 1H, for files that do not say it


@dataclass(frozen=True)
class FrameOptions:
    """How molecular frames are read: names of arrays by quantity, and the units of files that do not say them."""

    keys: dict[str, str] = field(default_factory=dict)
    units: str | None = None


@dataclass(frozen=True)
class TrainOptions:
    """Everything that `consil train` can be told about a potential of molecules or beads; None: the recipe's value."""

    model: Literal["physnet", "physnet+dcm", "equivariant", "allegro", "prior", "hybrid"] = "equivariant"
    config: Path | None = None
    settings: tuple[str, ...] = ()  # key=value, over the configuration
    valid: str | None = None  # share of the frames, or a file; None: a twentieth, of molecules ten frames at least
    free: str | None = None  # a file, or values of a label of the frames
    epochs: int | None = None
    minutes: float | None = None
    batch: int | None = None
    precision: Literal[32, 64] = 32
    ensemble: int = 1
    e0s: str | None = None  # energies of the elements, "H=-13.6,O=-2043"
    charge: float | None = None  # e, of all frames that do not say theirs
    ablation: bool = False  # beads: compare prior, network, hybrid, and a prior without excluded volume
    frames: FrameOptions = field(default_factory=FrameOptions)
