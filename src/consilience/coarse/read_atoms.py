"""Read all-atom trajectories with forces (npz, or what MDAnalysis reads), checked as they are loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import gemmi
import numpy as np

from consilience.coarse.atom_quality import inspect_atoms
from consilience.coarse.atoms import AtomFrames, find_constraints, whole
from consilience.coarse.keys import find, labels_of, shaped
from consilience.coarse.topology import Topology, read_topology
from consilience.core.errors import Finding, InputError, clean, raise_errors
from consilience.files import read_bytes
from consilience.frames.npz import arrays_of
from consilience.frames.unit_labels import factor
from consilience.kinds import recognise

Constraints = Literal["auto", "none"]
_POSITIONS = ("pos", "positions", "coords", "R", "xyz", "coordinates")
_FORCES = ("frc", "forces", "force", "F", "f")
ROOM = 300.0  # K


@dataclass(frozen=True)
class _Arrays:
    """What any source gives, of all atoms: Å and the unit of forces named; constraints None where it has none."""

    positions: np.ndarray
    forces: np.ndarray
    unit: float  # of forces, eV/Å
    temperature: np.ndarray | None
    trajectory: np.ndarray | None
    constraints: np.ndarray | None
    masses: np.ndarray | None
    box: np.ndarray | None
    labelled: str
    notes: tuple[Finding, ...] = ()


def read_atoms(
    path: str | Path,
    topology: str | Path,
    *,
    name: str | None = None,
    constraints: Constraints = "auto",
    stride: int = 1,
    temperature: float | None = None,
    units: str | None = None,
    keys: Mapping[str, str] | None = None,
    strict: bool = True,
) -> AtomFrames:
    """Frames of a trajectory of the atoms of a topology (PDB, mmCIF), water and ions left out.

    npz files have pos and frc (frames, atoms, 3), and may have masses, constraints, temp, traj; Å and kcal/mol/Å where
    they do not name units. Other formats (TRR, NetCDF, ...) are read by MDAnalysis, where it is installed.
    `constraints`: "auto" takes those of the file, or finds the distances that never change; "none" means a flexible
    molecule. `stride`: every n-th frame; `temperature` K, where the file does not say it.

    Damaged frames (not finite, absurd, broken) are left out and counted. Raises InputError where the file cannot be
    read or does not fit the topology, and, when `strict`, where any finding is an error.
    """
    where = str(path)
    top = read_topology(topology)
    kind = recognise(path)
    if kind == "npz":
        got = _of_npz(where, dict(keys or {}), units)
    else:
        got = _of_mdanalysis(where, str(topology))
    n = got.positions.shape[1]
    if n != len(top):
        found = f"{n} atoms in {Path(where).name}, {len(top)} in {Path(topology).name}"
        raise InputError("trajectory and topology have different numbers of atoms", where, found, "the same molecule")
    if len(got.positions) == 0:
        raise InputError("the trajectory has no frames", where)
    frames = _frames(got, top, Path(where), name, max(1, stride), temperature)
    if frames.box is not None and np.all(np.abs(np.linalg.det(frames.box)) > 1.0):
        frames = replace(frames, positions=whole(frames.positions, frames.box, frames.topology))
    notes = list(got.notes)
    if got.temperature is None and temperature is None:
        fix = "say it (--temperature)"
        notes.append(Finding("note", f"the file does not say the temperature: {ROOM:g} K is assumed", where, fix=fix))
    frames, found = inspect_atoms(frames, got.labelled, got.unit)
    notes += found
    if not any(f.level == "error" for f in notes):
        frames, found = _with_constraints(frames, got, constraints)
        notes += found
    frames = replace(frames, findings=tuple(dict.fromkeys(notes)))
    if strict:
        raise_errors(frames.findings)
    return frames


def inspect_arrays(
    path: str | Path, units: str | None = None, keys: Mapping[str, str] | None = None
) -> tuple[int, int, list[Finding]]:
    """Frames, atoms and findings of an npz file of all-atom frames, as far as they can be judged without a topology.

    Raises InputError where arrays are missing, do not fit one another, or cannot be read.
    """
    where = str(path)
    got = _of_npz(where, dict(keys or {}), units)
    f, n = got.positions.shape[:2]
    if not f or not n:
        raise InputError("the trajectory is empty: no frames (0 frames), or no atoms", where, f"{f} frames")
    notes = list(got.notes)
    for words, a in (("positions", got.positions), ("forces", got.forces)):
        bad = np.flatnonzero(~np.isfinite(a).all((1, 2)))
        if len(bad):
            what = f"{words} are not finite (NaN or inf) in {len(bad)} frame(s): consil coarsen leaves them out"
            notes.append(Finding("warn", what, f"{where}, frame {bad[0]} (counted from 0)"))
    repeated = f - len(np.unique(got.positions.reshape(f, -1), axis=0))
    if repeated:
        what = f"{repeated} repeated (identical or frozen) frame(s) of {f}: consil coarsen leaves them out"
        notes.append(Finding("warn", what, where))
    return f, n, notes


def _frames(
    got: _Arrays, top: Topology, path: Path, name: str | None, stride: int, temperature: float | None
) -> AtomFrames:
    kept = np.flatnonzero(top.solute)
    if not len(kept):
        raise InputError("the topology holds nothing but water and ions", str(top.path))
    rows = np.arange(0, len(got.positions), stride)
    f = len(got.positions)
    t = got.temperature if got.temperature is not None else np.full(f, temperature or ROOM)
    index = np.full(len(top), -1)
    index[kept] = np.arange(len(kept))
    pairs = np.zeros((0, 2), int) if got.constraints is None else index[got.constraints]
    masses = got.masses
    if masses is None:
        masses = np.array([gemmi.Element(str(e)).weight for e in top.elements])
    return AtomFrames(
        name=name or path.name.split(".")[0],
        topology=top.select(kept),
        positions=got.positions[rows][:, kept].astype(np.float32),
        forces=(got.forces[rows][:, kept] * got.unit).astype(np.float32),
        temperature=np.broadcast_to(t, (f,))[rows].astype(float),
        trajectory=(np.zeros(f, int) if got.trajectory is None else got.trajectory)[rows],
        constraints=pairs[(pairs >= 0).all(1)],
        masses=masses[kept],
        box=None if got.box is None else got.box[rows],
        path=path,
    )


def _with_constraints(frames: AtomFrames, got: _Arrays, how: Constraints) -> tuple[AtomFrames, list[Finding]]:
    """Constraints as the file says, compared with the distances that never change."""
    where = str(frames.path)
    seen = find_constraints(frames.positions, frames.topology.residue) if len(frames) >= 8 else None
    if how == "none":
        if seen is not None and len(seen):
            what = f"{len(seen)} distances never change: the molecule has constraints, which --constraints none denies"
            fix = "a force map that ignores constraints is wrong: use --constraints auto"
            return replace(frames, constraints=np.zeros((0, 2), int)), [Finding("warn", what, where, fix=fix)]
        return replace(frames, constraints=np.zeros((0, 2), int)), []
    if got.constraints is None:
        if seen is None:
            what = "too few frames to find constraints: the molecule is taken as flexible"
            return frames, [Finding("warn", what, where, f"{len(frames)} frames", "8 or more, or an array constraints")]
        what = f"{len(seen)} constraints found: distances that never change"
        return replace(frames, constraints=seen), [Finding("note", what, where)]
    said = {(int(min(p)), int(max(p))) for p in frames.constraints}
    missing = [] if seen is None else [p for p in map(tuple, seen.tolist()) if p not in said]
    labels = frames.groups
    missing = [p for p in missing if labels[p[0]] != labels[p[1]]]
    if missing:
        pairs = np.array(missing, int)
        top = frames.topology
        i, j = missing[0]
        found = f"e.g. {top.names[i]} and {top.names[j]} of residue {top.residue_names[top.residue[i]]}"
        what = f"{len(missing)} distances never change but are not among the constraints of the file: added"
        together = np.concatenate([frames.constraints, pairs])
        return replace(frames, constraints=together), [Finding("warn", what, where, found)]
    return frames, []


def _of_npz(where: str, keys: Mapping[str, str], units: str | None) -> _Arrays:
    arrays = arrays_of(read_bytes(where), where)
    notes: list[Finding] = []
    found = "arrays: " + ", ".join(f"{clean(k)[:30]} {v.shape}" for k, v in list(arrays.items())[:20])
    x_key = find(arrays, "positions", _POSITIONS, keys, where, notes)
    f_key = find(arrays, "forces", _FORCES, keys, where, notes)
    for key, words, expected in ((x_key, "positions", "pos"), (f_key, "forces", "frc")):
        if key is None:
            what = f"there are no {words} of atoms in the file"
            raise InputError(what, where, found, f"an array {expected} (frames, atoms, 3)")
    assert x_key is not None and f_key is not None
    x, single = shaped(arrays[x_key], x_key, where)
    force, _ = shaped(arrays[f_key], f_key, where, single)
    if x.shape != force.shape:
        found = f"'{x_key}' {x.shape}, '{f_key}' {force.shape}"
        raise InputError("positions and forces have different shapes", where, found, "the same shape")
    f, n = x.shape[:2]
    labels = labels_of(arrays, where, units)
    length = factor(labels.length, "length") or 1.0
    unit = factor(labels.forces or "kcal/mol/Å", "forces")
    assert unit is not None
    pairs = arrays.get("constraints")
    if pairs is not None:
        if pairs.ndim != 2 or pairs.shape[1:] != (2,) or pairs.dtype.kind not in "iu":
            raise InputError("constraints are no pairs of atoms", where, f"shape {pairs.shape}", "(pairs, 2), whole")
        if pairs.size and (pairs.min() < 0 or pairs.max() >= n):
            raise InputError("constraints name atoms that are not there", where, f"{pairs.max()}", f"0 to {n - 1}")
        pairs = pairs.astype(int)
    temp = _per_frame(arrays, ("temp", "temperature", "T"), f, where)
    traj = _per_frame(arrays, ("traj", "trajectory"), f, where)
    masses = arrays.get("masses")
    if masses is not None and (masses.shape != (n,) or not np.all(masses >= 0)):
        raise InputError("the masses do not fit the atoms", where, f"shape {masses.shape}", f"({n},), positive")
    box = arrays.get("box")
    cells = None
    if box is not None and np.any(box):
        full = box[..., None] * np.eye(3) if box.shape in ((3,), (f, 3)) else box
        cells = np.broadcast_to(full, (f, 3, 3)) * length if full.shape[-2:] == (3, 3) else None
    return _Arrays(
        x * length,
        force,
        unit,
        temp,
        None if traj is None else traj.astype(int),
        pairs,
        None if masses is None else masses.astype(float),
        cells,
        labels.who if labels.forces else "",
        tuple(notes),
    )


def _per_frame(arrays: Mapping[str, np.ndarray], names: tuple[str, ...], f: int, where: str) -> np.ndarray | None:
    key = next((k for k in names if k in arrays), None)
    if key is None:
        return None
    a = arrays[key]
    if a.dtype.kind not in "fiu" or a.size not in (1, f) or not np.isfinite(a).all() or (a < 0).any():
        raise InputError(f"'{key}' does not fit the frames", where, f"shape {a.shape}", f"({f},), numbers >= 0")
    return np.broadcast_to(a.ravel(), (f,)).astype(float)


def _of_mdanalysis(path: str, topology: str) -> _Arrays:
    try:
        import MDAnalysis  # type: ignore[import-not-found]
    except ImportError:
        fix = "install it (pip install 'consilience[trajectories]'), or convert the trajectory to npz (pos, frc)"
        raise InputError("this format is read by MDAnalysis, which is not installed", path, fix=fix) from None
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            universe = MDAnalysis.Universe(topology, path)
            steps = universe.trajectory
            if not getattr(steps.ts, "has_forces", False):
                fix = "write forces with the trajectory (GROMACS: nstfout; Amber: ntwf; OpenMM: a reporter of forces)"
                raise InputError("the trajectory has no forces", path, fix=fix)
            x, force, cells = [], [], []
            for ts in steps:
                x.append(ts.positions.copy())
                force.append(ts.forces.copy())
                cells.append(None if ts.triclinic_dimensions is None else ts.triclinic_dimensions.copy())
    except (OSError, ValueError, TypeError, EOFError, StopIteration, KeyError, AttributeError) as err:
        raise InputError("the trajectory cannot be read", path, clean(err).split("\n")[0][:120]) from None
    unit = factor("kJ/mol/Å", "forces")  # what MDAnalysis converts all formats to
    assert unit is not None
    whole = None if any(c is None for c in cells) else np.array(cells, float)
    return _Arrays(np.array(x, float), np.array(force, float), unit, None, None, None, None, whole, "file")
