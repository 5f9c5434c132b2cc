"""Model-free models m0-m9: which parameters each frees, their bounds, and where a fit starts.

The names are those of the program relax (d'Auvergne & Gooley, J. Biomol. NMR 40 (2008) 107): m1 {S2}, m2 {S2, te},
m3 {S2, Rex}, m4 {S2, te, Rex}, m5 {S2f, S2, ts}, m6 {S2f, tf, S2, ts}, m7 = m5 + Rex, m8 = m6 + Rex, m0 {}, m9 {Rex}.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from consilience.core.errors import InputError

# S2 = s2f s2s; ts is te of the simple models; times ns, rex s^-1 at the lowest field, csa ppm, theta (CSA to N-H) rad
PARAMETERS = ("s2f", "s2s", "tf", "ts", "rex", "tm", "csa", "theta")
FREE: dict[str, tuple[str, ...]] = {
    "m0": (),
    "m1": ("s2s",),
    "m2": ("s2s", "ts"),
    "m3": ("s2s", "rex"),
    "m4": ("s2s", "ts", "rex"),
    "m5": ("s2f", "s2s", "ts"),
    "m6": ("s2f", "s2s", "tf", "ts"),
    "m7": ("s2f", "s2s", "ts", "rex"),
    "m8": ("s2f", "s2s", "tf", "ts", "rex"),
    "m9": ("rex",),
}
EXTENDED = ("m5", "m6", "m7", "m8")
MODELS = tuple(FREE)
TF_MAX, REX_MAX = 0.2, 300.0  # ns, s^-1
TM_RANGE = (0.05, 200.0)  # ns
CSA_RANGE, THETA_RANGE = (-300.0, -50.0), (0.0, np.pi / 3)
TS_BEYOND = 2.0  # internal motion slower than this many tumbling times is not looked for (as relax)
ELIMINATED = 1.5  # and slower than this it is not believed (as relax)

_SIMPLE = ((0.85, 0.03), (0.6, 0.6), (0.3, 1.0), (0.95, 2.0))  # S2, te
# S2f, S2s, ts; the last one stands on the bound S2f = 1, where these models are simple ones: a minimum behind a ridge
_EXTENDED = ((0.8, 0.6, 1.5), (0.85, 0.85, 0.8), (0.9, 0.4, 0.3), (0.9, 0.8, 4.0), (1.0, 0.85, 0.03))
_STARTS: dict[str, tuple[dict[str, float], ...]] = {
    "m0": ({},),
    "m1": ({"s2s": 0.85}, {"s2s": 0.4}),
    "m2": tuple({"s2s": s, "ts": t} for s, t in _SIMPLE),
    "m3": ({"s2s": 0.85, "rex": 0.3}, {"s2s": 0.6, "rex": 3.0}),
    "m4": (*({"s2s": s, "ts": t, "rex": 0.5} for s, t in _SIMPLE), {"s2s": 0.7, "ts": 0.03, "rex": 4.0}),
    "m5": tuple({"s2f": f, "s2s": s, "ts": t} for f, s, t in _EXTENDED),
    "m6": tuple({"s2f": f, "s2s": s, "ts": t, "tf": 0.02} for f, s, t in _EXTENDED),
    "m7": tuple({"s2f": f, "s2s": s, "ts": t, "rex": 0.5} for f, s, t in _EXTENDED),
    "m8": tuple({"s2f": f, "s2s": s, "ts": t, "tf": 0.02, "rex": 0.5} for f, s, t in _EXTENDED),
    "m9": ({"rex": 1.0},),
}
_TM_FACTORS = (0.6, 1.0, 1.7)


@dataclass(frozen=True)
class Starts:
    """One row for each start of each model: `model` (s,) number in `models`, x, lower, upper (s, 8) of PARAMETERS."""

    models: tuple[str, ...]
    model: np.ndarray
    x: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    @property
    def active(self) -> tuple[int, ...]:
        """Numbers of the parameters that any model frees."""
        return tuple(int(i) for i in np.flatnonzero(np.any(self.upper > self.lower, axis=0)))

    def count(self) -> np.ndarray:
        """(models,) number of parameters that each frees; csa and theta have priors of their own and do not count."""
        own = np.isin(np.arange(len(PARAMETERS)), [PARAMETERS.index(p) for p in ("csa", "theta")])
        free = (self.upper > self.lower) & ~own
        return np.array([free[self.model == k][0].sum() for k in range(len(self.models))])


def parse_models(text: str) -> tuple[str, ...]:
    """Models from "m1..m5", "m1-m5" or "m1,m2,m4". Raises InputError for a name that does not exist."""
    out: list[str] = []
    for part in text.replace(" ", "").replace("..", "-").split(","):
        first, dash, last = part.partition("-")
        if first not in FREE or (dash and last not in FREE):
            raise InputError("unknown model-free model", found=part, expected="m0 to m9, e.g. m1..m5 or m1,m2,m4")
        here = MODELS.index(first)
        out += MODELS[here : (MODELS.index(last) if dash else here) + 1]
    return tuple(dict.fromkeys(out))


def starts(
    models: Sequence[str], tau_c: float, csa: float, theta: float, *, local: bool = False, shielding: bool = False
) -> Starts:
    """Starts of all models at a tumbling time near tau_c ns.

    csa ppm and theta rad are the values where they are held; `shielding` frees them, `local` frees the tumbling time of
    each residue.
    """
    fixed = dict(zip(PARAMETERS, (1.0, 1.0, 0.0, 0.0, 0.0, tau_c, csa, theta), strict=True))
    longest = TS_BEYOND * (TM_RANGE[1] if local else tau_c)
    bounds = {"s2f": (0.0, 1.0), "s2s": (0.0, 1.0), "tf": (0.0, TF_MAX), "ts": (0.0, longest), "rex": (0.0, REX_MAX)}
    bounds |= {"tm": TM_RANGE, "csa": CSA_RANGE, "theta": THETA_RANGE}
    more = (("tm",) if local else ()) + (("csa", "theta") if shielding else ())
    number, x, low, high = [], [], [], []
    for k, name in enumerate(models):
        free = FREE[name] + more
        for given in _STARTS[name]:
            for factor in _TM_FACTORS if local else (1.0,):
                here = {**fixed, **given, "tm": tau_c * factor}
                number.append(k)
                x.append([here[p] for p in PARAMETERS])
                low.append([bounds[p][0] if p in free else here[p] for p in PARAMETERS])
                high.append([bounds[p][1] if p in free else here[p] for p in PARAMETERS])
    return Starts(tuple(models), np.array(number), np.array(x), np.array(low), np.array(high))
