"""consil optimize and consil spectrum: a known molecule, dynamic spectra, references, refusals."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import consilience as con
from consilience.cli import main
from consilience.core.errors import InputError
from consilience.examples import example_path

FRAMES, HARMONIC = example_path("molecule/frames.npz"), example_path("molecule/harmonic.json")


@pytest.fixture(scope="module")
def done(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("spectrum") / "run"
    return con.spectrum(tiny_model, FRAMES, output=folder, md=8000, replicas=2, reference=str(HARMONIC))


def test_optimize(tiny_model: Path, tmp_path: Path) -> None:
    run = con.optimize(tiny_model, FRAMES, output=tmp_path / "run", fmax=1e-5)
    s = run.summary
    assert s["status"] == "ok" and s["converged"] is True and s["max_force"] <= 1e-5 and 0 < s["rmsd"] < 0.3
    known = json.loads(HARMONIC.read_text())
    assert s["energy"] == pytest.approx(known["energy_eV"], abs=0.02)
    out = con.read_frames(run.folder / "optimized.extxyz")
    assert out.energy is not None and out.energy[0] == pytest.approx(s["energy"], abs=1e-8)
    model = con.load_model(tiny_model).with_precision(64)
    assert np.abs(model.forces(out.positions[0], out.numbers[0])).max() < 2e-5
    assert len(con.read_frames(run.folder / "path.extxyz", strict=False)) == s["steps"] + 1 == len(run.path)
    distance = np.linalg.norm(run.positions[0] - run.positions[1])
    true = np.array(known["positions_A"])
    assert distance == pytest.approx(np.linalg.norm(true[0] - true[1]), abs=0.01)


def test_optimize_that_does_not_get_there_exits_3(tiny_model: Path, tmp_path: Path, capsys: Any) -> None:
    command = ["optimize", str(tiny_model), str(FRAMES), "-o", str(tmp_path / "run"), "--max-steps", "2", "--json"]
    assert main(command) == 3
    out, err = capsys.readouterr()
    assert json.loads(out)["converged"] is False and "not relaxed" in err


def test_harmonic_keys_and_files(done: Any) -> None:
    s = done.summary
    assert len(s["harmonic_cm1"]) == len(s["ir_km_mol"]) == 6 and s["n_imaginary"] == 0 and not s["linear"]
    table = list(csv.DictReader((done.folder / "harmonic.csv").read_text().splitlines()))
    assert list(table[0]) == ["mode", "cm1", "ir_km_mol"]
    assert [float(r["cm1"]) for r in table] == s["harmonic_cm1"]
    assert [r["reference_cm1"] for r in s["reference"]] == json.loads(HARMONIC.read_text())["frequencies_cm1"]
    off = [abs(r["cm1"] - r["reference_cm1"]) for r in s["reference"]]
    assert s["reference_mae_cm1"] == pytest.approx(np.mean(off)) and s["reference_mae_cm1"] < 40
    for r in s["reference"]:
        # a small model, whose fit rounds differently on every processor: of the right size, no more
        assert r["ir_km_mol"] == pytest.approx(r["reference_ir_km_mol"], rel=0.8, abs=10)
    assert s["zero_point_energy"] == pytest.approx(0.5 * 1.239841984e-4 * sum(s["harmonic_cm1"]))
    page = (done.folder / "report.html").read_text()
    assert "Mean deviation of frequencies" in page and "reference (below)" in page


def test_spectra_of_dynamics_have_the_bands_and_their_strength(done: Any) -> None:
    s = done.summary
    rows = list(csv.DictReader((done.folder / "spectrum.csv").read_text().splitlines()))
    assert list(rows[0]) == ["cm1", "ir_harmonic", "ir", "ir_err", "power", "power_err"]
    c = {k: np.array([float(r[k]) for r in rows]) for k in rows[0]}
    width = c["cm1"][1]
    harmonic = np.array(s["harmonic_cm1"])
    for f in harmonic:
        assert np.abs(np.array(s["peaks"]["power"]) - f).min() < 60, f
    assert width * c["ir_harmonic"].sum() == pytest.approx(sum(s["ir_km_mol"]), rel=0.02)
    assert width * c["ir"].sum() == pytest.approx(sum(s["ir_km_mol"]), rel=0.5)
    kt = 8.617333262e-5 * s["dynamics"]["temperature"]
    assert width * c["power"].sum() == pytest.approx(6 * kt / 2, rel=0.1)
    assert s["peaks_cm1"] == s["peaks"]["ir"]


def test_a_trajectory_gives_the_same_bands(done: Any, tiny_model: Path, tmp_path: Path) -> None:
    start = done.folder / "optimized.extxyz"
    kept: dict[str, Any] = {"steps": 6000, "every": 4, "temperature": 600}
    for kind in ("dcd", "extxyz"):
        run = con.simulate(tiny_model, start, output=tmp_path / kind, format=kind, **kept)
        found = con.spectrum(
            tiny_model, start, output=tmp_path / f"of-{kind}", trajectory=run.folder / f"trajectory.{kind}"
        ).summary
        assert found["dynamics"]["frames"] == 1501 and found["dynamics"]["frame_fs"] == pytest.approx(2, rel=1e-4)
        for f in found["harmonic_cm1"][2:4]:
            assert np.abs(np.array(found["peaks"]["power"]) - f).min() < 60
        assert found["warnings"] == []
    with pytest.raises(InputError, match="another molecule"):
        (tmp_path / "h2.xyz").write_text("2\npbc=F\nH 0 0 0\nH 0 0 0.8\n")
        con.spectrum(tiny_model, tmp_path / "h2.xyz", trajectory=tmp_path / "dcd/trajectory.dcd")


def test_a_saddle_point_is_told(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stretched molecule is no minimum: not relaxed and with imaginary frequencies."""
    from consilience.md import optimise

    real = optimise.optimise
    monkeypatch.setattr(optimise, "optimise", lambda *a, **k: real(*a, **{**k, "max_steps": 0}))
    x = con.read_frames(FRAMES).positions[0].copy()
    x[2] += 0.7 * (x[2] - x[0])
    text = "4\npbc=F\n" + "".join(f"{e} {a:.6f} {b:.6f} {c:.6f}\n" for e, (a, b, c) in zip("COHH", x, strict=True))
    (tmp_path / "far.xyz").write_text(text)
    run = con.spectrum(tiny_model, tmp_path / "far.xyz", output=tmp_path / "run")
    assert run.summary["status"] == "checks_failed" and run.summary["n_imaginary"] > 0
    assert any("imaginary" in w for w in run.summary["warnings"])
    assert any("not relaxed" in w for w in run.summary["warnings"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"freq_cm1": [1, 2]}', "another number of modes"),
        ('{"ir_km_mol": [1]}', "no frequencies"),
        ('{"frequencies_cm1": [1, 2, "x", 4, 5, 6]}', "no list of finite numbers"),
        ('{"frequencies_cm1": [1, 2, 3, 4, 5, 6], "ir_km_mol": [1]}', "number of intensities"),
        ('{"frequencies_cm1": [1, 2, 3, 4, 5, 6], "masses_amu": [16, 12, 1, 1]}', "of other atoms"),
        ('{"frequencies_cm1": [1, 2, 3, 4, 5, 6], "masses_amu": [12, 16, 1]}', "of other atoms"),
        ("{", "JSON"),
    ],
)
def test_references_that_cannot_be(tiny_model: Path, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(InputError, match=message):
        con.spectrum(tiny_model, FRAMES, reference=tmp_path / "r.json")


def test_a_reference_brings_its_isotopes(tiny_model: Path, tmp_path: Path) -> None:
    """13C and one D: all frequencies fall, one C-H stretch by a quarter."""
    light = con.spectrum(tiny_model, FRAMES, output=tmp_path / "light").summary["harmonic_cm1"]
    said = {"frequencies_cm1": light, "masses_amu": [13.00335, 15.9949, 2.01410, 1.00783]}
    (tmp_path / "r.json").write_text(json.dumps(said))
    s = con.spectrum(tiny_model, FRAMES, output=tmp_path / "d", reference=tmp_path / "r.json").summary
    assert all(r["difference_cm1"] < -1.0 for r in s["reference"])
    stretch = s["reference"][-2]["difference_cm1"] / light[-2]  # C-D for C-H
    assert -0.30 < stretch < -0.20, stretch


def test_another_conformation_of_the_reference_is_told(tiny_model: Path, tmp_path: Path) -> None:
    """Formaldehyde that is folded is another molecule, one with its hydrogens in another order the same."""
    said = json.loads(HARMONIC.read_text())
    x = np.array(said["positions_A"])
    folded = x.copy()
    folded[3] = x[2] + [0.0, 0.0, 0.6]
    for shape, told in ((x, False), (x[[0, 1, 3, 2]], False), (-x, False), (folded, True)):
        (tmp_path / "r.json").write_text(json.dumps({**said, "positions_A": shape.tolist()}))
        done = con.spectrum(tiny_model, FRAMES, output=tmp_path / "d", overwrite=True, reference=tmp_path / "r.json")
        assert any("another conformation" in w for w in done.summary["warnings"]) == told


def test_options_that_cannot_be(tiny_model: Path, tmp_path: Path) -> None:
    for given, message in (({"md": 10}, "too few steps"), ({"md": 1000, "trajectory": "x"}, "both give frames")):
        with pytest.raises(InputError, match=message):
            con.spectrum(tiny_model, FRAMES, **given)


def test_real_references_are_read(data_dir: Path) -> None:
    from consilience.jobs.common.start import masses_of
    from consilience.jobs.spectrum.reference import read_reference

    files = sorted(data_dir.glob("qm/*/*_harmonic.json"))
    assert len(files) >= 7
    for path in files:
        modes = len(json.loads(path.read_text())["freq_cm1"])
        found = read_reference(path, {modes}, masses_of(json.loads(path.read_text())["Z"]))
        assert found.ir_km_mol is not None and (np.diff(found.cm1) >= 0).all() and found.path == path
