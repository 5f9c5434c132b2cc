"""Read bead files (npz): which array is what, units, padded proteins apart, every defect named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from consilience.coarse.beads import Beads
from consilience.coarse.keys import FORCES, POSITIONS, find, labels_of, names_of_beads, shaped
from consilience.coarse.quality import inspect_beads
from consilience.coarse.scale import in_our_units
from consilience.core.errors import Finding, InputError, clean, raise_errors
from consilience.files import read_bytes
from consilience.frames.npz import arrays_of

ROOM = 300.0  # K, where a file does not say it
_TEMPERATURE = ("temp", "temperature", "T", "temps", "temperatures", "temperature_k")
_TRAJECTORY = ("traj", "trajectory", "traj_id", "trajectories", "trajectory_id", "run")
_PROTEIN = ("protein", "proteins", "protein_id", "system", "molecule", "name")
_MASK = ("mask", "bead_mask", "valid", "masks")
_CHAIN = ("chain", "chains", "chain_id", "chain_index")
_NUMBER = ("number", "resid", "residue_number", "residue_index", "resnum")
_SOURCE = ("source", "kind", "label")
_WEIGHTS = ("masses", "bead_masses")
_BOX = ("box", "cell", "unit_cell", "lattice", "box_vectors")


def read_beads(
    path: str | Path,
    *,
    keys: Mapping[str, str] | None = None,
    units: str | None = None,
    strict: bool = True,
    need_forces: bool = True,
) -> tuple[tuple[Beads, ...], tuple[Finding, ...]]:
    """The proteins of a bead file and what was noticed; a padded file of several gives one Beads for each.

    Positions are called R (or positions, coords, ...), forces F_opt, F, forces, ... in that order of preference,
    residues seq (names) or species (numbers of types). `keys`: {"forces": "F_ca", ...} where the usual names do not
    decide. `units`: of the file, e.g. "Å, kcal/mol/Å" (the default where it does not say them; where physics clearly
    says otherwise, that is used and said).

    Raises InputError where the file cannot be read, has no forces while `need_forces`, and, when `strict`, where any
    finding is an error.
    """
    where, keys = str(path), dict(keys or {})
    arrays = arrays_of(read_bytes(path), where)
    parts, findings = _parts(arrays, Path(path), keys, need_forces)
    labels = labels_of(arrays, where, units)
    done: list[Beads] = []
    for part in parts:
        beads, notes = in_our_units(part, labels)
        findings += notes
        findings += inspect_beads(beads, units_are_known=all(f.level != "error" for f in notes))
        done.append(beads)
    findings = list(dict.fromkeys(findings))
    if strict:
        raise_errors(findings)
    return tuple(done), tuple(findings)


def _parts(
    arrays: Mapping[str, np.ndarray], path: Path, keys: Mapping[str, str], need_forces: bool
) -> tuple[list[Beads], list[Finding]]:
    """The file's proteins, numbers as they stand in it."""
    where = str(path)
    found = "arrays: " + ", ".join(f"{clean(k)[:30]} {v.shape}" for k, v in list(arrays.items())[:20])
    notes: list[Finding] = []
    x_key = find(arrays, "positions", POSITIONS, keys, where, notes)
    if x_key is None:
        expected = "an array R (frames, beads, 3), or positions, coords"
        raise InputError("there are no positions of beads", where, found, expected)
    x, single = shaped(arrays[x_key], x_key, where)
    f, n = x.shape[:2]
    if f == 0 or n == 0:
        what = "the file is empty: it has no frames (0 frames)" if n else "the file has no beads"
        raise InputError(what, f"{where}, array '{clean(x_key)}'", f"shape {x.shape}", "at least one frame of one bead")
    f_key = find(arrays, "forces", FORCES, keys, where, notes)
    force = None
    if f_key is not None:
        force, _ = shaped(arrays[f_key], f_key, where, single)
        if force.shape != x.shape:
            found = f"'{clean(x_key)}' {x.shape}, '{clean(f_key)}' {force.shape}"
            raise InputError("positions and forces have different shapes (mismatch)", where, found, "the same shape")
    elif need_forces:
        expected = f"forces: an array F, or {', '.join(FORCES[:4])}"
        fix = "name its key, or coarsen again: nothing can be fitted to beads without forces"
        raise InputError("there are no forces in the file", where, found, expected, fix)
    species = names_of_beads(arrays, keys, (f, n), where, notes)
    mask = _mask(arrays, (f, n), where)
    ids, named = _proteins(arrays, f, path, where)
    temperature = _per_frame(arrays, _TEMPERATURE, f, where, ROOM, notes, "temperature")
    trajectory = _per_frame(arrays, _TRAJECTORY, f, where, 0, notes, "trajectory").astype(int)
    source = _text(arrays, _SOURCE, f)
    box = _box(arrays, f, where)
    chain, number = (_per_bead(arrays, names, (f, n), where) for names in (_CHAIN, _NUMBER))
    weights = _per_bead(arrays, _WEIGHTS, (f, n), where, float)
    groups: dict[tuple[bytes, ...], list[int]] = {}
    for k in range(f):
        groups.setdefault((ids[k].tobytes(), mask[k].tobytes(), species[k].tobytes()), []).append(k)
    names: list[str] = []
    parts = []
    for rows_list in groups.values():
        rows = np.array(rows_list)
        k = rows[0]
        kept = np.flatnonzero(mask[k])
        if not len(kept):
            raise InputError("a frame has no beads: all are masked", f"{where}, frame {k} (counted from 0)")
        label = path.name.split(".")[0].removesuffix("_cg")
        if named or len(groups) > 1:
            label = str(ids[k]) if named and str(ids[k]) else f"{label}-{ids[k]}"
        if label in names:
            label += f"-{names.count(label) + 1}"
        names.append(label)
        chains = np.zeros(len(kept), int) if chain is None else _integers(chain[k, kept])
        places = kept if number is None else number[k, kept].astype(int)
        if len(set(zip(chains.tolist(), places.tolist(), strict=True))) < len(kept):
            what = "several beads have the same number in their chain: numbered in the order of the file instead"
            notes.append(Finding("warn", what, f"{where}, {clean(label)}", fix="give each bead a number of its own"))
            places = kept
        parts.append(
            Beads(
                name=clean(label),
                residues=tuple(species[k, kept].tolist()),
                chain=chains,
                number=places,
                positions=x[rows][:, kept],
                forces=None if force is None else force[rows][:, kept],
                temperature=temperature[rows],
                trajectory=trajectory[rows],
                source=None if source is None else tuple(source[rows].tolist()),
                box=None if box is None else box[rows],
                path=path,
                weights=None if weights is None else weights[k, kept],
            )
        )
    return parts, notes


