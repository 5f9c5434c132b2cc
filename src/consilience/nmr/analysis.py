"""The whole relaxation analysis: tumbling, model-free models of every residue, selection, and errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from consilience.errors import Finding, InputError
from consilience.nmr.consistency import Consistency, compare_fields
from consilience.nmr.constants import CSA, CSA_ANGLE, R_NH, constants_named
from consilience.nmr.data import RelaxationData
from consilience.nmr.diffusion import DiffusionKind, PrincipalAxes, correlation_time, isotropic, principal_axes
from consilience.nmr.information import expected_information
from consilience.nmr.modelfree import MODELS, PARAMETERS, Starts, starts
from consilience.nmr.residuefit import (
    Experiment,
    Measured,
    Method,
    ResidueFits,
    Tumbling,
    back_calculate,
    fit_models,
    polish,
)
from consilience.nmr.selection import Criterion, choose, criterion, eliminated, order_parameter, weights
from consilience.nmr.tumbling import (
    SIZE,
    Shape,
    TumblingFit,
    fit_tensor,
    quadric,
    rigid_residues,
    tau_from_ratio,
)
from consilience.nmr.uncertainty import Spread, laplace, monte_carlo, monte_carlo_sigma

ROUNDS = 8
ENOUGH = 20  # local times that tell where to start a tensor
RIVAL = 4.0  # chi2 by which prolate and oblate must differ to be told apart
SIGNIFICANCE = 1e-3  # of the F test for a more general tensor
PRIOR_SIGMA = (10.0, np.radians(4.0))  # of the CSA (ppm) and of its angle, where eta is measured
FEWEST_DIRECTIONS = {"iso": 3, "axial": 8, "rhombic": 12}
SHAPES: dict[str, tuple[Shape, ...]] = {"iso": ("iso",), "axial": ("prolate", "oblate"), "rhombic": ("rhombic",)}


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
class Analysis:
    """Result for n residues. `x` (n, 8): PARAMETERS of the chosen models; sigma (n, 9): their errors, and that of S2.

    `tumbling` is None where it was held or is each residue's own; `diffusion` (3, 3) rad^2/ns is None for the latter.
    """

    data: RelaxationData
    options: AnalysisOptions
    kind: DiffusionKind
    diffusion: np.ndarray | None
    tumbling: TumblingFit | None
    tried: tuple[KindTest, ...]
    starts: Starts
    fits: ResidueFits
    values: np.ndarray
    eliminated: np.ndarray
    chosen: np.ndarray
    x: np.ndarray
    spread: Spread
    samples: np.ndarray | None
    chi2: np.ndarray
    back: np.ndarray
    averages: np.ndarray
    core: np.ndarray
    consistency: tuple[Consistency, ...]
    information: dict[str, dict[str, float]]
    findings: tuple[Finding, ...]
    setup: Setup = field(repr=False)

    @property
    def models(self) -> list[str]:
        """Name of each residue's model."""
        return [self.starts.models[k] for k in self.chosen]

    @property
    def s2(self) -> np.ndarray:
        """(n,)."""
        return order_parameter(self.x)

    @property
    def sigma(self) -> np.ndarray:
        """(n, 9) standard errors: Monte Carlo where it was asked for, else Laplace's."""
        return self.spread.sigma if self.samples is None else monte_carlo_sigma(self.samples)

    @property
    def axes(self) -> PrincipalAxes | None:
        """Principal axes of the tensor."""
        return None if self.diffusion is None else principal_axes(self.diffusion, self.kind)

    @property
    def tau_c(self) -> float:
        """ns; for local tumbling the median over residues."""
        if self.diffusion is None:
            return float(np.median(self.x[:, PARAMETERS.index("tm")]))
        return correlation_time(self.diffusion)


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


