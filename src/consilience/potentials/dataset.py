"""From frames to what is trained on: neighbour lists, labels, energies of the elements, and the unit of the network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from consilience.core.errors import InputError
from consilience.frames.frames import Frames
from consilience.neighbours import Neighbours, neighbour_matrix
from consilience.potentials.graph import padded
from consilience.potentials.labels import Batch
from consilience.potentials.potential import Potential


def batch_of(frames: Frames, potential: Potential, channels: Sequence[str]) -> Batch:
    """All frames as one batch of NumPy arrays, with the labels of `channels` that the frames have.

    Raises InputError for an element that the potential does not know.
    """
    unknown = sorted(set(frames.elements) - set(potential.species))
    if unknown:
        known = ", ".join(str(z) for z in potential.species)
        found = f"atomic number {', '.join(str(z) for z in unknown)}"
        raise InputError("the model does not know an element of the data", ", ".join(frames.files), found, known)
    lists = _lists(frames, potential.cutoff)
    pairs = None if potential.coulomb is None else _lists(frames, potential.coulomb.cutoff)
    labels = {c: np.asarray(getattr(frames, c), float) for c in channels if getattr(frames, c) is not None}
    b = len(frames)
    charge = np.zeros(b) if frames.total_charge is None else np.nan_to_num(frames.total_charge)
    points = None
    if "esp" in labels and frames.esp_xyz is not None:
        points = np.where(np.isfinite(frames.esp_xyz), frames.esp_xyz, 1e3)
    else:
        labels.pop("esp", None)
    volume = volumes(frames) if "stress" in channels else None
    if volume is None:
        labels.pop("stress", None)
    return Batch(
        np.asarray(frames.numbers, np.int32), np.asarray(frames.positions, float), lists, charge, labels, points, pairs,
        volume,
    )  # fmt: skip


def volumes(frames: Frames) -> np.ndarray | None:
    """Å³ of the cells (f,), infinite where a frame is not periodic in all directions; None where none is."""
    if frames.cell is None or frames.pbc is None or not frames.pbc.all(1).any():
        return None
    return np.where(frames.pbc.all(1), np.abs(np.linalg.det(frames.cell)), np.inf)


def _lists(frames: Frames, cutoff: float) -> Neighbours:
    out = []
    for i, n in enumerate(frames.natoms):
        periodic = frames.pbc is not None and frames.cell is not None and bool(frames.pbc[i].any())
        cell, pbc = (frames.cell[i], frames.pbc[i]) if periodic else (None, (False,) * 3)  # type: ignore[index]
        out.append(neighbour_matrix(frames.positions[i, :n], cutoff, cell, pbc))
    return padded(out, frames.numbers.shape[1])


def composition(frames: Frames, species: Sequence[int]) -> np.ndarray:
    """Atoms of each element in each frame (frames, species)."""
    return np.stack([(frames.numbers == z).sum(1) for z in species], 1).astype(float)


def element_offsets(frames: Frames, species: Sequence[int]) -> np.ndarray:
    """Energy of each element, eV, by least squares over the frames; of the smallest norm where they are not determined.

    Zeros where no frame has an energy.
    """
    known = np.zeros(len(frames), bool) if frames.energy is None else np.isfinite(frames.energy)
    if not known.any() or frames.energy is None:
        return np.zeros(len(species))
    counts = composition(frames, species)[known]
    return np.linalg.lstsq(counts, frames.energy[known], rcond=1e-8)[0]


def energy_scale(frames: Frames) -> float:
    """The network's unit of energy, eV: the r.m.s. force times 1 Å, or the spread of energies where there are none."""
    if frames.forces is not None:
        f = frames.forces[frames.mask & np.isfinite(frames.forces).all(-1)]
        if f.size:
            return float(max(np.sqrt(np.mean(f**2)), 1e-3))
    if frames.energy is not None:
        return float(max(np.nanstd(frames.energy), 1e-3))
    return 1.0


def split_frames(frames: Frames, fraction: float, seed: int) -> tuple[Frames, Frames]:
    """(work, steer): a random share of the frames, at least one of each, set aside."""
    if len(frames) < 2:
        raise InputError("one frame cannot be split into training and validation", ", ".join(frames.files))
    count = int(np.clip(round(fraction * len(frames)), 1, len(frames) - 1))
    order = np.random.default_rng([seed, 17]).permutation(len(frames))
    return frames.select(np.sort(order[count:])), frames.select(np.sort(order[:count]))
