"""What cross-correlated rates add: Fisher information, and errors and coverage of fits to synthetic residues."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import cases  # noqa: F401 - float64 first
import numpy as np
from synthetic import RELATIVE, Truth, simulate

from consilience.nmr.amide_constants import R_NH
from consilience.nmr.constants import constants_named
from consilience.nmr.data import Kind, RelaxationData
from consilience.nmr.diffusion import isotropic
from consilience.nmr.modelfree import PARAMETERS, starts
from consilience.nmr.residuefit import Experiment, Measured, Method, Tumbling, fit_models, jacobians
from consilience.nmr.uncertainty import laplace

CSA0, THETA0 = -165.0, np.radians(17.0)
PRIOR = np.array([[CSA0, 10.0], [THETA0, np.radians(4.0)]])
TAU_PRIOR = 0.3  # relative, of a local tau_c in the Fisher information: three rates do not determine four unknowns
CONSTANTS = constants_named("codata2022")
ARMS: dict[str, tuple[Kind, ...]] = {"none": (), "+eta_xy": ("etaxy",), "+eta_xy,eta_z": ("etaxy", "etaz")}
TRUTHS = {"as prior": (CSA0, 10.0, 17.0, 4.0), "biased": (-175.0, 15.0, 20.0, 6.0)}  # mean, sd of csa, theta (deg)
QUANTITIES = ("s2s", "rex", "tm", "csa", "theta")
SHOWN = ("S2", "Rex", "tau_c", "CSA", "theta")


@dataclass(frozen=True)
class Situation:
    """Fields (MHz), tumbling time (ns), whether it is each residue's own, whether CSA and its angle are held."""

    name: str
    fields: tuple[float, ...]
    tau_c: float
    local: bool = False
    held: bool = False

    @property
    def method(self) -> Method:
        names = ["s2s", "ts", "rex", *(["tm"] if self.local else []), *([] if self.held else ["csa", "theta"])]
        return Method(tuple(PARAMETERS.index(p) for p in names), self.local, True, CONSTANTS)

    @property
    def tumbling(self) -> Tumbling:
        return Tumbling.of(isotropic(self.tau_c))


SITUATIONS = (
    Situation("tau_c 5 ns known, 600", (600.0,), 5.0),
    Situation("tau_c 5 ns known, 500 + 800", (500.0, 800.0), 5.0),
    Situation("tau_c 5 ns local, 600", (600.0,), 5.0, local=True),
    Situation("tau_c 10 ns local, 600", (600.0,), 10.0, local=True),
    Situation("tau_c 5 ns local, 500 + 800", (500.0, 800.0), 5.0, local=True),
    Situation("tau_c 5 ns known, 600, CSA held", (600.0,), 5.0, held=True),
)


def measured(data: RelaxationData) -> Measured:
    n = len(data.residues)
    return Measured(data.value, 1 / data.sigma, np.tile([0.0, 0, 1], (n, 1)), np.tile([1.0, 0, 0], (n, 1)))


def data_of(truth: Truth, at: Situation, arm: str, seed: int) -> RelaxationData:
    """All arms get the same noise on the rates that they share."""
    every: tuple[Kind, ...] = ("R1", "R2", "NOE", "etaxy", "etaz")
    data = simulate(truth, at.tau_c, at.fields, np.random.default_rng(seed), every, RELATIVE, own_axis=True)
    return data.select(columns=np.array([c.kind in (*every[:3], *ARMS[arm]) for c in data.columns]))


def fisher(at: Situation, arm: str) -> dict[str, float | None]:
    """Standard deviations of a typical residue: S2 0.85, te 30 ps, Rex 1 s^-1 at the lowest field."""
    data = data_of(Truth.of(1, rex=1.0, csa=CSA0, theta=THETA0), at, arm, 0)
    x = np.array([[1.0, 0.85, 0.0, 0.03, 1.0, at.tau_c, CSA0, THETA0]])
    experiment = Experiment.of(data, CONSTANTS, PRIOR, R_NH)
    _, jac = jacobians(x, at.tumbling, measured(data), experiment, at.method)
    rows, names = np.asarray(jac)[0], [PARAMETERS[i] for i in at.method.active]
    if at.local:
        rows = np.vstack([rows, np.eye(len(names))[names.index("tm")] / (TAU_PRIOR * at.tau_c)])
    scale = np.linalg.norm(rows, axis=0)
    sd = np.sqrt(np.diag(np.linalg.inv((rows / scale).T @ (rows / scale)))) / scale
    found = dict(zip(names, sd, strict=True))
    found["theta"] = np.degrees(found["theta"]) if "theta" in found else None
    return {s: float(found[q]) if found.get(q) is not None else None for s, q in zip(SHOWN, QUANTITIES, strict=True)}


