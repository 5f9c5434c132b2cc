"""The force map that proteins share: valid on a protein it was not fitted to, better there than the basic map."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from consilience.coarse.atoms import AtomFrames
from consilience.coarse.beadmap import BeadMap, alpha_map
from consilience.coarse.forcemap import basic_map, check_valid
from consilience.coarse.read_atoms import read_atoms
from consilience.coarse.sharedmap import SharedMap, fit_shared, shared_map_of
from consilience.core.errors import InputError
from consilience.units import KCAL_MOL

from .peptide import peptide

SEQUENCES = (
    ("ALA", "GLY", "SER", "ALA", "GLY"),
    ("GLY", "ALA", "ALA", "SER"),
    ("SER", "ALA", "GLY", "GLY", "ALA", "ALA"),
)


@pytest.fixture(scope="module")
def proteins(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[AtomFrames, BeadMap]]:
    folder = tmp_path_factory.mktemp("proteins")
    read = [read_atoms(*peptide(s).write(folder, 250, seed=i, name=f"p{i}")) for i, s in enumerate(SEQUENCES)]
    return [(a, alpha_map(a.topology)) for a in read]


def rms(forces: np.ndarray) -> float:
    return float(np.sqrt(np.mean(forces**2)))


def test_an_unseen_protein_gains(proteins: list[tuple[AtomFrames, BeadMap]]) -> None:
    fitted = fit_shared(proteins[:2])
    frames, beads = proteins[2]
    made = fitted.map_of(frames.topology, beads, frames.groups)
    assert check_valid(made.weights, beads, frames.groups) < 1e-12
    assert rms(made(frames.forces)) < 0.75 * rms(basic_map(beads, frames.groups)(frames.forces))
    assert fitted.coverage(frames.topology, beads, frames.groups) > 0.95
    assert fitted.validated is not None and set(fitted.validated) == {"p0", "p1"} and fitted.fitted == ("p0", "p1")
    back = shared_map_of(json.loads(json.dumps(fitted.as_dict())), "map.json")
    np.testing.assert_allclose(back.map_of(frames.topology, beads, frames.groups).weights, made.weights, atol=1e-5)


def test_what_was_not_seen_gets_the_general_terms(proteins: list[tuple[AtomFrames, BeadMap]]) -> None:
    frames, beads = proteins[0]
    empty = SharedMap({})
    np.testing.assert_array_equal(
        empty.map_of(frames.topology, beads, frames.groups).weights, basic_map(beads, frames.groups).weights
    )
    assert empty.coverage(frames.topology, beads, frames.groups) == 0.0
    general = SharedMap({("a", "0", "N", ""): 0.25})
    w = general.map_of(frames.topology, beads, frames.groups).weights
    nitrogens = np.flatnonzero((frames.topology.names == "N") | (frames.topology.names == "H"))
    own = frames.topology.residue[nitrogens]
    np.testing.assert_array_equal(w[own, nitrogens], 0.25)


def test_one_protein_is_validated_on_its_trajectories(proteins: list[tuple[AtomFrames, BeadMap]]) -> None:
    fitted = fit_shared(proteins[:1])
    assert fitted.validated is not None and len(fitted.validated) == 4


def test_damaged_maps_are_refused() -> None:
    for said in ({}, {"weights": [["a", "0", "N", "", "x"]]}, {"weights": [["a", 1, "N", "", 0.1]]}):
        with pytest.raises(InputError):
            shared_map_of(said, "map.json")


def test_transfer_to_an_unseen_protein(data_dir: Path) -> None:
    names = ("pep_ACDEFGHI", "pep_KLMNPQRS", "pep_TVWYAKEL", "pep_GWKDSVIR", "ala5")
    read = [read_atoms(data_dir / f"cg/{n}.npz", data_dir / f"cg/{n}.pdb", stride=2) for n in (*names, "chignolin")]
    made = [(a, alpha_map(a.topology)) for a in read]
    frames, beads = made[-1]
    weights = fit_shared(made[:-1]).map_of(frames.topology, beads, frames.groups)
    cold = frames.temperature < 310
    assert rms(weights(frames.forces[cold])) / KCAL_MOL < 12.6  # the bare CA force: 26.2, its own map: 11.9
