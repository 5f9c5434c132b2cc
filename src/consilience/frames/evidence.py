"""What physics says about units of frames: bond lengths, energy differences and work, stiffness, total energies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from consilience.frames.elements import ATOM_ENERGY, COVALENT, NOBLE
from consilience.frames.geometry import Pairs, bonded, distances, near_pairs

_SAMPLE = 300  # frames looked at
REACH = 0.3  # Å
# Harmonic stretching constants, eV/Å² (textbook values: C-H 5.0, N-H 6.5, O-H 7.8 mdyn/Å, ...); the median is compared
_STRETCH_H = {5: 21.0, 6: 31.0, 7: 41.0, 8: 49.0, 9: 60.0, 14: 17.0, 15: 19.0, 16: 26.0, 17: 32.0}
_STRETCH = 55.0  # any other bond, within a factor of about 3


@dataclass(frozen=True)
class Slope:
    """Energy differences of near frames (no atom moves by more than REACH) divided by the work of the mean forces.

    1 where energies and forces belong together; -1 where the forces are gradients. `spread`: relative width of the
    middle 60 % of the ratios, weighted by work. `count`: pairs. `misses`: median misfit over the medians of both sides,
    below 0.25 for thermal frames of small molecules, above 0.35 where energies and forces are of different frames.
    """

    value: float
    spread: float
    count: int
    misses: float = 0.0

    @property
    def is_clear(self) -> bool:
        """Whether a factor can be read from it."""
        return self.count >= 3 and self.spread < 0.3

    @property
    def tolerance(self) -> float:
        """How far the logarithm of a clear slope may be from what is true: anharmonic motion, few frames."""
        return float(np.log1p(max(0.05, 1.2 * self.spread + 1.0 / np.sqrt(self.count))))


@dataclass(frozen=True)
class Evidence:
    """Unit evidence in the units of the file; None where the data say nothing.

    `length`: typical ratio of nearest-neighbour distances to sums of covalent radii (about 1 for Å). `total`: median
    ratio of energies to those of free atoms in hartree. `stiffness`: force constant of bonds over the textbook value in
    eV/Å² (forces per length as in the file); `stiffness_sharp` where it rests on X-H bonds.
    """

    length: float | None = None
    total: float | None = None
    slope: Slope | None = None
    stiffness: float | None = None
    stiffness_sharp: bool = False


@np.errstate(all="ignore")
def gather(numbers, x, energy, forces, cell=None, pbc=None, length_factor: float | None = None) -> Evidence:
    """Evidence from arrays as read, see `Frames` for shapes; `length_factor`: of positions to Å where it is known."""
    if cell is None or pbc is None or not np.abs(np.linalg.det(cell[pbc.any(1)])).min(initial=1.0) > 1e-6:
        cell = pbc = None
    finite = (np.abs(x) < 1e6).all((1, 2))
    rows = np.flatnonzero(finite)
    if not len(rows):
        return Evidence()
    if len(rows) > _SAMPLE:
        rows = rows[np.linspace(0, len(rows) - 1, _SAMPLE).astype(int)]
    n = x.shape[1]
    most = max(1, 20_000_000 // (n * n))
    near = rows[:most]
    r = distances(x[near], numbers[near] > 0, _at(cell, near), _at(pbc, near)) if n <= 1500 else None
    length = _length(r, numbers[near]) if r is not None else None
    factor = length_factor or length_unit(length) or 1.0
    stiffness, sharp = (None, False)
    if forces is not None and r is not None and pbc is None:
        stiffness, sharp = _stiffness(r, x[near], numbers[near], forces[near], factor)
    slope = None
    if energy is not None and forces is not None:
        usable = finite & np.isfinite(energy) & np.isfinite(forces).all((1, 2))
        if r is not None and length:  # overlapping atoms are an error of their own
            radii = np.maximum(COVALENT[numbers[near]], 0.1)
            usable[near] &= (r / (radii[:, :, None] + radii[:, None, :])).min((1, 2)) > 0.4 * length
        slope = fit_slope(near_pairs(numbers, x, forces, usable, cell, pbc), energy, factor)
    total = None
    if energy is not None:
        total = _total(numbers, energy)
    return Evidence(length, total, slope, stiffness, sharp)


def length_unit(length: float | None) -> float | None:
    """Factor to Å that the ratio of `Evidence.length` asks for; None: unclear."""
    if length is None:
        return None
    for low, high, factor in ((0.7, 1.42, 1.0), (1.55, 2.5, 0.529177210544), (0.07, 0.142, 10.0), (70, 142, 0.01)):
        if low < length < high:
            return factor
    return None


def _at(a, rows):
    return None if a is None else a[rows]


def _length(r: np.ndarray, numbers: np.ndarray) -> float | None:
    """Median over atoms of the distance to the nearest neighbour, in units of the sum of covalent radii."""
    radii = COVALENT[numbers]
    ratio = r / np.maximum(radii[:, :, None] + radii[:, None, :], 0.1)
    nearest = ratio.min(2)
    real = (numbers > 0) & ~np.isin(numbers, NOBLE) & (nearest < 1e6)
    return float(np.median(nearest[real])) if real.any() else None


def _total(numbers: np.ndarray, energy: np.ndarray) -> float | None:
    free = np.where(numbers > 0, ATOM_ENERGY[numbers], 0.0).sum(1)
    several = (numbers > 0).sum(1) > 0
    ratio = (energy / free)[np.isfinite(energy / free) & several]
    return float(np.median(ratio)) if len(ratio) else None


def fit_slope(pairs: list[Pairs], energy: np.ndarray, factor: float = 1.0) -> Slope | None:
    """Robust (least absolute deviations) slope of energy differences on work; `factor`: of positions to Å."""
    rise, work = [], []
    for p in pairs:
        keep = np.linalg.norm(p.moved, axis=2).max(1) * factor < REACH
        rise.append((energy[p.b] - energy[p.a])[keep])
        work.append(-(p.force * p.moved).sum((1, 2))[keep])
    if not rise:
        return None
    de, w = np.concatenate(rise), np.concatenate(work)
    good = np.isfinite(de) & np.isfinite(w) & (w != 0)
    de, w = de[good], w[good]
    if len(w) < 1:
        return None
    ratio, weight = de / w, np.abs(w)
    value = weighted_median(ratio, weight)
    if value == 0.0:
        return Slope(0.0, np.inf, len(w))
    spread = (weighted_median(ratio, weight, 0.8) - weighted_median(ratio, weight, 0.2)) / abs(value)
    sides = np.median(np.abs(de)) + np.median(np.abs(value * w))
    return Slope(value, spread, len(w), float(np.median(np.abs(de - value * w)) / sides) if sides > 0 else 0.0)


def weighted_median(values: np.ndarray, weights: np.ndarray, part: float = 0.5) -> float:
    """The value at which half of the weight (or another part of it) is reached."""
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][min(np.searchsorted(total, part * total[-1]), len(order) - 1)])


def _stiffness(r, x, numbers, forces, factor: float) -> tuple[float | None, bool]:
    """Slope of the force along bonds on their length, over the textbook value: from X-H bonds where there are any."""
    good = np.isfinite(forces).all((1, 2))
    r, x, numbers, forces = r[good], x[good], numbers[good], forces[good]
    if len(r) < 2:
        return None, False
    near = bonded(r, numbers, factor)
    sharp: list[tuple[float, int]] = []
    rough: list[tuple[float, int]] = []
    f, i, j = np.nonzero(near)
    terminal = near.sum(2)[f, i] == 1
    zi, zj = numbers[f, i], numbers[f, j]
    u = x[f, i] - x[f, j]
    d = np.linalg.norm(u, axis=1)
    along = (forces[f, i] * u).sum(1) / np.maximum(d, 1e-9)
    other = -(forces[f, j] * u).sum(1) / np.maximum(d, 1e-9)
    for a, b in sorted(set(zip(zi.tolist(), zj.tolist(), strict=True))):
        is_xh = a == 1 and b in _STRETCH_H
        rows = (zi == a) & (zj == b) & (terminal if a == 1 else (zi <= zj))
        if rows.sum() < 8 or (a == 1 and not is_xh):
            continue
        force = along[rows] if is_xh else (along[rows] + other[rows]) / 2
        length = d[rows] * factor
        k = _trimmed_slope(length, force)
        if k is not None:
            (sharp if is_xh else rough).append((k / (_STRETCH_H[b] if is_xh else _STRETCH), int(rows.sum())))
    found = sharp or rough
    if not found:
        return None, False
    values, weights = np.array([v for v, _ in found]), np.array([w for _, w in found], dtype=float)
    return weighted_median(values, weights), bool(sharp)


def _trimmed_slope(length: np.ndarray, force: np.ndarray) -> float | None:
    """-d(force)/d(length), outliers left out; None where the lengths hardly vary or the force does not follow them."""
    keep = np.isfinite(force) & (np.abs(length - np.median(length)) < 0.25)
    slope = 0.0
    for _ in range(3):
        a, b = length[keep], force[keep]
        if len(a) < 6 or a.std() < 2e-3:
            return None
        slope = float(((a - a.mean()) * (b - b.mean())).sum() / ((a - a.mean()) ** 2).sum())
        rest = np.abs(force - force[keep].mean() - slope * (length - length[keep].mean()))
        keep = keep & (rest < 4 * np.median(rest[keep]) + 1e-12)
    correlation = abs(float(np.corrcoef(length[keep], force[keep])[0, 1]))
    return -slope if correlation > 0.7 else None
