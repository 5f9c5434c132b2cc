"""Do 68 % and 95 % intervals hold the truth as often as they say? Model known, Monte Carlo, and after selection."""

from __future__ import annotations

import argparse
import time

import cases  # noqa: F401 - float64 first
import numpy as np
from synthetic import Truth, simulate, truth_of

from consilience.nmr.analysis import AnalysisOptions, setup
from consilience.nmr.data import RelaxationData
from consilience.nmr.diffusion import isotropic
from consilience.nmr.modelfree import FREE, parse_models
from consilience.nmr.residuefit import Tumbling, fit_models
from consilience.nmr.selection import choose, criterion, eliminated
from consilience.nmr.uncertainty import laplace, monte_carlo, monte_carlo_sigma

TAU, FIELDS = 8.0, (600.0, 800.0)
COLUMN = {"S2": 8, "te": 3, "Rex": 4, "S2f": 0, "ts": 3}
SIMPLE = parse_models("m1..m5")
BARS = ((1.0, 66.0, 70.0), (1.959964, 94.0, 96.0))
TUMBLING = Tumbling.of(isotropic(TAU))
unmet: list[str] = []


def options(models: tuple[str, ...]) -> AnalysisOptions:
    return AnalysisOptions(diffusion="iso", tau_c=TAU, models=models)


def parameters(model: str) -> list[str]:
    """What a model determines, by the names of the table."""
    model = model.split()[0]
    names = {"ts": "ts" if model == "m5" else "te", "rex": "Rex", "s2f": "S2f"}
    return ["S2", *(names[p] for p in FREE[model] if p in names)]


def values(truth: Truth) -> dict[str, np.ndarray]:
    return {"S2": truth.s2, "te": truth.te, "ts": truth.te, "Rex": truth.rex, "S2f": truth.s2f}


def shares(error: np.ndarray, sigma: np.ndarray) -> tuple[float, float]:
    """Percent within 1 and 1.96 standard errors; a standard error of zero covers only the truth itself."""
    with np.errstate(invalid="ignore"):
        return tuple(float(100 * np.mean(np.abs(error) <= z * sigma)) for z, *_ in BARS)  # type: ignore[return-value]


def line(what: str, name: str, n: int, found: tuple[float, float], note: str = "", judged: bool = True) -> None:
    met = all(low <= share <= high for share, (_, low, high) in zip(found, BARS, strict=True))
    said = "" if met or not judged else "NOT MET"
    if said:
        unmet.append(f"{what} {name}")
    print(f"  {what:<31} {name:<4} {n:>6} {found[0]:>8.1f} {found[1]:>8.1f}   {said:<8}{note}", flush=True)


def fit(data: RelaxationData, models: tuple[str, ...]):
    """Setup, starts and fits with tau_c known."""
    s = setup(data, None, None, options(models))
    made = s.starts(TAU)
    return s, made, fit_models(made, TUMBLING, s.residues, s.experiment, s.method)


def known_model(model: str, n: int, subset: int, samples: int, rng: np.random.Generator) -> None:
    truth = truth_of(model, n, rng)
    s, _, fits = fit(simulate(truth, TAU, FIELDS, rng), (model,))
    x, low, high = fits.x[:, 0], np.tile(fits.lower, (n, 1)), np.tile(fits.upper, (n, 1))
    arguments = (x, low, high, TUMBLING, s.residues, s.experiment, s.method)
    sigma = laplace(*arguments).sigma
    full = np.concatenate([x, (x[:, 0] * x[:, 1])[:, None]], 1)
    for name in parameters(model):
        k, true = COLUMN[name], values(truth)[name]
        z = (full[:, k] - true) / np.where(sigma[:, k] > 0, sigma[:, k], np.nan)
        note = f"bias {np.nanmean(z):+.2f} sd, spread {np.nanstd(z):.2f} sd"
        line(f"{model}, Laplace", name, n, shares(full[:, k] - true, sigma[:, k]), note)
    if not subset:
        return
    first = [a[:subset] for a in arguments[:3]]
    residues = type(s.residues)(*(a[:subset] for a in s.residues))
    drawn = monte_carlo(*first, TUMBLING, residues, s.experiment, s.method, samples=samples, seed=1)
    spread = monte_carlo_sigma(drawn)
    for name in parameters(model):
        k, true = COLUMN[name], values(truth)[name][:subset]
        found = shares(full[:subset, k] - true, spread[:, k])
        chance = ", ".join(f"{196 * (q * (1 - q) / subset) ** 0.5:.1f}" for q in (0.683, 0.95))
        line(f"{model}, Monte Carlo x {samples}", name, subset, found, f"chance alone +- {chance}", judged=False)


def after_selection(model: str, n: int, rng: np.random.Generator) -> None:
    """AIC over m1-m5, then Laplace of the chosen model as if it had been known."""
    truth = truth_of(model, n, rng)
    s, made, fits = fit(simulate(truth, TAU, FIELDS, rng), SIMPLE)
    scores = criterion(fits.chi2, made.count(), np.full(n, len(s.experiment.kind)), "aic")
    chosen = choose(scores, eliminated(fits, made, np.full(fits.chi2.shape, TAU)))
    at = np.arange(n)
    x, low, high = fits.x[at, chosen], fits.lower[chosen], fits.upper[chosen]
    sigma = laplace(x, low, high, TUMBLING, s.residues, s.experiment, s.method).sigma
    full = np.concatenate([x, (x[:, 0] * x[:, 1])[:, None]], 1)
    picked = ", ".join(f"{SIMPLE[k]} {100 * np.mean(chosen == k):.0f}" for k in range(len(SIMPLE)))
    line(f"{model} true, any chosen", "S2", n, shares(full[:, 8] - truth.s2, sigma[:, 8]), f"% chosen: {picked}", False)
    names = np.array([SIMPLE[k] for k in chosen])
    for name, having in (("te", ("m2", "m4")), ("Rex", ("m3", "m4"))):
        use = np.isin(names, having)
        if name in parameters(model) and use.any():
            k, true = COLUMN[name], values(truth)[name]
            found = shares((full[:, k] - true)[use], sigma[use, k])
            line(f"{model} true, {name} in the model", name, int(use.sum()), found, judged=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--residues", type=int, default=8000, help="for each model")
    parser.add_argument("--subset", type=int, default=1000, help="residues with Monte Carlo errors")
    parser.add_argument("--samples", type=int, default=200, help="Monte Carlo refits")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng, began = np.random.default_rng(args.seed), time.perf_counter()
    fields = " and ".join(f"{f:g}" for f in FIELDS)
    print(f"coverage in %, tau_c {TAU:g} ns known, {fields} MHz; R1 1 %, R2 1.5 %, NOE 0.02")
    print(f"  {'':<31} {'':<4} {'n':>6} {'68.3 %':>8} {'95 %':>8}   bars 66 to 70, 94 to 96 (model known, Laplace)")
    for model in ("m1", "m2", "m3", "m4", "m5"):
        known_model(model, args.residues, args.subset if model in ("m2", "m4", "m5") else 0, args.samples, rng)
    print("  after selection by AIC over m1-m5 (no bar: an interval that takes the choice for certain is too short)")
    for model in ("m1", "m2", "m3", "m4", "m4 weak", "m5"):
        after_selection(model, args.residues // 2, rng)
    print(f"{time.perf_counter() - began:.0f} s; bars not met: {', '.join(unmet) or 'none'}")


if __name__ == "__main__":
    main()
