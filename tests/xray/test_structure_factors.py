"""Structure factors by FFT against direct summation: all space groups, all radiations, all displacement parameters."""

from __future__ import annotations

from functools import cache

import equinox as eqx
import gemmi
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from consilience.structure.atoms import EIGHT_PI2, Structure
from consilience.xray.fourier import ReflectionIndex, StructureFactors, plan_structure_factors
from consilience.xray.scattering import Source, form_factors

from .random_crystals import ELEMENTS, miller_indices, random_cell, special_position
from .reference import structure_factors

BAR = {"default": 5e-3, "fine": 1e-4}
half_grid = eqx.filter_jit(StructureFactors.half_grid)


def model(cell: gemmi.UnitCell, sg: str, rng: np.random.Generator, n: int = 8, first=None, b=(8.0, 60.0)) -> Structure:
    """Atoms at random in a given cell, every third anisotropic, some of partial occupancy; the first at `first`."""
    st = gemmi.Structure()
    st.cell, st.spacegroup_hm = cell, sg
    residue, chain, top = gemmi.Residue(), gemmi.Chain("A"), gemmi.Model(1)
    residue.name, residue.seqid = "UNL", gemmi.SeqId("1")
    for k in range(n):
        atom = gemmi.Atom()
        atom.element = gemmi.Element(ELEMENTS[k % len(ELEMENTS)])
        place = first if k == 0 and first is not None else rng.uniform(-0.6, 1.6, 3)
        atom.pos = cell.orthogonalize(gemmi.Fractional(*place))
        atom.b_iso, atom.occ = float(rng.uniform(*b)), 1.0 if k % 2 else float(rng.uniform(0.3, 1.0))
        if k % 3 == 1:
            axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
            u = axes @ np.diag(rng.uniform(*b, 3) / EIGHT_PI2) @ axes.T
            atom.aniso = gemmi.SMat33f(*(float(u[i, j]) for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))))
        residue.add_atom(atom)
    chain.add_residue(residue)
    top.add_chain(chain)
    st.add_model(top)
    return Structure.from_hierarchy(st)


def plan_for(s: Structure, d_min: float, accuracy: str, source: Source = "xray", precision="float32"):
    a5, b5 = form_factors(s.element, source)
    return plan_structure_factors(s.cell, d_min, a5, b5, s.b_iso, s.u_aniso, s.is_aniso, accuracy, precision)


def by_fft(s: Structure, hkl: np.ndarray, d_min: float, accuracy: str, source: Source = "xray") -> np.ndarray:
    plan = plan_for(s, d_min, accuracy, source)
    at = ReflectionIndex.build(hkl, plan.shape, s.cell, s.spacegroup)
    half = np.asarray(half_grid(plan, s.xyz, s.b_iso, s.occ, s.u_aniso))
    return at.gather(half) * plan.unblur(at.inv_d2)


def error(s: Structure, hkl: np.ndarray, d_min: float, accuracy: str, source: Source = "xray") -> float:
    expected = structure_factors(s, hkl, source)
    f = by_fft(s, hkl, d_min, accuracy, source)
    return float(np.abs(f - expected).sum() / np.abs(expected).sum())


@cache
def cell_of(kind: tuple) -> gemmi.UnitCell:
    return random_cell(gemmi.SpaceGroup(kind[-1]), np.random.default_rng(5))


def lattice(sg: gemmi.SpaceGroup) -> tuple:
    """Groups of one kind share a cell, so that they share a compiled program."""
    system = sg.crystal_system_str()
    standard = {"triclinic": "P 1", "orthorhombic": "P 2 2 2", "tetragonal": "P 4", "cubic": "P 2 3"}
    if system == "monoclinic":
        name = {"a": "P 2 1 1", "b": "P 1 2 1", "c": "P 1 1 2"}[sg.monoclinic_unique_axis()]
    else:
        name = standard.get(system, "R 3:R" if sg.ext == "R" else "P 3")
    return (name,)


