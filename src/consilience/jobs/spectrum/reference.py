"""Frequencies from elsewhere (quantum chemistry) to compare a model's with."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from consilience.core.errors import InputError
from consilience.jobs.common.config import load_config

FREQUENCIES = ("frequencies_cm1", "freq_cm1", "harmonic_cm1", "cm1")
INTENSITIES = ("ir_km_mol", "intensities_km_mol")
MASSES = ("masses_amu", "masses")
POSITIONS = ("positions_A", "positions", "R")
ALIKE = 0.2  # Å, of a distance between two atoms in one conformation by two methods


@dataclass(frozen=True)
class HarmonicReference:
    """cm1 (m,) in rising order, imaginary ones negative; ir_km_mol (m,) or None; level: what it was computed with.

    masses (n,) amu of its isotopes, positions (n, 3) Å of its minimum; None where it does not tell.
    """

    cm1: np.ndarray
    ir_km_mol: np.ndarray | None
    level: str
    path: Path
    masses: np.ndarray | None = None
    positions: np.ndarray | None = None


def read_reference(path: Path, n_modes: Collection[int], usual: np.ndarray) -> HarmonicReference:
    """A JSON (or YAML) file with frequencies_cm1 (or freq_cm1) and optionally ir_km_mol, masses_amu, positions.

    usual (n,): atomic weights of the molecule, amu. Raises InputError where frequencies are missing, no finite numbers,
    or not as many as the molecule can have modes, and for masses that are not of isotopes of its atoms in their order.
    """
    said = load_config(path)
    cm1 = _numbers(said, FREQUENCIES, path)
    if cm1 is None:
        expected = " or ".join(FREQUENCIES[:2])
        raise InputError("the reference has no frequencies", str(path), ", ".join(map(str, said))[:200], expected)
    if len(cm1) not in n_modes:
        fix, expected = "leave out translations and rotations", " or ".join(str(n) for n in sorted(n_modes))
        raise InputError("the reference has another number of modes", str(path), str(len(cm1)), expected, fix)
    ir = _numbers(said, INTENSITIES, path)
    if ir is not None and len(ir) != len(cm1):
        raise InputError("the reference has another number of intensities", str(path), str(len(ir)), str(len(cm1)))
    masses = _numbers(said, MASSES, path)
    if masses is not None and (len(masses) != len(usual) or np.any(np.abs(masses - usual) > 1.1 + 0.1 * usual)):
        found, expected = (" ".join(f"{m:.3f}" for m in a[:8]) for a in (masses, usual))
        raise InputError("the masses of the reference are of other atoms", str(path), found, f"near {expected}",
                         "give the atoms of the start in the order of the reference")  # fmt: skip
    positions = _numbers(said, POSITIONS, path, columns=3)
    if positions is not None and len(positions) != len(usual):
        raise InputError("the geometry of the reference is of another molecule", str(path),
                         f"{len(positions)} atoms", str(len(usual)))  # fmt: skip
    order = np.argsort(cm1, kind="stable")
    level = said.get("level")
    return HarmonicReference(
        cm1[order], None if ir is None else ir[order], level if isinstance(level, str) else "", path, masses, positions
    )


def difference_of_shape(x: np.ndarray, reference: np.ndarray, numbers: np.ndarray) -> float:
    """Largest difference, Å, between distances of atoms in two shapes (n, 3), in order of size for each two elements.

    Equivalent atoms may have changed places, and a mirror image is no difference.
    """
    i, j = np.triu_indices(len(numbers), 1)
    kind = np.stack([np.minimum(numbers[i], numbers[j]), np.maximum(numbers[i], numbers[j])])
    one, other = (np.linalg.norm(y[i] - y[j], axis=1) for y in (x, reference))
    ordered = [d[np.lexsort((d, *kind))] for d in (one, other)]
    return float(np.max(np.abs(ordered[0] - ordered[1]), initial=0.0))


def comparison(cm1: np.ndarray, ir: np.ndarray | None, reference: HarmonicReference) -> list[dict[str, Any]]:
    """One record per mode, in the order of frequency."""
    rows = []
    for i, (mine, theirs) in enumerate(zip(cm1, reference.cm1, strict=True)):
        row = {
            "mode": i + 1,
            "cm1": float(mine),
            "reference_cm1": float(theirs),
            "difference_cm1": float(mine - theirs),
        }
        if ir is not None and reference.ir_km_mol is not None:
            row |= {"ir_km_mol": float(ir[i]), "reference_ir_km_mol": float(reference.ir_km_mol[i])}
        rows.append(row)
    return rows


def _numbers(said: dict[str, Any], names: tuple[str, ...], path: Path, columns: int = 0) -> np.ndarray | None:
    name = next((n for n in names if n in said), None)
    if name is None:
        return None
    try:
        values = np.asarray(said[name], float)
    except (ValueError, TypeError):
        values = np.full(1, np.nan)
    if values.shape[1:] != ((columns,) if columns else ()) or not values.ndim or not np.isfinite(values).all():
        what = f"list of {columns} finite numbers for each atom" if columns else "list of finite numbers"
        raise InputError(f"{name} is no {what}", str(path))
    return values