def _integers(values: np.ndarray) -> np.ndarray:
    return np.unique(values, return_inverse=True)[1] if values.dtype.kind == "U" else values.astype(int)


def _one(arrays: Mapping[str, np.ndarray], names: Sequence[str]) -> np.ndarray | None:
    return next((arrays[n] for n in names if n in arrays), None)


def _mask(arrays: Mapping[str, np.ndarray], shape: tuple[int, int], where: str) -> np.ndarray:
    a = _one(arrays, _MASK)
    if a is None:
        return np.ones(shape, bool)
    a = a[..., 0] if a.ndim == 3 and a.shape[-1] == 1 else a
    if a.dtype.kind not in "fiub" or a.shape not in (shape, shape[1:]):
        raise InputError("the mask does not fit the beads", where, f"shape {a.shape}", f"{shape}, as the positions")
    return np.broadcast_to(a != 0, shape)


def _proteins(arrays: Mapping[str, np.ndarray], f: int, path: Path, where: str) -> tuple[np.ndarray, bool]:
    """(f,) names or numbers of proteins; whether the file names them."""
    a = _one(arrays, _PROTEIN)
    if a is None or a.dtype.kind not in "iuUf":
        return np.zeros(f, int), False
    if a.size == 1:
        a = np.broadcast_to(a.ravel(), (f,))
    if a.shape != (f,):
        raise InputError("the names of proteins do not fit the frames", where, f"shape {a.shape}", f"({f},)")
    listed = _one(arrays, ("protein_names", "proteins", "names"))
    if a.dtype.kind in "iu" and listed is not None and listed.dtype.kind == "U" and listed.ndim == 1:
        if a.min() < 0 or a.max() >= len(listed):
            found = f"{a.min()} to {a.max()}"
            raise InputError("numbers of proteins are out of range", where, found, f"0 to {len(listed) - 1}")
        a = listed[a]
    return a, a.dtype.kind == "U"


