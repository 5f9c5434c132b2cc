"""Distributions of long runs, judged by physical_validation (Merz & Shirts 2018) in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from consilience.md.simulate import simulate
from consilience.units import KJ_MOL

from . import toys

pytestmark = pytest.mark.physical_validation

JUDGE = """
import json, sys, warnings
import numpy as np
import physical_validation as pv
data = np.load(sys.argv[1])
out = {}
for name in ("nvt_low", "nvt_high"):
    t = float(data[name + "_t"])
    n = int(data["n"])
    system = pv.data.SystemData(natoms=n, nconstraints=0, ndof_reduction_tra=0, ndof_reduction_rot=0,
        mass=data["mass"], molecule_idx=[0], nconstraints_per_molecule=[0])
    ensemble = pv.data.EnsembleData("NVT", natoms=n, volume=1.0, temperature=t)
    x, v = data[name + "_x"], data[name + "_v"]
    obs = pv.data.ObservableData(kinetic_energy=data[name + "_k"], potential_energy=data[name + "_p"],
        total_energy=data[name + "_k"] + data[name + "_p"])
    units = pv.data.UnitData(kb=8.314462618e-3, energy_conversion=1.0, length_conversion=1.0, volume_conversion=1.0,
        temperature_conversion=1.0, pressure_conversion=1.0, time_conversion=1.0)
    sim = pv.data.SimulationData(units=units, ensemble=ensemble, system=system, observables=obs,
        trajectory=pv.data.TrajectoryData(position=x, velocity=v))
    out[name] = sim
result = {"ke": pv.kinetic_energy.distribution(out["nvt_low"], strict=False, verbosity=0, bootstrap_seed=1)}
result["ke_p"] = pv.kinetic_energy.distribution(out["nvt_low"], strict=True, verbosity=0)
result["equipartition"] = pv.kinetic_energy.equipartition(out["nvt_low"], strict=False, verbosity=0,
    bootstrap_seed=1)
result["ensemble"] = pv.ensemble.check(out["nvt_low"], out["nvt_high"], verbosity=0, data_is_uncorrelated=False,
    bootstrap_seed=1)
print("RESULT " + json.dumps(result, default=lambda a: np.asarray(a).tolist()))
"""


@pytest.fixture(scope="module")
def verdict(tmp_path_factory):
    """Argon clusters held together by a weak well at 35 and 40 K, Langevin, 2 million steps of 4 fs each."""
    n = 8
    x, mass = toys.cluster(n), np.full(n, 39.948)
    data: dict[str, object] = {"n": n, "mass": mass}
    held = toys.Held(toys.ARGON, 0.002)
    for name, kelvin in (("nvt_low", 35.0), ("nvt_high", 40.0)):
        options = {"ensemble": "nvt", "friction": 2.0, "dt": 4.0, "every": 500, "block": 100000, "seed": 3}
        t = simulate(held, x, mass, steps=2_000_000, temperature=kelvin, **options).trajectory
        kept = slice(100, None)
        data |= {f"{name}_t": kelvin, f"{name}_x": t.positions[0, kept] / 10, f"{name}_v": t.velocities[0, kept] * 100}
        data |= {f"{name}_k": t.kinetic[0, kept] / KJ_MOL, f"{name}_p": t.potential[0, kept] / KJ_MOL}
    folder = tmp_path_factory.mktemp("pv")
    np.savez(folder / "data.npz", **data)
    done = subprocess.run(
        [sys.executable, "-c", JUDGE, str(folder / "data.npz")], capture_output=True, text=True, timeout=600
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert lines, done.stdout[-2000:] + done.stderr[-3000:]
    return json.loads(lines[-1][7:])


def test_kinetic_energy_has_the_distribution_of_the_temperature(verdict) -> None:
    """Mean and width within 3 standard deviations; the Kolmogorov-Smirnov probability is no rejection."""
    assert np.all(np.abs(verdict["ke"]) < 3)
    assert verdict["ke_p"] > 0.01


def test_energy_is_shared_equally(verdict) -> None:
    assert np.all(np.abs(np.concatenate([np.ravel(v) for v in verdict["equipartition"]])) < 3.5)


def test_configurations_at_two_temperatures_have_the_ratio_of_boltzmann(verdict) -> None:
    assert np.all(np.abs(verdict["ensemble"]) < 3)
