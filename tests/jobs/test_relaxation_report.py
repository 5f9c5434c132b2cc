"""The report of a relaxation analysis: sections, key figures, hostile names as text, its size, and that it draws."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consilience.examples import example_path
from consilience.jobs.relaxation.axis import residue_axis
from consilience.jobs.relaxation.cards import cards, expected_time
from consilience.jobs.relaxation.dynamics_plots import dynamics_plots
from consilience.jobs.relaxation.rate_plots import agreement_plots, rate_plots
from consilience.jobs.relaxation.report import relaxation_page, tensor_arrows
from consilience.jobs.relaxation.tables import held_out_table, outlier_table, tumbling_table
from consilience.nmr.analysis import Analysis, AnalysisOptions, analyse
from consilience.nmr.data import KINDS, Column, RelaxationData, Residue
from consilience.nmr.diffusion import principal_axes, tensor
from consilience.nmr.predict import predict_rates
from consilience.nmr.vectors import amide_vectors
from consilience.report.page import Goto, Page, Plot, Viewer
from consilience.report.render import render_page
from consilience.structure.atoms import Structure
from consilience.structure.read import read_structure

from ..report.test_browser import chromium, look

__all__ = ["chromium"]  # a fixture

HOSTILE = "</script><script>window.__xss=1</script><img src=x onerror=window.__xss=2>"
FIELDS = (500.0, 800.0)
D = tensor((0.026, 0.028, 0.044), np.eye(3)[[2, 0, 1]])  # rad^2/ns
S2 = np.linspace(0.95, 0.55, 12)


@pytest.fixture(scope="module")
def structure() -> Structure:
    return read_structure(example_path("crystal/true.pdb"))


def simulated(structure: Structure, kinds=("R1", "R2", "NOE"), chain: str = "") -> RelaxationData:
    """Residues 22 to 33 at two fields, 2 % errors without noise, one value ten errors off."""
    residues = tuple(Residue(n, "", chain) for n in range(22, 34))
    nh = amide_vectors(structure, residues).vectors
    found = predict_rates(1.02 * nh, D, np.array(FIELDS), s2=S2, te=0.02)
    columns = tuple(Column(k, f, "made up") for k in kinds for f in FIELDS)
    value = np.stack([np.asarray(found[c.kind])[:, FIELDS.index(c.field)] for c in columns], 1)
    sigma = np.maximum(0.02 * np.abs(value), 0.01)
    value[4, 1] += 10 * sigma[4, 1]
    value[7, 0] = np.nan
    return RelaxationData(residues, columns, value, sigma, files=("made up/rates.csv",))


def fitted(structure: Structure, data: RelaxationData, **options: Any) -> Analysis:
    return analyse(
        data, amide_vectors(structure, data.residues).vectors, None, AnalysisOptions(models=("m1", "m2"), **options)
    )


def summary_of(result: Analysis) -> dict[str, Any]:
    names = result.models
    return {
        "status": "ok",
        "warnings": ["something was noticed"],
        "seed": 0,
        "tau_c_ns": result.tau_c,
        "tau_c_err": None,
        "diffusion": result.axes.as_dict() if result.axes else None,
        "n_residues": len(names),
        "chi2": float(result.chi2.sum()),
        "chi2_reduced": 1.2,
        "models": {m: names.count(m) for m in set(names)},
        "information": result.information,
        "fits_per_s": 1000.0,
        "scores": {"nmr.R1": {"work": {"n": 3, "chi2_per_datum": 1.0, "rms": 0.1}, "steer": {}, "free": {}}},
    }


@pytest.fixture(scope="module")
def result(structure) -> Analysis:
    return fitted(structure, simulated(structure), tensor=D)


@pytest.fixture(scope="module")
def page(result, structure) -> Page:
    truth = {"τc": (result.tau_c, result.tau_c, "ns")}
    return relaxation_page(result, summary_of(result), structure, truth)


def test_sections_and_cards(page):
    assert [s.title for s in page.sections] == [
        "Recovered against true",
        "Tumbling",
        "Rates",
        "Dynamics",
        "On the structure",
        "Agreement",
        "Spectral densities",
        "What each kind of data tells",
        "Consistency between fields",
        "Choices",
    ]
    labels = {c.label: c for c in page.cards}
    assert len(page.cards) == 8 and labels["χ² per degree of freedom"].band == "good"
    assert labels["Residues"].value == 12
    assert labels["Residues with simple models"].value == 100.0
    assert labels["Tumbling time τc"].note == "held fixed"
    assert "made up/rates.csv" in page.next_command and "--montecarlo" in page.next_command
    assert "rates.csv" in page.subtitle and "500, 800 MHz" in page.subtitle
    ids = [b.id for s in page.sections for b in s.blocks if isinstance(b, Plot)]
    assert {"rate-r1", "rate-r2", "rate-noe", "r2r1", "s2", "te", "models", "fit-r1", "j-zero", "information"} <= set(
        ids
    )


def test_plots_hold_what_was_measured(result, structure):
    axis = residue_axis(result.data.residues, structure)
    assert list(axis.x) == list(range(22, 34)) and axis.names[0].endswith(" 22") and len(axis.names[0]) == 6
    assert axis.goto[0] == Goto("A", 22) and any(s["type"] == "rect" for s in axis.strip)
    r1 = rate_plots(result, axis)[0]
    points = r1.traces[0]
    np.testing.assert_allclose(points["y"], result.data.value[:, 0])
    np.testing.assert_allclose(points["error_y"]["array"][:7], result.data.sigma[:7, 0])
    assert r1.table_fallback is not None and len(r1.table_fallback.rows) == 12
    for plot in agreement_plots(result, axis):
        assert all(np.isfinite(t["x"]).all() and np.isfinite(t["y"]).all() for t in plot.traces)
    s2 = dynamics_plots(result, axis)[0].traces[0]
    far = np.arange(12) != 4
    np.testing.assert_allclose(np.asarray(s2["y"])[far], S2[far], atol=0.01)


def test_the_outlier_is_named_and_leads_to_the_view(result, structure):
    table = outlier_table(result, residue_axis(result.data.residues, structure))
    worst = table.rows[0]
    assert worst.goto == Goto("A", 26) and worst.cells[1:3] == ("R₁", "800 MHz")
    assert 3 < worst.cells[6] <= 10


def test_axes_stand_in_the_structure(result, structure):
    arrows = tensor_arrows(result, structure)
    values = principal_axes(D, "rhombic").values
    ends = [np.subtract(a.end, a.start) for a in arrows]
    lengths = np.linalg.norm(ends, axis=1)
    np.testing.assert_allclose(lengths / lengths[2], values / values[2], rtol=1e-6)
    assert abs(np.dot(ends[2], [0, 1, 0])) == pytest.approx(lengths[2])
    centres = np.array([np.add(a.end, a.start) / 2 for a in arrows])
    assert np.ptp(centres, axis=0).max() < 1e-6
    assert "Dz 4.40" in arrows[2].label


@pytest.mark.slow
def test_a_fitted_sphere_without_a_model(structure):
    data = replace(simulated(structure), files=())
    result = fitted(structure, data, diffusion="iso")
    page = relaxation_page(result, summary_of(result))
    assert "On the structure" not in [s.title for s in page.sections]
    assert not [b for s in page.sections for b in s.blocks if isinstance(b, Viewer)]
    assert "nan" not in render_page(page).split("page-data")[1].split("<script>")[0].lower()
    labels = {c.label: c for c in cards(result, summary_of(result))}
    assert labels["Tumbling time τc"].value == pytest.approx(1 / (2 * np.trace(D)), rel=0.1)
    rows = tumbling_table(result).rows
    assert rows[0][2] > 0 and [r[0] for r in rows] == ["τc = 1/(2 tr D)", "Dx", "Dy", "Dz"]


@pytest.mark.slow
def test_local_tumbling_and_cross_correlations(structure):
    result = fitted(structure, simulated(structure, KINDS, "X"), diffusion="local")
    page = relaxation_page(result, summary_of(result), structure)
    ids = {b.id for s in page.sections for b in s.blocks if isinstance(b, Plot)}
    assert {"rate-etaxy", "rate-etaz", "fit-etaxy", "csa", "tm"} <= ids
    assert not tensor_arrows(result, structure)
    render_page(page)


def test_hostile_names_stay_text_and_the_size_is_bounded(result, structure):
    residues = tuple(Residue(r.number, HOSTILE, HOSTILE) for r in result.data.residues)
    columns = tuple(Column(c.kind, c.field, HOSTILE) for c in result.data.columns)
    doubled = (*columns, columns[0])

    def more(a: np.ndarray) -> np.ndarray:
        return np.concatenate([a, a[:, :1]], 1)

    d = result.data
    data = RelaxationData(residues, doubled, more(d.value), more(d.sigma), files=(HOSTILE,))
    bad = replace(result, data=data, back=more(result.back))
    summary = {**summary_of(result), "warnings": [HOSTILE], "models": {HOSTILE: 3}}
    html = render_page(
        relaxation_page(bad, summary, replace(structure, source=HOSTILE), {HOSTILE: (1.0, 1.0, HOSTILE)})
    )
    assert "<img" not in html.split("<body>")[1].split('id="page-data"')[0]
    assert "<script>window" not in html and "&lt;img" in html
    assert len(html.encode()) < 4_000_000


def test_rates_that_were_held_out_are_scored(result):
    free = {"n": 12, "chi2_per_datum": 1.5, "rms": 0.1}
    table = held_out_table({"nmr.etaxy": {"work": {}, "steer": {}, "free": free}, **summary_of(result)["scores"]})
    assert table is not None and [r[:3] for r in table.rows] == [("η xy", 12, 1.5)]
    assert held_out_table(summary_of(result)["scores"]) is None


def test_expected_times():
    assert expected_time(76) == pytest.approx(5.0, abs=0.1)


@pytest.mark.browser
@pytest.mark.slow
def test_everything_is_drawn_without_an_error(chromium: str, tmp_path: Path, page: Page):
    seen = look(chromium, tmp_path, page)
    assert seen["errors"] == 0, seen["last"]
    assert seen["console"] == []
    plots = [b for s in page.sections for b in s.blocks if isinstance(b, Plot)]
    assert seen["state"]["plots"] == str(len(plots))
    assert seen["state"]["viewer"] == "drawn" and seen["message"] == ""
    assert seen["before"]["share"] > 1.05 * seen["bare"]["share"] > 0.005  # the axes were drawn, and can be hidden
    assert "of chain A" in seen["status"]
