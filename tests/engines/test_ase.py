"""ASE drives a trained potential: derivatives, its own optimiser, vibrations and dynamics, lists, precision."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import consilience as con
from consilience.core.errors import InputError
from consilience.engines.ase import calculator
from consilience.engines.source import Source
from consilience.examples import example_path

ase = pytest.importorskip("ase")

NUMBERS = [6, 8, 1, 1]
CELL = 6 * np.eye(3) + 0.3 * np.array([[0, 1, 0], [0, 0, -1], [1, 0, 0]])


@pytest.fixture(scope="module")
def frames() -> Any:
    return con.read_frames(example_path("molecule/frames.npz"))


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Any:
    return con.load_model(tiny_model).with_precision(64)


def molecule(frames: Any, k: int = 0, **place: Any) -> Any:
    return ase.Atoms(numbers=NUMBERS, positions=frames.positions[k], **place)


def test_forces_and_stress_are_derivatives_of_the_energy(model: Any, frames: Any) -> None:
    for place in ({}, {"cell": CELL, "pbc": True}):
        atoms = molecule(frames, **place)
        atoms.calc = model.ase()
        f, step = atoms.get_forces(), 1e-4
        for i, k in ((0, 1), (2, 2), (3, 0)):
            energies = []
            for sign in (1, -1):
                moved = atoms.copy()
                moved.positions[i, k] += sign * step
                moved.calc = atoms.calc
                energies.append(moved.get_potential_energy())
            assert f[i, k] == pytest.approx(-(energies[0] - energies[1]) / (2 * step), abs=1e-6)
    stress = atoms.get_stress(voigt=False)
    assert np.abs(stress - stress.T).max() < 1e-14 and np.abs(stress).max() > 1e-4
    for i, j in ((0, 0), (1, 2)):
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[i, j] += sign * 1e-4
            moved = atoms.copy()
            moved.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            moved.calc = atoms.calc
            energies.append(moved.get_potential_energy())
        numeric = (energies[0] - energies[1]) / (2e-4 * atoms.get_volume())
        assert stress[i, j] == pytest.approx(numeric, abs=1e-7)


def test_optimiser_and_vibrations_of_ase_agree_with_ours(
    model: Any, tiny_model: Path, frames: Any, tmp_path: Path
) -> None:
    from ase.optimize import BFGS
    from ase.vibrations import Vibrations

    atoms = molecule(frames)
    atoms.set_masses([12.011, 15.999, 1.008, 1.008])
    atoms.calc = model.ase()
    assert BFGS(atoms, logfile=None).run(fmax=1e-4, steps=200)
    mine = con.spectrum(tiny_model, example_path("molecule/frames.npz"), output=tmp_path / "run")
    assert atoms.get_potential_energy() == pytest.approx(mine.summary["energy"], abs=1e-7)
    vib = Vibrations(atoms, name=str(tmp_path / "vib"), delta=0.002)
    vib.run()
    theirs = np.sort(np.real(vib.get_frequencies()))[6:]
    np.testing.assert_allclose(theirs, mine.summary["harmonic_cm1"], atol=1.0)


def test_dynamics_of_ase_keeps_energy_and_makes_few_lists(model: Any, frames: Any) -> None:
    from ase import units
    from ase.md.verlet import VelocityVerlet

    atoms = molecule(frames, cell=CELL, pbc=True)
    atoms.calc = model.ase()
    engine = VelocityVerlet(atoms, 0.25 * units.fs)
    total = []
    for _ in range(40):
        engine.run(5)
        total.append(atoms.get_total_energy())
    assert np.ptp(total) < 2e-3
    assert 1 <= atoms.calc.source(atoms).made < 20
    fresh = atoms.copy()
    fresh.calc = model.ase()
    assert fresh.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-10)
    np.testing.assert_allclose(fresh.get_forces(), atoms.get_forces(), atol=1e-10)
    fresh.positions[0] += CELL[0]  # another image of the same atom
    assert fresh.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-10)


def test_many_structures_in_one_call(model: Any, frames: Any) -> None:
    images = [molecule(frames, k) for k in range(3)]
    images.insert(1, molecule(frames, 5)[[1, 0, 2, 3]])  # the same atoms in another order
    images.append(molecule(frames, 7, cell=CELL, pbc=True))
    together = model.ase().evaluate(images)
    for atoms, (energy, forces) in zip(images, together, strict=True):
        atoms.calc = model.ase()
        assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
        np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-9)


def test_what_has_no_meaning_is_refused(model: Any, frames: Any) -> None:
    from ase.calculators.calculator import PropertyNotImplementedError

    atoms = molecule(frames)
    atoms.calc = model.ase()
    assert atoms.get_dipole_moment() @ np.ones(3) == pytest.approx(
        (atoms.get_charges()[:, None] * atoms.positions).sum(), abs=0.2
    )
    assert atoms.get_charges().sum() == pytest.approx(0, abs=1e-6)
    assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()
    with pytest.raises(PropertyNotImplementedError, match="periodic"):
        atoms.get_stress()
    atoms.info["charge"] = 1.0
    assert atoms.get_charges().sum() == pytest.approx(1, abs=1e-6)
    wrong = ase.Atoms("CN", positions=[[0, 0, 0], [0, 0, 1.2]], calculator=model.ase())
    with pytest.raises(InputError, match="does not know an element"):
        wrong.get_potential_energy()
    atoms.positions[2, 1] = np.nan
    with pytest.raises(InputError, match="not finite"):
        atoms.get_forces()
    one = calculator(model.energy_of(NUMBERS), NUMBERS)
    with pytest.raises(InputError, match="other atoms"):
        one.source(molecule(frames)[:3])


def test_the_model_is_an_energy_function(model: Any, frames: Any) -> None:
    import jax

    x = frames.positions[3]
    energy, forces = jax.jit(lambda y: con.forces_from(model)(y, NUMBERS))(x)
    assert float(energy) == pytest.approx(model(x, NUMBERS), abs=1e-9)
    np.testing.assert_allclose(forces, model.forces(x, NUMBERS), atol=1e-9)
    periodic = jax.jit(lambda y: con.forces_from(model)(y, NUMBERS, 0.0, CELL, True))
    np.testing.assert_allclose(periodic(x)[1], model.forces(x, NUMBERS, 0.0, CELL, True), atol=1e-9)
    assert "physnet" not in repr(model) and model.elements == (1, 6, 8)
    with pytest.raises(InputError, match="no such member"):
        model.with_member(1)
    with pytest.raises(InputError, match="no volume"):
        model(x, NUMBERS, cell=np.ones((3, 3)))
    with pytest.raises(InputError, match="stress needs periodic"):
        Source(model.energy_of(NUMBERS))(x, stress=True)


def test_the_callers_precision_is_left_alone(tiny_model: Path) -> None:
    code = (
        "import sys, numpy as np, jax, consilience as con; m = con.load_model(sys.argv[1]); "
        "x = con.read_frames(sys.argv[2]).positions[0]; from ase import Atoms; "
        "a = Atoms(numbers=[6, 8, 1, 1], positions=x, calculator=m.ase()); "
        "print(repr(a.get_potential_energy()), a.get_forces().dtype, jax.numpy.ones(1).dtype, repr(m(x, a.numbers)))"
    )
    env = {k: v for k, v in os.environ.items() if k != "JAX_ENABLE_X64"}
    command = [sys.executable, "-c", code, str(tiny_model), str(example_path("molecule/frames.npz"))]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=True)
    energy, kind, default, again = done.stdout.split()
    assert (kind, default, energy) == ("float64", "float32", again)
    x = con.read_frames(example_path("molecule/frames.npz")).positions[0]
    assert float(energy) == pytest.approx(con.load_model(tiny_model)(x, NUMBERS), abs=1e-7)
