"""Allegro: symmetries, strict locality, smoothness, temperature; packs, training, files."""

import dataclasses

import equinox as eqx
import jax
import numpy as np
import pytest

from consilience.core.errors import InputError
from consilience.forces import forces_from
from consilience.model import load_model
from consilience.neighbours import all_pairs, neighbour_matrix
from consilience.potentials.beads.allegro import INSIDE, paths
from consilience.potentials.beads.batch import Sample, packed
from consilience.potentials.beads.chains import chains_of
from consilience.potentials.beads.energy import bead_energy
from consilience.potentials.beads.model import BeadModel, NetworkShape, checked_shape, save_beads
from consilience.potentials.beads.terms import pack_forces
from consilience.potentials.beads.training import BeadSchedule, predicted_forces, rms_of, train_network
from consilience.units import KCAL_MOL

from .. import tiny_beads as tiny

SMALL = {"cutoff": 9.0, "features": 8, "channels": 4, "radial_size": 4}


def network(seed: int = 0, **kind):
    """A network in float64 whose last layer is not zero."""
    made = BeadModel(None, (NetworkShape(**(SMALL | kind)).build(seed),)).cast(64).networks[0]
    last = made.output.layers[-1].weight
    rng = np.random.default_rng(seed)
    return eqx.tree_at(lambda n: n.output.layers[-1].weight, made, rng.normal(size=last.shape))


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(3)
    return tiny.helix(6) + 0.5 * rng.normal(size=(6, 3))


@eqx.filter_jit
def evaluate(energy, x, neighbours):
    return forces_from(energy)(x, neighbours)


@pytest.mark.parametrize(
    ("l_max", "layers", "parity"), [(1, 1, True), pytest.param(2, 2, False, marks=pytest.mark.slow)]
)
def test_energy_is_invariant_and_forces_turn(frame, l_max, layers, parity):
    energy = bead_energy(tiny.chains(), None, network(l_max=l_max, layers=layers, parity=parity))
    pairs = all_pairs(6)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    e, f = evaluate(energy, frame, pairs)
    e2, f2 = evaluate(energy, frame @ turn.T + 3.0, pairs)
    assert np.isclose(e, e2, rtol=1e-12)
    assert np.allclose(f @ turn.T, f2, atol=1e-12)
    mirrored = evaluate(energy, -frame, pairs)[0]
    assert np.isclose(e, mirrored, rtol=1e-12) == parity  # without parity a mirror image is another structure
    step = 1e-5 * np.random.default_rng(1).normal(size=frame.shape)
    numerical = (evaluate(energy, frame + step, pairs)[0] - evaluate(energy, frame - step, pairs)[0]) / 2
    assert np.isclose(numerical, -(np.asarray(f) * step).sum(), rtol=1e-6)


def test_products_of_a_layer():
    assert paths(1, True, True) == ((0, 0, 0), (1, 1, 0))
    assert (1, 1, 1) in paths(1, False, False)
    assert (1, 1, 1) not in paths(1, True, False)


def test_a_centre_sees_its_own_neighbours_only(frame):
    """What makes domain decomposition exact: far beads change nothing, though they are neighbours of neighbours."""
    line = np.arange(6.0)[:, None] * np.array([5.0, 0.4, 0.0])
    moved = line.copy()
    moved[5] += np.array([0.3, 0.7, 0.1])
    net, chains = network(layers=2), tiny.chains()

    def centres(x):
        lists = neighbour_matrix(x, net.cutoff, capacity=5)
        t = chains.types
        return np.asarray(net.energies(lists.vectors(x), t, t[lists.index], chains.separation(lists.index), lists.mask))

    a, b = centres(line), centres(moved)
    assert np.array_equal(a[:4], b[:4])  # bead 5 is beyond the cutoff of beads 0 to 3
    assert a[4] != b[4]


def test_the_cutoff_is_smooth_and_close_beads_are_left_to_the_prior():
    net = network()
    far = chains_of(("ALA", "TRP"), [0, 1], [0, 0])  # of two chains: not bonded
    energy = bead_energy(far, None, net)

    def at(r):
        return float(evaluate(energy, np.array([[0.0, 0, 0], [r, 0, 0]]), all_pairs(2))[0])

    assert abs(at(6.0)) > 1e-4
    assert abs(at(net.cutoff - 0.01)) < 1e-8 * abs(at(6.0)) + 1e-12
    assert at(net.cutoff) == at(INSIDE[0]) == at(2.0) == 0.0