def analyse(
    data: RelaxationData,
    vectors: np.ndarray | None = None,
    tilt: np.ndarray | None = None,
    options: AnalysisOptions | None = None,
    say: Callable[[str], None] = lambda text: None,
    tell: Callable[[Finding], None] = lambda finding: None,
) -> Analysis:
    """Fit tumbling and dynamics to relaxation data.

    `vectors`, `tilt` (n, 3): unit N-H directions and the direction perpendicular to them towards C' (NaN or None where
    unknown; isotropic tumbling needs none). `say` takes progress, `tell` the findings as they are made: disagreement
    between fields before anything is fitted. Raises InputError where the data cannot carry what is asked.
    """
    options = options or AnalysisOptions()
    findings: list[Finding] = []
    s = setup(data, vectors, tilt, options)
    rough = _start_time(data, s, options)
    comparisons, warned = compare_fields(data, constants_named(options.constants), rough)
    for finding in warned:
        tell(finding)
    findings += warned
    tried: list[KindTest] = []
    tumbling: TumblingFit | None = None
    if options.diffusion == "local":
        diffusion, kind, core = None, "local", np.ones(len(data.residues), bool)
        outcome = _select(s, Tumbling(np.array([1 / rough]), np.zeros((1, 0))), rough, options)
    elif options.tensor is not None or options.tau_c is not None:
        diffusion = np.asarray(options.tensor) if options.tensor is not None else isotropic(float(options.tau_c or 0.0))
        kind = _kind_of(diffusion, options.diffusion)
        if kind != "iso" and not s.directed.any():
            raise InputError("an anisotropic tensor needs N-H directions", fix="give a model")
        s, data, findings = _only_directed(s, data, kind, findings)
        outcome = _select(s, _modes(s, diffusion), correlation_time(diffusion), options)
        core = np.ones(len(data.residues), bool)
    else:
        wanted = _kinds(options.diffusion, s, findings)
        s, data, findings = _only_directed(s, data, wanted[-1], findings)
        results = {k: _global(s, data, rough, k, options) for k in wanted}
        tried = _compare_kinds(s, data, results, options) if len(results) > 1 else []
        for k, (fit, *_) in results.items():
            text = f"{k} tumbling: tau_c {correlation_time(fit.diffusion):.3f} ns, ratio {fit.axes.ratio:.3f}"
            p = next((t.p for t in tried if t.kind == k), None)
            say(text + (f", F test against the simpler p = {p:.1e}" if p is not None else ""))
        kind = next((t.kind for t in reversed(tried) if t.accepted), wanted[-1])
        tumbling, outcome, core, rival = results[kind]
        if rival is not None:
            findings.append(_ambiguous(tumbling, rival))
        diffusion = tumbling.diffusion
        if not tumbling.converged:
            what = f"the {kind} tensor did not converge"
            findings.append(Finding("warn", what, fix="hold it with --tau-c or --tensor"))
    for finding in findings[len(warned) :]:
        tell(finding)
    used = Tumbling(np.array([1 / rough]), np.zeros((1, 0))) if diffusion is None else _modes(s, diffusion)
    x = np.take_along_axis(outcome.fits.x, outcome.chosen[:, None, None], 1)[:, 0]
    lower, upper = outcome.fits.lower[outcome.chosen], outcome.fits.upper[outcome.chosen]
    arguments = (x, lower, upper, used, s.residues, s.experiment, s.method)
    samples = None
    if options.montecarlo and s.method.active:
        samples = monte_carlo(*arguments, samples=options.montecarlo, seed=options.seed)
    chi2 = np.take_along_axis(outcome.fits.chi2, outcome.chosen[:, None], 1)[:, 0]
    tau = rough if diffusion is None else correlation_time(diffusion)
    information = expected_information(
        data,
        s.residues,
        s.experiment,
        s.method,
        tau,
        options.csa,
        float(s.experiment.prior[1, 0]),
        local=diffusion is None,
    )
    averages = np.einsum("nk,nkp->np", weights(outcome.values, outcome.out), outcome.fits.x)
    return Analysis(
        data,
        options,
        kind,  # type: ignore[arg-type]
        diffusion,
        tumbling,
        tuple(tried),
        outcome.starts,
        outcome.fits,
        outcome.values,
        outcome.out,
        outcome.chosen,
        x,
        laplace(*arguments),
        samples,
        chi2,
        np.asarray(back_calculate(x, used, s.residues, s.experiment, s.method)),
        averages,
        core,
        tuple(comparisons),
        information,
        tuple(findings),
        s,
    )


