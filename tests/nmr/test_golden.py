"""Rates and their derivatives against a 40-digit reference, in float64 and float32; finite at the hard points."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from consilience.nmr.predict import predict_rates

NAMES = {"R1": "R1", "R2": "R2", "NOE": "NOE", "etaxy": "eta_xy", "etaz": "eta_z"}


@pytest.fixture(scope="module")
def points(data_dir: Path) -> list[dict[str, Any]]:
    return json.loads((data_dir / "nmr" / "golden.json").read_text())["points"]


def arguments(p: dict[str, Any], dtype: Any = np.float64) -> tuple[tuple, dict[str, Any]]:
    """Those of `predict_rates` for a golden point given in SI units."""
    par = p["par"]
    axes = np.array(p.get("D_axes_columns", np.eye(3)))
    diffusion = (axes * (np.array(p["D_eig"]) * 1e-9)) @ axes.T
    fields = np.array(p["frq"]) * 1e-6
    extended = "s2f" in par
    options = {
        "s2": par["s2"],
        "te": par["ts" if extended else "te"] * 1e9 if extended or "te" in par else 0.0,
        "s2f": par.get("s2f", 1.0),
        "tf": par.get("tf", 0.0) * 1e9,
        "rex": par.get("rex", 0.0) * (2e6 * np.pi * fields.min()) ** 2,
        "csa": p["csa"] * 1e6,
        "r": p["r"] * 1e10,
    }
    positional = (np.array([p["vec"]], dtype), diffusion.astype(dtype), fields.astype(dtype))
    return positional, {k: np.asarray(v, dtype) for k, v in options.items()}


@partial(jax.jit, static_argnames="constants")
def both(vector, diffusion, fields, axis, options, constants="codata2022"):
    """Rates with the shielding axis along N-H, and along its own axis."""
    plain = predict_rates(vector, diffusion, fields, **options, constants=constants)
    tilted = predict_rates(vector, diffusion, fields, **options, csa_axis=axis, constants=constants)
    return plain, tilted


@pytest.mark.parametrize("constants", ["codata2022", "relax"])
def test_values(points: list[dict[str, Any]], constants: str) -> None:
    for p in points:
        positional, options = arguments(p)
        plain, tilted = both(*positional, np.array([p["csa_axis"]]), options, constants)
        for f, expected in enumerate(v[constants] for v in p["values"]):
            for name, key in NAMES.items():
                if name.startswith("eta"):
                    assert float(tilted[name][0, f]) == pytest.approx(expected[key], rel=1e-10)
                    continue
                assert float(plain[name][0, f]) == pytest.approx(expected[key], rel=1e-10)
                assert float(tilted[name][0, f]) == pytest.approx(expected[f"{key}_csaaxis"], rel=1e-10)


def test_single_precision(points: list[dict[str, Any]]) -> None:
    for p in points:
        positional, options = arguments(p, np.float32)
        plain, tilted = both(*positional, np.array([p["csa_axis"]], np.float32), options)
        assert plain["R1"].dtype == jnp.float32
        for f, expected in enumerate(v["codata2022"] for v in p["values"]):
            for name, key in NAMES.items():
                found = tilted if name.startswith("eta") else plain
                assert float(found[name][0, f]) == pytest.approx(expected[key], rel=2e-5)


@jax.jit
def derivatives(vector, diffusion, fields, axis, options):
    """Of all rates in r, csa and S2, and in the position of H at the end of `vector`, which has its true length."""

    def rates(r, csa, s2, x):
        plain, tilted = both(x, diffusion, fields, axis, {**options, "r": r, "csa": csa, "s2": s2})
        return {k: (tilted if k.startswith("eta") else plain)[k][0] for k in NAMES}

    at = (options["r"], options["csa"], options["s2"])
    found = jax.jacfwd(rates, (0, 1, 2))(*at, vector)
    scalars = [{k: found[k][i] for k in NAMES} for i in range(3)]
    return *scalars, jax.jacrev(lambda x: rates(None, *at[1:], x))(vector)


def test_derivatives(points: list[dict[str, Any]]) -> None:
    checked = 0
    for p in points:
        (vector, diffusion, fields), options = arguments(p)
        vector = vector * options["r"] / np.linalg.norm(vector)
        *scalars, d_h = derivatives(vector, diffusion, fields, np.array([p["csa_axis"]]), options)
        for f, values in enumerate(p["values"]):
            expected = values.get("grad_codata2022")
            if expected is None:
                continue
            for name, key in NAMES.items():
                checked += 1
                for suffix, found in zip(("r_A", "csa_ppm", "S2"), scalars, strict=True):
                    assert float(found[name][f]) == pytest.approx(expected[f"d{key}/d{suffix}"], rel=1e-8, abs=1e-12)
                np.testing.assert_allclose(d_h[name][f, 0], expected[f"d{key}/dH_A"], rtol=1e-8, atol=1e-12)
    assert checked > 50


HARD = {
    "r = 0.5": {"length": 0.5},
    "r = 2": {"length": 2.0},
    "rigid": {"s2": 1.0},
    "te -> 0": {"te": 1e-12},
    "te = 0": {"te": 0.0},
    "isotropic tensor": {"diffusion": np.eye(3) / 30},
    "axial tensor": {"diffusion": np.diag([1.0, 1.0, 1.6]) / 30},
}


@pytest.mark.parametrize("precision", [np.float32, np.float64])
@pytest.mark.parametrize("where", HARD)
def test_coordinate_gradients_at_the_hard_points(where: str, precision: Any) -> None:
    given = {"length": 1.02, "s2": 0.8, "te": 0.05, "diffusion": np.diag([1.0, 1.4, 2.2]) / 30, **HARD[where]}
    rng = np.random.default_rng(1)
    directions = rng.normal(size=(3, 3))
    nh = directions / np.linalg.norm(directions, axis=1, keepdims=True) * given["length"]

    def total(x):
        found = predict_rates(
            x, given["diffusion"].astype(x.dtype), [600.0, 800.0], s2=given["s2"], te=given["te"], csa_axis=None
        )
        return sum(jnp.sum(v) for v in found.values())

    value, gradient = jax.jit(jax.value_and_grad(total))(jnp.asarray(nh, precision))
    assert np.isfinite(value) and np.all(np.isfinite(gradient))
    along = rng.normal(size=nh.shape)
    h = 1e-5
    fd = (total(jnp.asarray(nh + h * along)) - total(jnp.asarray(nh - h * along))) / (2 * h)
    tolerance = 1e-8 if precision == np.float64 else 1e-3
    size = np.linalg.norm(np.asarray(gradient, float)) * np.linalg.norm(along)
    assert abs(np.sum(np.asarray(gradient, float) * along) - float(fd)) < tolerance * size


def test_a_vector_of_length_zero_is_finite() -> None:
    def total(x):
        return sum(jnp.sum(v) for v in predict_rates(x, np.diag([1.0, 1.4, 2.2]) / 30, [600.0], r=1.02).values())

    value, gradient = jax.value_and_grad(total)(jnp.zeros((1, 3)))
    assert np.isfinite(value) and np.all(np.isfinite(gradient))


def test_the_origins_units_fail_in_single_precision_as_they_must() -> None:
    """r in metres: r^4 underflows in float32 and dR1/dr is -inf; the same formula in Å and ns is right."""

    def r1(r, scale):  # isotropic, dipolar part only; constants in units of 1/scale metres
        d = 7.2114729e4 * 1.02**3 * scale**3 / r**3
        return (d * d) * 1e-10

    metres = jax.grad(r1)(jnp.float32(1.02e-10), jnp.float32(1e-10))
    angstrom = jax.grad(r1)(jnp.float32(1.02), jnp.float32(1.0))
    assert not np.isfinite(metres)
    assert float(angstrom) == pytest.approx(-6 * 7.2114729e4**2 * 1e-10 / 1.02, rel=1e-5)
