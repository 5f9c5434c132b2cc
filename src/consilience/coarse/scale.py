"""Units and sign of bead files by physics: lengths of CA-CA bonds, their stiffness, and the virial theorem."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from consilience.coarse.beads import CA_BOND, Beads, unwrapped
from consilience.coarse.residues import RESIDUES
from consilience.core.errors import Finding, Level
from consilience.frames.unit_labels import factor
from consilience.units import BOHR, BOLTZMANN, ENERGY, KCAL_MOL

UNIT = "kcal/mol/Å"  # of forces in bead files
STIFF = (55.0, 650.0)  # kcal/mol/Å²: force constants that a CA-CA bond may have; about 200 in all-atom force fields
_USUAL = 200.0
_BONDED = (2.7, 5.0)  # Å: where the median CA-CA distance of any chain lies
_LENGTHS = {"nm": 10.0, "bohr": BOHR, "pm": 0.01, "m": 1e10}
_FORCES = {
    "kJ/mol/nm": ENERGY["kJ/mol"] / 10, "kJ/mol/Å": ENERGY["kJ/mol"], "kcal/mol/nm": KCAL_MOL / 10, "eV/Å": 1.0,
    "hartree/bohr": ENERGY["hartree"] / BOHR, "eV/nm": 0.1, "meV/Å": 1e-3,
}  # fmt: skip
_SURE = 5.0  # standard errors


@dataclass(frozen=True)
class Labels:
    """Units as a file or a user names them; "" where they do not. `who`: "file", "user" or ""."""

    length: str = ""
    forces: str = ""
    who: str = ""


@dataclass(frozen=True)
class BondEvidence:
    """What CA-CA bonds say about forces, each with its standard error.

    `stiffness`: minus the slope of the force along a bond over its length, force unit per Å. `virial`:
    -<f (r - <r>)> / (kT <1 + 2 (r - <r>)/r>), which is 1 for any valid force map in a canonical ensemble, for
    <F.g> = -kT <div g> holds for every field g of the positions; here g is (r - <r>) along the bond.
    """

    stiffness: float
    stiffness_error: float
    virial: float
    virial_error: float


def in_our_units(beads: Beads, labels: Labels) -> tuple[Beads, list[Finding]]:
    """Beads in Å and eV/Å, chains in one piece, from numbers as they stand in the file, and what was found."""
    notes: list[Finding] = []
    length = factor(labels.length, "length") or 1.0
    x = beads.positions * length
    scale, found = _length_scale(replace(beads, positions=x), labels)
    notes += found
    box = None if beads.box is None else beads.box * length * scale
    out = replace(beads, positions=x * scale, box=box)
    out, found = _whole(out)
    notes += found
    if beads.forces is None:
        return out, notes
    unit = factor(labels.forces, "forces") if labels.forces else factor(UNIT, "forces")
    assert unit is not None
    out = replace(out, forces=beads.forces * unit)
    if any(f.level == "error" for f in notes):
        return out, notes
    by, found = _force_scale(out, labels, unit)
    assert out.forces is not None
    return (out if by == 1.0 else replace(out, forces=out.forces * by)), [*notes, *found]


def _whole(beads: Beads) -> tuple[Beads, list[Finding]]:
    """Chains that are cut by the periodic boundary are made whole."""
    if beads.box is None or not np.isfinite(beads.positions).all():
        return beads, []
    made = unwrapped(beads)
    moved = np.flatnonzero(np.abs(made.positions - beads.positions).max((1, 2)) > 1e-3)
    if not len(moved):
        return beads, []
    what = f"chains cut by the periodic boundary were made whole in {len(moved)} frame(s)"
    return made, [Finding("note", what, f"{beads.path}, {beads.name}")]


def _is_ca(beads: Beads) -> bool:
    """Whether most beads stand for one residue each, as far as their names tell."""
    known = sum(r in RESIDUES or r == "UNK" for r in beads.residues)
    return 2 * known > len(beads.residues)


def _where(beads: Beads) -> str:
    return f"{beads.path}, {beads.name}"


def _length_scale(beads: Beads, labels: Labels) -> tuple[float, list[Finding]]:
    pairs = beads.bonds
    if not len(pairs) or not _is_ca(beads):
        return 1.0, []
    r = bond_lengths(beads)
    r = r[np.isfinite(r) & (r > 0)]
    if not r.size:
        return 1.0, []
    middle = float(np.median(r))
    if _BONDED[0] <= middle <= _BONDED[1]:
        return 1.0, []
    likely = next((u for u, v in _LENGTHS.items() if _BONDED[0] + 0.6 <= middle * v <= _BONDED[1] - 0.6), None)
    found = f"a median distance of {middle:.3g} Å between beads that follow one another"
    expected = f"{CA_BOND:g} Å, the CA-CA distance"
    if likely is None:
        what = "neighbouring beads are not at CA-CA distances: another unit, another map, or gaps in the chain"
        return 1.0, [Finding("warn", what, _where(beads), found, expected)]
    if labels.length:
        what = f"the positions are not in {labels.length}, as labelled: the unit is likely {likely}"
        level: Level = "warn" if labels.who == "user" else "error"
        return 1.0, [Finding(level, what, _where(beads), found, expected, "correct the label, or use --units")]
    what = f"the positions are taken to be in {likely}, by their distances"
    return _LENGTHS[likely], [Finding("warn", what, _where(beads), found, expected, "say the unit (--units)")]


def _force_scale(beads: Beads, labels: Labels, unit: float) -> tuple[float, list[Finding]]:
    """The factor by which forces in our units are to be multiplied, and what was found."""
    seen = bond_evidence(beads) if _is_ca(beads) else None
    if seen is None:
        return 1.0, []
    k, error = seen.stiffness / KCAL_MOL, seen.stiffness_error / KCAL_MOL
    label = labels.forces or UNIT
    found = f"CA-CA bonds with a force constant of {k:.4g} +- {error:.2g} kcal/mol/Å², virial ratio {seen.virial:.3g}"
    expected = f"about {_USUAL:g} kcal/mol/Å² and a virial ratio of 1"
    if abs(k) < _SURE * error:
        return 1.0, []
    if k < 0:
        what = "the forces have the wrong sign: they push bonds away from their mean length (gradients of the energy?)"
        fix = "multiply them by -1: forces are minus the gradient"
        return 1.0, [Finding("error", what, _where(beads), found, expected, fix)]
    if STIFF[0] <= k <= STIFF[1]:
        return 1.0, []
    fitting = {u: k * v / unit for u, v in _FORCES.items() if STIFF[0] * 1.5 <= k * v / unit <= STIFF[1] / 1.5}
    likely = min(fitting, key=lambda u: abs(np.log(fitting[u] / _USUAL))) if fitting else None
    if likely is None:
        what = f"the magnitude of the forces cannot be right for {label}"
        return 1.0, [Finding("warn", what, _where(beads), found, expected, "check the unit and the force map")]
    if labels.forces:
        what = f"the forces are not in {label}, as labelled: their scale says that the unit is likely {likely}"
        level: Level = "warn" if labels.who == "user" else "error"
        return 1.0, [Finding(level, what, _where(beads), found, expected, "correct the label, or use --units")]
    what = f"the forces are taken to be in {likely}, by the stiffness of the bonds"
    return _FORCES[likely] / unit, [Finding("warn", what, _where(beads), found, expected, "say the unit (--units)")]


def bond_lengths(beads: Beads) -> np.ndarray:
    """(f, b) distances between beads that follow one another in a chain, nearest images where periodic."""
    pairs = beads.bonds
    d = beads.positions[:, pairs[:, 1]] - beads.positions[:, pairs[:, 0]]
    if beads.box is not None:
        s = np.einsum("fbk,fkl->fbl", d, np.linalg.inv(beads.box))
        d = np.einsum("fbk,fkl->fbl", s - np.round(s), beads.box)
    return np.linalg.norm(d, axis=-1)


@np.errstate(all="ignore")
def bond_evidence(beads: Beads) -> BondEvidence | None:
    """Stiffness (eV/Å²) and virial ratio of the bonds of beads in our units; None where nothing can be said."""
    pairs = beads.bonds
    if beads.forces is None or not len(pairs) or len(beads) < 8:
        return None
    r = bond_lengths(beads)
    d = beads.positions[:, pairs[:, 1]] - beads.positions[:, pairs[:, 0]]
    f = np.einsum("fbk,fbk->fb", 0.5 * (beads.forces[:, pairs[:, 1]] - beads.forces[:, pairs[:, 0]]), d) / r
    if not np.isfinite(r).any():
        return None
    middle = np.nanmedian(r)
    good = np.isfinite(r) & np.isfinite(f) & (r > 0.7 * middle) & (r < 1.3 * middle)
    top, square, energy = (np.zeros(len(r)) for _ in range(3))
    for t in np.unique(beads.temperature):
        rows = (beads.temperature == t)[:, None] & good
        if rows.sum() < 2:
            continue
        mean = np.where(rows, r, 0.0).sum(0) / np.maximum(rows.sum(0), 1)
        q = np.where(rows, r - mean, 0.0)
        top -= np.where(rows, q * f, 0.0).sum(1)
        square += (q * q).sum(1)
        energy += np.where(rows, BOLTZMANN * t * (1 + 2 * q / np.where(rows, r, 1.0)), 0.0).sum(1)
    if not square.sum() or np.sqrt(square.sum() / good.sum()) < 1e-3:
        return None

    def ratio(below: np.ndarray) -> tuple[float, float]:
        value = float(top.sum() / below.sum())
        return value, float(np.sqrt(np.sum((top - value * below) ** 2)) / abs(below.sum()))

    return BondEvidence(*ratio(square), *ratio(energy))
