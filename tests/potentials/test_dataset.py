"""From frames to batches: energies of the elements, lists of padded frames, and what is refused."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import numpy as np
import pytest

from consilience.core.errors import InputError
from consilience.frames.frames import Frames
from consilience.neighbours import neighbour_matrix
from consilience.potentials import scores
from consilience.potentials.build import Architecture, build
from consilience.potentials.dataset import batch_of, composition, element_offsets, energy_scale, split_frames
from consilience.potentials.graph import Graph, single
from consilience.potentials.labels import ReferenceData
from consilience.potentials.potential import Potential
from consilience.potentials.scores import predicted, score_row
from consilience.potentials.weights import cast

OFFSETS = np.array([-13.6, -1030.5, -2041.8])
MOLECULES = (
    ([8, 1, 1], [[0.0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]),
    ([6, 8, 1, 1], [[0.0, 0, 0], [1.2, 0, 0], [-0.6, 0.95, 0], [-0.6, -0.95, 0]]),
    ([1, 1], [[0.0, 0, 0], [0, 0, 0.75]]),
)


def frames(**more: Any) -> Frames:
    numbers, x = np.zeros((3, 4), int), np.zeros((3, 4, 3))
    for i, (z, r) in enumerate(MOLECULES):
        numbers[i, : len(z)], x[i, : len(z)] = z, r
    return Frames(numbers, x, files=("set.npz",), **more)


def potential(**options: Any) -> Potential:
    a = Architecture("equivariant", (1, 6, 8), 3.0, 4, 1, 1, 4, electrostatics=True, coulomb_cutoff=5.0, **options)
    return build(a, OFFSETS, 2.0)


def test_offsets_are_found_from_compositions() -> None:
    data = frames(energy=composition(frames(), (1, 6, 8)) @ OFFSETS)
    np.testing.assert_allclose(element_offsets(data, (1, 6, 8)), OFFSETS, rtol=1e-9)
    two = data.select([0, 2])  # H2O and H2
    np.testing.assert_allclose(element_offsets(two, (1, 8)), OFFSETS[[0, 2]], rtol=1e-9)


def test_offsets_that_are_not_determined_are_the_smallest() -> None:
    """One composition, H2O: the energy is explained, by -2 : -1 parts of 5."""
    data = frames(energy=np.array([-100.0, np.nan, np.nan]))
    found = element_offsets(data, (1, 6, 8))
    np.testing.assert_allclose(found, [-40.0, 0.0, -20.0], atol=1e-9)
    np.testing.assert_array_equal(element_offsets(frames(), (1, 6, 8)), 0.0)
    np.testing.assert_array_equal(element_offsets(frames(energy=np.full(3, np.nan)), (1, 6, 8)), 0.0)


def test_the_unit_of_the_network_is_the_size_of_the_forces() -> None:
    forces = np.zeros((3, 4, 3))
    forces[0, :3] = 2.0
    forces[1, :4] = np.nan
    forces[2, :2] = 2.0
    assert energy_scale(frames(forces=forces)) == pytest.approx(2.0)  # padding and unknown forces do not count
    assert energy_scale(frames(energy=np.array([1.0, np.nan, 3.0]))) == pytest.approx(1.0)
    assert energy_scale(frames()) == 1.0


def test_an_element_that_the_model_does_not_know_is_refused() -> None:
    data = frames()
    data.numbers[1, 0] = 17
    with pytest.raises(InputError, match="does not know an element") as caught:
        batch_of(data, potential(), ["energy"])
    assert "17" in caught.value.finding.found and "set.npz" in caught.value.finding.where


def test_frames_of_different_sizes_have_the_energies_of_single_molecules(monkeypatch: pytest.MonkeyPatch) -> None:
    p = cast(potential(), np.float64)
    predict = eqx.filter_jit(Potential.__call__)
    charge = np.array([0.0, 1.0, np.nan])
    batch = batch_of(frames(total_charge=charge), p, ["energy", "forces"])
    assert batch.labels == {} and len(batch) == 3
    monkeypatch.setattr(scores, "CHUNK", 2)  # two chunks, the second not full
    found = predicted(p, batch)
    for i, (z, x) in enumerate(MOLECULES):
        lists, far = neighbour_matrix(x, p.cutoff), neighbour_matrix(x, 5.0)
        graph = single(z, lists, float(np.nan_to_num(charge[i])))
        one = predict(p, np.array(x), Graph(graph.numbers, lists, graph.molecule, graph.charge, far))
        assert found["energy"][i] == pytest.approx(float(one.energy[0]), abs=1e-9)
        np.testing.assert_allclose(found["charges"][i, : len(z)], one.charges, atol=1e-12)
        np.testing.assert_allclose(found["dipole"][i], one.dipole[0], atol=1e-12)
    padding = frames().numbers == 0
    assert np.all(found["forces"][padding] == 0.0) and np.all(found["charges"][padding] == 0.0)
    np.testing.assert_allclose(found["charges"].sum(1), [0.0, 1.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(found["forces"].sum(1), 0.0, atol=1e-10)


def test_a_periodic_frame_beside_a_molecule_keeps_its_images() -> None:
    cell = np.zeros((3, 3, 3))
    pbc = np.zeros((3, 3), bool)
    cell[2], pbc[2] = np.diag([2.2, 2.5, 2.4]), True
    batch = batch_of(frames(cell=cell, pbc=pbc), potential(), [])
    lists = batch.neighbours
    alone = neighbour_matrix(MOLECULES[2][1], 3.0, cell[2], pbc[2])
    assert lists.mask[2].sum() == alone.mask.sum() > 2
    assert not lists.shift[0].any() and lists.shift[2].any()
    assert not lists.overflow.any()


def test_points_of_the_potential_that_are_missing_stand_far_away() -> None:
    points = np.full((3, 2, 3), np.nan)
    points[0] = 3.0
    values = np.full((3, 2), np.nan)
    values[0] = 0.1
    batch = batch_of(frames(esp=values, esp_xyz=points), potential(), ["esp"])
    assert np.isfinite(batch.esp_points).all() and np.isnan(batch.labels["esp"][1:]).all()
    assert "esp" not in batch_of(frames(esp=values), potential(), ["esp"]).labels  # values without points say nothing


def test_a_table_has_errors_of_known_labels_only() -> None:
    forces = np.zeros((3, 4, 3))
    forces[1] = np.nan
    data = frames(energy=np.array([1.0, np.nan, 3.0]), forces=forces)
    batch = batch_of(data, potential(), ["energy", "forces"])
    found = {"energy": np.array([1.3, 5.0, 3.0]), "forces": np.full((3, 4, 3), 0.5)}
    row = score_row(found, batch)
    assert row["energy_mae_mev_atom"] == pytest.approx(1e3 * 0.5 * 0.3 / 3)
    for name in ("force_mae_mev_A", "force_median_mev_A", "force_rmse_mev_A", "force_worst_frame_mev_A"):
        assert row[name] == pytest.approx(500.0), name
    assert row["frames"] == 3.0


def test_the_potential_has_an_error_over_all_points_and_one_of_the_middle_frame() -> None:
    """Frames that are off by 1, 2 and 10 V at their points, of which one lacks one."""
    values = np.array([[0.0, np.nan], [0.0, 0.0], [0.0, 0.0]])
    batch = batch_of(frames(esp=values, esp_xyz=np.full((3, 2, 3), 3.0)), potential(), ["esp"])
    row = score_row({"esp": np.array([[1.0, 7.0], [2.0, -2.0], [10.0, 10.0]])}, batch)
    assert row["esp_median_mv"] == pytest.approx(2000.0)
    assert row["esp_rmse_mv"] == pytest.approx(1e3 * np.sqrt((1 + 4 + 4 + 100 + 100) / 5))


def test_a_split_is_of_all_frames_and_repeats() -> None:
    many = frames(energy=np.arange(3.0)).select(np.arange(30) % 3)
    many = many.select(np.arange(30))
    work, steer = split_frames(many, 0.2, 3)
    assert (len(work), len(steer)) == (24, 6)
    again = split_frames(many, 0.2, 3)[1]
    np.testing.assert_array_equal(steer.numbers, again.numbers)
    assert len(split_frames(frames(), 0.0, 0)[1]) == 1 and len(split_frames(frames(), 1.0, 0)[0]) == 1
    with pytest.raises(InputError, match="cannot be split"):
        split_frames(frames().select([0]), 0.1, 0)


def test_the_name_of_the_term_and_its_block() -> None:
    assert ReferenceData(None, {}, {}).reads == frozenset({"net"})
