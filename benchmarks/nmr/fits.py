"""Relaxation fits on real and synthetic data: against relax and scipy, time, ubiquitin's tensor, known tensors."""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
from cases import QUADRIC, RELAX_TAU, SYNTHETIC, synthetic, trhbn, truth, ubiquitin
from scipy.optimize import least_squares

from consilience.nmr.analysis import Analysis, AnalysisOptions, Setup, analyse, setup
from consilience.nmr.constants import constants_named
from consilience.nmr.diffusion import correlation_time, isotropic
from consilience.nmr.modelfree import FREE, PARAMETERS, parse_models
from consilience.nmr.rates import rates
from consilience.nmr.residuefit import Tumbling, fit_models

SIMPLE = parse_models("m1..m5")
HELD = AnalysisOptions(diffusion="iso", tau_c=RELAX_TAU, models=SIMPLE, constants="relax")
AWAY = 1e-4  # from a bound, for comparisons of S2 (the program relax stops a little before or beyond it)
unmet: list[str] = []


def row(what: str, value: str, bar: str, met: bool) -> None:
    """One line: what was measured, its value, its bar, and whether that is met."""
    print(f"  {what:<56} {value:>20}   bar {bar}{'' if met else '   NOT MET'}", flush=True)
    if not met:
        unmet.append(what)


def against_relax() -> None:
    data, reference = trhbn()
    a = analyse(data, options=HELD)
    known = [reference[str(r.number)] for r in data.residues]
    same = np.array([m == k["model"] for m, k in zip(a.models, known, strict=True)])
    index = np.array([SIMPLE.index(k["model"]) for k in known])
    at = np.arange(len(known))
    ours, theirs = a.fits.chi2[at, index], np.array([k["chi2"] for k in known])
    x, lower, upper = a.fits.x[at, index], a.fits.lower[index], a.fits.upper[index]
    free = upper > lower
    edge = (free & ((x - lower < AWAY) | (upper - x < AWAY))).any(1)
    s2 = np.abs(x[:, 0] * x[:, 1] - [k["s2"] for k in known])
    difference = np.abs(ours / theirs - 1)
    worse = ours > theirs + 1e-6 * np.maximum(1, theirs)
    print("trHbN (BMRB 17226), 100 residues x 8 data, isotropic 10.5955 ns held, m1-m5, AIC, against relax 5.1")
    row("same model as relax", f"{same.sum()} of {len(same)}", ">= 98", same.sum() >= 98)
    largest = difference[same & ~edge].max()
    row(f"largest |chi2/chi2(relax) - 1|, {(same & ~edge).sum()} off bounds", f"{largest:.1e}", "1e-6", largest <= 1e-6)
    row(f"largest |dS2|, {(same & ~edge).sum()} off bounds", f"{s2[~edge].max():.1e}", "1e-5", s2[~edge].max() <= 1e-5)
    row("chi2 worse than relax by more than 1e-6, all residues", f"{worse.sum()}", "0", not worse.any())
    names = ", ".join(f"{data.residues[i].number}: {m.models[i]}" for m in (a,) for i in np.flatnonzero(~same))
    told = [
        f"{data.residues[i].number} ({known[i]['model']}, chi2 {ours[i]:.4f} against {theirs[i]:.4f})"
        for i in np.flatnonzero(worse | (difference > 1e-6))
    ]
    print(f"    other models: {names or 'none'}; on a bound: {edge.sum()}; chi2 differs: {', '.join(told) or 'none'}")


def numpy_residuals(x, free, held, y, w, omega, kind, place, growth, r6):
    """Weighted residuals (m,) of isotropic tumbling in plain NumPy, for scipy."""
    p = held.copy()
    p[free] = x
    s2f, s2s, tf, ts, rex, tm, csa, _ = p

    def lorentzian(t):
        return t / (1 + (omega * t) ** 2)

    j = s2f * s2s * lorentzian(tm) + (s2f - s2f * s2s) * lorentzian(tm * ts / (tm + ts))
    if s2f < 1:
        j = j + (1 - s2f) * lorentzian(tm * tf / (tm + tf))
    j = 0.4 * j
    table = rates(j, j, j, omega, r6, csa, rex * growth, constants_named("relax"))
    return w * (np.stack(table)[kind, place] - y)


def scipy_fits(s: Setup, residues: np.ndarray, starts: int) -> tuple[float, np.ndarray]:
    """Seconds for all models of some residues from `starts` random starts each, and chi2 (residues, models)."""
    rng, e = np.random.default_rng(0), s.experiment
    chi2 = np.full((len(residues), len(SIMPLE)), np.inf)
    made = s.starts(RELAX_TAU)
    began = time.perf_counter()
    for i, n in enumerate(residues):
        for k, model in enumerate(SIMPLE):
            first = int(np.flatnonzero(made.model == k)[0])
            free = np.array([PARAMETERS.index(p) for p in FREE[model]])
            lower, upper = made.lower[first, free], made.upper[first, free]
            reach = np.minimum(upper, {"ts": 5.0, "rex": 5.0}.get(PARAMETERS[free[-1]], 5.0))
            arguments = (free, made.x[first], s.residues.y[n], s.residues.w[n], e.omega, e.kind, e.field, e.growth)
            for _ in range(starts):
                x = lower + rng.uniform(0.02, 0.98, len(free)) * (reach - lower)
                done = least_squares(
                    numpy_residuals, x, bounds=(lower, upper), x_scale=np.maximum(reach, 0.1),
                    args=(*arguments, e.r6_inverse), method="trf",
                )  # fmt: skip
                chi2[i, k] = min(chi2[i, k], 2 * done.cost)
    return time.perf_counter() - began, chi2