@dataclass(frozen=True)
class Outcome:
    """Models of all residues at one tumbling: fits, criterion (n, models), what was eliminated, and the choice (n,)."""

    starts: Starts
    fits: ResidueFits
    values: np.ndarray
    out: np.ndarray
    chosen: np.ndarray

    @property
    def best(self) -> np.ndarray:
        """(n,) criterion of the chosen models."""
        return np.take_along_axis(self.values, self.chosen[:, None], 1)[:, 0]


def refit_speed(result: Analysis) -> int:
    """Fit all models of all residues once more, compiled as they are by now; returns the number of fits."""
    tau = result.tau_c
    tumbling = Tumbling(np.array([1 / tau]), np.zeros((1, 0)))
    if result.diffusion is not None:
        tumbling = _modes(result.setup, result.diffusion)
    fit_models(result.starts, tumbling, result.setup.residues, result.setup.experiment, result.setup.method)
    return len(result.chosen) * len(result.starts.model)


Global = tuple[TumblingFit, Outcome, np.ndarray, TumblingFit | None]


def _ambiguous(best: TumblingFit, rival: TumblingFit) -> Finding:
    return Finding(
        "warn",
        f"a {rival.shape} tensor fits the rigid residues as well as the {best.shape} one: the data do not decide",
        found=f"{rival.shape}: ratio {rival.axes.ratio:.2f}, tau_c {correlation_time(rival.diffusion):.2f} ns",
        fix="hold the tensor that other evidence supports with --tensor; order parameters change little",
    )


def _modes(s: Setup, diffusion: np.ndarray) -> Tumbling:
    return Tumbling.of(diffusion, collapse=s.method.collapse)


def _select(
    s: Setup, tumbling: Tumbling, tau_c: float, options: AnalysisOptions, near: Outcome | None = None
) -> Outcome:
    """Fit and judge all models at one tumbling, from many starts or from the solutions of an outcome nearby."""
    made = s.starts(tau_c)
    arguments = (made, tumbling, s.residues, s.experiment, s.method)
    fits = fit_models(*arguments) if near is None else polish(near.fits.x, *arguments)
    count = np.sum(s.residues.w > 0, axis=1)
    values = criterion(fits.chi2, made.count(), count, options.select)
    tm = fits.x[..., PARAMETERS.index("tm")] if s.method.local else np.full(fits.chi2.shape, tau_c)
    out = eliminated(fits, made, tm)
    return Outcome(made, fits, values, out, choose(values, out))


def _start_time(data: RelaxationData, s: Setup, options: AnalysisOptions) -> float:
    """A tumbling time to start from: the user's, or that of the median R2/R1 of rigid residues."""
    for given in (options.tau_c, options.start_tau_c):
        if given is not None:
            return float(given)
    if options.tensor is not None:
        return correlation_time(options.tensor)
    times, rigid = _local_times(data, s), _rigid(s, data)
    for mask in (rigid & np.isfinite(times), np.isfinite(times)):
        if mask.any():
            return float(np.median(times[mask]))
    return 5.0


def _rigid(s: Setup, data: RelaxationData) -> np.ndarray:
    kinds, fields = tuple(c.kind for c in data.columns), np.array([c.field for c in data.columns])
    return rigid_residues(data.value, kinds, fields) & (np.sum(s.residues.w > 0, axis=1) >= 2)


def _simple_model(s: Setup, rigid: np.ndarray, options: AnalysisOptions) -> str:
    """One model for all rigid residues: m2 where there are data enough for it, else m1."""
    enough = np.median(np.sum(s.residues.w[rigid] > 0, axis=1)) > 2
    wanted = ("m2", "m1") if enough else ("m1",)
    return next((m for m in wanted if m in options.models), options.models[0])


def _local_times(data: RelaxationData, s: Setup) -> np.ndarray:
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


