"""The tensor of the whole molecule: where to start, which residues to trust, and which kind of tensor the data need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from consilience.core.errors import Finding, InputError
from consilience.nmr.choice import Outcome, fit_and_choose, modes_of
from consilience.nmr.data import RelaxationData
from consilience.nmr.diffusion import DiffusionKind, correlation_time, isotropic
from consilience.nmr.modelfree import FREE
from consilience.nmr.residuefit import Measured
from consilience.nmr.setup import AnalysisOptions, Setup, local_times, simple_model, trusted
from consilience.nmr.tumbling import SIZE, Shape, TumblingFit, fit_tensor, quadric

ROUNDS = 8
ENOUGH = 20  # local times that tell where to start a tensor
RIVAL = 4.0  # chi2 by which prolate and oblate must differ to be told apart
SIGNIFICANCE = 1e-3  # of the F test for a more general tensor
FEWEST_DIRECTIONS = {"iso": 3, "axial": 8, "rhombic": 12}
SHAPES: dict[str, tuple[Shape, ...]] = {"iso": ("iso",), "axial": ("prolate", "oblate"), "rhombic": ("rhombic",)}


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


def choose_kind(
    s: Setup, data: RelaxationData, rough: float, kinds: list[str], options: AnalysisOptions
) -> tuple[TumblingFit, TumblingFit | None, list[KindTest]]:
    """The simplest kind of tensor that the data accept, from rigid residues with one model for all: F tests.

    At 0.001, because N-H directions taken from a model are wrong by several degrees, which looks like anisotropy.
    Returns the tensor, a tensor of another shape that fits about as well (or None), and the tests. Which residues are
    rigid is judged against the most general tensor, so that anisotropy does not look like exchange.
    """
    rigid = trusted(s, data)
    if rigid.sum() < max(3, SIZE[SHAPES[kinds[-1]][0]]):
        rigid = np.ones(len(rigid), bool)
    fits = {kind: _first_tensors(s, data, rough, kind, options, rigid) for kind in kinds}
    again = trusted(s, data, fits[kinds[-1]][0].diffusion)
    if again.sum() >= rigid.sum() and not np.array_equal(again, rigid):
        rigid = again
        fits = {kind: _first_tensors(s, data, rough, kind, options, rigid) for kind in kinds}
    counts = np.sum(s.residues.w > 0, axis=1)[rigid]
    own = len(FREE[simple_model(s, rigid, options)])
    tests: list[KindTest] = []
    for kind, (fit, *_) in fits.items():
        freedom = int(np.maximum(counts - own, 0).sum()) - SIZE[fit.shape]
        reference = next((t for t in reversed(tests) if t.accepted), None)
        p = None if reference is None else _f_test(reference, fit.chi2, freedom, int(counts.sum()))
        tests.append(KindTest(kind, fit.chi2, freedom, p, p is None or p < SIGNIFICANCE))
    best, *others = fits[next(t.kind for t in reversed(tests) if t.accepted)]
    rival = next((fit for fit in others if fit.chi2 - best.chi2 < RIVAL), None)
    return best, rival, tests


def _f_test(simple: KindTest, chi2: float, freedom: int, n: int) -> float:
    """Probability that chi2 falls from the simple kind's by chance as much as it does."""
    from scipy.stats import f as f_distribution

    if freedom <= 0:
        return 1.0
    gain, more = max(simple.chi2 - chi2, 0.0), simple.freedom - freedom
    return float(f_distribution.sf(gain / more / max(chi2 / freedom, 1e-12 * n), more, freedom))


def _first_tensors(
    s: Setup, data: RelaxationData, rough: float, kind: str, options: AnalysisOptions, rigid: np.ndarray
) -> list[TumblingFit]:
    """Tensors of all shapes of a kind, the best first, fitted to the rigid residues with one simple model for all."""
    first = s.starts(rough)
    row = np.flatnonzero(first.model == options.models.index(simple_model(s, rigid, options)))[0]
    x, low, high = (np.tile(a[row], (len(rigid), 1)) for a in (first.x, first.lower, first.upper))
    residues = _silenced(s.residues, rigid)
    out = []
    for shape in SHAPES[kind]:
        tried = [
            fit_tensor(tensor, shape, x, low, high, residues, s.experiment, s.method, rtol=1e-7)
            for tensor in _tensor_starts(shape, data, s, rough, rigid)
        ]
        out.append(min(tried, key=lambda fit: fit.chi2))
    return sorted(out, key=lambda fit: fit.chi2)


def settle(
    s: Setup, data: RelaxationData, best: TumblingFit, options: AnalysisOptions
) -> tuple[TumblingFit, Outcome, np.ndarray]:
    """Tensor and models in turn until both stand still; returns also the core (n,) bool that carries the tensor.

    The tensor is fitted to the rigid residues whose model has neither Rex nor slow motion, with those models.
    """
    seen: set[tuple[bytes, bytes]] = set()
    outcome = fit_and_choose(s, modes_of(s, best.diffusion), correlation_time(best.diffusion), options)
    core = trusted(s, data, best.diffusion)
    for _ in range(ROUNDS):
        rigid = trusted(s, data, best.diffusion)
        core = rigid & np.isin([outcome.starts.models[k] for k in outcome.chosen], ["m0", "m1", "m2"])
        if core.sum() < max(4, SIZE[best.shape]):
            core = rigid if rigid.sum() >= max(4, SIZE[best.shape]) else np.ones(len(rigid), bool)
        state = (outcome.chosen.tobytes(), core.tobytes())
        if state in seen:  # still, or going round in a circle
            break
        seen.add(state)
        best = _refit(s, best, outcome, core)
        outcome = fit_and_choose(s, modes_of(s, best.diffusion), correlation_time(best.diffusion), options, outcome)
    outcome = fit_and_choose(s, modes_of(s, best.diffusion), correlation_time(best.diffusion), options)
    return best, outcome, core


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
