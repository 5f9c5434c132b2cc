"""How far atoms may be from where they were refined to, and which evidence says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gemmi
import numpy as np

from consilience.core.fit import Fit
from consilience.core.laplace import laplace
from consilience.core.objective import Objective

PROBES = 24


@dataclass(frozen=True)
class CoordinateErrors:
    """Standard uncertainty (n,) Å of a coordinate of each atom, r.m.s. of the three.

    `share` {term: (n,)}: of the precision of an atom, one in sum over the terms. `indefinite` of `probes` met a
    direction in which the fit is at no minimum.
    """

    sigma: np.ndarray
    share: Mapping[str, np.ndarray]
    probes: int
    indefinite: int

    @property
    def summary(self) -> dict[str, Any]:
        """What summary.json says of it."""
        share = {term: float(np.mean(s)) for term, s in self.share.items()}
        low, median, high = (float(v) for v in np.quantile(self.sigma, (0.05, 0.5, 0.95)))
        return {"median_A": median, "p5_A": low, "p95_A": high, "share": share, "probes": self.probes,
                "indefinite": self.indefinite}  # fmt: skip

    def rows(self, structure: gemmi.Model) -> list[dict[str, Any]]:
        """One for each atom, as errors.csv has them."""
        atoms = ((c.name, str(r.seqid), r.name, a.name) for c in structure for r in c for a in r)
        keys = ("chain", "residue", "name", "atom")
        return [
            {**dict(zip(keys, names, strict=True)), "sigma_A": float(self.sigma[i])}
            | {f"share_{term}": float(s[i]) for term, s in self.share.items()}
            for i, names in enumerate(atoms)
        ]

    def of_residues(self, structure: gemmi.Model) -> list[dict[str, float]]:
        """sigma (r.m.s.) and shares of each residue, in file order."""
        out, first = [], 0
        for chain in structure:
            for residue in chain:
                rows = slice(first, first + len(residue))
                first += len(residue)
                sigma = float(np.sqrt(np.mean(self.sigma[rows] ** 2)))
                out.append({"sigma": sigma} | {t: float(np.mean(s[rows])) for t, s in self.share.items()})
        return out


def coordinate_errors(done: Fit, seed: int) -> CoordinateErrors | None:
    """From the Hessian of the joint objective at the end of a fit, all its active blocks; None if no atom moved.

    Data count with their Fisher information (`expected` of their terms), restraints and potentials with their Hessian.
    Scale, solvent, error model and contacts are held as they are; weights count as they are. Raises RunError where the
    fit is at no minimum.
    """
    last = next((h for h in reversed(done.history) if "xyz" in h["active"]), None)
    if last is None:
        return None
    weights = {t: float(w) for t, w in last["weights"].items() if w > 0}
    terms, obs = {t: done.state.terms[t] for t in weights}, dict(done.state.obs)
    for name, term in terms.items():
        if hasattr(term, "expected"):
            terms[name], obs[name] = term.expected(done.model, obs[name])
    objective = Objective(terms, obs, weights)
    found = laplace(objective, done.model, last["active"], "xyz", probes=PROBES, seed=seed)
    share = {t: np.mean(s, axis=1) for t, s in found.share.items()}
    return CoordinateErrors(np.sqrt(np.mean(found.variance, axis=1)), share, found.probes, found.indefinite)
