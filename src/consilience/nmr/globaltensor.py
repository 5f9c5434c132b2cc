"""The tensor of the whole molecule: where to start, which residues to trust, and which kind of tensor the data need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from consilience.errors import Finding, InputError
from consilience.nmr.choice import Outcome, fit_and_choose, modes_of
from consilience.nmr.data import RelaxationData
from consilience.nmr.diffusion import DiffusionKind, correlation_time, isotropic
from consilience.nmr.residuefit import Measured
from consilience.nmr.setup import AnalysisOptions, Setup, local_times, simple_model, trusted
from consilience.nmr.tumbling import SIZE, Shape, TumblingFit, fit_tensor, quadric

ROUNDS = 8
ENOUGH = 20  # local times that tell where to start a tensor
RIVAL = 4.0  # chi2 by which prolate and oblate must differ to be told apart
SIGNIFICANCE = 1e-3  # of the F test for a more general tensor
FEWEST_DIRECTIONS = {"iso": 3, "axial": 8, "rhombic": 12}
SHAPES: dict[str, tuple[Shape, ...]] = {"iso": ("iso",), "axial": ("prolate", "oblate"), "rhombic": ("rhombic",)}

Global = tuple[TumblingFit, Outcome, np.ndarray, TumblingFit | None]


def ambiguous(best: TumblingFit, rival: TumblingFit) -> Finding:
    """A warning that two shapes of tensor fit alike."""
    return Finding(
        "warn",
        f"a {rival.shape} tensor fits the rigid residues as well as the {best.shape} one: the data do not decide",
        found=f"{rival.shape}: ratio {rival.axes.ratio:.2f}, tau_c {correlation_time(rival.diffusion):.2f} ns",
        fix="hold the tensor that other evidence supports with --tensor; order parameters change little",
    )


def kinds_to_try(wanted: str, s: Setup, findings: list[Finding]) -> list[str]:
    """Kinds of tumbling that the option asks for and the N-H directions allow, the simplest first; else InputError."""
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


def kind_of(diffusion: np.ndarray) -> DiffusionKind:
    """The kind of a given tensor. Raises InputError where it is not positive definite."""
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


def compare_kinds(
    s: Setup,
    data: RelaxationData,
    results: dict[str, Global],
    options: AnalysisOptions,
) -> list[KindTest]:
    """Is the more general tensor needed? F tests on one set of residues with one model, from the simple to the general.

    At 0.001, because N-H directions taken from a model are wrong by several degrees, which looks like anisotropy.
    """
    from scipy.stats import f as f_distribution

    rigid = trusted(s, data)
    counts = np.sum(s.residues.w > 0, axis=1)
    simple = simple_model(s, rigid, options)
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


def fit_global(s: Setup, data: RelaxationData, rough: float, kind: str, options: AnalysisOptions) -> Global:
    """A tensor of one kind: from rigid residues first, then in turn with the choice of models until both stand still.

    The tensor is fitted to the rigid residues whose model has neither Rex nor slow motion, with those models. Returns
    the tensor, the models, the core (n,) bool, and a tensor of another shape that fits about as well (or None).
    """
    rigid = trusted(s, data)
    if rigid.sum() < max(3, SIZE[SHAPES[kind][0]]):
        rigid = np.ones(len(rigid), bool)
    first = s.starts(rough)
    row = np.flatnonzero(first.model == options.models.index(simple_model(s, rigid, options)))[0]
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
    outcome = fit_and_choose(s, modes_of(s, best.diffusion), correlation_time(best.diffusion), options)
    core = rigid
    for _ in range(ROUNDS):
        names = np.array([outcome.starts.models[k] for k in outcome.chosen])
        core = trusted(s, data, best.diffusion) & np.isin(names, ["m0", "m1", "m2"])
        if core.sum() < max(4, SIZE[best.shape]):
            core = rigid
        if previous is not None and np.array_equal(previous[0], outcome.chosen) and np.array_equal(previous[1], core):
            break
        previous = (outcome.chosen, core)
        best = _refit(s, best, outcome, core)
        outcome = fit_and_choose(s, modes_of(s, best.diffusion), correlation_time(best.diffusion), options, outcome)
    outcome = fit_and_choose(s, modes_of(s, best.diffusion), correlation_time(best.diffusion), options)
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
    times = local_times(data, s)
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