def test_temperature_is_an_input(frame):
    net = network(temperature=True)
    cold, hot = (bead_energy(tiny.chains(), None, net.at(t)) for t in (300.0, 450.0))
    pairs = all_pairs(6)
    assert evaluate(cold, frame, pairs)[0] != evaluate(hot, frame, pairs)[0]


def test_packs_hold_every_frame_once_and_do_not_mix(frame):
    net = network()
    rng = np.random.default_rng(0)
    samples = []
    for names in (("GLY", "TRP", "LYS", "PRO"), tiny.SEQUENCE):
        x = np.stack([tiny.helix(len(names)) + 0.3 * rng.normal(size=(len(names), 3)) for _ in range(3)])
        samples.append(Sample(tiny.chains(names), x, x * 0, np.ones(3), np.full(3, 300.0)))
    packs = packed(samples, net.cutoff, size=14)
    assert int((packs.chain >= 0).sum()) == 3 * 4 + 3 * 6
    found = np.asarray(pack_forces(net, packs))
    alone = {}
    for s in samples:
        forces = tiny.forces(bead_energy(s.chains, None, net), s.positions)
        alone |= {tuple(np.round(x[0], 9)): f for x, f in zip(s.positions, forces, strict=True)}
    seen = 0
    for a in range(len(packs)):
        for chain in np.unique(packs.chain[a][packs.chain[a] >= 0]):
            rows = packs.chain[a] == chain
            expected = alone[tuple(np.round(packs.positions[a][rows][0], 9))]
            assert np.allclose(found[a][rows], expected, atol=1e-12)
            seen += 1
    assert seen == 6


@pytest.mark.slow
def test_training_learns_what_a_prior_leaves(tmp_path):
    """A network learns an attraction that is in the forces, and resumes to the same bits."""
    truth = tiny.known_prior()
    deep = eqx.tree_at(lambda p: p.pair.shared, truth, np.full((3, 3), -4.0 * KCAL_MOL))
    chains = tiny.chains()
    x = tiny.sampled(bead_energy(chains, truth), 120)
    left = tiny.forces(bead_energy(chains, deep), x) - tiny.forces(bead_energy(chains, truth), x)
    sample = Sample(chains, x, left, np.ones(len(x)), np.full(len(x), 300.0))
    packs = packed([sample], 9.0, size=36)
    start = NetworkShape(**SMALL).build()
    schedule = BeadSchedule(epochs=25, batch=4, learning_rate=1e-2, average=0.9)
    done = train_network(start, packs, [packs], schedule, checkpoint=tmp_path / "c.safetensors")
    after = predicted_forces(done.network, None, packs)
    real = packs.weight > 0
    assert ((after - packs.forces)[real] ** 2).sum() < 0.3 * (packs.forces[real] ** 2).sum()

    class Stop(Exception):
        pass

    def stop(record):
        if record["stage"] == 5:
            raise Stop

    from consilience.potentials.beads import training as bead_training

    place = tmp_path / "d.safetensors"
    every, bead_training.CHECKPOINT_EVERY = bead_training.CHECKPOINT_EVERY, 0.0
    try:
        with pytest.raises(Stop):
            train_network(start, packs, [packs], schedule, checkpoint=place, callback=stop)
        again = train_network(start, packs, [packs], schedule, checkpoint=place, resume=True)
    finally:
        bead_training.CHECKPOINT_EVERY = every
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(done.network), jax.tree.leaves(again.network),
                                                    strict=True))  # fmt: skip


def test_a_model_comes_back_from_its_files(tmp_path, frame):
    shape = checked_shape({**SMALL, "temperature": True})
    model = BeadModel(tiny.known_prior(), (shape.build(1), shape.build(2)), shape, {"errors": {"valid": {}}})
    save_beads(tmp_path, model)
    found = load_model(tmp_path)
    energy = found.with_member(1).beads_of(tiny.SEQUENCE, [0] * 6, range(6), temperature=400.0)
    pairs = all_pairs(6)
    expected = model.energy(tiny.chains(), member=1, temperature=400.0)
    assert float(energy(frame, pairs)) == float(expected(frame, pairs))
    assert found.info == {"errors": {"valid": {}}}
    (tmp_path / "model.safetensors").write_bytes((tmp_path / "model.safetensors").read_bytes()[:-4] + b"abcd")
    with pytest.raises(InputError, match="hash"):
        load_model(tmp_path)


