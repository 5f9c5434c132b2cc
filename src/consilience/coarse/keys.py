"""Names of arrays in bead files: which is which, shapes, names or numbers of the residues, labels of units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from consilience.coarse.residues import RESIDUES, standard
from consilience.coarse.scale import Labels
from consilience.core.errors import Finding, InputError, clean
from consilience.frames.unit_labels import Dimension, factor, parse_units

POSITIONS = ("R", "positions", "coords", "coordinates", "xyz", "pos", "x")
FORCES = ("F_opt", "F", "forces", "force", "F_basic", "F_ca", "F_res", "F_slice", "frc", "f")  # preferred first
_NAMES = ("seq", "sequence", "residues", "resnames", "resname", "residue_names", "species", "types", "bead_types")
BEADS = ("F_opt", "F_ca", "F_res", "seq", "sequence", "resnames", "residue_names", "bead_types", "mask", "species")
_ELEMENTS = ("Z", "z", "numbers", "atomic_numbers", "nuclear_charges", "symbols", "elements")
UNKNOWN = "UNK"


def is_beads(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether an npz file holds beads and not molecules, all-atom frames or mean forces."""
    if "F_mean" in arrays or is_all_atom(arrays) or any(k in arrays for k in _ELEMENTS):
        return False
    species = arrays.get("species")
    if species is not None and species.dtype.kind == "U":  # elements, where they are no three-letter names
        return all(len(s) > 2 for s in np.unique(species) if s)
    return any(k in arrays for k in BEADS)


