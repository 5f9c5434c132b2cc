"""Read molecular frames from extended XYZ and npz files into one Frames: keys, units and every defect named."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from consilience.core.errors import Finding, InputError, raise_errors
from consilience.files import decode, read_bytes
from consilience.frames.detect import decide
from consilience.frames.electrostatic_units import electrostatic_units
from consilience.frames.extxyz import read_extxyz
from consilience.frames.frames import Frames, join
from consilience.frames.keys import GROUPS, check_override, choose
from consilience.frames.npz import read_npz
from consilience.frames.quality import inspect_frames, inspect_raw
from consilience.frames.raw import Raw
from consilience.frames.unit_labels import parse_units
from consilience.kinds import recognise_bytes

KINDS = ("extxyz", "npz")  # of kinds.recognise


def read_frames(
    paths: str | Path | Sequence[str | Path],
    *,
    keys: Mapping[str, str] | None = None,
    units: str | None = None,
    need: Collection[str] = (),
    strict: bool = True,
) -> Frames:
    """Frames of one or several extxyz, xyz or npz files (gzip too), in eV, Å and e, one after the other.

    keys: names of arrays by quantity where the usual spellings (`keys.SPELLINGS`) do not decide, e.g.
    {"energy": "dft_energy"}; also for "positions" and "numbers". units: e.g. "kcal/mol", "hartree/bohr, bohr",
    "energy=hartree, forces=eV/Å"; None: labels in the file, else eV and Å unless physics clearly says otherwise, which
    is converted and said. need: quantities without which the frames are of no use, e.g. ("energy", "forces").

    Raises InputError where a file cannot be read at all, and, when `strict`, where any finding is an error.
    """
    files = [str(p) for p in ([paths] if isinstance(paths, str | Path) else paths)]
    keys = dict(keys or {})
    check_override(keys)
    said = parse_units(units) if units else {}
    if not files:
        raise InputError("no files of frames were given")
    frames = join([_read_one(path, keys, said) for path in files])
    for quantity in need:
        if getattr(frames, quantity, None) is None:
            what = f"no frame has {'an ' if quantity == 'energy' else ''}{quantity}: they are needed here"
            have = ", ".join(sorted({k.key for k in frames.keys}))
            fix = f"name its key (--{quantity}-key NAME)"
            raise InputError(what, ", ".join(files), f"keys: {have}", quantity, fix)
    if strict:
        raise_errors(frames.findings)
    return frames


def _read_one(path: str, keys: Mapping[str, str], units: Mapping[str, str]) -> Frames:
    data = read_bytes(path)
    kind = recognise_bytes(data, Path(path).name)
    if kind == "npz":
        raw = read_npz(data, path, keys)
    elif kind == "extxyz":
        raw = read_extxyz(decode(data, path), path)
    else:
        found = f"content recognised as: {kind}"
        raise InputError("these are no molecular frames that can be read", path, found, "extended XYZ or npz")
    return standardise(raw, keys, units)


def standardise(raw: Raw, keys: Mapping[str, str], units: Mapping[str, str]) -> Frames:
    """The arrays of one file chosen, converted and checked."""
    fatal = inspect_raw(raw)
    arrays, chosen, notes = choose(raw, keys)
    decision = decide(raw, arrays, chosen, units)
    findings = [*raw.findings, *fatal, *notes, *decision.findings]
    used = decision.keys
    values = {q: a if q in GROUPS or q not in used else a * used[q].factor for q, a in arrays.items()}
    x = raw.positions * used["positions"].factor
    cell = None if raw.cell is None else raw.cell * used["positions"].factor
    values, used, more = electrostatic_units(raw, values, used, x)
    findings += more
    if "virial" in values:
        values, more = _stress_of(raw, values, cell)
        findings += more
    groups = {q: values.pop(q) for q in GROUPS if q in values}
    frames = Frames(
        numbers=raw.numbers,
        positions=x,
        **values,  # type: ignore[arg-type]
        cell=cell,
        pbc=raw.pbc,
        groups=groups,
        keys=tuple(used.values()),
        files=(raw.path,),
    )
    unread = [q for q in ("energy", "forces") if any(f.what.startswith(f"the {q} cannot") for f in notes)]
    more = inspect_frames(frames, raw, decision.evidence)
    findings += [f for f in more if not any(f.what.startswith(f"no {q} ") for q in unread)]
    return replace(frames, findings=tuple(dict.fromkeys(findings)))


def _stress_of(raw: Raw, values: dict[str, np.ndarray], cell: np.ndarray | None):
    """Stress = -virial / volume where only virials are given."""
    values = dict(values)
    virial = values.pop("virial")
    if "stress" in values or cell is None:
        return values, []
    volume = np.abs(np.linalg.det(cell))
    with np.errstate(all="ignore"):
        stress = np.where(volume[:, None, None] > 1e-6, -virial / volume[:, None, None], np.nan)
    values["stress"] = stress
    return values, [Finding("note", "stress is taken as minus the virial over the volume", raw.path)]