def _per_frame(
    arrays: Mapping[str, np.ndarray],
    names: Sequence[str],
    f: int,
    where: str,
    otherwise: float,
    notes: list[Finding],
    words: str,
) -> np.ndarray:
    a = _one(arrays, names)
    if a is None:
        if otherwise:
            notes.append(Finding("note", f"the file does not say the {words}: {otherwise:g} K is assumed", where))
        return np.full(f, otherwise)
    if a.dtype.kind == "U":
        return np.unique(a, return_inverse=True)[1].reshape(f) if a.shape == (f,) else np.full(f, otherwise)
    if a.size == 1:
        a = np.broadcast_to(a.ravel(), (f,))
    if a.shape != (f,):
        raise InputError(f"the {words} does not fit the frames", where, f"shape {a.shape}", f"({f},)")
    a = a.astype(float)
    bad = np.flatnonzero(~np.isfinite(a) | (a <= 0 if words == "temperature" else a < 0))
    if len(bad):
        found = f"{a[bad[0]]:g} in frame {bad[0]} (counted from 0)"
        raise InputError(f"the {words} of {len(bad)} frame(s) is impossible", where, found, "a positive number")
    return a


def _per_bead(
    arrays: Mapping[str, np.ndarray], names: Sequence[str], shape: tuple[int, int], where: str, kind: type = int
) -> np.ndarray | None:
    a = _one(arrays, names)
    if a is None or a.shape not in (shape, shape[1:]):
        return None
    if a.dtype.kind == "U":
        return np.broadcast_to(a, shape) if names is _CHAIN else None
    if not np.isfinite(a.astype(float)).all():
        raise InputError(f"the array {names[0]} is not finite", where)
    return np.broadcast_to(a.astype(kind), shape)


def _text(arrays: Mapping[str, np.ndarray], names: Sequence[str], f: int) -> np.ndarray | None:
    a = _one(arrays, names)
    return a if a is not None and a.dtype.kind == "U" and a.shape == (f,) else None


def _box(arrays: Mapping[str, np.ndarray], f: int, where: str) -> np.ndarray | None:
    """(f, 3, 3), or None where the file is not periodic. Raises InputError for boxes that are no boxes."""
    a, pbc = _one(arrays, _BOX), _one(arrays, ("pbc", "periodic"))
    wanted = pbc is not None and bool(np.any(pbc))
    if a is None or (pbc is not None and not wanted):
        if wanted:
            raise InputError("the boundaries are periodic but there is no box", where, fix="add the box")
        return None
    if a.dtype.kind not in "fiu":
        raise InputError("the box is no numbers", where, f"dtype {a.dtype}")
    if a.shape in ((), (1,)):
        a = np.broadcast_to(a.ravel(), (3,))
    if a.shape in ((3,), (f, 3)):
        cell = a[..., None] * np.eye(3)
    elif a.shape in ((3, 3), (f, 3, 3)):
        cell = a
    else:
        raise InputError("the box has the wrong shape", where, f"{a.shape}", f"(3,), ({f}, 3), (3, 3) or ({f}, 3, 3)")
    cell = np.broadcast_to(np.asarray(cell, float), (f, 3, 3))
    volume = np.abs(np.linalg.det(np.nan_to_num(cell)))
    if not np.isfinite(cell).all() or (volume <= 0).any():
        if not wanted and not np.any(a):  # zeros are a common way to say that there is no box
            return None
        k = int(np.flatnonzero(~(volume > 0))[0]) if (volume <= 0).any() else 0
        found = " x ".join(f"{v:g}" for v in np.diag(cell[k]))
        raise InputError("the periodic box (cell) has no volume", f"{where}, frame {k}", found, "three positive edges")
    return cell