def speed(sample: int, starts: int) -> None:
    data, _ = trhbn()
    s = setup(data, None, None, HELD)
    tumbling = Tumbling.of(isotropic(RELAX_TAU))
    times = []
    for _ in range(6):
        began = time.perf_counter()
        fits = fit_models(s.starts(RELAX_TAU), tumbling, s.residues, s.experiment, s.method)
        times.append(time.perf_counter() - began)
    warm = statistics.median(times[1:])
    residues = np.linspace(0, len(data.residues) - 1, sample).astype(int)
    seconds, chi2 = scipy_fits(s, residues, starts)
    scaled = seconds * len(data.residues) / sample
    print(f"time of all m1-m5 fits of 100 residues x 8 data, same run; scipy: {sample} residues, scaled to 100")
    print(f"    first call with compilation {times[0]:.2f} s, warm {min(times[1:]):.4f} to {max(times[1:]):.4f} s")
    print(f"    scipy.optimize.least_squares, {starts} starts per model and residue: {scaled:.1f} s")
    row("warm, median of 5", f"{warm:.4f} s", "none", True)
    row("times faster than scipy", f"{scaled / warm:.0f}", ">= 100", scaled / warm >= 100)
    rise = (fits.chi2[residues] - chi2) / np.maximum(1, chi2)
    row(f"largest rise of chi2 above scipy's, {chi2.size} fits", f"{rise.max():.1e}", "1e-6", rise.max() <= 1e-6)
    print(f"    scipy higher by more than 1e-6 in {(rise < -1e-6).sum()} of {chi2.size} fits (its local minima)")


def axis_error(a: Analysis) -> float:
    """Degrees between the fitted unique axis and quadric's."""
    assert a.axes is not None
    theta, phi = QUADRIC
    published = np.array([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)])
    return float(np.degrees(np.arccos(min(abs(a.axes.axes[2] @ published), 1.0))))


def ubiquitin_tensor() -> None:
    data, vectors = ubiquitin("palmer500")
    a = analyse(data, vectors, options=AnalysisOptions(diffusion="axial"))
    assert a.axes is not None and a.tumbling is not None
    error = a.tumbling.errors()
    print(f"ubiquitin 500 MHz, axial tumbling, m0-m9, AIC, {a.core.sum()} residues carry the tensor")
    row("tau_c", f"{a.tau_c:.3f} +- {error['tau_c']:.3f} ns", "4.1 to 4.35", 4.1 <= a.tau_c <= 4.35)
    ratio = a.axes.ratio
    row("D_par/D_perp", f"{ratio:.3f} +- {error['ratio']:.3f}", "1.12 to 1.21", 1.12 <= ratio <= 1.21)
    row("axis to quadric's (600 MHz data)", f"{axis_error(a):.1f} deg", "<= 5", axis_error(a) <= 5)
    chosen = analyse(data, vectors, options=AnalysisOptions(diffusion="auto"))
    print(
        f"    auto chooses {chosen.kind}: "
        + ", ".join(f"{t.kind} p {t.p:.1e}" for t in chosen.tried if t.p is not None)
    )
    both, vectors = ubiquitin("palmer500", "bmr4245_500")
    joint = analyse(both, vectors, options=AnalysisOptions(diffusion="axial"))
    warned = [f for f in joint.findings if f.level == "warn" and "inconsistent" in f.what]
    print(f"ubiquitin, BMRB 4245 (said to be 500 MHz) jointly: tau_c {joint.tau_c:.3f} ns")
    row("the disagreement is warned about", "yes" if warned else "no", "yes", bool(warned))
    for f in warned:
        print(f"    {f.found}")


def known_tensors() -> None:
    print("relax's noise-free rates (30 N-H, 4 fields), tensor fitted from the data alone, constants of relax")
    for name, (kind, _) in SYNTHETIC.items():
        data, vectors = synthetic(name)
        a = analyse(data, vectors, options=AnalysisOptions(diffusion=kind, models=SIMPLE, constants="relax"))  # type: ignore[arg-type]
        assert a.diffusion is not None
        off = np.abs(a.diffusion - truth(name)).max() * 6 * correlation_time(truth(name))
        row(f"{name}: largest |dD_ij| / D_iso", f"{off:.1e}", "1e-6", off <= 1e-6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--residues", type=int, default=20, help="that scipy fits (scaled up to 100)")
    parser.add_argument("--starts", type=int, default=10, help="of scipy for each model and residue")
    args = parser.parse_args()
    speed(args.residues, args.starts)
    against_relax()
    ubiquitin_tensor()
    known_tensors()
    print(f"bars not met: {', '.join(unmet) or 'none'}")


if __name__ == "__main__":
    main()
