"""Measured reflections of one crystal: indices, observations, sigmas and the free set."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import gemmi
import numpy as np

from consilience.core.errors import Finding


@dataclass(frozen=True)
class Reflections:
    """Unique reflections in the reciprocal asymmetric unit, observed ones only.

    `hkl` (m, 3) int; `value`, `sigma` (m,) amplitudes or merged intensities (`kind`); `free` (m,) bool, True for
    the reflections that no fit may see; `d` (m,) Å. `columns` names what was read, by role ("value", "sigma",
    "free", and for anomalous data "value(+)"...). `original` is the parsed MTZ (or the MTZ made from an SF-mmCIF)
    from which the observations are written back unchanged; it holds unobserved reflections too.
    """

    hkl: np.ndarray
    value: np.ndarray
    sigma: np.ndarray
    free: np.ndarray
    kind: Literal["amplitude", "intensity"]
    cell: gemmi.UnitCell
    spacegroup: gemmi.SpaceGroup
    source: str
    columns: dict[str, str] = field(default_factory=dict)
    free_value: float | None = None
    wavelength: float | None = None
    original: gemmi.Mtz | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def d(self) -> np.ndarray:
        return self.cell.calculate_d_array(self.hkl)

    @property
    def inv_d2(self) -> np.ndarray:
        """(m,) 1/d^2 in Å^-2."""
        return self.cell.calculate_1_d2_array(self.hkl)

    def __len__(self) -> int:
        return len(self.hkl)
