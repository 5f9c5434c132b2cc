"""Read DCD trajectories (CHARMM's form, as NAMD, OpenMM, CP2K and this package write them)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from consilience.core.errors import InputError
from consilience.md.trajectory import AKMA_FS

MAX_ATOMS = 10_000_000


@dataclass(frozen=True)
class DCD:
    """positions (F, n, 3) Å, float64 of float32; dt (fs) and every (steps between frames) as the file says."""

    positions: np.ndarray
    dt: float
    every: int

    @property
    def frame_fs(self) -> float:
        """Time between frames, fs; 0 where the file does not say."""
        return self.dt * self.every


def is_dcd(data: bytes) -> bool:
    """Does a file begin like a DCD?"""
    return (
        len(data) >= 92
        and data[4:8] in (b"CORD", b"VELD")
        and 84 in struct.unpack("<i", data[:4]) + struct.unpack(">i", data[:4])
    )


def parse_dcd(data: bytes, where: str) -> DCD:
    """The frames of a DCD file; unit cells are skipped. Raises InputError where it is damaged, with the frame."""
    if not is_dcd(data):
        raise InputError("this is no DCD trajectory", where)
    order = "<" if struct.unpack("<i", data[:4])[0] == 84 else ">"
    try:
        every, fixed = (struct.unpack_from(order + "i", data, o)[0] for o in (16, 40))
        step = struct.unpack_from(order + "f", data, 44)[0]
        cell, four = (struct.unpack_from(order + "i", data, o)[0] for o in (48, 52))
        at = 92
        titles = struct.unpack_from(order + "i", data, at)[0]
        at += titles + 8
        n = struct.unpack_from(order + "i", data, at + 4)[0]
        at += 12
    except struct.error:
        raise InputError("the DCD trajectory ends within its header", where, fix="copy the file again") from None
    if fixed or four or not 0 < n <= MAX_ATOMS:
        raise InputError("DCD with fixed atoms or a fourth dimension cannot be read", where, f"{n} atoms")
    axis = 4 * n + 8
    head = 56 if cell else 0
    size = head + 3 * axis
    count, rest = divmod(len(data) - at, size)
    if rest:
        raise InputError("the DCD trajectory is cut short", f"{where}, frame {count}", f"{rest} bytes", f"{size}",
                         "copy the file again")  # fmt: skip
    raw = np.frombuffer(data, np.uint8, count * size, at).reshape(count, size)
    axes = [raw[:, head + k * axis + 4 : head + (k + 1) * axis - 4] for k in range(3)]
    marks = np.ascontiguousarray(raw[:, head : head + 4]).view(order + "i4")
    x = np.stack([np.ascontiguousarray(a).view(order + "f4") for a in axes], -1).astype(float)
    if count and ((marks != 4 * n).any() or not np.isfinite(x).all()):
        bad = int(np.flatnonzero((marks != 4 * n).any(1) | ~np.isfinite(x).all((1, 2)))[0])
        raise InputError("the DCD trajectory is damaged", f"{where}, frame {bad}", fix="copy the file again")
    dt = float(f"{step * AKMA_FS:.6g}")  # float32
    return DCD(x, dt if np.isfinite(dt) and dt > 0 else 0.0, max(int(every), 1))


def read_dcd(path: str | Path) -> DCD:
    """`parse_dcd` of a file."""
    from consilience.files import read_bytes

    return parse_dcd(read_bytes(path), str(path))
