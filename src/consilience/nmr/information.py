"""What each kind of data is expected to tell before anything is fitted: Fisher information with and without it."""

from __future__ import annotations

import numpy as np

from consilience.nmr.data import KINDS, RelaxationData
from consilience.nmr.modelfree import PARAMETERS
from consilience.nmr.residuefit import Experiment, Measured, Method, Tumbling, jacobians

NOMINAL = {"s2f": 1.0, "s2s": 0.85, "tf": 0.0, "ts": 0.03, "rex": 1.0}
MOST = 20.0  # nats
TARGETS = {"S2": "s2s", "Rex": "rex", "CSA": "csa", "tau_c": "tm"}


def expected_information(
    data: RelaxationData,
    residues: Measured,
    experiment: Experiment,
    method: Method,
    tau_c: float,
    csa: float,
    theta: float,
    *,
    local: bool,
) -> dict[str, dict[str, float]]:
    """{kind: {quantity: nats}}: median over residues of ln(sigma without / sigma with) for tau_c, S2, Rex, CSA.

    For a typical residue (S2 0.85, te 30 ps, Rex 1 s^-1) with the data's own errors, at isotropic tumbling of tau_c ns;
    S2, te, Rex, CSA and its angle are free, the last two with their priors; so is the tumbling time of each residue
    (`local`), or one tumbling time of all. Gains are cut at 20 nats: the quantity is undetermined without that kind.
    """
    free = tuple(PARAMETERS.index(p) for p in ("s2s", "ts", "rex", "tm", "csa", "theta"))
    everything = Method(free, True, method.own_axis, method.constants)
    n = len(residues.y)
    x = np.tile([{**NOMINAL, "tm": tau_c, "csa": csa, "theta": theta}[p] for p in PARAMETERS], (n, 1))
    tumbling = Tumbling(np.array([1 / tau_c]), np.zeros((1, 0)))
    _, jac = jacobians(x, tumbling, residues, experiment, everything)
    jac = np.asarray(jac)
    priors = jac[:, residues.y.shape[1] :]
    kinds = np.array([c.kind for c in data.columns])

    def sigmas(used: np.ndarray) -> np.ndarray:
        """(n, free) standard errors with the columns `used`."""
        j = jac[:, : residues.y.shape[1]][:, used]
        fisher = np.einsum("nma,nmb->nab", j, j) + np.einsum("nma,nmb->nab", priors, priors)
        if not local:  # one tumbling time: what the other residues say of it, as a prior
            t = free.index(PARAMETERS.index("tm"))
            rest = [k for k in range(len(free)) if k != t]
            inner = np.linalg.pinv(fisher[:, rest][:, :, rest], rcond=1e-12, hermitian=True)
            cross = fisher[:, t, rest]
            own = fisher[:, t, t] - np.einsum("na,nab,nb->n", cross, inner, cross)
            fisher[:, t, t] += np.maximum(own, 0).sum() - np.maximum(own, 0)
        d = np.sqrt(np.maximum(np.einsum("naa->na", fisher), 1e-300))
        scaled = fisher / d[:, :, None] / d[:, None, :]
        value, vector = np.linalg.eigh(scaled)
        covariance = np.einsum("nak,nk,nbk->nab", vector, 1 / np.maximum(value, 1e-14), vector)
        return np.sqrt(np.einsum("naa->na", covariance)) / d

    with_all = sigmas(np.ones(len(kinds), bool))
    out: dict[str, dict[str, float]] = {}
    for kind in KINDS:
        if kind not in kinds:
            continue
        without = sigmas(kinds != kind)
        gain = np.median(np.log(without / with_all), axis=0)
        out[kind] = {
            name: float(np.clip(gain[free.index(PARAMETERS.index(p))], 0.0, MOST)) for name, p in TARGETS.items()
        }
    return out
