"""What an analysis starts from: options, measured arrays, and first guesses from the rates themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from consilience.core.errors import Finding
from consilience.nmr.amide_constants import CSA, CSA_ANGLE, R_NH
from consilience.nmr.constants import constants_named
from consilience.nmr.data import RelaxationData
from consilience.nmr.diffusion import correlation_time
from consilience.nmr.modelfree import MODELS, PARAMETERS, Starts, starts
from consilience.nmr.residuefit import Experiment, Measured, Method, Tumbling, back_calculate
from consilience.nmr.selection import Criterion
from consilience.nmr.tumbling import rigid_residues, tau_from_ratio

PRIOR_SIGMA = (10.0, np.radians(4.0))  # of the CSA (ppm) and of its angle, where eta is measured


@dataclass(frozen=True)
class AnalysisOptions:
    """Choices of an analysis.

    `tensor` (3, 3) rad^2/ns or `tau_c` ns hold the tumbling fixed, `start_tau_c` ns only starts its fit.
    """

    diffusion: Literal["iso", "axial", "rhombic", "auto", "local"] = "auto"
    tau_c: float | None = None
    tensor: np.ndarray | None = None
    start_tau_c: float | None = None
    models: tuple[str, ...] = MODELS
    select: Criterion = "aic"
    csa: float = CSA
    csa_angle: float | None = None  # degrees; None: 17 where eta is measured, else along N-H
    r_nh: float = R_NH
    constants: str = "codata2022"
    montecarlo: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Setup:
    """What does not depend on the tumbling: measured values, experiment, method, and how starts are made."""

    residues: Measured
    experiment: Experiment
    method: Method
    starts: Callable[[float], Starts]
    directed: np.ndarray  # (n,) bool: the N-H direction is known


def setup(data: RelaxationData, vectors: np.ndarray | None, tilt: np.ndarray | None, options: AnalysisOptions) -> Setup:
    """Arrays for the fits; `vectors`, `tilt` (n, 3) unit vectors: N-H, and perpendicular to it towards C' (or NaN)."""
    n = len(data.residues)
    eta = any(c.kind.startswith("eta") for c in data.columns)
    angle = np.radians(options.csa_angle if options.csa_angle is not None else CSA_ANGLE if eta else 0.0)
    local = options.diffusion == "local"
    constants = constants_named(options.constants)
    prior = np.array([[options.csa, PRIOR_SIGMA[0]], [angle, PRIOR_SIGMA[1]]])
    experiment = Experiment.of(data, constants, prior, options.r_nh)
    example = starts(options.models, 5.0, options.csa, angle, local=local, shielding=eta)
    known, directed = data.measured, np.zeros(n, bool)
    if vectors is not None:
        directed = np.array([bool(np.isfinite(v).all()) for v in vectors], bool)
    collapse = local or options.diffusion == "iso" or options.tau_c is not None or not directed.any()
    method = Method(example.active, local, eta or options.csa_angle is not None, constants, collapse)
    nh = np.where(directed[:, None], 0.0 if vectors is None else np.nan_to_num(vectors), [0.0, 0.0, 1.0])
    side = np.tile([1.0, 0.0, 0.0], (n, 1)) if tilt is None else np.where(np.isfinite(tilt), tilt, [1.0, 0.0, 0.0])
    weight = np.where(known, 1 / np.where(known, data.sigma, 1.0), 0.0)
    measured = Measured(np.where(known, data.value, 0.0), weight, nh, side)
    return Setup(
        measured,
        experiment,
        method,
        lambda tau: starts(options.models, tau, options.csa, angle, local=local, shielding=eta),
        directed,
    )


def start_time(data: RelaxationData, s: Setup, options: AnalysisOptions) -> float:
    """A tumbling time to start from: the user's, or that of the median R2/R1 of rigid residues."""
    for given in (options.tau_c, options.start_tau_c):
        if given is not None:
            return float(given)
    if options.tensor is not None:
        return correlation_time(options.tensor)
    times, rigid = local_times(data, s), trusted(s, data)
    for mask in (rigid & np.isfinite(times), np.isfinite(times)):
        if mask.any():
            return float(np.median(times[mask]))
    return 5.0


def trusted(s: Setup, data: RelaxationData, diffusion: np.ndarray | None = None) -> np.ndarray:
    """(n,) bool: residues with at least two rates that `rigid_residues` finds rigid, as a tensor has it where given."""
    kinds, fields = tuple(c.kind for c in data.columns), np.array([c.field for c in data.columns])
    expected = None
    if diffusion is not None:
        x = np.tile(s.starts(correlation_time(diffusion)).x[0], (len(data.residues), 1))
        x[:, :4] = 1.0, 0.85, 0.0, 0.0
        x[:, PARAMETERS.index("rex")] = 0.0
        tumbling = Tumbling.of(diffusion, collapse=s.method.collapse)
        expected = np.asarray(back_calculate(x, tumbling, s.residues, s.experiment, s.method))
    return rigid_residues(data.value, kinds, fields, expected) & (np.sum(s.residues.w > 0, axis=1) >= 2)


def simple_model(s: Setup, rigid: np.ndarray, options: AnalysisOptions) -> str:
    """One model for all rigid residues: m2 where there are data enough for it, else m1."""
    enough = np.median(np.sum(s.residues.w[rigid] > 0, axis=1)) > 2
    wanted = ("m2", "m1") if enough else ("m1",)
    return next((m for m in wanted if m in options.models), options.models[0])


def local_times(data: RelaxationData, s: Setup) -> np.ndarray:
    """(n,) correlation time of each residue from its own R2/R1, mean over fields; NaN where there is none."""
    out = []
    for f, omega in zip(data.fields, s.experiment.omega, strict=True):
        column = {c.kind: i for i, c in reversed(list(enumerate(data.columns))) if c.field == f}
        if "R1" not in column or "R2" not in column:
            continue
        ratio = data.value[:, column["R2"]] / data.value[:, column["R1"]]
        out.append([tau_from_ratio(q, omega, s.experiment, s.method) if q > 0 else np.nan for q in ratio])
    if not out:
        return np.full(len(data.residues), np.nan)
    with np.errstate(invalid="ignore"):
        table = np.array(out)
        known = np.isfinite(table)
        return np.where(known.any(0), np.where(known, table, 0).sum(0) / np.maximum(known.sum(0), 1), np.nan)


def only_directed(
    s: Setup, data: RelaxationData, kind: str, findings: list[Finding]
) -> tuple[Setup, RelaxationData, list[Finding]]:
    """The residues that anisotropic tumbling can be used for, and a warning about the others."""
    if kind == "iso" or s.directed.all():
        return s, data, findings
    missing = [str(r) for r, d in zip(data.residues, s.directed, strict=True) if not d]
    what = f"{len(missing)} residue(s) without an N-H direction are left out of the {kind} analysis"
    finding = Finding("warn", what, found=", ".join(missing[:8]) + (", ..." if len(missing) > 8 else ""))
    keep = s.directed
    part = Measured(*(a[keep] for a in s.residues))
    return replace(s, residues=part, directed=keep[keep]), data.select(rows=keep), [*findings, finding]
