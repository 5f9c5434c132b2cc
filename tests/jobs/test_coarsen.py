"""consil coarsen on small peptides of known mean forces: files, figures, transfer of maps, and what is refused."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from consilience.cli import main
from consilience.coarse.read import read_beads
from consilience.core.errors import InputError
from consilience.jobs.coarsen.job import coarsen
from consilience.jobs.coarsen.options import CoarsenOptions, pairs_of
from consilience.jobs.common.options import RunOptions
from consilience.units import KCAL_MOL


def _peptides() -> ModuleType:
    """tests/coarse/peptide.py: the tests are no package."""
    path = Path(__file__).parents[1] / "coarse" / "peptide.py"
    spec = importlib.util.spec_from_file_location("coarse_peptide", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["coarse_peptide"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three peptides, a.npz with a.pdb and so on; the first twice, as two runs of one molecule."""
    place = tmp_path_factory.mktemp("peptides")
    made = _peptides()
    for name, sequence, seed in (
        ("a", ("ALA", "GLY", "SER", "ALA", "GLY"), 1),
        ("a2", ("ALA", "GLY", "SER", "ALA", "GLY"), 4),
        ("b", ("GLY", "ALA", "ALA", "SER"), 2),
        ("c", ("SER", "ALA", "GLY", "GLY", "ALA", "ALA"), 3),
    ):
        made.peptide(sequence).write(place, 200, seed=seed, name=name)
    return place


def test_several_proteins(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    inputs = [f"{folder / n}.npz:{folder / n}.pdb" for n in ("a", "a2", "b")]
    assert main(["coarsen", *inputs, "-o", str(out)]) == 0
    assert "warn" not in "".join(capsys.readouterr()).lower()
    summary = json.loads((out / "summary.json").read_text())
    assert summary["n_frames"] == 600 and summary["n_beads"] == 9 and summary["verb"] == "coarsen"
    assert [p["name"] for p in summary["proteins"]] == ["a", "b"] and summary["proteins"][0]["trajectories"] == 8
    assert summary["mapping"]["forces"] == "shared" and summary["mapping"]["validity"] < 1e-9
    by_map = summary["force_rms_by_map"]
    assert summary["force_rms"] == by_map["shared"] < 0.85 * by_map["basic"] and "slice" in by_map
    assert summary["noise_floor_kcal_A"] < summary["force_rms"]
    beads, findings = read_beads(out / "beads.npz")
    assert not findings and [b.name for b in beads] == ["a", "b"] and len(beads[0]) == 400
    assert beads[1].residues == ("GLY", "ALA", "ALA", "SER")
    for name in ("map.json", "prior.json", "histograms.csv", "report.html", "manifest.json", "job.yaml", "log.txt"):
        assert (out / name).is_file()
    terms = json.loads((out / "prior.json").read_text())["terms"]
    assert {t["kind"] for t in terms} == {"bond", "angle", "dihedral", "distance"}
    # the map serves a third protein, and its beads pass `consil check`
    other = tmp_path / "other"
    command = ["coarsen", str(folder / "c.npz"), "--force-map", str(out / "map.json"), "-o", str(other)]
    assert main(command) == 0
    there = json.loads((other / "summary.json").read_text())
    assert there["force_rms"] < 0.8 * there["force_rms_by_map"]["basic"]
    assert there["mapping"]["fitted_on"] == ["a", "b"] and there["proteins"][0]["coverage"] > 0.9
    assert main(["check", str(other / "beads.npz")]) == 0
    assert main(command) == 2  # the folder exists


def test_forces_are_the_mean_forces(folder: Path, tmp_path: Path) -> None:
    """<F . d> over a canonical ensemble is -3 kT for the displacement of every bead."""
    made = coarsen([folder / "a.npz"], run=RunOptions(output=tmp_path / "out"))
    assert made.summary["mapping"]["mean_force_z"] < 2.0
    beads = made.proteins[0]
    assert beads.forces is not None
    d = beads.positions - beads.positions.mean(0)
    ratio = -(beads.forces * d).sum(2).mean(0) / (3 * 8.617333e-5 * 300)
    np.testing.assert_allclose(ratio, 1.0, atol=0.35)
    np.testing.assert_allclose(read_beads(tmp_path / "out/beads.npz")[0][0].forces, beads.forces, rtol=1e-5, atol=1e-6)


def test_maps_of_ones_own_and_the_slice(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text("beads: [{atoms: [N, H, CA, HA], name: BB}, {atoms: [C, O], name: CO}]\n")
    options = CoarsenOptions(map=str(tmp_path / "map.yaml"), stride=2)
    made = coarsen([folder / "a.npz"], options=options, run=RunOptions(output=tmp_path / "one"))
    assert made.summary["n_beads"] == 10 and made.summary["n_frames"] == 100
    assert made.proteins[0].residues == ("BB", "CO") * 5 and made.summary["mapping"]["forces"] == "optimal"
    assert made.proteins[0].masses[0] == pytest.approx(14.007 + 12.011 + 2 * 1.008, abs=0.01)
    assert made.summary["mapping"]["validity"] < 1e-9
    sliced = coarsen([folder / "a.npz"], options=CoarsenOptions(forces="slice"), run=RunOptions(output=tmp_path / "s"))
    assert any("not valid" in w for w in sliced.summary["warnings"])


def test_bad_usage(folder: Path, tmp_path: Path) -> None:
    npz, pdb = str(folder / "a.npz"), folder / "a.pdb"
    assert pairs_of((npz,), None) == [(Path(npz), pdb)] and pairs_of((f"{npz}:{pdb}",), None) == [(Path(npz), pdb)]
    (tmp_path / "lone.npz").write_bytes(Path(npz).read_bytes())
    with pytest.raises(InputError, match="no topology"):
        pairs_of((str(tmp_path / "lone.npz"),), None)
    (tmp_path / "map.json").write_text('{"schema_version": 1, "kind": "basic", "shared": null}')
    with pytest.raises(InputError, match="no force map for other proteins"):
        coarsen([npz], options=CoarsenOptions(force_map=tmp_path / "map.json"))
    for bad in ({"stride": 0}, {"temperature": -1.0}, {"forces": "basic", "force_map": pdb}):
        with pytest.raises(InputError):
            CoarsenOptions(**bad).checked()
    assert main(["coarsen", npz, "--map", str(tmp_path / "none.yaml")]) == 2


def test_chignolin_is_quick(data_dir: Path, tmp_path: Path) -> None:
    place = data_dir / "cg" / "chignolin"
    made = coarsen([f"{place}.npz:{place}.pdb"], run=RunOptions(output=tmp_path / "out"))
    summary = made.summary
    assert summary["wall_s"] < 20 and summary["force_rms"] < 12.2 and 8.0 < summary["noise_floor_kcal_A"] < 8.7
    assert summary["mapping"]["mean_force_z"] < 2.0 and not summary["warnings"]
    forces = made.proteins[0].forces
    assert forces is not None and np.sqrt(np.mean(forces**2)) / KCAL_MOL < 14.0
