"""Spectra: known oscillators at their frequencies, with their energies and intensities."""

from __future__ import annotations

import numpy as np
import pytest

from consilience.core.errors import InputError
from consilience.md.simulate import simulate
from consilience.md.spectra import infrared_spectrum, power_spectrum
from consilience.units import BOLTZMANN, CM1, FS, KM_MOL, LIGHT

from . import toys

WAVENUMBERS = np.array([400.0, 1600.0, 3600.0])
MASS = np.array([10.0, 4.0, 1.0])
CHARGE = np.array([0.5, -0.3, 0.2])
KELVIN = 300.0
DT = 0.5


@pytest.fixture(scope="module")
def oscillators():
    """Three independent wells, 8 replicas at constant energy from a thermal start; frames every 2 fs."""
    k = MASS * (WAVENUMBERS / CM1) ** 2
    well = toys.Well(k[:, None], 10.0 * np.arange(9).reshape(3, 3), CHARGE[:, None])
    rng = np.random.default_rng(0)
    x = well.x0 + rng.normal(size=(8, 3, 3)) * np.sqrt(BOLTZMANN * KELVIN / k)[:, None]
    options = {"steps": 20000, "dt": DT, "every": 4, "temperature": KELVIN, "remove": "none", "dipoles": True}
    return well, simulate(well, x, MASS, replicas=8, exact_temperature=False, block=20000, **options)


def test_peaks_and_kinetic_energy(oscillators) -> None:
    _, run = oscillators
    t = run.trajectory
    s = power_spectrum(t.velocities, MASS, 4 * DT, resolution=12.0, dt=DT)
    np.testing.assert_allclose(s.peaks_cm1, WAVENUMBERS, atol=2.0)
    kinetic = t.kinetic.mean()
    assert s.integral == pytest.approx(kinetic, rel=2e-3)
    assert s.resolution_cm1 == pytest.approx(12.0, rel=0.01)
    finest = 1.36 / (5e-12 * LIGHT)  # half of 10 ps is the longest lag used
    assert power_spectrum(t.velocities, MASS, 4 * DT).resolution_cm1 == pytest.approx(finest, rel=0.01)
    step = s.cm1[1] - s.cm1[0]
    for w, m, each in zip(WAVENUMBERS, MASS, np.moveaxis(t.velocities, 2, 0), strict=True):
        near = abs(s.cm1 - w) < 60
        own = 0.5 * m * (each**2).sum(-1).mean() / FS**2  # natural time in fs
        assert s.intensity[near].sum() * step == pytest.approx(own, rel=0.02)


def test_the_width_at_half_height_is_the_stated_resolution(oscillators) -> None:
    _, run = oscillators
    s = power_spectrum(run.trajectory.velocities, MASS, 4 * DT, resolution=16.0, dt=DT)
    near = abs(s.cm1 - 1600) < 40
    above = s.cm1[near][s.intensity[near] > 0.5 * s.intensity[near].max()]
    assert np.ptp(above) == pytest.approx(16.0, abs=3)


def test_steps_of_verlet_raise_frequencies_by_a_known_amount(oscillators) -> None:
    _, run = oscillators
    raw = power_spectrum(run.trajectory.velocities, MASS, 4 * DT)
    half = 0.5 * DT * FS * 3600 / CM1
    assert raw.peaks_cm1[-1] == pytest.approx(3600 * np.arcsin(half) / half, abs=2.0)
    assert raw.peaks_cm1[-1] > 3615


def test_thermal_power_is_half_kt_for_each_degree_of_freedom() -> None:
    n = 60
    k = 12.0 * (1000 / CM1) ** 2
    well = toys.Well(k, np.zeros((n, 3)))
    run = simulate(
        well, np.zeros((n, 3)), np.full(n, 12.0), steps=12000, dt=1.0, ensemble="nvt", friction=20.0, every=4,
        temperature=KELVIN, lists="all", cutoff=3.0, bounds=toys.NO_BOUNDS, block=12000,
    )  # fmt: skip
    s = power_spectrum(run.trajectory.velocities[:, 100:], np.full(n, 12.0), 4.0, resolution=20.0)
    assert s.integral == pytest.approx(3 * n * BOLTZMANN * KELVIN / 2, rel=0.03)


def test_infrared_bands_integrate_to_their_double_harmonic_intensities(oscillators) -> None:
    """At a thermal average; here each oscillator's own energy is scaled to kT."""
    _, run = oscillators
    t = run.trajectory
    s = infrared_spectrum(t.dipole, 4 * DT, KELVIN, dt=DT)
    step = s.cm1[1] - s.cm1[0]
    factor = 3 * KM_MOL  # three directions
    for w, m, q, v in zip(WAVENUMBERS, MASS, CHARGE, np.moveaxis(t.velocities, 2, 0), strict=True):
        kinetic = 0.5 * m * (v**2).sum(-1).mean() / FS**2 / (1.5 * BOLTZMANN * KELVIN)
        kinetic /= 1 - (0.5 * DT * FS * w / CM1) ** 2  # velocities of Verlet at full steps are that much too low
        near = abs(s.cm1 - w) < 60
        assert s.intensity[near].sum() * step == pytest.approx(factor * q**2 / m * kinetic, rel=0.01)
    np.testing.assert_allclose(s.peaks_cm1, WAVENUMBERS, atol=2.0)
    assert s.error is not None


def test_quantum_corrections_differ_as_they_should(oscillators) -> None:
    _, run = oscillators
    names = ("harmonic", "standard", "schofield", "none")
    made = {c: infrared_spectrum(run.trajectory.dipole, 4 * DT, KELVIN, correction=c) for c in names}
    for w in WAVENUMBERS:
        i = int(np.argmin(abs(made["none"].cm1 - w)))
        u = made["none"].cm1[i] / (BOLTZMANN * KELVIN * 8065.543937)
        at = {c: s.intensity[i] / made["none"].intensity[i] for c, s in made.items()}
        assert at["harmonic"] == pytest.approx(u / (1 - np.exp(-u)), rel=1e-6)
        assert at["standard"] == pytest.approx(2 / (1 + np.exp(-u)), rel=1e-6)
        assert at["schofield"] == pytest.approx(np.exp(u / 2), rel=1e-6)


def test_bad_signals_are_refused() -> None:
    with pytest.raises(InputError, match="too few frames"):
        power_spectrum(np.zeros((3, 2, 3)), np.ones(2), 1.0)
    with pytest.raises(InputError, match="not finite"):
        infrared_spectrum(np.full((50, 3), np.nan), 1.0, 300.0)
    with pytest.raises(InputError, match="temperature"):
        infrared_spectrum(np.zeros((50, 3)), 1.0, 0.0)
