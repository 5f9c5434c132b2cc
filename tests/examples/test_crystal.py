"""The built-in crystal: its files agree with their truth, and the script that made the data makes them again."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import gemmi
import numpy as np
import pytest

from consilience.core.errors import InputError
from consilience.examples import example_path
from consilience.structure.library import load_library

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def truth() -> dict:
    return json.loads(example_path("crystal/truth.json").read_text())


@pytest.fixture(scope="module")
def true() -> gemmi.Structure:
    st = gemmi.read_structure(str(example_path("crystal/true.pdb")))
    st.setup_entities()
    return st


@pytest.fixture(scope="module")
def topo(true: gemmi.Structure) -> Iterator[gemmi.Topo]:
    library, _, _ = load_library(sorted({r.name for chain in true[0] for r in chain}))
    yield gemmi.prepare_topology(true, library)
    del library  # the topology points into it


def _column(path: str, label: str) -> np.ndarray:
    return np.array(gemmi.read_mtz_file(str(example_path(path))).column_with_label(label).array)


def test_unknown_example_is_refused_and_nothing_outside_the_folder_is_given() -> None:
    for name in ("crystal/none.mtz", "../errors.py"):
        with pytest.raises(InputError, match="no such example"):
            example_path(name)


def test_data_and_truth_agree(truth: dict, true: gemmi.Structure) -> None:
    assert hashlib.sha256(example_path("crystal/true.pdb").read_bytes()).hexdigest() == truth["sha256_true"]
    mtz = gemmi.read_mtz_file(str(example_path("crystal/data.mtz")))
    assert mtz.spacegroup.xhm() == truth["space_group"] == true.find_spacegroup().xhm()
    assert mtz.nreflections == truth["n_reflections"]
    possible = len(gemmi.make_miller_array(true.cell, true.find_spacegroup(), truth["d_min"]))
    assert 0.96 < mtz.nreflections / possible < 0.98
    f, sigma = _column("crystal/data.mtz", "FP"), _column("crystal/data.mtz", "SIGFP")
    assert np.all(f > 0) and np.all(sigma > 0)
    assert 10 < np.median(f / sigma) < 60


def test_free_set_is_a_random_share_closed_under_twinning(truth: dict) -> None:
    mtz = gemmi.read_mtz_file(str(example_path("crystal/data.mtz")))
    flags, hkl = _column("crystal/data.mtz", "FreeR_flag"), mtz.make_miller_array()
    assert set(flags) == set(range(14))
    assert np.sum(flags == 0) == truth["n_free"]
    assert 0.05 < np.mean(flags == 0) < 0.09
    s = mtz.cell.calculate_1_d2_array(hkl)
    for part in np.array_split(np.argsort(s), 5):
        assert 0.03 < np.mean(flags[part] == 0) < 0.12
    flag_of = dict(zip(map(tuple, hkl.tolist()), flags, strict=True))
    asu, ops = gemmi.ReciprocalAsu(mtz.spacegroup), mtz.spacegroup.operations()
    partners = [(f, flag_of.get(tuple(asu.to_asu([-h, -k, m], ops)[0]))) for (h, k, m), f in flag_of.items()]
    assert sum(p is not None for _, p in partners) > 3500
    assert all(f == p for f, p in partners if p is not None)
    assert np.array_equal(flags, _column("crystal/intensities.mtz", "FreeR_flag"))


def test_true_model_has_good_geometry_and_realistic_spread(true: gemmi.Structure, topo: gemmi.Topo) -> None:
    for name, low, high in (("bonds", 0.3, 1.0), ("angles", 0.3, 1.0)):
        z = np.array([t.calculate_z() for t in getattr(topo, name)])
        assert low < np.sqrt(np.mean(z**2)) < high
        assert np.abs(z).max() < 4.0
    assert not [t for t in topo.chirs if t.calculate_z(topo.ideal_chiral_abs_volume(t), 0.2) > 3]
    chain = true[0]["A"]
    omega = np.degrees([gemmi.calculate_omega(a, b) for a, b in zip(chain, list(chain)[1:], strict=False)])
    assert np.flatnonzero(np.abs(omega) < 90).tolist() == [38]
    assert np.abs(np.abs(np.delete(omega, 38)) - 180).max() < 10
    assert abs(chain[9]["SG"][0].pos.dist(chain[28]["SG"][0].pos) - 2.03) < 0.06
    b = np.array([a.b_iso for c in true[0] for r in c for a in r])
    assert b.min() >= 8 and b.max() <= 45 and b.std() > 4


def test_no_clashes_in_the_crystal(true: gemmi.Structure) -> None:
    search = gemmi.NeighborSearch(true[0], true.cell, 3.0).populate(include_h=False)
    contacts = gemmi.ContactSearch(2.6)
    contacts.ignore = gemmi.ContactSearch.Ignore.AdjacentResidues
    close = [(c.partner1, c.partner2) for c in contacts.find_contacts(search)]
    assert [(str(a), str(b)) for a, b in close if {a.atom.name, b.atom.name} != {"SG"}] == []


def test_start_model_is_the_true_one_shaken(true: gemmi.Structure) -> None:
    start = gemmi.read_structure(str(example_path("crystal/start.pdb")))
    bare = true.clone()
    bare.remove_hydrogens()
    a, b = ([x for c in st[0] for r in c for x in r] for st in (bare, start))
    assert [(x.name, x.altloc, x.occ) for x in a] == [(x.name, x.altloc, x.occ) for x in b]
    shift = np.array([x.pos.dist(y.pos) for x, y in zip(a, b, strict=True)])
    assert abs(np.sqrt(np.mean(shift**2)) - 0.25) < 0.003
    assert {x.b_iso for x in b} == {30.0}


def test_script_makes_the_same_data_and_r_factors(tmp_path: Path, truth: dict) -> None:
    script = ROOT / "tools" / "examples" / "make_crystal.py"
    command = [sys.executable, str(script), "--from-true", str(example_path("crystal/true.pdb")), "-o", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    again = json.loads((tmp_path / "truth.json").read_text())
    assert again == truth
    assert 0.08 < truth["r_true"] < 0.12 and abs(truth["r_free_true"] - truth["r_true"]) < 0.02
    assert 0.28 < truth["r_start"] < 0.36
    for name, labels in (("data.mtz", ("FP", "SIGFP", "FreeR_flag")), ("intensities.mtz", ("IMEAN", "SIGIMEAN"))):
        mtz = gemmi.read_mtz_file(str(tmp_path / name))
        for label in labels:
            np.testing.assert_allclose(
                np.array(mtz.column_with_label(label).array), _column(f"crystal/{name}", label), rtol=1e-3, atol=0.02
            )
