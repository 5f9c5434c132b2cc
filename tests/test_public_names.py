"""The names that other programs call: importable, lazy, and what they promise."""

from __future__ import annotations

import doctest
import importlib
import os
import subprocess
import sys
from pathlib import Path

import gemmi
import numpy as np
import pytest

import consilience as con
from consilience.examples import example_path


def test_every_public_name_is_there() -> None:
    for name in con.__all__:
        assert getattr(con, name) is not None, name
    assert set(con.__all__) <= set(dir(con))
    with pytest.raises(AttributeError, match="no_such_name"):
        con.no_such_name  # noqa: B018


def test_importing_and_reading_do_not_import_jax() -> None:
    code = "import sys, consilience as con; con.read_structure(sys.argv[1]); sys.exit('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, str(example_path("crystal/start.pdb"))], check=False)
    assert done.returncode == 0


def test_examples_in_docstrings_give_what_they_say() -> None:
    root = Path(con.__file__).parent
    shown = [p for p in root.rglob("*.py") if "    >>> " in p.read_text(encoding="utf-8")]
    names = [".".join(p.relative_to(root.parent).with_suffix("").parts) for p in shown]
    ran = {name: doctest.testmod(importlib.import_module(name)) for name in names}
    assert ran
    assert all(r.attempted and not r.failed for r in ran.values()), ran


@pytest.mark.parametrize("method", ["fft", "direct"])
def test_structure_factors_agree_with_gemmi(method: str) -> None:
    structure = con.read_structure(example_path("crystal/true.pdb"))
    hkl = np.array([[1, 0, 0], [3, -1, 4], [0, 0, 3], [7, 2, -5], [-2, 6, 9], [0, 0, 0]])
    calculator = gemmi.StructureFactorCalculatorX(structure.cell)
    model = structure.hierarchy[0]
    expected = np.array([calculator.calculate_sf_from_model(model, h.tolist()) for h in hkl])
    found = con.xray.structure_factors(structure, hkl, method=method)
    tolerance = 1e-4 if method == "fft" else 1e-6
    assert np.abs(found - expected).sum() < tolerance * np.abs(expected).sum()


def test_structure_factors_refuse_what_they_cannot_do() -> None:
    structure = con.read_structure(example_path("crystal/true.pdb"))
    with pytest.raises(con.InputError, match="beyond d_min"):
        con.xray.structure_factors(structure, np.array([[20, 0, 0]]), d_min=10.0)
    with pytest.raises(con.InputError, match="integer"):
        con.xray.structure_factors(structure, np.array([[0.5, 0, 0]]))


def test_refine_as_a_function(tmp_path: Path) -> None:
    files = example_path("crystal/start.pdb"), example_path("crystal/data.mtz")
    lines: list[str] = []
    done = con.refine(*files, output=tmp_path / "run", cycles=0, weight="geometry=2", say=lines.append)
    assert done.summary["verb"] == "refine" and (tmp_path / "run" / "summary.json").exists()
    assert any("R-work" in line for line in lines)
    assert "r_free" in done._repr_html_()
    with pytest.raises(TypeError, match="did you mean cycles"):
        con.refine(*files, cycle=3)


def test_options_may_be_strings() -> None:
    from consilience.jobs.coarsen.options import CoarsenOptions
    from consilience.jobs.common.options import RelaxationOptions, TrainOptions
    from consilience.verbs import _options

    relaxation = _options("relaxation", RelaxationOptions, {"without": "etaxy, noe", "tensor": "t.json"})
    assert relaxation.without == ("etaxy", "noe") and relaxation.tensor == Path("t.json")
    coarsen = _options("coarsen", CoarsenOptions, {"map": Path("beads.yaml"), "force_map": None, "topology": "a.pdb"})
    assert (coarsen.map, coarsen.force_map, coarsen.topology) == ("beads.yaml", None, Path("a.pdb"))
    train = _options("train", TrainOptions, {"valid": Path("v.npz"), "settings": "data.labels=[1, 2]"})
    assert (train.valid, train.settings) == ("v.npz", ("data.labels=[1, 2]",))
    with pytest.raises(TypeError, match="no option 'frames'"):
        _options("train", TrainOptions, {"frames": None}, hidden=("frames",))


def test_rates_are_exact_without_any_setting_of_jax() -> None:
    code = (
        "import numpy as np, consilience as con, jax; v = np.array([[0.0, 0.0, 1.02]]); "
        "f = con.nmr.predict_rates(v, np.eye(3) / 30, [600.0]); "
        "single = con.nmr.predict_rates(v.astype('f4'), np.eye(3, dtype='f4') / 30, np.float32([600])); "
        "print(f['R1'].dtype, single['R1'].dtype, jax.numpy.ones(1).dtype, repr(float(f['R1'][0, 0])))"
    )
    env = {k: v for k, v in os.environ.items() if k != "JAX_ENABLE_X64"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    double, single, default, r1 = done.stdout.split()
    assert (double, single, default) == ("float64", "float32", "float32")
    assert abs(float(r1) - float(con.nmr.predict_rates([[0, 0, 1.02]], np.eye(3) / 30, [600.0])["R1"][0, 0])) < 1e-12
