"""consil simulate of a model of beads as a user runs it: plain runs, methods, units, failures, refusals."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import equinox as eqx
import numpy as np
import pytest

import consilience as con
from consilience.core.errors import InputError
from consilience.md.observables import radius_of_gyration
from consilience.md.trajectory_read import read_dcd
from consilience.potentials.beads.model import BeadModel, save_beads
from consilience.potentials.beads.prior import WEAKEST, empty_prior, walls

NAMES = ("ALA", "GLY", "SER", "LYS", "TRP", "VAL", "GLU", "PRO", "TYR", "ASP")


def hairpin() -> np.ndarray:
    """Two antiparallel strands of five, 5 Å apart."""
    up = np.stack([3.6 * np.arange(5), 0.6 * (-1.0) ** np.arange(5), np.zeros(5)], 1)
    down = up[::-1] + np.array([0, 5.0, 0.5])
    down[0] = up[-1] + np.array([1.2, 3.6, 0.2])
    return np.concatenate([up, down])


def start_file(folder: Path, gap: bool = False) -> Path:
    x = hairpin()
    lines = []
    for i, (name, at) in enumerate(zip(NAMES, x, strict=True)):
        number = i + 1 + (3 if gap and i > 4 else 0)
        at = at + (np.array([0, 6.0, 0]) if gap and i > 4 else 0)
        xyz = "".join(f"{v:8.3f}" for v in at)
        lines.append(f"ATOM  {i + 1:5d}  CA  {name} A{number:4d}    {xyz}  1.00  0.00           C")
    path = folder / ("gap.pdb" if gap else "start.pdb")
    path.write_text("\n".join([*lines, "TER", "END"]) + "\n")
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("beads") / "model"
    save_beads(folder, BeadModel(empty_prior(walls(2.6, 1.3), pair=False), (), None, {}))
    return folder


@pytest.fixture(scope="module")
def done(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("run")
    return con.simulate(model, start_file(folder), output=folder / "out", steps=20_000, every=50, cv="rg")


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_a_plain_run_is_langevin_dynamics_of_ca_atoms(done: Any) -> None:
    s = done.summary
    assert s["status"] == "ok" and s["stable"] is True and s["failure"] is None
    assert (s["ensemble"], s["dt_fs"], s["n_beads"], s["n_frames"]) == ("nvt", 5.0, 10, 401)
    assert s["unit"] == "kcal/mol/bead/ns, kcal/mol/bead" and s["drift"] is None
    assert s["temperature_mean"] == pytest.approx(300, abs=25) and s["temperature_p"] > 1e-3
    assert 3.0 < s["min_distance"] < 4.8  # not of bonds, which are 3.8 Å
    assert 0.02 < s["bond_rms"] < 0.15 and s["bond_max"] < 0.5
    table = rows(done.folder / "observables.csv")
    assert list(table[0]) == ["step", "E", "T", "time_fs", "E_pot", "E_kin", "Rg", "RMSD", "Q"]
    assert float(table[0]["RMSD"]) < 1e-3 and float(table[0]["Q"]) > 0.9 and float(table[-1]["RMSD"]) > 1
    kinetic = np.array([float(r["E_kin"]) for r in table])
    assert kinetic.mean() == pytest.approx(1.5 * 10 * 0.0019872 * 300, rel=0.1)  # kcal/mol
    x = read_dcd(done.folder / "trajectory.dcd").positions
    rg = np.asarray(radius_of_gyration(x))
    np.testing.assert_allclose([float(r["Rg"]) for r in table], rg, atol=1e-4)
    st = con.read_structure(done.folder / "topology.pdb")
    assert [r.name for c in st.hierarchy[0] for r in c] == list(NAMES)
    assert {a.name for c in st.hierarchy[0] for r in c for a in r} == {"CA"}
    free = rows(done.folder / "free_energy.csv")
    assert list(free[0]) == ["Rg", "F_kcal_mol", "error_kcal_mol"]
    assert min(float(r["F_kcal_mol"]) for r in free if r["F_kcal_mol"]) == 0
    page = (done.folder / "report.html").read_text()
    assert "free-energy" in page and "trace-Q" in page


def test_constant_energy_is_kept(model: Path, tmp_path: Path) -> None:
    s = con.simulate(model, start_file(tmp_path), output=tmp_path / "out", steps=4000, ensemble="nve", dt=2.0).summary
    assert s["stable"] is True and s["n_beads"] == 10
    assert s["energy_rms"] < 0.02 and abs(s["drift"]) < 5 * s["drift_err"] + 0.05


def test_a_chain_break_has_no_bond_and_interrupted_runs_go_on(model: Path, tmp_path: Path, monkeypatch: Any) -> None:
    start = start_file(tmp_path, gap=True)
    whole = con.simulate(model, start, output=tmp_path / "whole", steps=3000, every=100)
    assert any("missing" in w for w in whole.summary["warnings"])
    last = read_dcd(whole.folder / "trajectory.dcd").positions[-1]
    assert np.linalg.norm(last[5] - last[4]) > 5

    from consilience.jobs.simulate import beads_methods as simulate_beads_methods

    monkeypatch.setattr(simulate_beads_methods, "_block", lambda beads: 500)
    small = con.simulate(model, start, output=tmp_path / "small", steps=3000, every=100)
    from consilience.jobs.simulate import files as simulate_files

    real, seen = simulate_files.Recording.write, []

    def stops(self: Any, *args: Any) -> None:
        real(self, *args)
        seen.append(0)
        if len(seen) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(simulate_files.Recording, "write", stops)
    with pytest.raises(KeyboardInterrupt):
        con.simulate(model, start, output=tmp_path / "cut", steps=3000, every=100)
    monkeypatch.setattr(simulate_files.Recording, "write", real)
    con.simulate(model, start, output=tmp_path / "cut", steps=3000, every=100, resume=True)
    for name in ("observables.csv", "trajectory.dcd"):
        assert (tmp_path / "cut" / name).read_bytes() == (small.folder / name).read_bytes()


@pytest.mark.parametrize(("method", "cv", "keys"), [
    ("remd", "rg", {"temperatures", "acceptance", "rungs_climbed"}),
    ("metad", "rmsd", {"hills"}),
    ("umbrella", "q", {"windows", "overlap", "independent_samples"}),
])  # fmt: skip
@pytest.mark.slow
def test_methods_write_free_energies(model: Path, tmp_path: Path, method: str, cv: str, keys: set[str]) -> None:
    steps = 1500 if method == "umbrella" else 6000
    done = con.simulate(model, start_file(tmp_path), output=tmp_path / "out", steps=steps, every=50, method=method,
                        cv=cv, replicas=5)  # fmt: skip
    s = done.summary
    assert s["status"] == "ok" and s["stable"] is True and keys <= s.keys()
    free = rows(done.folder / "free_energy.csv")
    known = [float(r["F_kcal_mol"]) for r in free if r["F_kcal_mol"]]
    assert len(known) >= 5 and min(known) == 0 and max(known) < 60
    table = rows(done.folder / "observables.csv")
    if method == "remd":
        assert s["temperatures"][0] == 300 and s["temperatures"][-1] == pytest.approx(450)
        assert all(0.1 < a <= 1 for a in s["acceptance"])
        assert len(table) == 5 * (6000 // 50 + 1)
        assert (done.folder / "trajectory-5.dcd").exists()
    if method == "umbrella":
        assert s["windows"] == [0, 0.25, 0.5, 0.75, 1] and {r["window"] for r in table} == {
            f"{k}.0" for k in range(1, 6)
        }


def test_a_model_without_walls_is_caught_and_its_term_named(tmp_path: Path) -> None:
    """Excluded volume as an attraction: beads fall into one another."""
    prior = empty_prior(walls(2.6, 1.3), pair=False)
    bad = eqx.tree_at(lambda p: p.excluded_volume, prior, -20.0 * WEAKEST)
    save_beads(tmp_path / "bad", BeadModel(bad, (), None, {}))
    done = con.simulate(tmp_path / "bad", start_file(tmp_path), output=tmp_path / "out", steps=20_000)
    s = done.summary
    assert s["status"] == "checks_failed" and s["stable"] is False
    assert s["failure"]["term"] == "excluded_volume" and len(s["failure"]["atoms"]) == 2
    assert s["failure"]["step"] == s["n_steps"] > 0
    assert set(s["failure"]["term_energies"]) >= {"bond", "angle", "dihedral", "excluded_volume"}
    assert (done.folder / "failure.extxyz").exists()
    json.dumps(s, allow_nan=False)


@pytest.mark.parametrize(("change", "what"), [
    ({"engine": "openmm"}, "does not run beads"),
    ({"method": "remd", "ensemble": "nve"}, "constant temperature"),
    ({"method": "remd", "t_max": 200.0}, "t-max is out of range"),
])  # fmt: skip
def test_what_cannot_be_is_refused(model: Path, tmp_path: Path, change: dict[str, Any], what: str) -> None:
    with pytest.raises(InputError, match=what):
        con.simulate(model, start_file(tmp_path), output=tmp_path / "out", steps=10, **change)
    assert not (tmp_path / "out").exists()


def test_a_reference_of_another_length_is_refused(model: Path, tmp_path: Path) -> None:
    other = tmp_path / "short.pdb"
    other.write_text("\n".join(start_file(tmp_path).read_text().splitlines()[:6]) + "\nEND\n")
    with pytest.raises(InputError, match="another number of beads"):
        con.simulate(model, start_file(tmp_path), output=tmp_path / "out", steps=10, reference=other)


def test_a_short_bond_at_the_start_is_told_of_and_no_failure(model: Path, tmp_path: Path) -> None:
    """As of a cis peptide: 2.9 Å between two CA atoms."""
    start = start_file(tmp_path)
    lines = start.read_text().splitlines()
    atoms = [i for i, line in enumerate(lines) if line.startswith("ATOM")]
    place = np.array([[float(lines[i][k : k + 8]) for k in (30, 38, 46)] for i in atoms])
    step = place[5] - place[4]
    place[5:] -= (np.linalg.norm(step) - 2.9) * step / np.linalg.norm(step)
    for i, x in zip(atoms, place, strict=True):
        lines[i] = lines[i][:30] + "".join(f"{v:8.3f}" for v in x) + lines[i][54:]
    start.write_text("\n".join(lines) + "\n")
    done = con.simulate(model, start, output=tmp_path / "out", steps=2000, every=20)
    assert done.summary["stable"] is True and any("cis peptide" in w for w in done.summary["warnings"])
