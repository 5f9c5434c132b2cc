"""Defects of relaxation data, each class on its own: what is said, at what level, and what becomes of the values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consilience.core.errors import Finding
from consilience.nmr.data import Column, RelaxationData, Residue
from consilience.nmr.plausible import noe_limit
from consilience.nmr.quality import count_data, inspect_relaxation
from consilience.nmr.rate_units import to_rates

from .relaxation_files import NAMES, rates


def make(
    changes: dict[tuple[str, int], tuple[float, float]] | None = None, fields: tuple[float, ...] = (600.0,)
) -> RelaxationData:
    columns = tuple(Column(k, f, "file") for f in fields for k in ("R1", "R2", "NOE"))  # type: ignore[arg-type]
    cells = np.array([[rates(c.field)[c.kind][n] for c in columns] for n in NAMES])
    for (kind, n), new in (changes or {}).items():
        cells[list(NAMES).index(n), [c.kind for c in columns].index(kind)] = new
    residues = tuple(Residue(n, name) for n, name in NAMES.items())
    return RelaxationData(residues, columns, cells[..., 0], cells[..., 1], (), ("file",))


def one(data: RelaxationData) -> Finding:
    found = inspect_relaxation(data).findings
    assert len(found) == 1, [str(f) for f in found]
    return found[0]


def test_clean_data_pass_in_silence() -> None:
    data = make(fields=(500.0, 800.0))
    assert inspect_relaxation(data).findings == () and count_data(data) == []


@pytest.mark.parametrize(
    ("kind", "new", "level", "words"),
    [
        ("R1", (-1.9, 0.05), "error", ["negative", "LYS 5", "-1.9"]),
        ("R2", (-5.0, 0.05), "error", ["negative", "R2"]),
        ("R1", (0.0, 0.05), "error", ["positive"]),
        ("NOE", (7.83, 0.03), "warn", ["7.83", "range", "LYS 5"]),
        ("NOE", (-9.0, 0.03), "warn", ["range"]),
        ("NOE", (0.95, 0.01), "note", ["slow tumbling"]),
        ("R1", (23.5, 0.05), "warn", ["range"]),
        ("R1", (0.23, 0.05), "warn", ["decimal point"]),
        ("R2", (1.2, 0.05), "warn", ["R2 is less than R1"]),
        ("R2", (5.4, 0.0), "warn", ["zero", "2 %"]),
        ("R2", (5.4, -0.1), "warn", ["zero or negative"]),
        ("NOE", (0.7, np.nan), "warn", ["missing", "0.02"]),
        ("NOE", (0.02, 5.0), "note", ["larger than the value"]),
        ("R1", (2.4, 3.0), "note", ["larger than the value"]),
    ],
)
def test_single_defects(kind: str, new: tuple[float, float], level: str, words: list[str]) -> None:
    data = make({(kind, 5): new})
    text = str(one(data) if kind != "R1" or new[0] < 20 else inspect_relaxation(data).findings[0])
    assert inspect_relaxation(data).findings[0].level == level and all(w in text for w in words), text
    sigma = inspect_relaxation(data).sigma
    assert np.all(sigma[np.isfinite(sigma)] > 0)


def test_columns_that_are_wrong_as_a_whole() -> None:
    data = make()
    percent = data.value * np.array([1.0, 1.0, 100.0])
    assert "percent" in str(
        one(RelaxationData(data.residues, data.columns, percent, data.sigma * [1.0, 1.0, 100.0], (), ("f",)))
    )
    swapped = RelaxationData(data.residues, data.columns, data.value[:, [1, 0, 2]], data.sigma, (), ("f",))
    found = one(swapped)
    assert found.level == "error" and "R2 is less than R1" in found.what
    no_errors = RelaxationData(data.residues, data.columns, data.value, data.sigma * [np.nan, 1.0, 1.0], (), ("f",))
    assert one(no_errors).what.startswith("R1 600 MHz: all errors")
    assert np.allclose(inspect_relaxation(no_errors).sigma[:, 0], 0.02 * data.value[:, 0])
    odd = RelaxationData(data.residues, tuple(c._replace(field=14.1) for c in data.columns), data.value, data.sigma)
    assert all("600 MHz" in f.fix for f in inspect_relaxation(odd).findings)
    rising = make(fields=(500.0, 800.0))
    columns = tuple(c._replace(field=1300.0 - c.field) for c in rising.columns)
    rising = RelaxationData(rising.residues, columns, rising.value, rising.sigma, (), ("f",))
    assert "rises with the field" in one(rising).what


def test_rates_that_do_not_fit_together() -> None:
    data = make()
    for j, factor in ((0, 1 / 2.38**2), (1, 1000.0 / 5.44**2)):  # T1 in s, T2 in ms, both called rates
        scale = np.ones(3)
        scale[j] = factor
        wrong = RelaxationData(data.residues, data.columns, data.value * scale, data.sigma * scale, (), ("f",))
        assert "do not fit together" in one(wrong).what
    copied = RelaxationData(data.residues, data.columns * 2, np.tile(data.value, 2), np.tile(data.sigma, 2), (), ("f",))
    assert ["same values" in f.what for f in inspect_relaxation(copied).findings] == [True] * 3
    again = RelaxationData(data.residues, copied.columns, copied.value * 1.01, copied.sigma, (), ("f",))
    again.value[:, :3] /= 1.01
    assert {f.level for f in inspect_relaxation(again).findings} == {"note"}


def test_prolines_are_left_out() -> None:
    data = make()
    residues = tuple(r._replace(name="PRO") if r.number == 6 else r for r in data.residues)
    data = RelaxationData(residues, data.columns, data.value, data.sigma, (), ("f",))
    assert one(data).level == "warn" and "PRO 6" in one(data).where
    assert not inspect_relaxation(data).measured[4].any()


def test_too_few_data() -> None:
    data = make()
    few = data.select(rows=np.arange(2), columns=np.array([0]))
    found = count_data(few)
    assert found[0].level == "error" and "2 data, 3 parameters" in found[0].what and "m0" in found[0].fix
    assert [f.level for f in count_data(data.select(columns=np.array([0, 1])))] == ["warn"]
    assert [f.level for f in count_data(data.select(rows=np.array([3]), columns=np.array([0, 1])))] == ["error"]


def test_limit_of_the_noe() -> None:
    assert 0.78 < noe_limit(500.0) < noe_limit(600.0) < noe_limit(800.0) < noe_limit(1200.0) < 0.92


@given(st.lists(st.tuples(*[st.floats(width=64)] * 6), min_size=1, max_size=8), st.floats())
def test_any_numbers_give_findings(cells: list[tuple[float, ...]], field: float) -> None:
    numbers = np.array(cells)
    numbers[~np.isfinite(numbers)] = np.nan
    columns = tuple(Column(k, field, "f") for k in ("R1", "R2", "NOE"))  # type: ignore[arg-type]
    residues = tuple(Residue(i) for i in range(len(cells)))
    data = inspect_relaxation(RelaxationData(residues, columns, numbers[:, :3], numbers[:, 3:], (), ("f",)))
    assert np.all(data.sigma[data.measured] > 0) and count_data(data) is not None
    for unit in ("ms", ".", "us-1"):
        to_rates("R1", numbers[:, 0], numbers[:, 3], unit, "f")
