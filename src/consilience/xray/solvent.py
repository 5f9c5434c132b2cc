"""Flat bulk solvent: the mask outside the protein and its structure factors."""

from __future__ import annotations

import gemmi
import numpy as np

from consilience.structure.atoms import Structure


def solvent_mask(structure: Structure, d_min: float) -> gemmi.FloatGrid:
    """1 in the bulk solvent, 0 in the molecule (Jiang & Brunger 1994; radii of REFMAC, probe 1.0, shrink 0.8 Å)."""
    grid = gemmi.FloatGrid()
    grid.spacegroup = structure.spacegroup  # pyright: ignore[reportAttributeAccessIssue]
    grid.set_unit_cell(structure.cell)
    grid.set_size_from_spacing(min(0.6, d_min / 3.0), gemmi.GridSizeRounding.Up)
    gemmi.SolventMasker(gemmi.AtomicRadiiSet.Refmac).put_mask_on_float_grid(grid, structure.hierarchy[0])
    return grid


def mask_structure_factors(mask: gemmi.FloatGrid, hkl: np.ndarray) -> np.ndarray:
    """Fourier coefficients (m,) of a mask, absolute scale, without the solvent's electron density."""
    return np.asarray(gemmi.transform_map_to_f_phi(mask, half_l=True).get_value_by_hkl(hkl), complex)


def solvent_fraction(mask: gemmi.FloatGrid) -> float:
    """Share of the cell in the mask."""
    return float(np.mean(np.asarray(mask)))
