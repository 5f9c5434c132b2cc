"""Force maps on a peptide whose mean forces are known: valid ones agree with them, the optimal one without noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from consilience.coarse.atoms import AtomFrames, find_constraints, group_sums, rigid_groups
from consilience.coarse.beadmap import BeadMap, alpha_map
from consilience.coarse.forcemap import ForceMap, basic_map, check_valid, folds, optimal_map, slice_map
from consilience.coarse.read_atoms import read_atoms
from consilience.core.errors import InputError
from consilience.units import KCAL_MOL

from .peptide import Peptide, peptide


@pytest.fixture(scope="module")
def small() -> Peptide:
    return peptide()


@pytest.fixture(scope="module")
def frames(small: Peptide, tmp_path_factory: pytest.TempPathFactory) -> AtomFrames:
    return read_atoms(*small.write(tmp_path_factory.mktemp("atoms"), 400))


def maps(frames: AtomFrames) -> tuple[BeadMap, dict[str, ForceMap]]:
    beads = alpha_map(frames.topology)
    made = optimal_map(frames.group_forces(), beads, frames.groups, frames.temperature, frames.trajectory)
    return beads, {"slice": slice_map(beads), "basic": basic_map(beads, frames.groups), "optimal": made}


def test_maps_are_valid_except_the_slice(frames: AtomFrames) -> None:
    beads, made = maps(frames)
    deviation = {k: check_valid(m.weights, beads, frames.groups) for k, m in made.items()}
    assert deviation["basic"] < 1e-12 and deviation["optimal"] < 1e-9
    assert deviation["slice"] > 0.4  # it leaves out hydrogens that are tied to CA
    assert check_valid(made["slice"].weights, beads, np.arange(len(frames.topology))) < 1e-12  # a flexible molecule's


def test_mean_force_is_unchanged_and_noise_vanishes(small: Peptide, frames: AtomFrames) -> None:
    _, made = maps(frames)
    rng = np.random.default_rng(5)
    held = 0.1 * rng.standard_normal((len(small.ca), 3))
    truth = -small.mean_force_matrix() @ held
    _, force = small.sample(4000, seed=9, frozen=held)
    noise = {}
    for name in ("basic", "optimal"):
        f = made[name](force)
        error = f.std(0) / np.sqrt(len(f))
        assert np.abs((f.mean(0) - truth) / error).max() < 4.5  # 15 numbers
        noise[name] = np.sqrt(f.var(0).mean())
    assert noise["optimal"] < 0.12 * noise["basic"]  # what 400 frames leave of it
    wrong = made["slice"](force)
    assert np.abs((wrong.mean(0) - truth) / (wrong.std(0) / np.sqrt(len(wrong)))).max() > 10


def test_the_ridge_is_chosen_on_trajectories_left_out(small: Peptide) -> None:
    x, force = small.sample(40, seed=3)
    assert x.shape == force.shape
    force = force + 0.3 * np.random.default_rng(0).standard_normal(force.shape)
    beads = BeadMap(np.eye(len(small.names))[small.ca], ("ALA",) * 5, np.zeros(5, int), np.arange(5), np.arange(5))
    grouped = group_sums(force, small.group)
    made = optimal_map(grouped, beads, small.group, np.full(40, 300.0), np.arange(40) // 10)
    assert made.validated is not None and made.ridge == min(made.validated, key=made.validated.__getitem__)
    assert made.validated[1e-6] > made.validated[made.ridge]  # 40 noisy frames: some regularisation is needed


def test_folds_keep_trajectories_whole() -> None:
    parts = folds(np.repeat(np.arange(9), [5, 1, 4, 4, 9, 2, 2, 3, 6]))
    assert len(parts) == 5 and sorted(np.concatenate(parts).tolist()) == list(range(36))
    assert max(map(len, parts)) <= 9
    assert [len(p) for p in folds(np.zeros(10, int))] == [2] * 5


def test_constraints_are_found_in_the_motion(small: Peptide) -> None:
    x, _ = small.sample(50)
    found = find_constraints(np.round(x, 2), small.residue)  # as compressed trajectories round
    assert {tuple(p) for p in found.tolist()} == {tuple(p) for p in small.constraints.tolist()}
    np.testing.assert_array_equal(rigid_groups(len(x[0]), found), small.group)


def test_beads_tied_by_constraints_are_refused(frames: AtomFrames) -> None:
    beads = alpha_map(frames.topology)
    tied = np.zeros(len(frames.topology), int)
    with pytest.raises(InputError, match="tie the atoms of two beads"):
        basic_map(beads, tied)


def test_centres_of_mass_are_mapped_validly(small: Peptide, frames: AtomFrames) -> None:
    """Beads of several atoms: centres of mass of residues."""
    n = len(small.names)
    w = np.array([(small.residue == k) * frames.masses for k in range(5)])
    w /= w.sum(1, keepdims=True)
    beads = BeadMap(w, ("ALA",) * 5, np.zeros(5, int), np.arange(5), np.arange(5))
    made = optimal_map(frames.group_forces(), beads, frames.groups, frames.temperature, frames.trajectory)
    assert check_valid(made.weights, beads, frames.groups) < 1e-9 and made.weights.shape == (5, n)
    assert check_valid(basic_map(beads, frames.groups).weights, beads, frames.groups) < 1e-9
    bead_x, f = beads.positions(frames.positions), made(frames.forces)
    q = bead_x - bead_x.mean(0)  # <F.q> = -3 kT for each bead of a valid map
    ratio = -np.einsum("fbk,fbk->b", f, q) / len(f) / (3 * 8.617333e-5 * 300)
    assert np.abs(ratio - 1).max() < 0.25


def test_chignolin_optimal_map(data_dir: Path) -> None:
    chignolin = read_atoms(data_dir / "cg/chignolin.npz", data_dir / "cg/chignolin.pdb")
    assert not chignolin.findings
    beads, made = maps(chignolin)
    cold = chignolin.temperature < 310
    rms = {k: np.sqrt((m(chignolin.forces[cold]) ** 2).mean()) / KCAL_MOL for k, m in made.items()}
    assert rms["optimal"] < 12.2 and 24 < rms["basic"] < 25.5 and beads.names[0] == "TYR"
