"""Intervals hold the truth as often as they say: synthetic residues whose model is known, Laplace and Monte Carlo."""

from __future__ import annotations

import numpy as np
import pytest

from consilience.nmr.analysis import AnalysisOptions, setup
from consilience.nmr.data import Column, Kind, RelaxationData, Residue
from consilience.nmr.diffusion import isotropic
from consilience.nmr.predict import predict_rates
from consilience.nmr.residuefit import Experiment, Measured, Method, Tumbling, fit_models
from consilience.nmr.uncertainty import laplace, monte_carlo, monte_carlo_sigma

TAU, FIELDS = 8.0, (600.0, 800.0)
ERRORS: dict[Kind, float] = {"R1": 0.01, "R2": 0.015, "NOE": 0.02}  # relative, of the NOE absolute
INDEX = {"S2": 8, "te": 3, "rex": 4}


def simulated(model: str, n: int, seed: int) -> tuple[RelaxationData, dict[str, np.ndarray]]:
    """Residues of m2 or m4, parameters several standard errors away from every bound."""
    rng = np.random.default_rng(seed)
    truth = {"S2": rng.uniform(0.75, 0.92, n), "te": np.exp(rng.uniform(np.log(0.02), np.log(0.08), n))}
    if model == "m4":
        truth["rex"] = np.exp(rng.uniform(np.log(0.7), np.log(5.0), n))
    motion = {"s2": truth["S2"], "te": truth["te"], "rex": truth.get("rex", 0.0)}
    nh = np.tile([0.0, 0.0, 1.0], (n, 1))
    found = predict_rates(nh, isotropic(TAU), np.array(FIELDS), r=1.02, **motion)
    rates = {kind: np.asarray(values) for kind, values in found.items()}
    columns = tuple(Column(k, f) for f in FIELDS for k in ERRORS)
    exact = np.stack([rates[c.kind][:, FIELDS.index(c.field)] for c in columns], 1)
    share = np.array([ERRORS[c.kind] for c in columns])
    sigma = np.where([c.kind == "NOE" for c in columns], share, share * exact)
    value = exact + sigma * rng.standard_normal(exact.shape)
    return RelaxationData(tuple(Residue(i + 1) for i in range(n)), columns, value, sigma), truth


def fitted(model: str, n: int, seed: int):
    """The truth, the solutions (n, 9) with S2 last, and the arguments of `laplace` and `monte_carlo`."""
    data, truth = simulated(model, n, seed)
    s = setup(data, None, None, AnalysisOptions(diffusion="iso", tau_c=TAU, models=(model,)))
    tumbling = Tumbling.of(isotropic(TAU))
    fits = fit_models(s.starts(TAU), tumbling, s.residues, s.experiment, s.method)
    x = fits.x[:, 0]
    low, high = np.tile(fits.lower, (n, 1)), np.tile(fits.upper, (n, 1))
    full = np.concatenate([x, (x[:, 0] * x[:, 1])[:, None]], 1)
    return truth, full, (x, low, high, tumbling, s.residues, s.experiment, s.method)


def shares(truth: dict[str, np.ndarray], full: np.ndarray, sigma: np.ndarray) -> dict[str, tuple[float, float]]:
    """Percent of residues within 1 and 1.96 standard errors, for each parameter."""

    def within(name: str, width: float) -> float:
        return float(100 * np.mean(np.abs(full[:, INDEX[name]] - truth[name]) <= width * sigma[:, INDEX[name]]))

    return {k: (within(k, 1.0), within(k, 1.959964)) for k in truth}


def check(found: dict[str, tuple[float, float]], narrow: float, wide: float) -> None:
    for name, (one, two) in found.items():
        assert abs(one - 68.27) < narrow, f"{name}: {one} % within one standard error"
        assert abs(two - 95.0) < wide, f"{name}: {two} % within 1.96 standard errors"


@pytest.mark.slow
@pytest.mark.parametrize("model", ["m2", "m4"])
def test_coverage(model: str) -> None:
    """Three standard deviations of the count in 800 are 4.9 and 2.3 %."""
    truth, full, arguments = fitted(model, 800, 1)
    check(shares(truth, full, laplace(*arguments).sigma), 5.0, 2.4)


def test_coverage_of_monte_carlo_errors() -> None:
    truth, full, arguments = fitted("m2", 800, 2)
    check(shares(truth, full, monte_carlo_sigma(monte_carlo(*arguments, samples=60, seed=3))), 5.0, 2.4)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["m2", "m4"])
def test_coverage_of_many(model: str) -> None:
    """The bars of the project: 66 to 70 and 94 to 96 % over 8000 residues."""
    truth, full, arguments = fitted(model, 8000, 4)
    check(shares(truth, full, laplace(*arguments).sigma), 1.9, 1.0)


def test_what_the_data_do_not_determine_has_no_standard_error() -> None:
    """A rigid residue says nothing about te; three rates do not determine S2, te, Rex and a tumbling time."""
    data, _ = simulated("m2", 800, 5)
    s = setup(data, None, None, AnalysisOptions(diffusion="iso", tau_c=TAU, models=("m2",)))
    x = np.tile([1.0, 1.0, 0.0, 0.03, 0.0, TAU, -172.0, 0.0], (800, 1))
    made = s.starts(TAU)
    low, high = np.tile(made.lower[0], (800, 1)), np.tile(made.upper[0], (800, 1))
    spread = laplace(x, low, high, Tumbling.of(isotropic(TAU)), s.residues, s.experiment, s.method)
    assert np.all(np.isnan(spread.sigma[:, 3])) and np.all(np.isfinite(spread.sigma[:, 8]))

    three = data.select(columns=np.array([c.field == 600.0 for c in data.columns]))
    experiment: Experiment = s.experiment.of(three, s.method.constants, s.experiment.prior)
    residues = Measured(three.value, 1 / three.sigma, s.residues.nh, s.residues.tilt)
    method: Method = s.method._replace(active=(1, 3, 4, 5), local=True)
    x = np.tile([1.0, 0.85, 0.0, 0.03, 1.0, TAU, -172.0, 0.0], (800, 1))
    low, high = np.zeros((800, 8)), np.full((800, 8), 100.0)
    spread = laplace(x, low, high, Tumbling.of(isotropic(TAU)), residues, experiment, method)
    assert np.all(np.isnan(spread.sigma[:, [1, 3, 4, 5, 8]]))
