"""Crops a periodic density map to a box around a model and quantises it to 8 bits for the 3-D view."""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass

import gemmi
import numpy as np

LEVELS = 127  # codes -127..127: symmetric, so that the mean density stays exact
NOTHING = -128  # code of a grid point too far from the model: no surface is drawn through it


@dataclass(frozen=True)
class Volume:
    """A block of a map, quantised: density = offset + step * codes; the code NOTHING marks points left out.

    `codes` (nx, ny, nz) int8; `to_xyz` (3, 4): Cartesian Å = to_xyz[:, :3] @ (i, j, k) + to_xyz[:, 3];
    `step`, `offset`, `sigma` in the map's own unit (sigma: r.m.s. deviation over the whole cell).
    """

    codes: np.ndarray
    to_xyz: np.ndarray
    step: float
    offset: float
    sigma: float

    def density(self) -> np.ndarray:
        """(nx, ny, nz) float64 in the map's own unit; NaN where the map was left out."""
        return np.where(self.codes == NOTHING, np.nan, self.offset + self.step * self.codes.astype(float))

    def packed(self) -> bytes:
        """The codes, z fastest, as a raw deflate stream (what DecompressionStream("deflate-raw") reads)."""
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        return packer.compress(np.ascontiguousarray(self.codes, np.int8).tobytes()) + packer.flush()

    def base64(self) -> str:
        """The packed codes as text."""
        return base64.b64encode(self.packed()).decode("ascii")


def crop_map(
    grid: gemmi.FloatGrid | np.ndarray,
    coords: np.ndarray,
    cell: gemmi.UnitCell | None = None,
    *,
    margin: float = 3.5,
    clip: float = 8.0,
    max_bytes: int = 600_000,
) -> Volume:
    """The part of a periodic map within `margin` of a model, in at most `max_bytes` compressed bytes.

    grid: the whole unit cell in P1, axes x, y, z (a gemmi grid brings its own cell); coords (n, 3) Å, anywhere
    in space; margin Å: the map is left out beyond it; clip: density is cut at this many sigma, which
    sets the quantisation step to clip * sigma / 127 (error at most half of it). A block over the budget is
    resampled on a coarser grid (in Fourier space), by a factor of at most 2.5, then its margin shrinks.
    Raises ValueError for a map or coordinates that are empty or not finite, and without a cell.
    """
    if isinstance(grid, np.ndarray):
        values = np.asarray(grid, float)
    else:
        values = np.array(grid.array, float)
        cell = cell or grid.unit_cell
    coords = np.asarray(coords, float).reshape(-1, 3)
    if cell is None:
        raise ValueError("a map given as an array needs its unit cell")
    if values.ndim != 3 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"the map must be a finite 3-D grid, found shape {values.shape}")
    if len(coords) == 0 or not np.isfinite(coords).all():
        raise ValueError("the coordinates to crop around must be finite and at least one")
    offset, sigma = float(values.mean()), float(values.std())
    step = clip * sigma / LEVELS if sigma > 0 else 1.0

    coarser, shape = 1.0, values.shape
    while True:
        volume = _block(values, coords, cell, margin, step, offset, sigma)
        excess = len(volume.packed()) / max_bytes
        if excess <= 1.0:
            return volume
        if coarser < 2.5:
            coarser = min(2.5, coarser * max(1.05, excess ** (1 / 3)))
            values = _resample(values, tuple(max(4, round(n / coarser)) for n in shape))
        elif margin > 0.5:
            margin = max(0.5, margin / 1.4)
        else:
            raise ValueError(f"a map of {len(coords)} atoms does not fit into {max_bytes} bytes")


def _block(
    values: np.ndarray,
    coords: np.ndarray,
    cell: gemmi.UnitCell,
    margin: float,
    step: float,
    offset: float,
    sigma: float,
) -> Volume:
    shape = np.array(values.shape)
    orth = np.array(cell.orth.mat.tolist())
    frac = np.array(cell.frac.mat.tolist())
    # a sphere of radius m spans m |a*| in fractional coordinates; the rows of frac are a*, b*, c*
    half = margin * np.linalg.norm(frac, axis=1)
    at = coords @ frac.T
    low = np.floor((at.min(axis=0) - half) * shape).astype(int)
    high = np.ceil((at.max(axis=0) + half) * shape).astype(int)
    axes = [np.arange(a, b + 1) for a, b in zip(low, high, strict=True)]
    block = values
    for axis, index in enumerate(axes):
        block = np.take(block, index, axis=axis, mode="wrap")
    to_xyz = np.empty((3, 4))
    to_xyz[:, :3] = orth / shape
    to_xyz[:, 3] = to_xyz[:, :3] @ low
    near = _near(block.shape, at * shape - low, to_xyz[:, :3], margin, half * shape)
    codes = np.rint(np.clip((block - offset) / step, -LEVELS, LEVELS)).astype(np.int8)
    return Volume(np.where(near, codes, np.int8(NOTHING)), to_xyz, step, offset, sigma)


def _near(shape: tuple[int, ...], at: np.ndarray, axes: np.ndarray, margin: float, half: np.ndarray) -> np.ndarray:
    """Grid points within `margin` of any of the points `at` (n, 3) in grid units; `axes` (3, 3): Å per grid step."""
    near = np.zeros(shape, bool)
    metric = axes.T @ axes
    for point in at:
        low = np.maximum(np.ceil(point - half).astype(int), 0)
        high = np.minimum(np.floor(point + half).astype(int) + 1, shape)
        u, v, w = (np.arange(a, b) - x for a, b, x in zip(low, high, point, strict=True))
        u, v, w = u[:, None, None], v[None, :, None], w[None, None, :]
        d2 = metric[0, 0] * u * u + metric[1, 1] * v * v + metric[2, 2] * w * w
        d2 = d2 + 2 * (metric[0, 1] * u * v + metric[0, 2] * u * w + metric[1, 2] * v * w)
        near[low[0] : high[0], low[1] : high[1], low[2] : high[2]] |= d2 <= margin * margin
    return near


def _resample(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The same periodic function on a coarser grid: high Fourier terms dropped, the rest kept exactly."""
    terms = np.fft.fftn(values)
    for axis, n in enumerate(shape):
        terms = np.take(terms, np.fft.fftfreq(n, 1 / n).astype(int), axis=axis, mode="wrap")
    return np.fft.ifftn(terms).real * (np.prod(shape) / values.size)
