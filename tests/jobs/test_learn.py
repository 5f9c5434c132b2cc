"""consil learn on a small peptide: where its members disagree, what OpenMM says of these frames, and one round."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
import pytest

import consilience as con
from consilience.cli import main
from consilience.coarse.beadmap import alpha_map
from consilience.coarse.beads import Beads
from consilience.coarse.forcemap import ForceMap, basic_map, check_valid
from consilience.coarse.meanforce import MeanForces, mean_force_error, pooled_error
from consilience.coarse.read import read_beads
from consilience.coarse.read_atoms import read_atoms
from consilience.coarse.write import write_beads
from consilience.jobs.learn.options import FORCE_FIELD, LearnOptions
from consilience.jobs.learn.pick import Explored, disagreement, explore, pick, sound
from consilience.jobs.learn.train import learned_name, precision_weights, read_labelled, train_options, write_labelled
from consilience.jobs.train_beads.sets import LEARNED, split_in_time
from consilience.potentials.beads.model import BeadModel, NetworkShape, save_beads
from consilience.potentials.beads.prior import empty_prior, walls

SEQUENCE = ("ALA", "GLY", "ALA", "SER")
FRAMES = 24


def network(seed: int, shape: NetworkShape) -> Any:
    """A random network whose forces are not small."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda a: np.asarray(a + 0.2 * rng.normal(size=a.shape), a.dtype) if eqx.is_inexact_array(a) and a.ndim else a,
        shape.build(seed),
    )


def ensemble(members: int = 2) -> BeadModel:
    shape = NetworkShape(cutoff=8.0, features=8, channels=4)
    networks = tuple(network(k, shape) for k in range(members))
    return BeadModel(empty_prior(walls(2.6, 1.4)), networks, shape, {"model": "hybrid"})


