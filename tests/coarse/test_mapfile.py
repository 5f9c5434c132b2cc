"""Maps of one's own: beads of several atoms or residues, in any mixture, with mean forces that are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consilience.coarse.atoms import AtomFrames
from consilience.coarse.forcemap import basic_map, check_valid, optimal_map
from consilience.coarse.mapfile import bead_map_of
from consilience.coarse.read_atoms import read_atoms
from consilience.core.errors import InputError
from consilience.units import BOLTZMANN

from .peptide import Peptide, peptide

MIXED = {"beads": [{"atoms": "CA", "residues": "A:1-2"}, {"atoms": "side chain", "residues": "1,2", "name": "SC"},
                   {"domain": "3-5", "atoms": "heavy", "name": "D1"}]}  # fmt: skip


@pytest.fixture(scope="module")
def small() -> Peptide:
    return peptide()


@pytest.fixture(scope="module")
def frames(small: Peptide, tmp_path_factory: pytest.TempPathFactory) -> AtomFrames:
    return read_atoms(*small.write(tmp_path_factory.mktemp("atoms"), 3000))


def test_beads_of_mixed_resolution(frames: AtomFrames) -> None:
    made = bead_map_of(MIXED, frames.topology, frames.masses, "map.yaml")
    assert made.names == ("ALA", "SC", "GLY", "D1") and made.number.tolist() == [0, 1, 2, 3]  # GLY has no side chain
    names = frames.topology.names
    assert names[made.weights[0] > 0].tolist() == ["CA"] and names[made.weights[1] > 0].tolist() == ["CB"]
    domain = made.weights[3]
    assert (domain > 0).sum() == 15 and domain.sum() == pytest.approx(1.0)
    x = frames.positions[:2].astype(float)
    heavy = (frames.topology.residue >= 2) & ~np.isin(frames.topology.elements, ["H"])
    centre = np.average(x[:, heavy], axis=1, weights=frames.masses[heavy])
    np.testing.assert_allclose(made.positions(x)[:, 3], centre, atol=1e-9)


def test_their_mean_force_is_the_known_one(small: Peptide, frames: AtomFrames) -> None:
    """Linear beads R = C d of a Gaussian have the mean force -(C H^-1 C^T)^-1 R."""
    made = bead_map_of(MIXED, frames.topology, frames.masses, "map.yaml")
    c = np.stack([np.bincount(small.group, w) for w in made.weights])
    truth = np.linalg.inv(c @ np.linalg.solve(small.hessian, c.T))
    r = made.positions(frames.positions - small.xyz)
    optimal = optimal_map(frames.group_forces(), made, frames.groups, frames.temperature, frames.trajectory)
    for m, tolerance in ((basic_map(made, frames.groups), 0.2), (optimal, 0.04)):
        assert check_valid(m.weights, made, frames.groups) < 1e-9
        force = m(frames.forces)
        flat_r, flat_f = (a.transpose(0, 2, 1).reshape(-1, 4) for a in (r, force))
        found = -np.linalg.lstsq(flat_r, flat_f, rcond=None)[0].T
        assert np.abs(found - truth).max() < tolerance * np.abs(truth).max()
        # the virial theorem of each bead
        q = r - r.mean(0)
        np.testing.assert_allclose(-(force * q).sum(2).mean(0) / (3 * BOLTZMANN * 300), 1.0, atol=0.12)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"beads": []}, "no list of rules"),
        ({"bead": [{"atoms": "CA"}]}, "did you mean beads"),
        ({"beads": [{"atom": "CA"}]}, "did you mean atoms"),
        ({"beads": [{"atoms": "CX"}]}, "not understood"),
        ({"beads": [{"atoms": "CA", "residues": "B:1-2"}]}, "matches no atoms"),
        ({"beads": [{"atoms": "CA", "residues": "XYZ"}]}, "not there"),
        ({"beads": [{"atoms": "heavy"}, {"atoms": "CA"}]}, "two beads"),
        ({"beads": [{"atoms": "CA", "residues": "1", "domain": "2"}]}, "both"),
        ({"beads": [{"atoms": "CA", "name": "a b"}]}, "name of a bead"),
        ({"beads": [{"atoms": "CA"}], "weights": "heavy"}, "mass or equal"),
    ],
)
def test_bad_rules_are_named(frames: AtomFrames, said: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        bead_map_of(said, frames.topology, frames.masses, "map.yaml")


def test_beads_across_a_rigid_group_are_refused(frames: AtomFrames, tmp_path: Path) -> None:
    said = {"beads": [{"atoms": ["N"], "name": "N"}, {"atoms": ["H"], "name": "H"}]}
    made = bead_map_of(said, frames.topology, frames.masses, "map.yaml")
    with pytest.raises(InputError, match="tie the atoms of two beads"):
        basic_map(made, frames.groups)
