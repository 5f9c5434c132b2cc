"""Long runs of chains of beads: no drift, energies that spread as dt², temperatures of the canonical distribution."""

from __future__ import annotations

import numpy as np
import pytest

from consilience.md.autopsy import NotBonded
from consilience.md.simulate import simulate
from consilience.md.statistics import temperature_test
from consilience.potentials.beads.chains import chains_of
from consilience.potentials.beads.energy import BeadEnergy, bead_energy
from consilience.potentials.beads.prior import empty_prior, walls
from consilience.units import BOLTZMANN

pytestmark = pytest.mark.slow

NAMES = ("ALA", "GLY", "SER", "LYS", "TRP", "VAL", "GLU", "PRO", "TYR", "ASP")


@pytest.fixture(scope="module")
def chain() -> tuple[BeadEnergy, np.ndarray, np.ndarray]:
    """Ten beads with bonds, walls of angles and excluded volume, from a zigzag relaxed at 300 K."""
    energy = bead_energy(chains_of(NAMES, np.zeros(10, int), np.arange(10)), empty_prior(walls(2.6, 1.3), pair=False))
    i, mass = np.arange(10), np.full(10, 110.0)
    x = np.stack([3.3 * i, 0.95 * (-1.0) ** i, 0.3 * np.sin(i)], 1)
    run = simulate(energy, x, mass, steps=20_000, dt=5.0, ensemble="nvt", every=1000, cutoff=energy.cutoff)
    return energy, run.trajectory.positions[0, -1], mass


def test_a_nanosecond_at_constant_energy_does_not_drift(chain) -> None:
    """Below 1e-7 kT per degree of freedom and ps, or within three standard errors of a zero that is known so well."""
    energy, x, mass = chain
    run = simulate(
        energy, x, mass, steps=500_000, dt=2.0, every=500, cutoff=energy.cutoff, block=50_000, seed=1,
        watched=NotBonded(energy.chains),
    )  # fmt: skip
    c = run.conservation
    assert run.status == "ok" and c is not None and run.min_distance > 3.0
    unit = 1e3 * BOLTZMANN * 300.0 * run.dof / 10  # meV/atom in one kT per degree of freedom
    assert abs(c.drift) / unit < max(1e-7, 3 * c.drift_err / unit)
    assert c.drift_err / unit < 1e-5


def test_the_spread_of_the_energy_is_of_second_order(chain) -> None:
    energy, x, mass = chain
    steps = np.array([1.0, 2.0, 4.0, 8.0])
    rms = []
    for dt in steps:
        run = simulate(energy, x, mass, steps=int(40_000 / dt), dt=dt, every=int(8 / dt), cutoff=energy.cutoff, seed=2)
        assert run.conservation is not None
        rms.append(run.conservation.rms)
    assert 1.9 < np.polyfit(np.log(steps), np.log(rms), 1)[0] < 2.1


def test_temperatures_are_canonical(chain) -> None:
    energy, x, mass = chain
    run = simulate(energy, x, mass, steps=1_000_000, dt=5.0, ensemble="nvt", every=200, cutoff=energy.cutoff,
                   block=100_000, seed=3)  # fmt: skip
    kinetic = run.trajectory.kinetic[0, 100:]
    assert temperature_test(kinetic, 30, 300.0) > 0.01
    assert temperature_test(kinetic * 1.03, 30, 300.0) < 0.01
