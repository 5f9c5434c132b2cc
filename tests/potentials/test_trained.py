"""What only a trained potential can show: forces that are not quite a gradient, and the curves of its bonds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import equinox as eqx
import gemmi
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from consilience.forces import forces_from
from consilience.md.optimise import optimise
from consilience.md.simulate import simulate
from consilience.neighbours import all_pairs
from consilience.potentials.bundle import load_bundle
from consilience.potentials.molecule import MoleculeEnergy, molecule_energy
from consilience.potentials.weights import cast

NUMBERS = [6, 8, 1, 1]


class Disturbed(eqx.Module):
    """The energy is that of a molecule, its forces are multiplied by 1 + 0.01 sin(3 x): no energy has such forces."""

    energy: MoleculeEnergy
    share: float = 0.01

    @property
    def cutoff(self) -> float:
        return self.energy.cutoff

    def __call__(self, x, neighbours):
        fixed = jax.lax.stop_gradient(x)
        _, force = forces_from(self.energy)(fixed, neighbours)
        more = jax.lax.stop_gradient(self.share * force * jnp.sin(3.0 * fixed))
        return self.energy(x, neighbours) - jnp.sum(more * (x - fixed))


@pytest.fixture(scope="module")
def minimum(tiny_model: Path) -> tuple[MoleculeEnergy, np.ndarray]:
    """The energy of the trained potential in float64, and its minimum."""
    model = load_bundle(tiny_model)
    energy = molecule_energy(cast(model.potential, np.float64), NUMBERS)
    return energy, optimise(energy, np.asarray(model.info["reference"]["positions"])).positions


def spread(energy: Any, x: np.ndarray, dt: float) -> float:
    """R.m.s. of the total energy in 2 ps at 300 K, meV/atom."""
    masses = [gemmi.Element(z).weight for z in NUMBERS]
    run = simulate(
        energy, x, masses, steps=round(2000 / dt), dt=dt, every=round(8 / dt), temperature=600.0, seed=1, replicas=2
    )
    assert run.status == "ok" and run.conservation is not None
    return run.conservation.rms


@pytest.mark.slow
def test_a_hundredth_of_forces_that_are_no_gradient_is_seen(minimum: tuple[MoleculeEnergy, np.ndarray]) -> None:
    """With true forces the spread of the energy falls with the square of the time step; here it does not."""
    energy, x = minimum
    true = spread(energy, x, 0.5) / spread(energy, x, 0.125)
    false = spread(Disturbed(energy), x, 0.5) / spread(Disturbed(energy), x, 0.125)
    assert 8 < true < 24
    assert false < 4


def test_bonds_have_one_minimum_and_a_wall(minimum: tuple[MoleculeEnergy, np.ndarray]) -> None:
    """C=O and C-H from a third to three times their length: repulsive below, uphill above, and no hole farther out."""
    energy, x = minimum
    curve = eqx.filter_jit(lambda y, energy, lists: jax.lax.map(lambda p: energy(p, lists), y))
    scale = np.linspace(0.35, 3.0, 107)
    for moved in (1, 2):  # O; one H
        points = np.repeat(x[None], len(scale), 0)
        points[:, moved] = x[0] + scale[:, None] * (x[moved] - x[0])
        e = np.asarray(curve(points, energy, all_pairs(4)))
        at = int(np.argmin(e))
        assert abs(scale[at] - 1.0) < 0.03
        assert (np.diff(e[: at + 1]) < 0).all()
        assert (np.diff(e[at:][scale[at:] < 1.2]) > 0).all()
        assert e[scale > 1.2].min() > e[at] + 0.3
