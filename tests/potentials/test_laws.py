"""The laws of potentials hold for every architecture with random weights, and each broken potential breaks one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from unittest import mock

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from consilience.core.checks import Check
from consilience.md.vibrations import check_hessian
from consilience.potentials import equivariant
from consilience.potentials.build import Architecture, build
from consilience.potentials.electrostatics import Coulomb
from consilience.potentials.equivariant import Interaction
from consilience.potentials.graph import single
from consilience.potentials.laws import LAWS, prove
from consilience.potentials.molecule import molecule_energy
from consilience.potentials.potential import Potential
from consilience.potentials.probe import evaluate
from consilience.potentials.repulsion import ZBL
from consilience.potentials.weights import cast

from . import broken
from .broken import FORMALDEHYDE, become, springs


def random(network: str, **options) -> Potential:
    """A small potential whose random weights say something: PhysNet starts with outputs of nearly zero."""
    options = {"electrostatics": True, "features": 8, "layers": 1, "radial_size": 6, "cutoff": 4.0, **options}
    made = build(Architecture(network, (1, 6, 8), coulomb_cutoff=8.0, **options), [-13.0, -1030.0, -2040.0])  # type: ignore[arg-type]
    if network == "physnet":
        outputs = [m.output.weight * 300 for m in made.network.modules]
        made = eqx.tree_at(lambda p: [m.output.weight for m in p.network.modules], made, outputs)
    return made


NETWORKS: dict[str, Callable[[], Potential]] = {
    "physnet": lambda: random("physnet"),
    "equivariant": lambda: random("equivariant", electrostatics=False),
    "equivariant with sites": lambda: random("equivariant", sites=2),
    "physnet+dcm": lambda: random("physnet", sites=2, layers=2),
    "equivariant, l = 3": lambda: random("equivariant", electrostatics=False, l_max=3, layers=2),
}
HEAVY = set(NETWORKS) - {"equivariant"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in HEAVY else []) for n in NETWORKS])
def test_every_architecture_obeys_the_laws(name: str) -> None:
    potential = NETWORKS[name]()
    parts = potential.energies(jnp.asarray(FORMALDEHYDE.positions), single(FORMALDEHYDE.numbers))[0]
    assert abs(float(parts["network"][0])) > 1e-2  # the network has a say in what is proven
    checks = prove(potential, FORMALDEHYDE)
    assert not [c for c in checks if not c.passed]


@pytest.mark.slow
def test_springs_obey_the_laws_and_every_law_can_be_broken() -> None:
    """The base of the broken potentials below is good: what they break is what was changed."""
    checks = prove(springs(Coulomb(4.0, 7.0)), FORMALDEHYDE)
    assert not [c for c in checks if not c.passed]
    caught = {check for _, check, _ in ALL.values()} | {"displacement of sites over their reach"}
    alike = {
        "Coulomb energy of doubled charges": "Coulomb energy of no charges",
        "size consistency at 1000 Å": "size consistency beyond the cutoff",
        "jump of the force at the cutoff": "jump of the energy at the cutoff",
        "jump of the force at the Coulomb cutoff": "jump of the energy at the Coulomb cutoff",
        "jump of the slope at the Coulomb cutoff": "jump of the energy at the Coulomb cutoff",
    }
    names = {c.name.removesuffix(" (float32)") for c in checks}
    assert not {alike.get(n, n) for n in names} - caught


def held(law: str, potential: Potential) -> dict[str, Check]:
    return {c.name: c for c in LAWS[law](cast(potential, np.float64), FORMALDEHYDE)}


def wrong(kind: type[Potential]) -> Callable[[], Potential]:
    return lambda: become(kind, springs())


def with_coulomb(kind: type[Coulomb]) -> Callable[[], Potential]:
    return lambda: springs(kind(4.0, 7.0))


def with_repulsion(kind: type[ZBL]) -> Callable[[], Potential]:
    return lambda: replace(springs(), repulsion=kind())


# defect: (law, the check that must fail); the letters are those of the survey of faults that the laws were made from:
# c is in test_radial, k in the readers of frames, m below and in test_fidelity, n in test_house
DEFECTS: dict[str, tuple[str, str, Callable[[], Potential]]] = {
    "a: sign of the forces": ("forces", "forces = -dE/dx", wrong(broken.Flipped)),
    "a: sign of the energy": ("wall", "slope of the short-range wall", wrong(broken.Negated)),
    "b: repulsion of 1/r": ("wall", "slope of the short-range wall", with_repulsion(broken.Growing)),
    "e: a shift without charges": ("electrostatics", "Coulomb energy of no charges", with_coulomb(broken.Shifted)),
    "f: no switch": ("cutoffs", "jump of the energy at the Coulomb cutoff", with_coulomb(broken.Abrupt)),
    "f: a list that is too short": ("cutoffs", "jump of the energy at the cutoff", wrong(broken.ShortList)),
    "g: in the energy, not in the forces": ("forces", "forces = -dE/dx", with_coulomb(broken.Hidden)),
    "h: nan at the diagonal": ("forces", "forces = -dE/dx", with_coulomb(broken.Diagonal)),
    "h: nan is not lost": ("force jumps", "force jump for 0.05 Å", with_coulomb(broken.Diagonal)),
    "i: a clipped energy": ("wall", "slope of the short-range wall", with_repulsion(broken.Clipped)),
    "j: charges that nearly sum": ("charges", "total charge", wrong(broken.Uncorrected)),
    "j: a dipole with an origin": ("charges", "dipole of a moved molecule", wrong(broken.Uncorrected)),
    "l: sites that are not bound": (
        "sites",
        "displacement of sites over their reach",
        lambda: replace(springs(), charges=broken.HardSites()),
    ),
    "l: a hard gate": ("forces", "forces = -dE/dx", wrong(broken.HardGate)),
    "forces twice too large": ("forces", "forces = -dE/dx", wrong(broken.Doubled)),
    "pairs repeated in the list": ("batches", "padding and batch", wrong(broken.Repeated)),
}
# that the other checks of the suite can fail too
OTHERS: dict[str, tuple[str, str, Callable[[], Potential]]] = {
    "a field": ("symmetries", "translation", wrong(broken.Field)),
    "a field, momentum": ("conservation", "net force", wrong(broken.Field)),
    "a torque": ("conservation", "net torque", wrong(broken.Angular)),
    "directions": ("symmetries", "rotation", wrong(broken.Anisotropic)),
    "sites that do not turn": (
        "symmetries",
        "rotation",
        lambda: replace(springs(), charges=broken.UprightSites()),
    ),
    "handedness": ("symmetries", "reflection", wrong(broken.Chiral)),
    "order of atoms": ("symmetries", "permutation of atoms", wrong(broken.Ranked)),
    "order of neighbours": ("symmetries", "order of neighbours", wrong(broken.Slots)),
    "size of the system": ("size", "size consistency beyond the cutoff", wrong(broken.Collective)),
    "a kink at the cutoff": ("cutoffs", "jump of the slope at the cutoff", wrong(broken.Kinked)),
    "stiff noise": ("force jumps", "force jump for 0.05 Å", wrong(broken.Stiff)),
    "shifts that do not strain": ("stress", "stress = dE/d strain", wrong(broken.Unstrained)),
    "a curvature of its own": ("curvature", "Hessian = -dF/dx", wrong(broken.RoundedOff)),
}
ALL = DEFECTS | OTHERS


@pytest.mark.parametrize("defect", [*DEFECTS, *(pytest.param(d, marks=pytest.mark.slow) for d in OTHERS)])
def test_a_broken_potential_is_caught(defect: str) -> None:
    law, check, make = ALL[defect]
    assert not held(law, make())[check].passed


@pytest.mark.slow
def test_handedness_alone_breaks_no_rotation() -> None:
    """A check that fails for everything says nothing: reflection fails, rotation and translation hold."""
    found = held("symmetries", become(broken.Chiral, springs()))
    assert found["rotation"].passed and found["translation"].passed and found["permutation of atoms"].passed


class Cusp(Interaction):
    """An interaction with the plain norm of PaiNN, which has a cusp where a vector vanishes by symmetry."""

    def updated(self, scalars, tensors):
        with mock.patch.object(equivariant, "soft_norm", lambda squared: jnp.sqrt(squared + 1e-8)):
            return super().updated(scalars, tensors)


def carbon_dioxide(cusp: bool):
    potential = cast(random("equivariant", electrostatics=False, features=4), np.float64)
    if cusp:
        made = tuple(become(Cusp, layer) for layer in potential.network.interactions)  # type: ignore[arg-type]
        potential = eqx.tree_at(lambda p: p.network.interactions, potential, made)
    x = np.array([[-1.17, 0, 0], [0, 0, 0], [1.17, 0, 0]])
    return check_hessian(molecule_energy(potential, [8, 6, 8]), x, [15.995, 12.0, 15.995])


def test_m_a_plain_norm_is_seen_at_a_symmetric_point() -> None:
    """Forces of the molecule are right; its vibrations are not."""
    smooth, cusp = carbon_dioxide(False), carbon_dioxide(True)
    assert 10 < smooth[1].max_difference / smooth[0].max_difference < 40  # falls with the square of the step
    assert cusp[0].max_difference > 10 * smooth[0].max_difference
    assert not 10 < cusp[1].max_difference / cusp[0].max_difference < 40


def test_nobody_asks_a_model_for_its_own_forces() -> None:
    """g: forces are those of the energy even where a model offers others."""

    class Offering(Potential):
        def forces(self, positions, graph):
            return jnp.zeros_like(positions)

    _, forces, _ = evaluate(become(Offering, springs()), FORMALDEHYDE)
    _, right, _ = evaluate(springs(), FORMALDEHYDE)
    np.testing.assert_array_equal(forces, right)
    assert np.abs(right).max() > 0.1


def ring(radius: float) -> np.ndarray:
    """Corners of a regular hexagon, (6, 3) Å."""
    angle = np.arange(6) * np.pi / 3
    return radius * np.stack([np.cos(angle), np.sin(angle), np.zeros(6)], 1)


CORNERS = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / 3**0.5
SYMMETRIC = {  # numbers, positions, degree of the tensors
    "methane": ([6, 1, 1, 1, 1], np.vstack([np.zeros(3), 1.09 * CORNERS]), 1),
    "benzene": ([6] * 6 + [1] * 6, np.vstack([ring(1.397), ring(2.481)]), 2),
}


@pytest.mark.parametrize("name", ["methane", pytest.param("benzene", marks=pytest.mark.slow)])
def test_hessians_are_those_of_the_forces_where_molecules_are_symmetric(name: str) -> None:
    """Vectors vanish at the carbon of methane; no vector leaves the plane of benzene."""
    numbers, x, degree = SYMMETRIC[name]
    potential = cast(random("equivariant", electrostatics=False, features=4, l_max=degree), np.float64)
    masses = [{1: 1.008, 6: 12.0}[z] for z in numbers]
    fine, coarse = check_hessian(molecule_energy(potential, numbers), x, masses)
    assert fine.max_difference < 1e-3 and fine.max_cm1 < 1.0
    assert 10 < coarse.max_difference / fine.max_difference < 40  # falls with the square of the step
