"""The built-in molecule: frames and harmonic reference agree with one another."""

from __future__ import annotations

import json

import numpy as np

from consilience.examples import example_path
from consilience.frames.evidence import gather
from consilience.frames.read import read_frames
from consilience.units import CM1, KM_MOL


def test_frames_are_clean_and_labelled() -> None:
    frames = read_frames(example_path("molecule/frames.npz"), need=("energy", "forces", "dipole", "esp"))
    assert [f.level for f in frames.findings if f.level != "note"] == []
    assert len(frames) == 300 and frames.elements == (1, 6, 8)
    assert {k.said for k in frames.keys if k.quantity in ("energy", "forces", "positions")} == {"file"}
    assert sorted(set(frames.groups["T"])) == [300, 500, 1000, 1500, 2000]
    slope = gather(frames.numbers, frames.positions, frames.energy, frames.forces).slope
    assert slope is not None and abs(slope.value - 1) < 0.01 and slope.misses < 0.05


def test_harmonic_reference() -> None:
    known = json.loads(example_path("molecule/harmonic.json").read_text())
    root = np.repeat(np.sqrt(known["masses_amu"]), 3)
    hessian = np.array(known["hessian_eV_A2"])
    assert np.abs(hessian - hessian.T).max() < 1e-10
    w, v = np.linalg.eigh(hessian / np.outer(root, root))
    np.testing.assert_allclose(CM1 * np.sqrt(w[6:]), known["frequencies_cm1"], rtol=2e-4)
    strength = ((v[:, 6:] / root[:, None]).T @ np.array(known["dipole_derivatives_e"])) ** 2
    np.testing.assert_allclose(KM_MOL * strength.sum(1), known["ir_km_mol"], rtol=5e-3, atol=0.02)
    assert known["max_force_eV_A"] < 1e-4
    frames = read_frames(example_path("molecule/frames.npz"))
    assert frames.energy is not None and frames.energy.min() > known["energy_eV"]


def test_small_displacements_follow_the_hessian() -> None:
    """The coldest frames lie near the harmonic energy of their displacement."""
    known = json.loads(example_path("molecule/harmonic.json").read_text())
    frames = read_frames(example_path("molecule/frames.npz"))
    cold = frames.select(np.flatnonzero(frames.groups["T"] == 300))
    assert cold.energy is not None
    from consilience.frames.geometry import superpose

    x0 = np.array(known["positions_A"])
    m = np.array(known["masses_amu"])[:, None]
    x0 = x0 - (m * x0).sum(0) / m.sum()
    x = cold.positions - (m * cold.positions).sum(1, keepdims=True) / m.sum()
    turned = x @ superpose(x * m, np.broadcast_to(x0, x.shape))
    d = (turned - x0).reshape(len(x), -1)
    harmonic = 0.5 * np.einsum("fi,ij,fj->f", d, np.array(known["hessian_eV_A2"]), d)
    real = cold.energy - known["energy_eV"]
    assert abs(np.median(real / harmonic) - 1) < 0.05
