"""The whole relaxation analysis: tumbling, model-free models of every residue, selection, and errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from consilience.core.errors import Finding, InputError
from consilience.nmr.choice import fit_and_choose, modes_of
from consilience.nmr.consistency import Consistency, compare_fields
from consilience.nmr.constants import constants_named
from consilience.nmr.data import RelaxationData
from consilience.nmr.diffusion import DiffusionKind, PrincipalAxes, correlation_time, isotropic, principal_axes
from consilience.nmr.globaltensor import KindTest, ambiguous, choose_kind, kind_of, kinds_to_try, settle
from consilience.nmr.information import expected_information
from consilience.nmr.modelfree import PARAMETERS, Starts
from consilience.nmr.residuefit import ResidueFits, Tumbling, back_calculate, fit_models
from consilience.nmr.selection import order_parameter, weights
from consilience.nmr.setup import AnalysisOptions, Setup, only_directed, setup, start_time
from consilience.nmr.tumbling import TumblingFit
from consilience.nmr.uncertainty import Spread, laplace, monte_carlo, monte_carlo_sigma

__all__ = ["Analysis", "AnalysisOptions", "Setup", "analyse", "refit_speed", "setup"]


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
    rough = start_time(data, s, options)
    comparisons, warned = compare_fields(data, constants_named(options.constants), rough)
    for finding in warned:
        tell(finding)
    findings += warned
    if options.select == "aicc" and (few := int(np.sum(data.measured.sum(axis=1) <= 3))):
        what = f"{few} residue(s) have three data or fewer: AICc is infinite there for every model of two parameters"
        findings.append(
            Finding("warn", what, fix="choose with --select aic, which needs no correction for known errors")
        )
    tried: list[KindTest] = []
    tumbling: TumblingFit | None = None
    if options.diffusion == "local":
        diffusion, kind, core = None, "local", np.ones(len(data.residues), bool)
        outcome = fit_and_choose(s, Tumbling(np.array([1 / rough]), np.zeros((1, 0))), rough, options)
    elif options.tensor is not None or options.tau_c is not None:
        diffusion = np.asarray(options.tensor) if options.tensor is not None else isotropic(float(options.tau_c or 0.0))
        kind = kind_of(diffusion)
        if kind != "iso" and not s.directed.any():
            raise InputError("an anisotropic tensor needs N-H directions", fix="give a model")
        s, data, findings = only_directed(s, data, kind, findings)
        outcome = fit_and_choose(s, modes_of(s, diffusion), correlation_time(diffusion), options)
        core = np.ones(len(data.residues), bool)
    else:
        wanted = kinds_to_try(options.diffusion, s, findings)
        begun, rival, tried = choose_kind(*only_directed(s, data, wanted[-1], [])[:2], rough, wanted, options)
        for test in tried[1:]:
            say(f"is {test.kind} tumbling needed? F test: p = {test.p:.1e}")
        kind = begun.kind
        s, data, findings = only_directed(s, data, kind, findings)
        tumbling, outcome, core = settle(s, data, begun, options)
        say(
            f"{kind} tumbling: tau_c {correlation_time(tumbling.diffusion):.3f} ns, ratio {tumbling.axes.ratio:.3f}, "
            f"from {int(core.sum())} rigid residues"
        )
        if rival is not None:
            findings.append(ambiguous(begun, rival))
        diffusion = tumbling.diffusion
        few = max(8, 2 * len(tumbling.q))
        if core.sum() < few:
            what = f"the {kind} tensor rests on {int(core.sum())} residues without exchange or slow motion"
            fix = "look at chi2_reduced and at the consistency of the fields before using it"
            findings.append(Finding("warn", what, expected=f"at least {few}", fix=fix))
        if not tumbling.converged:
            what = f"the {kind} tensor did not converge"
            findings.append(Finding("warn", what, fix="hold it with --tau-c or --tensor"))
    for finding in findings[len(warned) :]:
        tell(finding)
    used = Tumbling(np.array([1 / rough]), np.zeros((1, 0))) if diffusion is None else modes_of(s, diffusion)
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
        tuple(tried) if len(tried) > 1 else (),
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


def refit_speed(result: Analysis) -> int:
    """Fit all models of all residues once more, compiled as they are by now; returns the number of fits."""
    tau = result.tau_c
    tumbling = Tumbling(np.array([1 / tau]), np.zeros((1, 0)))
    if result.diffusion is not None:
        tumbling = modes_of(result.setup, result.diffusion)
    fit_models(result.starts, tumbling, result.setup.residues, result.setup.experiment, result.setup.method)
    return len(result.chosen) * len(result.starts.model)