def some_beads(frames: int = 12) -> Beads:
    """As many beads as the peptide has: programs are compiled once."""
    rng = np.random.default_rng(2)
    n = len(SEQUENCE)
    t = np.radians(95.0) * np.arange(n)
    x = np.stack([2.3 * np.cos(t), 2.3 * np.sin(t), 1.55 * np.arange(n)], 1) + rng.normal(0, 0.1, (frames, n, 3))
    return Beads("chain", ("ALA", "GLY", "TRP", "LYS"), np.zeros(n, int), np.arange(n), x,
                 0.1 * rng.normal(size=x.shape), np.full(frames, 300.0), np.arange(frames) // 4)  # fmt: skip


@pytest.fixture(scope="module")
def peptide(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Frames of a peptide with rigid bonds to hydrogen, and its PDB file, as a simulation leaves them."""
    openmm = pytest.importorskip("openmm")
    from openmm import app, unit

    folder = tmp_path_factory.mktemp("peptide")
    (folder / "heavy.pdb").write_text(heavy_atoms(SEQUENCE))
    made = app.ForceField(*FORCE_FIELD)
    file = app.PDBFile(str(folder / "heavy.pdb"))
    model = app.Modeller(file.topology, file.positions)
    model.addHydrogens(made, platform=openmm.Platform.getPlatformByName("Reference"))
    system = made.createSystem(model.topology, nonbondedMethod=app.NoCutoff, constraints=app.HBonds)
    context = openmm.Context(system, openmm.LangevinMiddleIntegrator(300.0, 5.0, 0.002),
                             openmm.Platform.getPlatformByName("Reference"))  # fmt: skip
    context.getIntegrator().setRandomNumberSeed(3)
    context.setPositions(model.positions)
    openmm.LocalEnergyMinimizer.minimize(context, 10.0, 300)
    context.setVelocitiesToTemperature(300.0, 4)
    context.getIntegrator().step(500)
    x, f = [], []
    for _ in range(FRAMES):
        context.getIntegrator().step(50)
        state = context.getState(getPositions=True, getForces=True)
        x.append(state.getPositions(asNumpy=True).value_in_unit(unit.angstrom))
        f.append(state.getForces(asNumpy=True).value_in_unit(unit.kilocalorie_per_mole / unit.angstrom))
    tied = [system.getConstraintParameters(k)[:2] for k in range(system.getNumConstraints())]
    arrays = {"pos": x, "frc": f, "temp": np.full(FRAMES, 300.0), "traj": np.arange(FRAMES) * 3 // FRAMES}
    np.savez(folder / "pep.npz", constraints=np.array(tied), units="angstrom, kcal/mol/angstrom", **arrays)
    with open(folder / "pep.pdb", "w") as handle:
        app.PDBFile.writeFile(model.topology, np.array(x[0]) * unit.angstrom, handle)
    return folder / "pep.npz", folder / "pep.pdb"


def heavy_atoms(sequence: tuple[str, ...]) -> str:
    """A PDB file of an extended chain, by ideal bonds, angles and torsions."""
    place: dict[tuple[int, str], np.ndarray] = {
        (0, "N"): np.zeros(3),
        (0, "CA"): np.array([1.46, 0.0, 0.0]),
        (0, "C"): np.array([1.46 + 1.52 * np.cos(np.radians(69)), 1.52 * np.sin(np.radians(69)), 0.0]),
    }

    def put(k: int, name: str, chain: list[tuple[int, str]], bond: float, angle: float, torsion: float) -> None:
        a, b, c = (place[p] for p in chain)
        u = (c - b) / np.linalg.norm(c - b)
        n = np.cross(b - a, u)
        n /= np.linalg.norm(n)
        t, p = np.radians(180 - angle), np.radians(torsion)
        place[k, name] = c + bond * (np.cos(t) * u + np.sin(t) * (np.cos(p) * np.cross(n, u) + np.sin(p) * n))

    for k, res in enumerate(sequence):
        if k:
            put(k, "N", [(k - 1, "N"), (k - 1, "CA"), (k - 1, "C")], 1.33, 116.0, 140.0)
            put(k, "CA", [(k - 1, "CA"), (k - 1, "C"), (k, "N")], 1.46, 122.0, 180.0)
            put(k, "C", [(k - 1, "C"), (k, "N"), (k, "CA")], 1.52, 111.0, -120.0)
        put(k, "O", [(k, "N"), (k, "CA"), (k, "C")], 1.23, 120.0, -40.0)
        if res != "GLY":
            put(k, "CB", [(k, "N"), (k, "C"), (k, "CA")], 1.53, 110.0, 122.7)
        if res == "SER":
            put(k, "OG", [(k, "N"), (k, "CA"), (k, "CB")], 1.42, 110.0, -60.0)
    last = len(sequence) - 1
    put(last, "OXT", [(last, "N"), (last, "CA"), (last, "C")], 1.25, 118.0, 140.0)
    lines = []
    for i, ((k, name), x) in enumerate(sorted(place.items(), key=lambda e: e[0][0])):
        xyz = "".join(f"{v:8.3f}" for v in x)
        lines.append(
            f"ATOM  {i + 1:5d}  {name:<3s} {sequence[k]} A{k + 1:4d}    {xyz}  1.00  0.00          {name[0]:>2s}"
        )
    return "\n".join([*lines, "END"]) + "\n"


def test_frames_are_picked_where_members_disagree_and_far_apart() -> None:
    beads = some_beads(40)
    values = np.arange(40.0)
    copies = Beads("chain", beads.residues, beads.chain, beads.number, beads.positions.copy(), None, beads.temperature,
                   beads.trajectory)  # fmt: skip
    copies.positions[38] = copies.positions[39]  # the second best is the best once more
    (chosen,) = pick([Explored(copies, values, 40, 0)], 5, apart=0.01)
    assert chosen.tolist() == [39, 37, 36, 35, 34]
    # too far a distance is halved until there are enough; all of two proteins where more are asked for than there are
    two = [Explored(beads, values, 40, 0), Explored(beads.select([0, 1]), np.array([99.0, 38.5]), 2, 0)]
    first, second = pick(two, 4, apart=50.0)
    assert second[0] == 0 and first[0] == 39 and len(first) + len(second) == 4
    assert sum(map(len, pick(two, 100))) == 42


def test_frames_that_no_molecule_has_are_not_sound() -> None:
    beads = some_beads()
    x = beads.positions[:4].copy()
    x[1, 3] = x[1, 0] + 1.0  # beads that touch
    x[2, 3:] += 4.0  # a broken bond
    x[3, 0, 0] = np.nan
    assert sound(x, beads).tolist() == [True, False, False, False]


@pytest.mark.slow
def test_exploring_disagrees_as_the_forces_do() -> None:
    model, beads = ensemble(), some_beads()
    found = explore(model, beads, steps=40, dt=1.0, replicas=2, seed=1)
    assert found.n_frames == 160 and 0 < len(found.beads) == len(found.disagreement)
    assert found.beads.forces is None and np.ptp(found.beads.positions, axis=0).max() > 0.05
    from consilience.jobs.train_beads.forces import member_forces

    a, b = member_forces(model, found.beads)
    expected = np.linalg.norm(a - b, axis=-1).max(1) / np.sqrt(2)  # the standard deviation of two values
    np.testing.assert_allclose(disagreement(model, found.beads), expected, rtol=1e-6)
    again = explore(model, beads, steps=40, dt=1.0, replicas=2, seed=1)
    assert np.array_equal(again.beads.positions, found.beads.positions)


def test_learned_frames_never_steer() -> None:
    beads = some_beads(40)
    learned = Beads("x", beads.residues, beads.chain, beads.number, beads.positions, beads.forces, beads.temperature,
                    np.arange(40), (LEARNED,) * 40)  # fmt: skip
    work, steer = split_in_time(learned, 0.1)
    assert len(work) == 40 and len(steer) == 0
    work, steer = split_in_time(beads, 0.1)
    assert len(steer) > 0 and len(work) < 40


def test_weights_are_ratios_of_variances_within_bounds() -> None:
    beads = some_beads(10)
    assert beads.forces is not None
    error = np.full(beads.forces.shape, 0.1)
    mean = MeanForces(beads.positions, beads.forces, error, None, 300.0)
    many = [some_beads(10_000)]
    assert precision_weights([(beads, mean)], many, 0.5) == {"chain": pytest.approx(25.0)}
    assert precision_weights([(beads, mean)], many, 50.0) == {"chain": 100.0}  # bounded
    assert precision_weights([(beads, mean)], [some_beads(40)], 50.0) == {"chain": 4.0}  # half of all, at most
    assert precision_weights([(beads, mean)], many, 0.01) == {"chain": 1.0}


def test_errors_of_several_proteins_count_configurations() -> None:
    beads = some_beads(10)
    assert beads.forces is not None
    mean = MeanForces(beads.positions, beads.forces, np.full(beads.forces.shape, 0.01), None, 300.0)
    half = replace(mean, positions=mean.positions[:5], mean=mean.mean[:5], error=mean.error[:5])
    other = replace(mean, positions=mean.positions[5:], mean=mean.mean[5:], error=mean.error[5:])
    f = beads.forces + 0.3
    both = pooled_error([(f[:5], half), (f[5:], other)])
    assert both == mean_force_error(f, mean) and both.raw == pytest.approx(0.3)


def test_the_training_is_that_of_the_model(tmp_path: Path) -> None:
    made = train_options(
        ensemble(3), LearnOptions(epochs=2, settings=("training.learning_rate=1e-3",)), {"a-learned": 7.0}
    )
    assert made.model == "hybrid" and made.ensemble == 3 and made.precision == 32 and made.epochs == 2
    said = dict(s.split("=") for s in made.settings)
    assert said["model.network.temperature"] == "false"  # also where labels have another temperature than the data
    assert said["model.network.cutoff"] == "8.0" and said["model.network.channels"] == "4"
    assert said["data.weights.a-learned"] == "7" and made.settings[-1] == "training.learning_rate=1e-3"
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("data: {fractions: {learned: 0.3, 300: 0.7}}\nmodel: {network: {name: allegro, r_max: 9.0}}\n")
    other = train_options(ensemble(), LearnOptions(config=recipe), {"a-learned": 7.0})
    assert not [s for s in other.settings if "network" in s or "weights" in s] and other.config == recipe
    assert learned_name("1.pep a") == "1_pep_a-learned"


def test_mean_forces_do_not_depend_on_the_map(peptide: tuple[Path, Path], tmp_path: Path) -> None:
    from consilience.jobs.learn.label import Handedness, label

    frames = read_atoms(*peptide)
    beads = alpha_map(frames.topology)
    x = beads.positions(frames.positions)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    far = np.stack([x[0], x[0] @ turn + 7.0, x[0] * 1.6])  # as it is; turned and moved; no molecule
    targets = Beads("pep", beads.names, beads.chain, beads.number, far, None, np.full(3, 300.0), np.zeros(3, int))
    basic = basic_map(beads, frames.groups)
    # the force on all atoms of a residue is another valid map of the same mean
    whole = ForceMap("basic", (frames.topology.residue == beads.residue[:, None]).astype(float))
    assert max(check_valid(m.weights, beads, frames.groups) for m in (basic, whole)) < 1e-9
    said = {"temperature": 300.0, "ps": 2.0, "force_field": FORCE_FIELD, "platform": "Reference", "seed": 5}
    one = label(targets, frames, beads, basic, **said)
    two = label(targets.select([0]), frames, beads, whole, **said)
    assert one.frame.tolist() == [0, 1] and list(one.dropped) == [2] and one.beads.source == (LEARNED,) * 2
    assert (
        np.array_equal(one.beads.positions, far[:2]) and one.beads.forces is not None and two.beads.forces is not None
    )
    rms = float(np.sqrt(np.mean(one.beads.forces**2)))
    assert 0.02 < rms < 1.0 and np.all(one.error > 0) and np.all(one.noise > np.sqrt(np.mean(one.error**2)))
    z = (one.beads.forces[0] - two.beads.forces[0]) / np.hypot(one.error[0], two.error[0])
    assert np.sqrt(np.mean(z**2)) < 5.0
    back = (one.beads.forces[1] @ turn.T - one.beads.forces[0]) / np.hypot(one.error[0], one.error[1]).mean()
    assert np.sqrt(np.mean(back**2)) < 5.0
    signs = Handedness(frames.topology)(frames.positions[0].astype(float))
    assert len(signs) == 3 + 3 and np.array_equal(signs[:3], np.full(3, signs[0])) and np.all(signs[3:] < 0)
    mirrored = Handedness(frames.topology)(frames.positions[0] * np.array([-1.0, 1.0, 1.0]))
    assert np.array_equal(mirrored[:3], -signs[:3]) and np.array_equal(mirrored[3:], signs[3:])
    # the file keeps everything
    path = tmp_path / "labelled.npz"
    write_labelled(path, [one])
    (read, means), *more = read_labelled(path)
    assert not more and read.name == "pep-learned" and read.source == (LEARNED,) * 2
    np.testing.assert_allclose(means.mean, one.beads.forces, atol=1e-6)
    np.testing.assert_allclose(means.error, one.error, atol=1e-6)
    assert not [f for f in read_beads(path)[1] if f.level != "note"]


def unproven(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training without its proofs, trials and report, which have tests of their own and take minutes."""
    card: dict[str, Any] = {"trials": {}, "attraction": None}
    monkeypatch.setattr("consilience.jobs.train_beads.job.prove", lambda *_: ([], card))
    monkeypatch.setattr("consilience.jobs.train_beads.job._gradients", lambda *_: {"max_rel_error": 0.0, "pairs": []})
    monkeypatch.setattr("consilience.jobs.train_beads.report.write_report",
                        lambda folder, *_: folder.write("report.html", ""))  # fmt: skip


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.slow
def test_one_round(
    whole: bool,
    peptide: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if not whole:
        unproven(monkeypatch)
    model = tmp_path / "model"
    save_beads(model, ensemble())
    out = tmp_path / "out"
    small = ["--frames", "5", "--steps", "40", "--replicas", "2", "--dt", "1", "--ps", "0.2", "--epochs", "1"]
    atoms = f"{peptide[0]}:{peptide[1]}"
    recipe = ["--set", "training.batch=2", "--set", "model.network.features=4", "--valid", "0.2"]
    command = ["learn", atoms, str(model), *small, *recipe, "-o", str(out)]
    assert main(command) in (0, 3)  # so short a training need not pass its own checks
    summary = json.loads((out / "summary.json").read_text())
    (row,) = summary["rounds"]
    assert summary["verb"] == "learn" and row["picked"] == 5
    assert summary["n_labelled"] == row["labelled"]["n_frames"] > 0 and summary["files"] == [
        "beads.npz",
        "labelled-1.npz",
    ]
    assert row["labelled"]["after"]["disagreement"] < row["labelled"]["before"]["disagreement"]
    said = json.loads((out / "model" / "model.json").read_text())
    assert said["provenance"]["files"] == ["beads.npz", "labelled-1.npz"] and said["learning"]["rounds"] == 1
    learned = read_beads(out / "labelled-1.npz")[0][0]
    assert said["provenance"]["proteins"]["train"] == ["pep", learned.name] and learned.source is not None
    for name in ("report.html", "history.csv", "manifest.json", "job.yaml", "round-1/report.html", "picked-1.json"):
        assert (out / name).is_file(), name
    # what was labelled and trained is not done again
    before = (out / "model" / "model.safetensors").read_bytes()
    manifest = json.loads((out / "manifest.json").read_text()) | {"status": "interrupted"}
    (out / "manifest.json").write_text(json.dumps(manifest))
    capsys.readouterr()
    assert main([*command, "--resume"]) in (0, 3)
    again = json.loads((out / "summary.json").read_text())
    assert again["rounds"] == summary["rounds"] and "labelling" not in capsys.readouterr().out
    assert (out / "model" / "model.safetensors").read_bytes() == before


def test_what_cannot_be_learned_from_is_refused(peptide: tuple[Path, Path], tmp_path: Path) -> None:
    atoms = f"{peptide[0]}:{peptide[1]}"
    alone, model = tmp_path / "alone", tmp_path / "model"
    save_beads(alone, ensemble(1))
    save_beads(model, ensemble())
    with pytest.raises(con.InputError, match=r"no ensemble(.|\n)*--ensemble"):
        con.learn(alone, atoms)
    with pytest.raises(con.InputError, match="no all-atom frames"):
        con.learn(model)
    with pytest.raises(con.InputError, match="wants a model"):
        con.learn(atoms)
    write_beads(tmp_path / "same.npz", [replace(some_beads(), name="same", residues=SEQUENCE)])
    with pytest.raises(con.InputError, match="free names a protein whose frames would be labelled"):
        con.learn(model, atoms, tmp_path / "same.npz", free="other,same")
    with pytest.raises(con.InputError, match="--ps is out of range"):
        con.learn(model, atoms, ps=0.0)
    with pytest.raises(TypeError, match="did you mean rounds"):
        con.learn(model, atoms, round=3)
    from consilience.jobs.learn.label import label

    frames = read_atoms(*peptide)
    beads = alpha_map(frames.topology)
    target = Beads("pep", beads.names, beads.chain, beads.number, beads.positions(frames.positions[:1]), None,
                   np.full(1, 300.0), np.zeros(1, int))  # fmt: skip
    for files, words in ((("nowhere.xml",), "cannot be read"), (("tip3p.xml",), "does not know")):
        with pytest.raises(con.InputError, match=words):
            label(target, frames, beads, basic_map(beads, frames.groups), temperature=300.0, ps=0.1, force_field=files)
