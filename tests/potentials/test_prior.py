"""The prior of beads: geometry, forces, exact normal equations, bounds, and what it refuses."""

import equinox as eqx
import numpy as np
import pytest

from consilience.core.errors import InputError
from consilience.neighbours import all_pairs, neighbour_matrix
from consilience.potentials.beads.chains import chains_of, cos_angles, dihedrals
from consilience.potentials.beads.energy import bead_energy
from consilience.potentials.beads.laws import attraction, pair_energies, prove_beads, without_volume
from consilience.potentials.beads.prior import SOFTEST, WEAKEST, empty_prior, walls
from consilience.potentials.beads.prior_fit import fit_prior, of_flat, solved
from consilience.potentials.beads.prior_normal import coefficients, flat, normal, with_coefficients
from consilience.residues import RESIDUES
from consilience.units import KCAL_MOL

from .. import tiny_beads as tiny


@pytest.fixture(scope="module")
def sample():
    energy = bead_energy(tiny.chains(), tiny.known_prior())
    x = tiny.sampled(energy, 150)
    return energy, x, tiny.forces(energy, x)


def test_angles_and_dihedrals_are_those_of_the_textbook():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 3)) * 3
    cosine, sine = (np.asarray(a) for a in dihedrals(x))
    for i in range(3):
        b1, b2, b3 = x[i + 1] - x[i], x[i + 2] - x[i + 1], x[i + 3] - x[i + 2]
        n1, n2 = np.cross(b1, b2), np.cross(b2, b3)
        phi = np.arctan2(np.linalg.norm(b2) * b1 @ n2, n1 @ n2)  # IUPAC, as in Allen & Tildesley
        assert np.allclose([cosine[i], sine[i]], [np.cos(phi), np.sin(phi)], atol=1e-6)
    a, c = x[0] - x[1], x[2] - x[1]
    assert np.isclose(np.asarray(cos_angles(x))[0], a @ c / np.linalg.norm(a) / np.linalg.norm(c))


def test_a_right_handed_helix_has_positive_dihedrals():
    t = np.radians(100.0) * np.arange(6)
    helix = np.stack([2.3 * np.cos(t), 2.3 * np.sin(t), 1.5 * np.arange(6)], 1)
    assert np.all(np.asarray(dihedrals(helix)[1]) > 0.5)


def test_bonds_follow_from_chain_and_number_not_from_the_array():
    broken = chains_of(["ALA"] * 5, [0, 0, 0, 1, 1], [0, 1, 5, 0, 1])
    assert np.asarray(broken.linked(2)).tolist() == [True, False, False, True]
    assert not np.asarray(broken.linked(3)).any()
    x = tiny.helix(5)
    e = bead_energy(broken, empty_prior(walls(2.7, 1.3)))
    far = x.copy()
    far[2:] += 50.0
    far[3:] += 50.0
    pairs = all_pairs(5)
    assert np.isclose(e.terms(far, pairs)["bond"], e.terms(x, pairs)["bond"])
    with pytest.raises(InputError, match="order of their chains"):
        chains_of(["ALA", "GLY"], [0, 0], [1, 0])
    with pytest.raises(InputError, match="no bead stands for"):
        chains_of(["HOH"], [0], [0])


def test_every_law_holds(sample):
    energy, x, _ = sample
    failed = [c for c in prove_beads(energy, x[3]) if not c.passed]
    assert not failed, failed


def test_lists_and_all_pairs_give_one_energy(sample):
    energy, x, _ = sample
    sparse = eqx.tree_at(lambda e: e.dense, energy, None, is_leaf=lambda a: a is None)
    a = energy(x[0], all_pairs(6))
    b = sparse(x[0], neighbour_matrix(x[0], energy.cutoff))
    assert np.isclose(a, b, rtol=1e-12)


def test_the_walls_of_the_origin_fail_the_law(sample):
    energy, x, _ = sample
    weak = without_volume(energy.prior.prior, energy.chains)
    failed = {c.name for c in prove_beads(weak, x[3]) if not c.passed}
    assert "height of the walls at 3 Å" in failed


def test_normal_equations_are_exact_and_give_back_what_made_the_data(sample):
    energy, x, f = sample
    prior = energy.prior.prior
    said = normal(prior, energy.chains, x, f)
    c = np.asarray(flat(coefficients(prior)))
    assert said.error(c) < 1e-14 * said.total / said.count
    rng = np.random.default_rng(1)
    other = c + 0.01 * rng.normal(size=c.shape)
    moved = bead_energy(energy.chains, with_coefficients(prior, of_flat(prior, other)))
    direct = np.mean((tiny.forces(moved, x) - f) ** 2)
    assert np.isclose(said.error(other), direct, rtol=1e-8)
    found = fit_prior(empty_prior(prior.walls), [said], said)
    assert said.explained(np.asarray(flat(coefficients(found.prior)))) > 0.9


def test_no_fit_makes_a_bond_soft_or_a_wall_attractive(sample):
    energy, x, f = sample
    prior = empty_prior(energy.prior.prior.walls)
    said = normal(prior, energy.chains, x, -f)  # forces of the wrong sign ask for just that
    found = fit_prior(prior, [said])
    assert np.min(found.prior.stiffness) > SOFTEST
    assert np.all(np.asarray(found.prior.excluded_volume) > WEAKEST)
    assert np.all(np.isfinite(solved(prior, said, 1.0)))


def test_sites_are_for_one_sequence(sample):
    _, x, f = sample
    chains = tiny.chains()
    types = tuple(int(t) for t in chains.types)
    prior = empty_prior(walls(2.7, 1.3), sites=types)
    said = normal(prior, chains, x, f)
    assert said.explained(solved(prior, said, 1.0)) > 0.95


def test_attractions_can_be_read(sample):
    energy, _, _ = sample
    prior = energy.prior.prior
    where = RESIDUES.index("TRP")
    deep = prior.pair.by_type.copy()
    deep[where] = -2.0 * KCAL_MOL
    e = bead_energy(energy.chains, eqx.tree_at(lambda p: p.pair.by_type, prior, deep))
    first = attraction(e)[0]
    assert first["first"] == first["second"] == "TRP"
    assert 0.3 < first["depth"] < 3.0
    both = pair_energies(e, np.array([6.0]))
    assert np.allclose(both, both.swapaxes(0, 1))