def _kinds(wanted: str, s: Setup, findings: list[Finding]) -> list[str]:
    directions = int(s.directed.sum())
    if wanted != "auto":
        if wanted != "iso" and directions < FEWEST_DIRECTIONS[wanted]:
            raise InputError(
                f"{wanted} tumbling needs N-H directions",
                found=f"{directions} residues with a direction",
                expected=f"at least {FEWEST_DIRECTIONS[wanted]}",
                fix="give a model (PDB or mmCIF), or use --diffusion iso",
            )
        return [wanted]
    out = [k for k in ("iso", "axial", "rhombic") if k == "iso" or directions >= FEWEST_DIRECTIONS[k]]
    if len(out) == 1:
        findings.append(Finding("note", "isotropic tumbling: without N-H directions nothing else can be fitted"))
    return out


def _kind_of(diffusion: np.ndarray, asked: str) -> DiffusionKind:
    values = np.linalg.eigvalsh(diffusion)
    if values[0] <= 0:
        raise InputError("the diffusion tensor is not positive definite", found=f"eigenvalues {values}")
    if np.ptp(values) < 1e-6 * values[2]:
        return "iso"
    two = min(values[1] - values[0], values[2] - values[1]) < 1e-6 * values[2]
    return "axial" if two else "rhombic"


@dataclass(frozen=True)
class KindTest:
    """One kind of tensor over the rigid residues, all with one model: chi2, degrees of freedom, and the probability p
    that the last simpler kind that was accepted would be improved as much by chance (F test)."""

    kind: str
    chi2: float
    freedom: int
    p: float | None
    accepted: bool


def _compare_kinds(
    s: Setup,
    data: RelaxationData,
    results: dict[str, Global],
    options: AnalysisOptions,
) -> list[KindTest]:
    """Is the more general tensor needed? F tests on one set of residues with one model, from the simple to the general.

    At 0.001, because N-H directions taken from a model are wrong by several degrees, which looks like anisotropy.
    """
    from scipy.stats import f as f_distribution

    rigid = _rigid(s, data)
    counts = np.sum(s.residues.w > 0, axis=1)
    simple = _simple_model(s, rigid, options)
    tests: list[KindTest] = []
    for kind, (fit, outcome, *_) in results.items():
        k = options.models.index(simple)
        low, high = (np.tile(a[k], (len(rigid), 1)) for a in (outcome.fits.lower, outcome.fits.upper))
        residues = _silenced(s.residues, rigid)
        again = fit_tensor(fit.diffusion, fit.shape, outcome.fits.x[:, k], low, high, residues, s.experiment, s.method)
        own = int(outcome.starts.count()[k])
        freedom = int(np.maximum(counts[rigid] - own, 0).sum()) - SIZE[fit.shape]
        reference = next((t for t in reversed(tests) if t.accepted), None)
        if reference is None:
            tests.append(KindTest(kind, again.chi2, freedom, None, True))
            continue
        more = reference.freedom - freedom
        p = 1.0
        if freedom > 0:
            gain, floor = max(reference.chi2 - again.chi2, 0.0), 1e-12 * counts[rigid].sum()
            p = float(f_distribution.sf(gain / more / max(again.chi2 / freedom, floor), more, freedom))
        tests.append(KindTest(kind, again.chi2, freedom, p, p < SIGNIFICANCE))
    return tests


def _only_directed(s: Setup, data: RelaxationData, kind: str, findings: list[Finding]):
    """The residues that anisotropic tumbling can be used for, and a warning about the others."""
    if kind == "iso" or s.directed.all():
        return s, data, findings
    missing = [str(r) for r, d in zip(data.residues, s.directed, strict=True) if not d]
    what = f"{len(missing)} residue(s) without an N-H direction are left out of the {kind} analysis"
    finding = Finding("warn", what, found=", ".join(missing[:8]) + (", ..." if len(missing) > 8 else ""))
    keep = s.directed
    part = Measured(*(a[keep] for a in s.residues))
    return replace(s, residues=part, directed=keep[keep]), data.select(rows=keep), [*findings, finding]


