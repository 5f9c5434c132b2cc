"""Dynamics of a fitted prior hold at 450 K; without excluded volume, as in the origin, the same test fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import consilience as con
from consilience.examples import example_path
from consilience.jobs.common.options import TrainOptions
from consilience.jobs.train_beads.fit import fit_bead_prior
from consilience.jobs.train_beads.recipe import bead_recipe
from consilience.jobs.train_beads.sets import chains_of_beads, load_bead_sets
from consilience.jobs.train_beads.stability import trial
from consilience.potentials.beads.energy import bead_energy
from consilience.potentials.beads.laws import without_volume


@pytest.mark.slow
def test_excluded_volume_keeps_beads_apart(tmp_path: Path) -> None:
    atoms, topology = example_path("beads/trajectory.npz"), example_path("beads/topology.pdb")
    coarse = con.coarsen(f"{atoms}:{topology}", output=tmp_path / "coarse")
    options = TrainOptions(model="prior")
    sets = load_bead_sets([coarse.folder / "beads.npz"], options)
    prior = fit_bead_prior(sets, bead_recipe(options)).prior
    beads = sets.work[0]
    chains = chains_of_beads(beads)
    how: dict[str, Any] = {"steps": 100_000, "temperature": 450.0, "replicas": 4}
    ours = trial(bead_energy(chains, prior), beads.positions[0], beads.masses, **how)
    assert ours["stable"] and ours["min_distance"] > 3.0 and ours["bond_rms"] < 0.15, ours
    weak = trial(without_volume(prior, chains), beads.positions[0], beads.masses, **how)
    assert not weak["stable"] and "Å" in weak["why"], weak
