"""Every product of float32 arrays asks for all digits of float32, in the function and in its derivatives.

Read from the traced program, which says what a GPU would do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from consilience.examples import example_path
from consilience.forces import forces_from
from consilience.neighbours import all_pairs
from consilience.nmr import predict_rates
from consilience.potentials.beads.energy import bead_energy
from consilience.potentials.beads.model import NetworkShape
from consilience.potentials.build import PRESETS, Architecture, build
from consilience.potentials.molecule import molecule_energy
from consilience.structure.read import read_structure
from consilience.xray.fourier import plan_structure_factors
from consilience.xray.scattering import form_factors

from . import tiny_beads as tiny

SMALL = {"features": 8, "layers": 1, "radial_size": 6}


def products(jaxpr: Any) -> Iterator[Any]:
    """The matrix products of a program, those of the programs inside it too."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield equation
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda p: hasattr(p, "eqns")):
            if hasattr(inner := getattr(inner, "jaxpr", inner), "eqns"):
                yield from products(inner)


def potential(preset: str) -> tuple[Callable, np.ndarray]:
    energy = molecule_energy(build(Architecture(species=(1, 6, 8), **(PRESETS[preset] | SMALL))), [6, 8, 1, 1])
    x = np.random.default_rng(0).normal(size=(4, 3))
    return lambda x: forces_from(energy)(x, all_pairs(4)), x


def beads() -> tuple[Callable, np.ndarray]:
    shape = NetworkShape(cutoff=9.0, features=8, channels=4, radial_size=4)
    energy = bead_energy(tiny.chains(), None, shape.build(0))
    return lambda x: forces_from(energy)(x, all_pairs(6)), tiny.helix(6)


def crystal() -> tuple[Callable, np.ndarray]:
    atoms = read_structure(example_path("crystal/start.pdb"))
    plan = plan_structure_factors(atoms.cell, 4.0, *form_factors(atoms.element), atoms.b_iso)
    plan = eqx.tree_at(lambda p: p.frac, plan, plan.frac.astype(np.float32))  # as where nobody asked for float64
    b, occ = (jnp.asarray(a, jnp.float32) for a in (atoms.b_iso, atoms.occ))
    return lambda x: jnp.sum(plan.density(x, b, occ) ** 2), atoms.xyz


def relaxation() -> tuple[Callable, np.ndarray]:
    fixed = [jnp.asarray(a, jnp.float32) for a in (np.diag([0.02, 0.03, 0.05]), [600.0])]
    return lambda nh: jnp.sum(predict_rates(nh, *fixed)["R2"]), np.eye(3)


FUNCTIONS: dict[str, Callable[[], tuple[Callable, np.ndarray]]] = {
    **{name: lambda name=name: potential(name) for name in PRESETS},
    "beads": beads,
    "crystal": crystal,
    "relaxation": relaxation,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_products_keep_the_digits_of_float32(name: str) -> None:
    function, x = FUNCTIONS[name]()
    with jax.default_matmul_precision(None):  # type: ignore[arg-type]
        slope = jax.grad(lambda x: jnp.sum(jnp.asarray(jax.tree.leaves(function(x))[-1]) ** 2))
        found = list(products(jax.make_jaxpr(slope)(jnp.asarray(x, jnp.float32)).jaxpr))
    short = [e for e in found if e.outvars[0].aval.dtype == jnp.float32]
    assert short
    assert all(e.params["precision"] == (jax.lax.Precision.HIGHEST,) * 2 for e in short)