def test_a_prior_of_sites_refuses_another_sequence(tmp_path):
    types = tuple(int(t) for t in tiny.chains().types)
    save_beads(tmp_path, BeadModel(tiny.known_prior(sites=types)))
    found = load_model(tmp_path)
    found.beads_of(tiny.SEQUENCE, [0] * 6, range(6))
    with pytest.raises(InputError, match="another sequence"):
        found.beads_of(("ALA",) * 6, [0] * 6, range(6))


@pytest.mark.parametrize(("l_max", "layers"), [(1, 1), pytest.param(2, 2, marks=pytest.mark.slow)])
def test_pairs_alone_give_what_rows_of_slots_give(frame, l_max, layers):
    energy = bead_energy(tiny.chains(), None, network(l_max=l_max, layers=layers, cutoff=6.5))
    lists = neighbour_matrix(frame, 6.5, capacity=7)
    counted = lists.counted()
    assert counted.room is not None and int(lists.mask.sum()) <= counted.room < lists.mask.size
    e, f = evaluate(energy, frame, lists)
    e2, f2 = evaluate(energy, frame, counted)
    assert np.isclose(e, e2, rtol=1e-12)
    assert np.allclose(f, f2, atol=1e-12 * np.abs(f).max())

    def pull(energy, x, lists):
        return (forces_from(energy)(x, lists)[1] ** 2).sum()

    slopes = eqx.filter_jit(eqx.filter_grad(pull))
    for a, b in zip(*(jax.tree.leaves(slopes(energy, frame, n)) for n in (lists, counted)), strict=True):
        assert np.allclose(a, b, atol=1e-10 * max(1.0, np.abs(a).max()))


@pytest.mark.slow
def test_packs_of_pairs_alone_have_the_forces_of_each_frame():
    rng = np.random.default_rng(5)
    frames = tiny.helix(6) * (1 + 0.3 * rng.random((5, 1, 1)))
    sample = Sample(tiny.chains(), frames, 0 * frames, np.ones((5, 6)), np.array([280.0, 300, 320, 340, 360]))
    packs = packed([sample], 9.0, size=13)
    warm = network(temperature=True)
    warm = eqx.tree_at(lambda n: n.embedding.heat, warm, rng.normal(size=8))
    by_pairs = pack_forces(warm, packs)
    by_slots = pack_forces(warm, dataclasses.replace(packs, room=None))
    assert packs.neighbours.room is not None
    assert np.allclose(by_pairs, by_slots, atol=1e-12 * np.abs(by_slots).max())


@pytest.mark.slow
def test_what_helps_one_protein_and_harms_another_is_not_kept():
    """Two steer sets, the second with forces turned round under larger others: in the mean, the gain would win."""
    chains = tiny.chains()
    truth = tiny.known_prior()
    deep = eqx.tree_at(lambda p: p.pair.shared, truth, np.full((3, 3), -4.0 * KCAL_MOL))
    x = tiny.sampled(bead_energy(chains, truth), 40)
    left = tiny.forces(bead_energy(chains, deep), x) - tiny.forces(bead_energy(chains, truth), x)
    turned = 3.0 * left.std() * np.random.default_rng(3).normal(size=left.shape) - left
    sets = [Sample(chains, x, f, np.ones(len(x)), np.full(len(x), 300.0)) for f in (left, turned)]
    good, bad = (packed([s], 9.0, size=36) for s in sets)
    start = NetworkShape(**SMALL).build()
    schedule = BeadSchedule(epochs=4, batch=4, learning_rate=1e-2, average=0.9)
    kept = train_network(start, good, [good, bad], schedule)
    assert not any(h.get("best") for h in kept.fit.history if h["stage"] >= 0)
    assert not predicted_forces(kept.network, None, good).any()
    alone = train_network(start, good, [good], schedule)
    gained, lost = (rms_of(predicted_forces(alone.network, None, p), p) / rms_of(0 * p.forces, p) for p in (good, bad))
    assert lost > 1.0 and (gained + lost) / 2 < 1.0
