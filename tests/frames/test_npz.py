"""npz files of molecules: spellings of several programs, shapes, and hostile or damaged archives."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from consilience.core.errors import InputError
from consilience.frames.npz import arrays_of, is_molecular
from consilience.frames.read import read_frames

NAMES = {
    "physnet": {"R": "R", "E": "E", "F": "F", "D": "D", "Z": "Z"},
    "md17": {"R": "coords", "E": "energies", "F": "forces", "Z": "nuclear_charges"},
    "sgdml": {"R": "R", "E": "E", "F": "F", "Z": "z"},
    "mace": {"R": "positions", "E": "REF_energy", "F": "REF_forces", "D": "REF_dipole", "Z": "atomic_numbers"},
    "schnet": {"R": "_positions", "E": "energy", "F": "forces", "Z": "_atomic_numbers"},
    "units in names": {"R": "R", "E": "energy_eV", "F": "forces [eV/Å]", "Z": "z"},
}


@pytest.mark.parametrize("program", NAMES)
def test_spellings(tmp_path: Path, formaldehyde: dict, program: str) -> None:
    names = NAMES[program]
    path = tmp_path / "x.npz"
    np.savez(path, **{new: formaldehyde[old] for old, new in names.items()})
    frames = read_frames(path)
    assert not [f for f in frames.findings if f.level != "note"]
    for quantity, old in (("energy", "E"), ("forces", "F"), ("positions", "R"), ("dipole", "D")):
        if old in names:
            np.testing.assert_array_equal(getattr(frames, quantity), formaldehyde[old])
            key = next(k for k in frames.keys if k.quantity == quantity)
            assert key.key == names[old]


def test_gradients_are_turned(tmp_path: Path, formaldehyde: dict) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, Z=formaldehyde["Z"], R=formaldehyde["R"], E=formaldehyde["E"], gradients=-formaldehyde["F"])
    frames = read_frames(path)
    np.testing.assert_array_equal(frames.forces, formaldehyde["F"])  # type: ignore[arg-type]
    assert any("minus the gradient" in f.what for f in frames.findings)


def test_q_is_decided_by_its_shape(tmp_path: Path, formaldehyde: dict) -> None:
    path = tmp_path / "x.npz"
    base = {k: formaldehyde[k] for k in "ZREF"}
    q = formaldehyde["Q_esp"].astype(float)
    np.savez(path, **base, Q=np.zeros(40))
    frames = read_frames(path)
    assert frames.charges is None and frames.total_charge is not None and not frames.total_charge.any()
    np.savez(path, **base, Q=q)
    frames = read_frames(path)
    assert frames.total_charge is None
    np.testing.assert_array_equal(frames.charges, q)  # type: ignore[arg-type]
    assert any("by its shape" in f.what for f in frames.findings)


def test_several_candidates(tmp_path: Path, formaldehyde: dict) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, **formaldehyde)
    frames = read_frames(path)
    assert any("'Q_esp' is used, not Q_mulliken" in f.what for f in frames.findings)
    other = read_frames(path, keys={"charges": "Q_mulliken"})
    np.testing.assert_allclose(other.charges, formaldehyde["Q_mulliken"])  # type: ignore[arg-type]
    np.savez(path, **formaldehyde, energy=formaldehyde["E"], REF_energy=formaldehyde["E"] + 3)
    both = read_frames(path)
    assert any(f.level == "warn" and "'REF_energy' is used" in f.what for f in both.findings)
    with pytest.raises(InputError, match="no key 'nothing'"):
        read_frames(path, keys={"energy": "nothing"})
    with pytest.raises(InputError, match="no such quantity"):
        read_frames(path, keys={"enthalpy": "E"})


def test_one_frame_and_symbols(tmp_path: Path, formaldehyde: dict) -> None:
    path = tmp_path / "x.npz"
    one = {k: v[3] for k, v in formaldehyde.items() if len(v) == 40}
    np.savez(path, **one, Z=np.array(["C", "O", "h", "H"]))
    frames = read_frames(path)
    assert len(frames) == 1 and frames.numbers.tolist() == [[6, 8, 1, 1]]
    assert frames.forces is not None and frames.forces.shape == (1, 4, 3)
    assert frames.esp_xyz is not None and frames.esp_xyz.shape == (1, 60, 3)


def test_padded_molecules_and_joined_files(tmp_path: Path, formaldehyde: dict) -> None:
    pad = {k: np.pad(formaldehyde[k], [(0, 0), (0, 2)] + [(0, 0)] * (formaldehyde[k].ndim - 2)) for k in "RF"}
    z = np.tile(np.pad(formaldehyde["Z"], (0, 2)), (40, 1))
    a, b = tmp_path / "a.npz", tmp_path / "b.xyz"
    np.savez(a, Z=z, N=np.full(40, 4), E=formaldehyde["E"][:, None], **pad)
    b.write_text("2\nkind=extra energy=-31.7\nH 0 0 0\nH 0 0 0.74\n")
    frames = read_frames([a, b])
    assert len(frames) == 41 and frames.numbers.shape == (41, 6) and frames.natoms[[0, 40]].tolist() == [4, 2]
    assert frames.forces is not None and frames.energy is not None
    assert np.isnan(frames.forces[40, :2]).all() and not frames.forces[40, 2:].any()
    np.testing.assert_array_equal(frames.forces[:40, :4], formaldehyde["F"])
    assert frames.energy[40] == -31.7 and frames.groups["kind"][[0, 40]].tolist() == ["", "extra"]
    assert len(frames.files) == 2


def archive(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as z:
        for name, data in members.items():
            z.writestr(f"{name}.npy", data)
    return buffer.getvalue()


def header(text: str, body: bytes = b"") -> bytes:
    line = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(line).to_bytes(2, "little") + line + body


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (archive(R=header("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", b"\x80\x04N.")), "pickled"),
        (archive(R=header("{'descr': '<f8', 'fortran_order': False, 'shape': (10**12,)}")), "header"),
        (archive(R=header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}")), "size"),
        (archive(R=header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}", b"12345678")), "size"),
        (archive(R=header("{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}", b"12345678")), "size"),
        (archive(R=header("__import__('os')")), "header"),
        (archive(R=b"not an array"), "header"),
        (
            archive(R=header("{'descr': '<f8', 'fortran_order': False, 'shape': (1500000,)}", bytes(12_000_000))),
            "ratio",
        ),
        (archive(**{"../R": header("{'descr': '<f8', 'fortran_order': False, 'shape': (0,)}")}), "no array"),
        (archive(), "no arrays"),
        (archive(R=header("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (0,)}")), "dtype"),
    ],
)
def test_hostile_archives(data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        arrays_of(data, "x.npz")


def test_damaged_archives(formaldehyde: dict) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **formaldehyde)
    good = buffer.getvalue()
    assert set(arrays_of(good, "x")) == set(formaldehyde)
    rng = np.random.default_rng(0)
    for cut in (10, 1000, len(good) - 10):
        with pytest.raises(InputError, match="corrupt"):
            arrays_of(good[:cut], "x.npz")
    for place in rng.integers(len(good), size=200):
        bad = bytearray(good)
        bad[place] ^= 0x55
        try:
            arrays_of(bytes(bad), "x.npz")
        except InputError as err:
            assert "x.npz" in str(err)


def test_arrays_are_as_numpy_reads_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "c": rng.random((3, 4)),
        "f": np.asfortranarray(rng.random((3, 4, 2))),
        "big": rng.random(5).astype(">f8"),
        "text": np.array(["a", "bcd"]),
        "bytes": np.array([b"x", b"yz"]),
        "one": np.array(3),
        "none": np.zeros((0, 3)),
    }
    np.savez(tmp_path / "x.npz", **arrays)  # type: ignore[arg-type]
    mine = arrays_of((tmp_path / "x.npz").read_bytes(), "x")
    for k, v in arrays.items():
        expected = v.astype(str) if v.dtype.kind == "S" else v
        np.testing.assert_array_equal(mine[k], expected)


def test_beads_are_no_molecules(data_dir: Path) -> None:
    for path in sorted((data_dir / "cg").glob("*.npz")):
        assert not is_molecular(arrays_of(path.read_bytes(), path.name)), path
    assert not is_molecular(arrays_of((data_dir / "bad" / "cg" / "good.npz").read_bytes(), "good"))
    for path in sorted((data_dir / "qm").rglob("*.npz")):
        assert is_molecular(arrays_of(path.read_bytes(), path.name)), path
