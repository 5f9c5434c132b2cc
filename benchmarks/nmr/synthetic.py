"""Synthetic relaxation data: residues with known parameters, rates at chosen fields, Gaussian errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from consilience.nmr.amide_constants import CSA, R_NH
from consilience.nmr.data import Column, Kind, RelaxationData, Residue
from consilience.nmr.diffusion import isotropic
from consilience.nmr.predict import predict_rates

RELATIVE: dict[Kind, float] = {"R1": 0.01, "R2": 0.015, "NOE": 0.02, "etaxy": 0.02, "etaz": 0.03}  # NOE: absolute


@dataclass(frozen=True)
class Truth:
    """Parameters (n,) of residues: s2, s2f, rex at the lowest field (s^-1), te or ts (ns), csa (ppm), theta (rad)."""

    s2: np.ndarray
    te: np.ndarray
    rex: np.ndarray
    s2f: np.ndarray
    csa: np.ndarray
    theta: np.ndarray

    @classmethod
    def of(cls, n: int, s2=0.85, te=0.03, rex=0.0, s2f=1.0, csa=CSA, theta=0.0) -> Truth:
        """Numbers are repeated for all residues."""
        return cls(*(np.broadcast_to(np.asarray(a, float), n) for a in (s2, te, rex, s2f, csa, theta)))


def truth_of(model: str, n: int, rng: np.random.Generator) -> Truth:
    """Residues of a folded protein that follow m1, m2, m3, m4 or m5; "m4 weak" has motions at the limit of detection.

    S2 0.75 to 0.92, te 20 to 80 ps, Rex 0.7 to 5 s^-1 at the lowest field; m5: S2f 0.80 to 0.90, S2s 0.65 to 0.85,
    ts 0.7 to 2 ns. All are several standard errors away from bounds, but for "m4 weak": te 5 to 20 ps, Rex 0.05 to
    0.5 s^-1.
    """
    if model == "m4 weak":
        return Truth.of(n, rng.uniform(0.75, 0.92, n), rng.uniform(0.005, 0.02, n), rng.uniform(0.05, 0.5, n))
    s2 = rng.uniform(0.75, 0.92, n)
    te = np.exp(rng.uniform(np.log(0.02), np.log(0.08), n)) if model in ("m2", "m4") else 0.0
    rex = np.exp(rng.uniform(np.log(0.7), np.log(5.0), n)) if model in ("m3", "m4") else 0.0
    if model != "m5":
        return Truth.of(n, s2, te, rex)
    s2f, s2s = rng.uniform(0.80, 0.90, n), rng.uniform(0.65, 0.85, n)
    return Truth.of(n, s2f * s2s, np.exp(rng.uniform(np.log(0.7), np.log(2.0), n)), 0.0, s2f)


def simulate(
    truth: Truth,
    tau_c: float,
    fields: tuple[float, ...],
    rng: np.random.Generator,
    kinds: tuple[Kind, ...] = ("R1", "R2", "NOE"),
    errors: dict[Kind, float] = RELATIVE,
    own_axis: bool = False,
) -> RelaxationData:
    """Data with noise of the errors that they state; `own_axis` puts the shielding tensor at theta from N-H."""
    n = len(truth.s2)
    nh = np.tile([0.0, 0.0, 1.0], (n, 1))
    axis = np.stack([np.sin(truth.theta), 0 * truth.theta, np.cos(truth.theta)], 1) if own_axis else None
    rates = predict_rates(
        nh, isotropic(tau_c), np.array(fields), s2=truth.s2, te=truth.te, s2f=truth.s2f, rex=truth.rex,
        csa=truth.csa, csa_axis=axis, r=R_NH,
    )  # fmt: skip
    columns = tuple(Column(k, f, "synthetic") for f in fields for k in kinds)
    exact = np.stack([np.asarray(rates[c.kind])[:, fields.index(c.field)] for c in columns], 1)
    share = np.array([errors[c.kind] for c in columns])
    absolute = np.array([c.kind == "NOE" for c in columns])
    sigma = np.where(absolute, share, share * np.abs(exact))
    value = exact + sigma * rng.standard_normal(exact.shape)
    return RelaxationData(tuple(Residue(i + 1) for i in range(n)), columns, value, sigma)