@pytest.mark.parametrize(
    ("accuracy", "settings"),
    [
        ("default", "a fifth"),
        pytest.param("default", "all", marks=pytest.mark.slow),
        pytest.param("fine", "reference", marks=pytest.mark.slow),
    ],
)
def test_every_space_group_in_every_tabulated_setting(accuracy: str, settings: str) -> None:
    worst: dict[str, float] = {}
    on_element = 0
    table = list(enumerate(gemmi.spacegroup_table()))
    chosen = {"a fifth": table[::5], "all": table, "reference": [t for t in table if t[1].is_reference_setting()]}
    for k, sg in chosen[settings]:
        rng = np.random.default_rng(k)
        first = special_position(sg, rng)
        on_element += first is not None
        s = model(cell_of(lattice(sg)), sg.xhm(), rng, n=6, first=first)
        hkl = miller_indices(s, 2.2)
        hkl = rng.permutation(hkl)[:40].astype(np.int32)
        worst[sg.xhm()] = error(s, hkl, 2.2, accuracy)
    assert len(worst) == {"a fifth": -(-len(table) // 5), "all": len(table), "reference": 230}[settings]
    assert on_element > (40 if settings == "a fifth" else 200)
    bad = {name: e for name, e in worst.items() if not e < BAR[accuracy]}
    assert not bad


def test_absent_reflections_are_zero() -> None:
    for name in ("C 1 2 1", "I 2 3", "R 3:H", "F d d d:1", "P 21 21 21"):
        sg = gemmi.SpaceGroup(name)
        s = model(cell_of(lattice(sg)), name, np.random.default_rng(1), n=6)
        hkl = gemmi.make_miller_array(s.cell, gemmi.SpaceGroup("P 1"), 2.2)
        absent = sg.operations().systematic_absences(hkl)
        assert absent.any()
        f = np.abs(by_fft(s, hkl, 2.2, "fine"))
        assert f[absent].max() < 1e-4 * f.mean(), name


@pytest.mark.parametrize("accuracy", ["default", "fine"])
@pytest.mark.parametrize("source", ["neutron", "electron"])
def test_other_radiations(source: Source, accuracy: str) -> None:
    s = model(cell_of(("P 2 2 2",)), "P 21 21 21", np.random.default_rng(3), n=16)
    assert error(s, miller_indices(s, 2.2)[::3], 2.2, accuracy, source) < BAR[accuracy]


@pytest.mark.parametrize("accuracy", ["default", pytest.param("fine", marks=pytest.mark.slow)])
@pytest.mark.parametrize("b", [(1.0, 3.0), (80.0, 400.0), (2.0, 300.0)], ids=["sharp", "flat", "mixed"])
@pytest.mark.parametrize("d_min", [1.0, 2.2])
def test_sharp_and_flat_atoms(b: tuple[float, float], d_min: float, accuracy: str) -> None:
    """B below what the grid can hold needs the blur; B of hundreds needs boxes wider than this cell of 9-14 Å."""
    s = model(cell_of(("P 1",)), "P -1", np.random.default_rng(4), n=9, b=b)
    assert error(s, miller_indices(s, d_min)[::7], d_min, accuracy) < BAR[accuracy]


def test_real_sized_cell_with_atoms_outside_it() -> None:
    s = model(gemmi.UnitCell(31, 47, 38, 90, 101, 90), "C 1 2 1", np.random.default_rng(6), n=150, b=(5, 90))
    hkl = miller_indices(s, 1.8)[::60]
    assert error(s, hkl, 1.8, "default") < BAR["default"]
    assert error(s, hkl, 1.8, "fine") < BAR["fine"]


def direct(s: Structure, xyz, b, occ, u, hkl) -> np.ndarray:
    """Direct summation for moved parameters (n, .), in float64 without a trip through gemmi's single-precision B."""
    moved = s.with_atoms(xyz=xyz, occ=occ)
    object.__setattr__(moved, "b_iso", b)
    object.__setattr__(moved, "u_aniso", u)
    object.__setattr__(moved, "xyz", xyz)
    object.__setattr__(moved, "occ", occ)
    return structure_factors(moved, hkl)


GROUPS = [
    "I 2 3", *(pytest.param(g, marks=pytest.mark.slow) for g in ("P 1", "P 1 21 1", "C 2 2 21", "P 63", "R 3:R"))
]  # fmt: skip


@pytest.mark.parametrize("name", GROUPS)
def test_gradients_against_differences_of_the_direct_sum(name: str) -> None:
    rng = np.random.default_rng(11)
    sg = gemmi.SpaceGroup(name)
    s = model(cell_of(lattice(sg)), name, rng, n=6)
    hkl = miller_indices(s, 2.2)
    hkl = rng.permutation(hkl)[:30].astype(np.int32)
    plan = plan_for(s, 2.2, "fine", precision="float64")
    at = ReflectionIndex.build(hkl, plan.shape, s.cell, s.spacegroup)
    pull = rng.normal(size=len(hkl)) + 1j * rng.normal(size=len(hkl))

    @jax.jit
    def value(p):
        f = plan(p["xyz"], p["b"], p["occ"], at, p["u"])
        return jnp.sum(jnp.real(jnp.conj(pull) * f))

    def exact(p):
        return float(np.sum(np.real(np.conj(pull) * direct(s, p["xyz"], p["b"], p["occ"], p["u"], hkl))))

    start = {"xyz": s.xyz, "b": s.b_iso, "occ": s.occ, "u": s.u_aniso}
    gradient = jax.grad(value)(start)
    iso = ~s.is_aniso
    assert not np.any(np.asarray(gradient["b"])[~iso]) and not np.any(np.asarray(gradient["u"])[iso])
    for block, step in (("xyz", 1e-4), ("b", 1e-2), ("occ", 1e-3), ("u", 1e-4)):
        difference = np.zeros(start[block].size)
        live = np.broadcast_to(
            {"b": iso, "u": ~iso}.get(block, np.ones(6, bool)).reshape(-1, *[1] * (start[block].ndim - 1)),
            start[block].shape,
        ).ravel()
        for i in np.flatnonzero(live):
            moved = np.zeros(start[block].size)
            moved[i] = step
            ends = [
                exact({**start, block: start[block] + side * moved.reshape(start[block].shape)}) for side in (1, -1)
            ]
            difference[i] = (ends[0] - ends[1]) / (2 * step)
        g = np.asarray(gradient[block]).ravel()
        assert np.linalg.norm(g - difference) < 3e-4 * np.linalg.norm(difference), block
