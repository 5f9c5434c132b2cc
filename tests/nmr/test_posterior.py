"""Posterior samples against Laplace's errors, which must agree where the data determine the parameters well."""

from __future__ import annotations

import numpy as np
import pytest

from consilience.examples import example_path
from consilience.nmr.analysis import AnalysisOptions, analyse
from consilience.nmr.read import read_relaxation


@pytest.mark.slow
def test_samples_agree_with_the_curvature() -> None:
    pytest.importorskip("blackjax")
    from consilience.nmr.posterior import sample_posterior

    data = read_relaxation(example_path("relaxation/rates.csv"))
    data = data.select(columns=np.array([c.kind != "etaxy" for c in data.columns]))
    done = analyse(data, options=AnalysisOptions(tau_c=5.0, models=("m1", "m2")))
    row = next(i for i, m in enumerate(done.models) if m == "m2" and done.x[i, 3] > 4 * done.sigma[i, 3])
    found = sample_posterior(done, row, samples=1500, warmup=500)
    assert set(found) == {"s2s", "ts", "S2"}
    assert abs(found["S2"].mean() - done.s2[row]) < 0.3 * done.sigma[row, -1]
    assert found["S2"].std() == pytest.approx(done.sigma[row, -1], rel=0.15)
    assert found["ts"].std() == pytest.approx(done.sigma[row, 3], rel=0.2)
