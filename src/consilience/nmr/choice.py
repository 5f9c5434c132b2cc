"""The models of all residues at one tumbling: fitted, judged and chosen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from consilience.nmr.modelfree import PARAMETERS, Starts
from consilience.nmr.residuefit import ResidueFits, Tumbling, fit_models, polish
from consilience.nmr.selection import choose, criterion, eliminated
from consilience.nmr.setup import AnalysisOptions, Setup


@dataclass(frozen=True)
class Outcome:
    """Models of all residues at one tumbling: fits, criterion (n, models), what was eliminated, and the choice (n,)."""

    starts: Starts
    fits: ResidueFits
    values: np.ndarray
    out: np.ndarray
    chosen: np.ndarray

    @property
    def best(self) -> np.ndarray:
        """(n,) criterion of the chosen models."""
        return np.take_along_axis(self.values, self.chosen[:, None], 1)[:, 0]


def modes_of(s: Setup, diffusion: np.ndarray) -> Tumbling:
    """Modes of a tensor as the compiled programs of this analysis take them."""
    return Tumbling.of(diffusion, collapse=s.method.collapse)


def fit_and_choose(
    s: Setup, tumbling: Tumbling, tau_c: float, options: AnalysisOptions, near: Outcome | None = None
) -> Outcome:
    """Fit and judge all models at one tumbling, from many starts or from the solutions of an outcome nearby."""
    made = s.starts(tau_c)
    arguments = (made, tumbling, s.residues, s.experiment, s.method)
    fits = fit_models(*arguments) if near is None else polish(near.fits.x, *arguments)
    count = np.sum(s.residues.w > 0, axis=1)
    values = criterion(fits.chi2, made.count(), count, options.select)
    tm = fits.x[..., PARAMETERS.index("tm")] if s.method.local else np.full(fits.chi2.shape, tau_c)
    out = eliminated(fits, made, tm)
    return Outcome(made, fits, values, out, choose(values, out))
