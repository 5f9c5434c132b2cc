"""The reports of jobs that no notebook writes, in headless Chromium: coarsen; spectrum and export; the tour's."""

from __future__ import annotations

from pathlib import Path

import pytest

import consilience as con
from consilience.examples import example_path

from ..jobs.test_coarsen import folder as peptides
from .reports import assert_sound
from .test_browser import chromium

__all__ = ["chromium", "peptides"]  # fixtures

FRAMES = example_path("molecule/frames.npz")


@pytest.mark.browser
def test_report_of_coarsen(peptides: Path, tmp_path: Path, chromium: str) -> None:
    con.coarsen(*(f"{peptides / n}.npz:{peptides / n}.pdb" for n in ("a", "b")), output=tmp_path / "coarsen")
    assert_sound(chromium, tmp_path / "browser", {"coarsen": tmp_path / "coarsen" / "report.html"})


@pytest.mark.slow
@pytest.mark.browser
def test_reports_of_a_potential_at_work(tiny_model: Path, tmp_path: Path, chromium: str) -> None:
    pytest.importorskip("ase")
    x = con.read_frames(FRAMES).positions[0]
    rows = [f"{e} {a:.6f} {b:.6f} {c:.6f}" for e, (a, b, c) in zip("COHH", x, strict=True)]
    xyz = tmp_path / "start.xyz"
    xyz.write_text("\n".join(["4", "formaldehyde", *rows]) + "\n")
    reference = example_path("molecule/harmonic.json")
    con.spectrum(tiny_model, xyz, reference=reference, md=400, replicas=2, output=tmp_path / "spectrum")
    con.export(tiny_model, xyz, to="ase", output=tmp_path / "export")
    reports = {p.parent.name: p for p in tmp_path.glob("*/report.html")}
    assert {"spectrum", "export"} <= set(reports)
    assert_sound(chromium, tmp_path / "browser", reports)


@pytest.mark.slow
@pytest.mark.browser
def test_the_tour_and_its_reports(tmp_path: Path, chromium: str) -> None:
    done = con.tour(output=tmp_path / "tour")
    wrong = [row for row in done.summary["results"] if not row["ok"]]
    assert done.summary["status"] == "ok" and not wrong, wrong
    reports = {str(p.parent.relative_to(tmp_path)).replace("/", "-"): p for p in tmp_path.rglob("report.html")}
    assert len(reports) >= 6
    assert_sound(chromium, tmp_path / "browser", reports)
