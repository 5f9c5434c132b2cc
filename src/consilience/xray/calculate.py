"""Structure factors of a structure at given Miller indices, by FFT or by direct summation."""

from __future__ import annotations

from typing import Literal

import equinox as eqx
import gemmi
import numpy as np
from numpy.typing import ArrayLike

from consilience.core.errors import InputError
from consilience.structure.atoms import Structure
from consilience.xray.fourier import EIGHT_PI2, ReflectionIndex, matrix, plan_structure_factors
from consilience.xray.scattering import Source, form_factors

CHUNK = 64  # atoms summed at a time


def structure_factors(
    structure: Structure,
    hkl: ArrayLike,
    *,
    d_min: float | None = None,
    method: Literal["fft", "direct"] = "fft",
    source: Source = "xray",
    accuracy: Literal["default", "fine"] = "fine",
) -> np.ndarray:
    """F (m,) complex, of the atoms alone: no solvent, no scale.

    hkl (m, 3) Miller indices of any asymmetric unit; all atoms of the structure with their occupancies, isotropic or
    anisotropic displacement as the file gives it. `d_min` Å sets the grid of the FFT (default: the finest reflection);
    `accuracy` "fine" is good to 1e-4 of sum |F|, "default" to 5e-3. "direct" sums over atoms and operators in float64.
    Electrons (neutron: fm; electron: Å). Raises InputError without a unit cell, or for a reflection beyond `d_min`.
    """
    hkl = np.asarray(hkl)
    if hkl.ndim != 2 or hkl.shape[1] != 3 or not np.array_equal(hkl, np.rint(hkl)):
        raise InputError("Miller indices are not an integer array (m, 3)", found=f"shape {hkl.shape}, {hkl.dtype}")
    if structure.spacegroup is None or not structure.cell.is_crystal():
        raise InputError("structure factors need a unit cell and a space group", structure.source)
    hkl = np.rint(hkl).astype(np.int32)
    if len(hkl) == 0 or len(structure) == 0:
        return np.zeros(len(hkl), complex)
    if method == "direct":
        return _direct(structure, hkl, structure.spacegroup, source)
    if method != "fft":
        raise InputError("unknown method", found=str(method), expected="fft or direct")
    finest = float(structure.cell.calculate_1_d2_array(hkl).max() ** -0.5) if np.any(hkl) else 10.0
    if d_min is not None and finest < d_min * (1 - 1e-6):
        raise InputError("a reflection lies beyond d_min", found=f"{finest:.3f} Å", expected=f"d >= {d_min:g} Å")
    aniso = structure.is_aniso
    a5, b5 = form_factors(structure.element, source)
    u = structure.u_aniso if aniso.any() else None
    plan = plan_structure_factors(structure.cell, d_min or finest, a5, b5, structure.b_iso, u, aniso, accuracy)
    at = ReflectionIndex.build(hkl, plan.shape, structure.cell, structure.spacegroup)
    half = np.asarray(_half_grid(plan, structure.xyz, structure.b_iso, structure.occ, u))
    return at.gather(half) * np.exp(float(plan.blur) * at.inv_d2 / 4)


@eqx.filter_jit
def _half_grid(plan, xyz, b, occ, u):
    return plan.half_grid(xyz, b, occ, u)


def _direct(structure: Structure, hkl: np.ndarray, group: gemmi.SpaceGroup, source: Source) -> np.ndarray:
    frac = np.array(structure.cell.frac.mat.tolist())
    fractional = structure.xyz @ frac.T
    a5, b5 = form_factors(structure.element, source)
    u = np.where(structure.is_aniso[:, None], structure.u_aniso, 0.0)
    u[~structure.is_aniso, :3] = structure.b_iso[~structure.is_aniso, None] / EIGHT_PI2
    tensors = np.einsum("ij,njk,lk->nil", frac, matrix(u), frac)  # of the fractional frame: h'Uh = s'Us
    inv_d2 = structure.cell.calculate_1_d2_array(hkl)
    total = np.zeros(len(hkl), complex)
    for op in group.operations():
        h = hkl @ (np.array(op.rot) / op.DEN)
        shift = np.exp(2j * np.pi * (hkl @ (np.array(op.tran) / op.DEN)))
        for k in range(0, len(structure), CHUNK):
            part = slice(k, k + CHUNK)
            f = np.einsum("ng,gnm->nm", a5[part], np.exp(-b5[part].T[:, :, None] * inv_d2 / 4))
            falloff = np.exp(-2 * np.pi**2 * np.einsum("mi,nij,mj->nm", h, tensors[part], h))
            phase = np.exp(2j * np.pi * (fractional[part] @ h.T))
            total += shift * np.einsum("n,nm->m", structure.occ[part], f * falloff * phase)
    return total
