"""The built-in peptide of beads: small, sound, with the forces of its force field and mean forces that are forces."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from consilience.coarse.meanforce import read_mean_forces
from consilience.coarse.read_atoms import read_atoms
from consilience.examples import example_path
from consilience.jobs.common.bead_start import read_bead_start


def test_files_are_small_and_sound() -> None:
    place = example_path("beads")
    assert sum(p.stat().st_size for p in place.iterdir()) < 2_000_000
    frames = read_atoms(place / "trajectory.npz", place / "topology.pdb")
    assert not [f for f in frames.findings if f.level != "note"]
    assert len(frames) == 600 and len(np.unique(frames.trajectory)) == 4
    names = frames.topology.residue_names
    assert {"GLY", "PRO", "TYR", "LYS", "ASP"} <= set(names) and len(names) == 9
    tied = frames.positions[:, frames.constraints[:, 0]] - frames.positions[:, frames.constraints[:, 1]]
    hydrogens = sum(str(e).upper() == "H" for e in frames.topology.elements)
    assert len(tied[0]) == hydrogens == 63 and np.linalg.norm(tied, axis=-1).std(0).max() < 1e-3


def test_mean_forces_belong_to_the_frames() -> None:
    """CA are where the frames have them; a mean force moves and turns nothing as a whole, within its errors."""
    truth = read_mean_forces(example_path("beads/mean_forces.npz"))
    frames = read_atoms(example_path("beads/trajectory.npz"), example_path("beads/topology.pdb"))
    start = read_bead_start(example_path("beads/topology.pdb"))
    assert not start.findings and start.residues == tuple(frames.topology.residue_names)
    ca = np.flatnonzero(np.array(frames.topology.names) == "CA")
    assert truth.frame is not None
    np.testing.assert_allclose(start.positions, frames.positions[0, ca], atol=2e-3)
    np.testing.assert_allclose(truth.positions, frames.positions[truth.frame][:, ca], atol=2e-3)
    arm = truth.positions - truth.positions.mean(1, keepdims=True)
    whole = truth.mean.sum(1), np.cross(arm, truth.mean).sum(1)
    size = np.sqrt((truth.error**2).sum(1)), np.sqrt((truth.error**2).mean((1, 2), keepdims=True)[:, 0] * 2 / 3
                                                     * (arm**2).sum((1, 2))[:, None] * np.ones(3))  # fmt: skip
    for found, error in zip(whole, size, strict=True):
        assert np.sqrt(np.mean((found / error) ** 2)) < 3.0
        assert np.sqrt(np.mean(found**2)) < 0.4 * truth.rms * np.sqrt(27)


@pytest.mark.skipif(importlib.util.find_spec("openmm") is None, reason="OpenMM is not installed")
def test_forces_are_those_of_the_force_field() -> None:
    import openmm
    from openmm import app, unit

    pdb = app.PDBFile(str(example_path("beads/topology.pdb")))
    field = app.ForceField("amber99sbildn.xml", "amber99_obc.xml")
    system = field.createSystem(pdb.topology, nonbondedMethod=app.NoCutoff, constraints=app.HBonds)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    with np.load(example_path("beads/trajectory.npz")) as d:
        x, f = d["pos"][77], d["frc"][77]
    context.setPositions(0.1 * x.astype(float))
    unit_of = unit.kilocalorie_per_mole / unit.angstrom
    again = context.getState(getForces=True).getForces(asNumpy=True).value_in_unit(unit_of)
    assert np.sqrt(np.mean((again - f) ** 2)) < 0.03 * np.sqrt(np.mean(f.astype(float) ** 2))  # positions are rounded
