"""What is known comes out: relax's synthetic tensors, relax's own fits of trHbN, ubiquitin's published tumbling."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consilience.nmr.analysis import Analysis, AnalysisOptions, analyse
from consilience.nmr.data import RelaxationData
from consilience.nmr.modelfree import parse_models
from consilience.nmr.read import read_relaxation
from consilience.nmr.vectors import amide_vectors
from consilience.structure.read import read_structure

SIMPLE = parse_models("m1..m5")
FEW = parse_models("m1,m2")  # enough for rigid residues
EIGENVALUES = {  # rad^2/ns, along the columns of `rotation`
    "spheroid_prolate": ("axial", (0.02, 0.02, 0.03)),
    "spheroid_oblate": ("axial", (0.02, 0.03, 0.03)),
    "ellipsoid": ("rhombic", (0.01, 0.02, 0.03)),
}


def rotation() -> np.ndarray:
    """Of the zyz angles 1.0, 2.0, 0.5 rad of those tensors."""

    def rz(a: float) -> np.ndarray:
        return np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])

    ry = np.array([[np.cos(2), 0, np.sin(2)], [0, 1, 0], [-np.sin(2), 0, np.cos(2)]])
    return (rz(1.0) @ ry @ rz(0.5)).T


def rates_in(folder: Path, fields: tuple[int, ...], suffix: str) -> RelaxationData:
    files = [folder / f"{kind}.{f}.{suffix}" for f in fields for kind in ("R1", "R2", "NOE")]
    return read_relaxation([p for p in files if p.exists()])


def synthetic(data_dir: Path, name: str, **options: Any) -> Analysis:
    folder = data_dir / "nmr" / "synth_relax" / name
    data = rates_in(folder, (500, 600, 700, 800), "out")
    vectors = amide_vectors(read_structure(folder / "uniform.pdb", strict=False), data.residues).vectors
    return analyse(data, vectors, None, AnalysisOptions(models=FEW, constants="relax", **options))


@pytest.mark.parametrize("name", EIGENVALUES)
def test_tensors_of_noise_free_data(data_dir: Path, name: str) -> None:
    kind, values = EIGENVALUES[name]
    a, axes = synthetic(data_dir, name, diffusion=kind), rotation()
    assert a.diffusion is not None and a.tumbling is not None and a.tumbling.converged
    truth = axes @ np.diag(values) @ axes.T
    assert np.abs(a.diffusion - truth).max() < 1e-6 * np.mean(values)
    assert np.allclose(a.s2, 1.0, atol=1e-6)


@pytest.mark.parametrize("start", [1.0, 3.0, 10.0, 30.0])
def test_a_sphere_from_any_start(data_dir: Path, start: float) -> None:
    a = synthetic(data_dir, "sphere", diffusion="iso", start_tau_c=start)
    assert a.tau_c == pytest.approx(1 / 0.12, rel=1e-6)


@pytest.mark.slow
def test_local_tumbling_of_a_sphere(data_dir: Path) -> None:
    a = synthetic(data_dir, "sphere", diffusion="local")
    assert a.diffusion is None and a.kind == "local"
    np.testing.assert_allclose(a.x[:, 5], 1 / 0.12, rtol=1e-5)
    np.testing.assert_allclose(a.s2, 1.0, atol=1e-5)


def test_trhbn_as_relax_fits_it(data_dir: Path) -> None:
    """Every residue: the same model, chi2 and S2; no solution is worse than that of relax."""
    folder = data_dir / "nmr" / "trhbn_bmr17226"
    reference = json.loads((folder / "relax_m1-m5.json").read_text())
    data = rates_in(folder, (500, 600, 800), "txt")
    data = data.select(rows=data.measured.all(axis=1))
    assert len(data.residues) == 100
    tau = reference["tm_s"] * 1e9
    a = analyse(data, options=AnalysisOptions(diffusion="iso", tau_c=tau, models=SIMPLE, constants="relax"))
    known = [reference["result"][str(r.number)] for r in data.residues]
    same = np.array([m == k["model"] for m, k in zip(a.models, known, strict=True)])
    assert same.sum() >= 98
    theirs = np.array([k["chi2"] for k in known])
    ours = a.fits.chi2[np.arange(100), [SIMPLE.index(k["model"]) for k in known]]
    assert np.all(ours <= theirs * (1 + 1e-6) + 1e-6)
    np.testing.assert_allclose(a.chi2[same], theirs[same], rtol=1e-6)
    np.testing.assert_allclose(a.s2[same], np.array([k["s2"] for k in known])[same], atol=1e-5)


@pytest.fixture(scope="module")
def ubiquitin(data_dir: Path) -> tuple[RelaxationData, np.ndarray]:
    folder = data_dir / "nmr" / "ubiquitin"
    data = read_relaxation(folder / "palmer500_R1R2NOE.txt", field_mhz=500.0)
    return data, amide_vectors(read_structure(folder / "1ubq_H.pdb"), data.residues).vectors


@pytest.mark.slow
def test_tumbling_of_ubiquitin(ubiquitin: tuple[RelaxationData, np.ndarray]) -> None:
    """Axis published with the program quadric, from R2/R1 at 600 MHz (Tjandra et al., JACS 117 (1995) 12562)."""
    found = [
        analyse(*ubiquitin, None, AnalysisOptions(diffusion="axial", models=SIMPLE, start_tau_c=start))
        for start in (None, 1.0, 3.0, 10.0, 30.0)
    ]
    a = found[0]
    assert a.axes is not None and a.tumbling is not None and a.tumbling.converged
    assert 4.1 <= a.tau_c <= 4.35 and 1.12 <= a.axes.ratio <= 1.21
    theta, phi = 0.72561, 0.84029
    axis = np.array([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)])
    assert np.degrees(np.arccos(abs(a.axes.axes[2] @ axis))) <= 5.0
    errors = a.tumbling.errors()
    assert errors["tau_c"] is not None and 0.005 < errors["tau_c"] < 0.05
    for other in found[1:]:
        assert other.tau_c == pytest.approx(a.tau_c, rel=1e-6)
        assert other.models == a.models


def test_fields_that_disagree_are_warned_about(data_dir: Path) -> None:
    folder = data_dir / "nmr" / "ubiquitin"
    both = read_relaxation([folder / f"{n}_R1R2NOE.txt" for n in ("palmer500", "bmr4245_500")], field_mhz=500.0)
    joint = analyse(both, options=AnalysisOptions(diffusion="iso", tau_c=4.2, models=("m1",)))
    warned = [f for f in joint.findings if f.level == "warn" and "inconsistent" in f.what]
    assert len(warned) == 1 and "R1 ratio 0.8" in warned[0].found
