"""Write frames: extended XYZ that ASE reads, and npz; both in eV, Å and e, by atomic rename."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np

from consilience.core.errors import InputError
from consilience.files import write_atomic
from consilience.frames.elements import symbol
from consilience.frames.frames import Frames
from consilience.frames.unit_labels import OURS

_COLUMNS = (("forces", "forces", 3), ("charges", "charges", 1), ("momenta", "momenta", 3))
_NPZ = {"energy": "E", "forces": "F", "dipole": "D", "total_charge": "Q", "charges": "Q_atomic", "stress": "stress",
        "momenta": "momenta", "esp": "esp", "esp_xyz": "esp_xyz", "cell": "cell", "pbc": "pbc"}  # fmt: skip


def extxyz_text(frames: Frames) -> str:
    """Frames as extended XYZ in ASE's names: energy, forces, charges, momenta, dipole, stress, Lattice, pbc, groups.

    What a frame does not have (NaN) is left out of that frame; the ESP is not written. Raises InputError where a
    position is not finite.
    """
    if not np.isfinite(frames.positions[frames.mask]).all():
        raise InputError("positions that are not finite cannot be written")
    return "".join(_frame(frames, k) for k in range(len(frames)))


def write_extxyz(path: str | Path, frames: Frames) -> None:
    """Write `extxyz_text` to a file."""
    write_atomic(path, extxyz_text(frames))


def write_npz(path: str | Path, frames: Frames) -> None:
    """Write all arrays to an npz file: Z, R, E, F, D, Q (total charge), Q_atomic, ..., groups, and their units."""
    arrays: dict[str, np.ndarray] = {"Z": frames.numbers, "R": frames.positions}
    if (frames.numbers == frames.numbers[0]).all():
        arrays["Z"] = frames.numbers[0]
    for name, key in _NPZ.items():
        a = getattr(frames, name)
        if a is not None:
            arrays[key] = a
    for name, values in frames.groups.items():
        arrays[name] = values
    units = {"R": OURS["length"], "E": "eV", "F": OURS["forces"], "D": OURS["dipole"], "esp": "V", "esp_xyz": "Å",
             "stress": OURS["stress"]}  # fmt: skip
    arrays["units"] = np.array(json.dumps({k: u for k, u in units.items() if k in arrays}, ensure_ascii=False))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_atomic(path, buffer.getvalue())


def _frame(frames: Frames, k: int) -> str:
    n = int(frames.natoms[k])
    properties, blocks = "species:S:1:pos:R:3", [frames.positions[k, :n]]
    for name, word, width in _COLUMNS:
        a = getattr(frames, name)
        if a is not None and np.isfinite(a[k, :n]).all():
            properties += f":{word}:R:{width}"
            blocks.append(a[k, :n].reshape(n, width))
    info = []
    if frames.cell is not None and frames.cell[k].any():
        info.append(f'Lattice="{_numbers(frames.cell[k])}"')
    info.append(f"Properties={properties}")
    for name in ("energy", "dipole", "stress", "total_charge"):
        a = getattr(frames, name)
        if a is not None and np.isfinite(a[k]).all():
            info.append(f'{name}="{_numbers(a[k])}"' if a[k].ndim else f"{name}={float(a[k])!r}")
    for name, values in frames.groups.items():
        word = _word(values[k])
        if word:
            info.append(f"{name}={word}")
    pbc = np.zeros(3, bool) if frames.pbc is None else frames.pbc[k]
    info.append('pbc="' + " ".join("T" if p else "F" for p in pbc) + '"')
    table = np.concatenate(blocks, axis=1)
    rows = [
        f"{symbol(int(z)):<2s} " + " ".join(f"{v:16.10f}" for v in row)
        for z, row in zip(frames.numbers[k, :n], table, strict=True)
    ]
    return f"{n}\n{' '.join(info)}\n" + "\n".join(rows) + "\n"


def _numbers(a: np.ndarray) -> str:
    return " ".join(f"{v:.10g}" for v in np.ravel(a))


def _word(value: object) -> str:
    """A group's value as one quoted word; empty where the frame has none."""
    if isinstance(value, str):
        text = "".join(c for c in value if c.isprintable() and c not in "\"'=")
        return f'"{text}"' if text.strip() else ""
    number = float(value)  # type: ignore[arg-type]
    return f"{number:.10g}" if np.isfinite(number) else ""
