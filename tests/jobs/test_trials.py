"""Verdicts on evidence, and the words of the leave-one-term-out table, from figures that are known."""

from __future__ import annotations

import numpy as np
import pytest

from consilience.jobs.joint.leave_one_out import in_words
from consilience.jobs.joint.trials import judged, paired


def test_paired_differences() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=400)
    noise = rng.normal(size=400)
    assert paired(a, a) == 0.0
    assert abs(paired(a, a + 0.1 * noise)) < 4.0
    assert paired(a + 0.1, a + 0.1 * noise) > 10.0
    assert paired(a, a + 0.1 + 0.1 * noise) < -10.0
    assert paired(a[:4], a[:4] + noise[:4]) == 0.0


@pytest.mark.parametrize(
    ("gains", "bond", "used"),
    [
        ({"xray": 0.5, "nmr": 2.0}, 0.8, True),
        ({"xray": -3.0, "nmr": 2.0}, 0.8, False),  # others are predicted worse
        ({"xray": 0.5, "nmr": -1.5}, 0.8, False),  # what was held out of it does not follow
        ({"xray": 0.5, "nmr": 2.0}, 1.2, False),  # it strains the bonds
        ({"xray": 0.5, "nmr": 2.0}, 1.0, True),  # within what is allowed
    ],
)
def test_verdicts(gains: dict[str, float], bond: float, used: bool) -> None:
    found = judged("nmr", gains, bond, 0.8)
    assert found.used == used
    assert found.reason.startswith("used" if used else "not used")


def test_words() -> None:
    z = {"bond": 0.8}
    helps = in_words("nmr", {"xray": 3.1, "nmr": 9.0}, z, z)
    assert (
        helps.startswith("nmr helps") and "free score of xray (+3.1" in helps and "own free score gains +9.0" in helps
    )
    assert in_words("nmr", {"xray": 0.3}, z, z).startswith("nmr does nothing measurable for the others")
    assert in_words("nmr", {"xray": -2.5, "potential": 4.0}, z, z).startswith("nmr hurts")
    assert "holds the geometry" in in_words("geometry", {"xray": 0.0}, {"bond": 3.0}, z)
