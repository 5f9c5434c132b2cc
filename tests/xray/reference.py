"""Structure factors by plain direct summation in float64: the independent oracle of the fast code."""

from __future__ import annotations

import gemmi
import numpy as np

from consilience.structure.atoms import Structure


def form_factor(element: str, inv_d2: np.ndarray, source: str = "xray") -> np.ndarray:
    """f (m,) at 1/d^2 (m,) Å^-2: gemmi's table of neutral atoms with its constant; neutron: scattering length, fm."""
    el, stol2 = gemmi.Element(element), inv_d2 / 4.0
    if source == "neutron":
        return np.full_like(stol2, el.neutron92.get_coefs()[0])
    table = el.it92 if source == "xray" else el.c4322
    f = sum(a * np.exp(-b * stol2) for a, b in zip(table.a, table.b, strict=True))
    return f + (el.it92.c if source == "xray" else 0.0)


def structure_factors(structure: Structure, hkl: np.ndarray, source: str = "xray") -> np.ndarray:
    """Complex F (m,): sum over operators and atoms of occ f(s) T(s) exp(2 pi i h.(Rx + t)).

    T = exp(-B s^2 / 4), or exp(-2 pi^2 s^T (Q U Q^T) s) for anisotropic atoms with Q the operator's Cartesian rotation.
    Every operator, centring included, is applied to every atom with the occupancy of the file, as gemmi does for
    macromolecular models: an atom on a special position counts as often as operators map it onto itself.
    """
    cell, ops = structure.cell, structure.spacegroup.operations()
    orth, frac = np.array(cell.orth.mat.tolist()), np.array(cell.frac.mat.tolist())
    hkl = np.asarray(hkl, float)
    s = hkl @ frac  # Cartesian scattering vectors, 1/Å
    inv_d2 = np.sum(s**2, axis=1)
    total = np.zeros(len(hkl), complex)
    for i in range(len(structure)):
        f = structure.occ[i] * form_factor(str(structure.element[i]), inv_d2, source)
        u11, u22, u33, u12, u13, u23 = structure.u_aniso[i]
        u = np.array([[u11, u12, u13], [u12, u22, u23], [u13, u23, u33]])
        for op in ops:
            rot, tran = np.array(op.rot) / op.DEN, np.array(op.tran) / op.DEN
            x = rot @ frac @ structure.xyz[i] + tran
            if structure.is_aniso[i]:
                q = orth @ rot @ frac
                falloff = np.exp(-2.0 * np.pi**2 * np.einsum("mi,ij,mj->m", s, q @ u @ q.T, s))
            else:
                falloff = np.exp(-structure.b_iso[i] * inv_d2 / 4.0)
            total += f * falloff * np.exp(2j * np.pi * (hkl @ x))
    return total
