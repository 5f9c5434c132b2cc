"""OpenMM as an oracle: energy, forces and constant-energy dynamics of a periodic Lennard-Jones fluid."""

from __future__ import annotations

import numpy as np
import pytest

from consilience.forces import forces_from
from consilience.md.simulate import simulate
from consilience.neighbours import neighbour_matrix
from consilience.units import KJ_MOL

from . import toys

openmm = pytest.importorskip("openmm")


def test_energy_forces_and_dynamics_are_those_of_openmm() -> None:
    from openmm import unit

    x, cell = toys.fluid(4, 3.75, 0.1)
    n, mass, dt, steps = len(x), 39.948, 2.0, 500
    epsilon, sigma, switch, cutoff = 0.0104, 3.4, 5.0, 6.0
    system = openmm.System()
    system.setDefaultPeriodicBoxVectors(*[openmm.Vec3(*v) for v in cell / 10])
    force = openmm.NonbondedForce()
    force.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
    force.setCutoffDistance(cutoff / 10)
    force.setUseSwitchingFunction(True)
    force.setSwitchingDistance(switch / 10)
    force.setUseDispersionCorrection(False)
    for _ in range(n):
        system.addParticle(mass)
        force.addParticle(0.0, sigma / 10, epsilon / KJ_MOL)
    system.addForce(force)
    engine = openmm.VerletIntegrator(dt / 1000)
    context = openmm.Context(system, engine, openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(x / 10)
    lj = toys.LennardJones(epsilon, sigma, switch, cutoff)
    start = context.getState(energy=True, forces=True)
    e, f = forces_from(lj)(x, neighbour_matrix(x, cutoff, cell, (True,) * 3))
    theirs = start.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole) * KJ_MOL
    assert float(e) == pytest.approx(theirs, rel=1e-6)
    f_theirs = start.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.angstrom) * KJ_MOL
    assert np.max(np.abs(np.asarray(f) - f_theirs)) < 1e-6 * np.max(np.abs(f_theirs))

    v = np.random.default_rng(0).normal(0, 1.5e-3, x.shape)  # Å/fs
    v -= v.mean(0)
    # OpenMM steps by leapfrog: half a kick back from the velocities at the start
    context.setVelocities((v - 0.5 * dt * np.asarray(f) / mass * 9.648533e-3) * 100)
    run = simulate(
        lj, x, np.full(n, mass), steps=steps, dt=dt, velocities=v, cell=cell, pbc=True,
        cutoff=cutoff, skin=0.6, every=100,
    )  # fmt: skip
    potential = []
    for _ in range(5):
        engine.step(100)
        potential.append(context.getState(energy=True).getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole))
    np.testing.assert_allclose(run.trajectory.potential[0, 1:], np.array(potential) * KJ_MOL, atol=2e-5)
    end = context.getState(positions=True).getPositions(asNumpy=True).value_in_unit(unit.angstrom)
    move = end - run.trajectory.positions[0, -1]
    move -= np.round(move @ np.linalg.inv(cell)) @ cell
    assert np.abs(move).max() < 1e-4
    assert np.ptp(run.trajectory.total) / n < 1e-4
