"""Writers: ASE reads what is written, and so do we."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest

from consilience.core.errors import InputError
from consilience.examples import example_path
from consilience.frames.frames import ARRAYS, Frames, join
from consilience.frames.read import read_frames
from consilience.frames.write import extxyz_text, write_extxyz, write_npz


@pytest.fixture
def mixed() -> Frames:
    """Formaldehyde and a periodic hydrogen molecule without forces."""
    frames = read_frames(example_path("molecule/frames.npz")).select(range(5))
    rng = np.random.default_rng(0)
    frames = replace(
        frames, momenta=rng.standard_normal((5, 4, 3)), groups={**frames.groups, "kind": np.full(5, "a b")}
    )
    hydrogen = Frames(
        np.array([[1, 1]]),
        np.array([[[0.0, 0, 0], [0, 0, 0.74]]]),
        energy=np.array([-31.7]),
        cell=np.diag([9.0, 9, 9])[None] + 0.1,
        pbc=np.array([[True, True, False]]),
        stress=np.array([[[1.0, 2, 3], [2, 4, 5], [3, 5, 6]]]) / 100,
    )
    return join([frames, hydrogen])


def test_ase_reads_what_is_written(tmp_path: Path, mixed: Frames) -> None:
    path = tmp_path / "x.extxyz"
    write_extxyz(path, mixed)
    atoms = ase.io.read(path, ":")
    assert len(atoms) == 6 and atoms[0].get_chemical_formula() == "CH2O"
    assert mixed.energy is not None and mixed.forces is not None and mixed.dipole is not None
    assert mixed.charges is not None and mixed.momenta is not None and mixed.stress is not None
    for k, a in enumerate(atoms[:5]):
        assert a.get_potential_energy() == mixed.energy[k]
        np.testing.assert_allclose(a.positions, mixed.positions[k], atol=1e-10)
        np.testing.assert_allclose(a.get_forces(), mixed.forces[k], atol=1e-10)
        np.testing.assert_allclose(a.get_dipole_moment(), mixed.dipole[k], atol=1e-9)
        np.testing.assert_allclose(a.get_charges(), mixed.charges[k], atol=1e-10)
        np.testing.assert_allclose(a.get_momenta(), mixed.momenta[k], atol=1e-10)
        assert a.info["kind"] == "a b" and a.info["T"] == mixed.groups["T"][k] and not a.pbc.any()
    last = atoms[5]
    assert "forces" not in last.calc.results and last.pbc.tolist() == [True, True, False]
    np.testing.assert_allclose(last.get_stress(voigt=False), mixed.stress[5])
    np.testing.assert_allclose(last.cell[:], mixed.cell[5])  # type: ignore[index]


@pytest.mark.parametrize("kind", ["npz", "extxyz"])
def test_round_trip(tmp_path: Path, mixed: Frames, kind: str) -> None:
    path = tmp_path / f"x.{kind}"
    (write_npz if kind == "npz" else write_extxyz)(path, mixed)
    back = read_frames(path, strict=False)
    for name in ARRAYS:
        mine, other = getattr(mixed, name), getattr(back, name)
        if mine is None or (kind == "extxyz" and name.startswith("esp")):
            continue
        np.testing.assert_allclose(np.asarray(other, float), np.asarray(mine, float), atol=1e-9, err_msg=name)
    assert back.groups["kind"].tolist() == mixed.groups["kind"].tolist()


def test_what_is_not_finite_is_not_written(mixed: Frames) -> None:
    x = mixed.positions.copy()
    x[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="not finite"):
        extxyz_text(replace(mixed, positions=x))


def test_text_from_files_cannot_break_the_line(mixed: Frames) -> None:
    odd = replace(mixed.select([0]), groups={"kind": np.array(['a"\n5\x1b[2J'])})
    assert len(extxyz_text(odd).splitlines()) == 6 and "\x1b" not in extxyz_text(odd)