def is_all_atom(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether an npz file holds all-atom frames for coarsening."""
    if any(k in arrays for k in _ELEMENTS):
        return False
    return "frc" in arrays or ("constraints" in arrays and "pos" in arrays)


def find(
    arrays: Mapping[str, np.ndarray],
    what: str,
    names: Sequence[str],
    keys: Mapping[str, str],
    where: str,
    notes: list[Finding],
) -> str | None:
    """The key of a quantity: as asked, else the first usual name; a choice that is not plain is noted."""
    asked = keys.get(what)
    if asked is not None:
        if asked not in arrays:
            known = ", ".join(map(clean, arrays))
            raise InputError(f"there is no key '{clean(asked)}' for the {what}", where, f"keys: {known}")
        return asked
    there = [n for n in names if n in arrays]
    if not there:
        lower = {k.lower(): k for k in arrays}
        there = [lower[n.lower()] for n in names if len(n) > 1 and n.lower() in lower]
    if not there:
        return None
    others = [k for k in there[1:] if arrays[k].shape == arrays[there[0]].shape]
    if others:
        more = ", ".join(map(clean, others))
        notes.append(Finding("note", f"{what} read from '{there[0]}' (not from {more})", where))
    elif there[0] != names[0] and len(there[0]) > 1:
        notes.append(Finding("note", f"{what} read from the key '{clean(there[0])}'", where))
    return there[0]


def shaped(a: np.ndarray, key: str, where: str, single: bool = False) -> tuple[np.ndarray, bool]:
    """(frames, beads, 3) float64, and whether the array had no axis of frames. Raises InputError for other shapes."""
    place = f"{where}, array '{clean(key)}'"
    if a.dtype.kind not in "fiu":
        raise InputError("the array holds no numbers", place, f"dtype {a.dtype}", "floating point")
    alone = a.ndim == 2 and a.shape[1] == 3
    if alone:
        a = a[None]
    if a.ndim != 3 or a.shape[2] != 3:
        fix = "transpose the array: the axes of beads and xyz are exchanged" if a.ndim == 3 and a.shape[1] == 3 else ""
        raise InputError("the array has the wrong shape", place, f"{a.shape}", "(frames, beads, 3)", fix)
    return a.astype(float), alone


def names_of_beads(
    arrays: Mapping[str, np.ndarray],
    keys: Mapping[str, str],
    shape: tuple[int, int],
    where: str,
    notes: list[Finding],
) -> np.ndarray:
    """(f, n) names of residues; numbers of types are places in the alphabetical list of the twenty."""
    f, n = shape
    key = find(arrays, "species", _NAMES, keys, where, [])
    if key is None:
        fix = "add an array seq with three-letter names"
        notes.append(Finding("warn", "the file does not say which residues the beads are: all alike", where, fix=fix))
        return np.full(shape, UNKNOWN)
    a = arrays[key]
    place = f"{where}, array '{clean(key)}'"
    if a.dtype.kind == "U" and a.size == 1 and n > 1:
        text = str(a.ravel()[0]).strip()
        words = text.split() if " " in text or "-" not in text else text.split("-")
        a = np.array(words if len(words) == n else list(text) if len(text) == n else [text])
    if a.shape == (f, 1) and n == 1:
        a = a[:, 0] if f == n else a
    if a.shape not in ((n,), (f, n)):
        expected = f"({n},) or ({f}, {n}), as the positions are {(f, n, 3)}"
        raise InputError("the species do not fit the beads", place, f"shape {a.shape}", expected)
    if a.dtype.kind == "U":
        kinds, inverse = np.unique(a, return_inverse=True)
        names = np.array([standard(str(k)) for k in kinds])
        odd = sorted({str(k) for k, v in zip(kinds, names, strict=True) if v not in RESIDUES and str(k).strip()})
        if odd:
            found = ", ".join(clean(o)[:20] for o in odd[:6])
            notes.append(Finding("note", "beads that are none of the twenty residues", place, found))
        return np.broadcast_to(names[inverse].reshape(a.shape), shape)
    return np.broadcast_to(_of_numbers(arrays, a, place, notes), shape)


def _of_numbers(arrays: Mapping[str, np.ndarray], a: np.ndarray, place: str, notes: list[Finding]) -> np.ndarray:
    if a.dtype.kind not in "fiu" or not np.array_equal(a, np.round(np.nan_to_num(a.astype(float), nan=0.5))):
        raise InputError("the species are neither names nor whole numbers", place, f"{a.ravel()[:5]}")
    listed = next((arrays[k] for k in ("species_names", "type_names") if k in arrays), None)
    table = (
        np.array(RESIDUES) if listed is None or listed.dtype.kind != "U" else np.array([standard(s) for s in listed])
    )
    mask = arrays.get("mask")
    real = np.ones(a.shape, bool) if mask is None or mask.shape != a.shape else mask != 0
    values = np.where(real, a, 0).astype(int)
    bad = np.argwhere((values < 0) | (values >= len(table)))
    if len(bad):
        few = ", ".join(f"{values[tuple(b)]} at bead {b[-1]}" for b in bad[:5])
        what = f"species (types) out of range: {len(bad)} of {a.size}"
        expected = f"0 to {len(table) - 1} ({len(table)} kinds), beads counted from 0"
        raise InputError(what, place, few, expected, "give names (seq), or correct the numbers")
    if listed is None:
        what = "numbers of species are read as places in the alphabetical list of three-letter names, from 0"
        notes.append(Finding("note", what, place, ", ".join(dict.fromkeys(table[values.ravel()].tolist()))))
    return table[values]


def labels_of(arrays: Mapping[str, np.ndarray], where: str, given: str | None) -> Labels:
    """What the user, or else the file, says about its units."""
    if given:
        said = parse_units(given)
        return _labels(said, "user", "--units")
    a = next((arrays[k] for k in ("units", "unit") if k in arrays), None)
    if a is None or a.dtype.kind != "U" or a.size > 4:
        return Labels()
    text = ", ".join(map(str, a.ravel()))
    return _labels(parse_units(text, f"{where}, array 'units'"), "file", f"{where}, array 'units'")


def _labels(said: Mapping[str, str], who: str, where: str) -> Labels:
    length = next((said[k] for k in ("length", "R", "positions", "coords") if k in said), "")
    forces = next((said[k] for k in ("forces", "F", "force", "F_opt") if k in said), "")
    out = Labels(length, forces, who)
    named: tuple[tuple[str, Dimension], ...] = ((length, "length"), (forces, "forces"))
    for label, dimension in named:
        if label and factor(label, dimension) is None:
            raise InputError(f"unknown unit of {dimension}", where, clean(label)[:40], "e.g. Å, kcal/mol/Å")
    return out