def _global(s: Setup, data: RelaxationData, rough: float, kind: str, options: AnalysisOptions) -> Global:
    """A tensor of one kind: from rigid residues first, then in turn with the choice of models until both stand still.

    The tensor is fitted to the residues whose model has neither Rex nor slow motion, with those models. Returns the
    tensor, the models, the core (n,) bool, and a tensor of another shape that fits about as well (or None).
    """
    rigid = _rigid(s, data)
    if rigid.sum() < max(3, SIZE[SHAPES[kind][0]]):
        rigid = np.ones(len(rigid), bool)
    first = s.starts(rough)
    row = np.flatnonzero(first.model == options.models.index(_simple_model(s, rigid, options)))[0]
    by_shape: dict[str, TumblingFit] = {}
    for shape in SHAPES[kind]:
        for tensor in _tensor_starts(shape, data, s, rough, rigid):
            x, low, high = (np.tile(a[row], (len(rigid), 1)) for a in (first.x, first.lower, first.upper))
            residues = _silenced(s.residues, rigid)
            fit = fit_tensor(tensor, shape, x, low, high, residues, s.experiment, s.method, rtol=1e-7)
            if shape not in by_shape or fit.chi2 < by_shape[shape].chi2:
                by_shape[shape] = fit
    best, *others = sorted(by_shape.values(), key=lambda fit: fit.chi2)
    rival = next((fit for fit in others if fit.chi2 - best.chi2 < RIVAL), None)
    previous: tuple[np.ndarray, np.ndarray] | None = None
    outcome = _select(s, _modes(s, best.diffusion), correlation_time(best.diffusion), options)
    core = rigid
    for _ in range(ROUNDS):
        names = np.array([outcome.starts.models[k] for k in outcome.chosen])
        core = np.isin(names, ["m0", "m1", "m2"])
        if core.sum() < max(4, SIZE[best.shape]):
            core = rigid
        if previous is not None and np.array_equal(previous[0], outcome.chosen) and np.array_equal(previous[1], core):
            break
        previous = (outcome.chosen, core)
        best = _refit(s, best, outcome, core)
        outcome = _select(s, _modes(s, best.diffusion), correlation_time(best.diffusion), options, outcome)
    outcome = _select(s, _modes(s, best.diffusion), correlation_time(best.diffusion), options)
    return best, outcome, core, rival


def _silenced(residues: Measured, used: np.ndarray) -> Measured:
    """The same residues, those that are not used without weight: shapes stay, and so do compiled programs."""
    return residues._replace(w=np.where(used[:, None], residues.w, 0.0))


def _refit(s: Setup, at: TumblingFit, outcome: Outcome, core: np.ndarray) -> TumblingFit:
    """The tensor fitted to the core residues with their chosen models."""
    x = outcome.fits.x[np.arange(len(core)), outcome.chosen]
    low, high = outcome.fits.lower[outcome.chosen], outcome.fits.upper[outcome.chosen]
    return fit_tensor(at.diffusion, at.shape, x, low, high, _silenced(s.residues, core), s.experiment, s.method)


def _tensor_starts(shape: Shape, data: RelaxationData, s: Setup, rough: float, rigid: np.ndarray) -> list[np.ndarray]:
    if shape == "iso":
        return [isotropic(rough)]
    times = _local_times(data, s)
    use = rigid & np.isfinite(times) & s.directed
    out = []
    if use.sum() >= 6:
        shown = quadric(times[use], s.residues.nh[use])
        out.append(shown / np.trace(shown) / (2 * rough))
        if use.sum() >= ENOUGH:
            return out
    for axis in np.eye(3):
        factor = 0.75 if shape == "oblate" else 1.3
        d = np.eye(3) + (factor - 1) * np.outer(axis, axis)
        out.append(d / np.trace(d) / (2 * rough))
    return out if shape != "rhombic" else [*out[:1], *(d + np.diag([0, 0.01, 0.02]) * np.trace(d) for d in out[1:])]
