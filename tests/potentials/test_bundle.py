"""Trained models on disk: the same bits come back, and whatever is wrong is one error that names the place."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import equinox as eqx
import numpy as np
import pytest
from safetensors.numpy import load, save

from consilience.core.errors import InputError
from consilience.potentials.build import Architecture, build
from consilience.potentials.bundle import DESCRIPTION, WEIGHTS, TrainedModel, load_bundle, save_model
from consilience.potentials.graph import single
from consilience.potentials.potential import Potential
from consilience.potentials.weights import named, split

SMALL = Architecture("equivariant", (1, 8), 4.0, features=4, layers=1, radial_size=4, sites=2, electrostatics=True)
OFFSETS = [-13.587, -2041.3]


def trained(architecture: Architecture = SMALL, members: int = 2) -> TrainedModel:
    info = {"errors": {"test": {"force_mae_mev_A": 1.5}}, "name": "wätér"}
    made = tuple(build(architecture, OFFSETS, 2.5, seed) for seed in range(members))
    return TrainedModel(architecture, made, info)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "model"
    save_model(folder, trained())
    return folder


def test_a_model_comes_back_bit_by_bit(saved: Path) -> None:
    before, after = trained(), load_bundle(saved)
    assert after.architecture == SMALL
    assert after.info == before.info
    assert len(after.members) == 2
    for a, b in zip(before.members, after.members, strict=True):
        weights, other = named(split(a)[0]), named(split(b)[0])
        assert weights.keys() == other.keys() and len(weights) > 10
        for k, v in weights.items():
            assert v.dtype == other[k].dtype
            np.testing.assert_array_equal(v, other[k])
        np.testing.assert_array_equal(a.offsets, b.offsets)
        assert a.scale == b.scale
    x, graph = np.array([[0.0, 0, 0], [0.96, 0, 0], [-0.2, 0.94, 0]]), single([8, 1, 1])
    predict = eqx.filter_jit(Potential.__call__)
    a, b = (predict(m.members[1], x, graph) for m in (before, after))
    for name in ("energy", "charges", "dipole", "sites", "site_charges"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


@pytest.mark.parametrize("network", ["physnet", "equivariant"])
def test_every_kind_of_architecture_comes_back(tmp_path: Path, network: Any) -> None:
    sites = 0 if network == "equivariant" else 1
    a = Architecture(network, (1, 6, 8), 3.5, 4, 2, 2, 5, sites, 1, 0.4, False, True, 9.0)
    save_model(tmp_path, TrainedModel(a, (build(a, [-13.6, -1030.1, -2041.3]),)))
    found = load_bundle(tmp_path)
    assert found.architecture == a
    for k, v in named(split(found.potential)[0]).items():
        np.testing.assert_array_equal(v, named(split(build(a))[0])[k])


def test_a_model_from_before_features_were_bounded_is_what_it_was(tmp_path: Path) -> None:
    """Its description says nothing of bounds; so it has none, and predicts what it did."""
    old = replace(SMALL, bounded=False)
    save_model(tmp_path, trained(old))
    said = json.loads((tmp_path / DESCRIPTION).read_text())
    del said["architecture"]["bounded"]
    (tmp_path / DESCRIPTION).write_text(json.dumps(said))
    assert load_bundle(tmp_path).architecture == old


def test_a_run_folder_stands_for_its_model(saved: Path) -> None:
    assert load_bundle(saved.parent).architecture == SMALL


def test_a_folder_holds_two_plain_files_and_its_hash(saved: Path) -> None:
    assert sorted(p.name for p in saved.iterdir()) == [DESCRIPTION, WEIGHTS]
    said = json.loads((saved / DESCRIPTION).read_text())
    assert said["sha256"] == hashlib.sha256((saved / WEIGHTS).read_bytes()).hexdigest()
    assert said["units"] == {"energy": "eV", "length": "Å", "charge": "e"}
    assert said["offsets_eV"] == [OFFSETS] * said["members"]


def rewrite(**changes: Any) -> Callable[[Path], None]:
    def deed(folder: Path) -> None:
        said = json.loads((folder / DESCRIPTION).read_text())
        for key, value in changes.items():
            if value is None:
                said.pop(key)
            else:
                said[key] = value
        (folder / DESCRIPTION).write_text(json.dumps(said))

    return deed


def architecture(**changes: Any) -> Callable[[Path], None]:
    return rewrite(architecture={**asdict(SMALL), "species": [1, 8], **changes})


def weights(change: Callable[[dict[str, np.ndarray]], object]) -> Callable[[Path], None]:
    """Other weights, with a hash that fits them."""

    def deed(folder: Path) -> None:
        arrays = {k: v.copy() for k, v in load((folder / WEIGHTS).read_bytes()).items()}
        change(arrays)
        data = save(arrays)
        (folder / WEIGHTS).write_bytes(data)
        rewrite(sha256=hashlib.sha256(data).hexdigest())(folder)

    return deed


def flip(folder: Path) -> None:
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[-5] ^= 1
    (folder / WEIGHTS).write_bytes(data)


def replaced(data: bytes) -> Callable[[Path], None]:
    """Anything in place of the weights, with a hash that fits it."""

    def deed(folder: Path) -> None:
        (folder / WEIGHTS).write_bytes(data)
        rewrite(sha256=hashlib.sha256(data).hexdigest())(folder)

    return deed


def first(arrays: dict[str, np.ndarray], value: float) -> None:
    arrays[sorted(arrays)[0]].flat[0] = value


class Evil:
    """Does something when it is unpickled."""

    def __reduce__(self):
        return (open, ("unpickled", "w"))


PROBLEMS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a flipped bit": (flip, "do not match the hash"),
    "a hash of another file": (rewrite(sha256="0" * 64), "do not match the hash"),
    "no hash": (rewrite(sha256=None), "do not match the hash"),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), "cannot be read"),
    "half the weights": (lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:999]), "do not match"),
    "no description": (lambda f: (f / DESCRIPTION).unlink(), "not a model folder"),
    "a description that is cut": (lambda f: (f / DESCRIPTION).write_text('{"format": "consil'), "cannot be parsed"),
    "a deep description": (lambda f: (f / DESCRIPTION).write_text("[" * 100_000), "cannot be parsed"),
    "a list": (lambda f: (f / DESCRIPTION).write_text("[1]"), "does not describe"),
    "not text": (lambda f: (f / DESCRIPTION).write_bytes(b"\xff\xfe\x00"), "cannot be parsed"),
    "another format": (rewrite(format="something"), "does not describe"),
    "a later version": (rewrite(format_version=99), "another version"),
    "an unknown key": (architecture(depth=4), "not understood"),
    "no architecture": (rewrite(architecture=None), "not understood"),
    "no network": (rewrite(architecture={"species": [1, 8]}), "not understood"),
    "an unknown network": (architecture(network="magic"), "not understood"),
    "too many features": (architecture(features=10**9), "not understood"),
    "features that are not whole": (architecture(features=4.5), "not understood"),
    "a negative cutoff": (architecture(cutoff=-1.0), "not understood"),
    "a cutoff that is nan": (architecture(cutoff=float("nan")), "not understood"),
    "a text for a number": (architecture(layers="many"), "not understood"),
    "truth for a number": (architecture(layers=True), "not understood"),
    "a number for truth": (architecture(repulsion="yes"), "not understood"),
    "elements out of order": (architecture(species=[8, 1]), "not understood"),
    "no elements": (architecture(species=[]), "not understood"),
    "an element that is none": (architecture(species=[0, 500]), "not understood"),
    "an endless element": (architecture(species=[1, float("inf")]), "not understood"),
    "an element and a half": (architecture(species=[1.5, 8]), "not understood"),
    "elements as text": (architecture(species="H"), "not understood"),
    "another shape": (architecture(features=5), "cannot be loaded"),
    "no members": (rewrite(members=0), "no members"),
    "a member too many": (rewrite(members=3), "cannot be loaded"),
    "members and a half": (rewrite(members=1.5), "cannot be loaded"),
    "members without end": (rewrite(members=float("inf")), "cannot be loaded"),
    "members as text": (rewrite(members="two"), "cannot be loaded"),
    "no offsets": (rewrite(offsets_eV=None), "cannot be loaded"),
    "offsets of another number": (rewrite(offsets_eV=[1.0]), "cannot be loaded"),
    "offsets that are nan": (rewrite(offsets_eV=[float("nan"), 1.0]), "cannot be loaded"),
    "a scale that is nan": (rewrite(scale_eV=float("nan")), "cannot be loaded"),
    "no scale": (rewrite(scale_eV=0.0), "cannot be loaded"),
    "a scale as text": (rewrite(scale_eV="big"), "cannot be loaded"),
    "weights that are nan": (weights(lambda a: first(a, np.nan)), "cannot be loaded"),
    "weights that are infinite": (weights(lambda a: first(a, np.inf)), "cannot be loaded"),
    "a missing weight": (weights(lambda a: a.pop(sorted(a)[0])), "cannot be loaded"),
    "weights of whole numbers": (
        weights(lambda a: a.update({k: v.astype(np.int32) for k, v in a.items()})), "cannot be loaded"),
    "a pickle": (replaced(pickle.dumps(Evil())), "cannot be loaded"),
    "an archive": (replaced(b"PK\x03\x04" + bytes(200)), "cannot be loaded"),
    "nothing": (replaced(b""), "cannot be loaded"),
}  # fmt: skip


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_is_wrong_is_one_error_that_names_the_place(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    deed, message = PROBLEMS[name]
    folder = tmp_path / "copy"
    shutil.copytree(saved, folder)
    monkeypatch.chdir(tmp_path)
    deed(folder)
    with pytest.raises(InputError, match=message) as caught:
        load_bundle(folder)
    assert str(folder) in caught.value.finding.where
    assert [p.name for p in tmp_path.iterdir()] == ["copy"]  # nothing ran


def test_a_name_that_would_change_the_terminal_is_cleaned(saved: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(saved, folder)
    rewrite(format="\x1b[31mred")(folder)
    with pytest.raises(InputError) as caught:
        load_bundle(folder)
    assert "\x1b" not in str(caught.value)
