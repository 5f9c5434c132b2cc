"""Diffraction data of a known model, computed with gemmi only: direct summation, mask solvent, noise and a free set."""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np


@dataclass(frozen=True)
class Experiment:
    """What is put into the data besides the model. B in Å^2, k_sol in e/Å^3; `b_aniso` is trace-free, Cartesian."""

    d_min: float = 1.75
    scale: float = 3.4
    k_sol: float = 0.36
    b_sol: float = 46.0
    b_aniso: tuple[float, float, float, float, float, float] = (1.7, 1.7, -3.4, 0.0, 0.0, 0.0)
    completeness: float = 0.97
    free_sets: int = 14
    relative_error: float = 0.018
    background: float = 0.035
    seed: int = 20


def unique_indices(st: gemmi.Structure, d_min: float) -> np.ndarray:
    """(m, 3) Miller indices of the reciprocal asymmetric unit to d_min (Å), absences left out."""
    return gemmi.make_miller_array(st.cell, st.find_spacegroup(), d_min)


def direct_sum(st: gemmi.Structure, hkl: np.ndarray) -> np.ndarray:
    """Complex structure factors (m,) of all atoms, hydrogens included, by direct summation."""
    calc = gemmi.StructureFactorCalculatorX(st.cell)
    return np.array([calc.calculate_sf_from_model(st[0], h) for h in hkl.tolist()])


def solvent_mask(st: gemmi.Structure, hkl: np.ndarray, d_min: float) -> np.ndarray:
    """Complex structure factors (m,) of a flat mask, 1 outside the molecule, 0 inside (cctbx radii)."""
    grid = gemmi.FloatGrid()
    grid.setup_from(st, d_min / 4.0)
    masker = gemmi.SolventMasker(gemmi.AtomicRadiiSet.Cctbx)
    masker.ignore_hydrogen = True
    masker.put_mask_on_float_grid(grid, st[0])
    return np.asarray(gemmi.transform_map_to_f_phi(grid, half_l=True).get_value_by_hkl(hkl), complex)


def anisotropic_factor(st: gemmi.Structure, hkl: np.ndarray, b: tuple[float, ...]) -> np.ndarray:
    """(m,) exp(-s^T B s / 4) with s the scattering vector (1/Å) and B (11, 22, 33, 12, 13, 23) Cartesian, Å^2."""
    s = hkl @ np.array(st.cell.frac.mat.tolist())
    tensor = np.array([[b[0], b[3], b[4]], [b[3], b[1], b[5]], [b[4], b[5], b[2]]])
    return np.exp(-np.einsum("mi,ij,mj->m", s, tensor, s) / 4.0)


def total_structure_factors(
    st: gemmi.Structure, unmodelled: gemmi.Structure, hkl: np.ndarray, ex: Experiment, *, with_unmodelled: bool
) -> np.ndarray:
    """Complex F (m,) on the scale of the data: atoms, flat solvent around them, anisotropic falloff."""
    f = direct_sum(st, hkl)
    if with_unmodelled:
        f = f + direct_sum(unmodelled, hkl)
    stol2 = st.cell.calculate_1_d2_array(hkl) / 4.0
    f = f + ex.k_sol * np.exp(-ex.b_sol * stol2) * solvent_mask(st, hkl, ex.d_min)
    return ex.scale * anisotropic_factor(st, hkl, ex.b_aniso) * f


def measure(
    f_true: np.ndarray,
    d: np.ndarray,
    epsilon: np.ndarray,
    centric: np.ndarray,
    ex: Experiment,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Intensities with Gaussian noise and the amplitudes estimated from them: I, sigma(I), F, sigma(F), each (m,).

    sigma(I)^2 = (relative I)^2 + (background <I>)^2 (1 + (d_min/d)^4)^2, with <I> over all data: weak high-resolution
    reflections are the noisy ones. F and sigma(F) are posterior moments under Wilson's prior (French & Wilson, Acta
    Cryst. A34 (1978) 517-525), by quadrature.
    """
    true = np.abs(f_true) ** 2
    sigma = np.sqrt(
        (2 * ex.relative_error * true) ** 2 + (ex.background * true.mean() * (1 + (ex.d_min / d) ** 4)) ** 2
    )
    intensity = true + rng.normal(size=len(true)) * sigma
    order = np.argsort(np.round(d, 9), kind="stable")  # equal resolutions keep their order on every machine
    shell = np.empty(len(d), int)
    shell[order] = np.arange(len(d)) * 20 // len(d)
    mean = np.array([np.mean(intensity[shell == k] / epsilon[shell == k]) for k in range(20)])[shell] * epsilon
    top = np.maximum(intensity, 0.0) + 8.0 * sigma
    grid = (np.arange(2000) + 0.5) / 2000 * np.sqrt(top)[:, None]  # amplitudes
    j = grid**2
    # prior of the amplitude: acentric F exp(-F^2/<I>), centric exp(-F^2/(2 <I>))
    log_p = (
        -((intensity[:, None] - j) ** 2) / (2 * sigma[:, None] ** 2) - j / np.where(centric, 2 * mean, mean)[:, None]
    )
    log_p += np.where(centric[:, None], 0.0, np.log(grid))
    p = np.exp(log_p - log_p.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    f = np.sum(p * grid, axis=1)
    return intensity, sigma, f, np.sqrt(np.sum(p * grid**2, axis=1) - f**2)


def free_flags(
    hkl: np.ndarray, sg: gemmi.SpaceGroup, cell: gemmi.UnitCell, n_sets: int, rng: np.random.Generator
) -> np.ndarray:
    """(m,) CCP4-style flags 0..n_sets-1 (0 is free); reflections related by a merohedral twin law share their flag."""
    asu, ops = gemmi.ReciprocalAsu(sg), sg.operations()
    laws = gemmi.find_twin_laws(cell, sg, 0.1, False)
    flags: dict[tuple[int, ...], int] = {}
    for h in hkl.tolist():
        twins = [tuple(asu.to_asu(list(law.apply_to_hkl(h)), ops)[0]) for law in laws]
        known = [flags[t] for t in twins if t in flags]
        draw = int(rng.integers(n_sets))
        flags[tuple(h)] = known[0] if known else draw
    return np.array([flags[tuple(h)] for h in hkl.tolist()])


def write_mtz(
    path: str, st: gemmi.Structure, hkl: np.ndarray, columns: list[tuple[str, str, np.ndarray]], title: str
) -> None:
    """An MTZ file with H K L and the given (label, type, values (m,)) columns."""
    mtz = gemmi.Mtz(with_base=True)
    mtz.title, mtz.spacegroup = title, st.find_spacegroup()
    mtz.set_cell_for_all(st.cell)
    mtz.add_dataset("simulated").wavelength = 0.9795
    for label, kind, _ in columns:
        mtz.add_column(label, kind)
    mtz.set_data(np.column_stack([hkl, *(c[2] for c in columns)]).astype(np.float32))
    mtz.history = ["simulated from a known model"]
    mtz.write_to_file(path)