def draw(n: int, kind: str, seed: int) -> Truth:
    """Residues: S2 0.80 to 0.90, te 20 to 40 ps, Rex 0.5 to 1.5 s^-1, CSA and its angle as TRUTHS says."""
    rng = np.random.default_rng(seed)
    mean, sd, angle, spread = TRUTHS[kind]
    csa, theta = rng.normal(mean, sd, n), np.radians(np.abs(rng.normal(angle, spread, n)))
    return Truth.of(n, rng.uniform(0.8, 0.9, n), rng.uniform(0.02, 0.04, n), rng.uniform(0.5, 1.5, n), 1.0, csa, theta)


def fits(at: Situation, arm: str, kind: str, n: int, seed: int) -> dict[str, dict[str, float | None]]:
    """Fits of m4: root mean square error, coverage (%) of 95 % intervals (None: no interval), chi2/f, share on a bound.

    There is no prior on tau_c here.
    """
    truth = draw(n, kind, seed)
    data = data_of(truth, at, arm, seed + 1)
    experiment, residues = Experiment.of(data, CONSTANTS, PRIOR, R_NH), measured(data)
    made = starts(("m4",), at.tau_c, CSA0, THETA0, local=at.local, shielding=not at.held)
    found = fit_models(made, at.tumbling, residues, experiment, at.method)
    x, low, high = found.x[:, 0], np.tile(found.lower, (n, 1)), np.tile(found.upper, (n, 1))
    sigma = laplace(x, low, high, at.tumbling, residues, experiment, at.method).sigma
    rate = np.full(n, at.tau_c)
    true = {"s2s": truth.s2, "rex": truth.rex, "tm": rate, "csa": truth.csa, "theta": truth.theta}
    index = [PARAMETERS.index(q) for q in ("s2s", "ts", "rex")]
    bound = ((x <= low) | (x >= high))[:, index].any(1)
    freedom = len(data.columns) + (0 if at.held else 2) - len(at.method.active)
    out: dict[str, dict[str, float | None]] = {"rms": {}, "cover": {}, "fit": {}}
    out["fit"]["on a bound %"] = float(100 * bound.mean())
    out["fit"]["chi2/f"] = float(found.chi2[:, 0].mean() / freedom) if freedom > 0 else None
    for shown, q in zip(SHOWN, QUANTITIES, strict=True):
        i = PARAMETERS.index(q)
        if i not in at.method.active:
            continue
        error = x[:, i] - true[q]
        scale = 180 / np.pi if q == "theta" else 1.0
        out["rms"][shown] = float(scale * np.sqrt(np.mean(error**2)))
        within = np.abs(error) <= 1.959964 * sigma[:, i]
        undetermined = np.mean(np.isnan(sigma[:, i])) > 0.5
        out["cover"][shown] = None if undetermined else float(100 * np.mean(within))
    return out


def text(values: dict[str, float | None], names: tuple[str, ...], form: dict[str, str]) -> str:
    return " ".join(f"{values[k]:{form[k]}}" if values.get(k) is not None else f"{'-':>6}" for k in names)


SD = {"S2": "6.4f", "Rex": "6.3f", "tau_c": "6.3f", "CSA": "6.1f", "theta": "6.1f"}
PERCENT = dict.fromkeys(SHOWN, "6.0f")


def study(n: int, seed: int) -> list[dict]:
    """All situations and arms; each line is printed when it is done."""
    names, three = " ".join(f"{s:>6}" for s in SHOWN), " ".join(f"{s:>6}" for s in SHOWN[:3])
    errors = "R1 1 %, R2 1.5 %, NOE 0.02, eta_xy 2 %, eta_z 3 %"
    print(f"m4, {n} residues a line; {errors}; prior of CSA -165 +- 10 ppm, of its angle 17 +- 4 degrees")
    print(f"{'':<16}{'sd, Fisher information':<36}{'truth as the prior':<53}truth -175 +- 15 ppm, 20 +- 6 degrees")
    head = "  ".join([f"{'rms error':<20}", f"{'95 % covers':<20}", "chi2/f"])
    print(f"{'':<16}{'':<36}{head}   {head}")
    print(f"{'':<16}{names}  " + "  ".join([three, three, "      ", three, three]))
    out = []
    for at in SITUATIONS:
        print(at.name + (" (Fisher: tau_c +- 30 % beforehand; fits: nothing)" if at.local else ""))
        for arm in ARMS:
            line = {"situation": at.name, "arm": arm, "fisher": fisher(at, arm)}
            parts = [text(line["fisher"], SHOWN, SD)]
            for kind in TRUTHS:
                line[kind] = fits(at, arm, kind, n, seed)
                parts += [text(line[kind]["rms"], SHOWN[:3], SD), text(line[kind]["cover"], SHOWN[:3], PERCENT)]
                parts.append(text(line[kind]["fit"], ("chi2/f",), {"chi2/f": "6.1f"}))
            print(f"  {arm:<14}" + "  ".join(parts), flush=True)
            out.append(line)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--residues", type=int, default=1000, help="of each line")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="file for all numbers")
    args = parser.parse_args()
    found = study(args.residues, args.seed)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
