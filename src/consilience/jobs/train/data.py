"""The frames of a training: read, split into work, steer and free, and looked at before anything is fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from consilience.core.errors import Finding, InputError, clean
from consilience.frames.elements import number_of, symbol
from consilience.frames.frames import CHANNELS, Frames
from consilience.frames.read import read_frames
from consilience.jobs.common.options import TrainOptions

STEER_SHARE, STEER_LEAST, STEER_MOST = 0.05, 10, 0.2  # where nothing else is asked for: a share, but frames at least
FEW = 5  # frames, by whose errors no epoch can be told from another


@dataclass(frozen=True)
class TrainingData:
    """Frames to fit, to steer by and to score at the end (None: none were set aside), and what was noticed."""

    work: Frames
    steer: Frames
    free: Frames | None
    channels: tuple[str, ...]
    findings: tuple[Finding, ...]
    paths: tuple[Path, ...]


def load_training(files: Sequence[str | Path], options: TrainOptions, weights: Mapping[str, float]) -> TrainingData:
    """Read and split. Raises InputError for bad frames, and where a channel with a weight has no data."""
    keys, units = options.frames.keys, options.frames.units
    frames = _with_charge(read_frames(list(files), keys=keys, units=units), options.charge)
    findings, paths = list(frames.findings), [Path(f) for f in files]
    free = None
    if options.free:
        if Path(options.free).is_file():
            free = _with_charge(read_frames(options.free, keys=keys, units=units), options.charge)
            paths.append(Path(options.free))
        else:
            frames, free = _labelled(frames, options.free)
    asked = options.valid or ""
    share = share_of(asked) if asked else usual_share(len(frames))
    if share is None:
        steer = _with_charge(read_frames(asked, keys=keys, units=units), options.charge)
        findings += steer.findings
        paths.append(Path(asked))
        work = frames
    else:
        from consilience.potentials.dataset import split_frames

        work, steer = split_frames(frames, share, 0)
    if len(steer) < FEW:
        what = "the epoch and the scales of the errors are chosen by few validation frames, largely by chance"
        findings.append(Finding("note", what, found=str(len(steer)), fix="more frames, or a larger share (--valid)"))
    channels = _channels(work, weights)
    sets = {"validation": steer} | ({} if free is None else {"free": free})
    for name, other in sets.items():
        new = sorted(set(other.elements) - set(work.elements))
        if new:
            found = ", ".join(symbol(z) for z in new)
            raise InputError(f"the {name} set holds elements that the training set lacks", found=found)
    return TrainingData(work, steer, free, channels, tuple(findings), tuple(paths))


def _channels(work: Frames, weights: Mapping[str, float]) -> tuple[str, ...]:
    """Quantities to fit: those with data, atomic charges only where they are asked for."""
    from consilience.potentials.dataset import volumes

    have = [c for c in CHANNELS if (a := getattr(work, c)) is not None and np.isfinite(a).any()]
    lacking = {"esp": work.esp_xyz is None, "stress": "stress" in have and volumes(work) is None}
    have = [c for c in have if not lacking.get(c, False)]
    for name, weight in weights.items():
        if weight > 0 and name not in have:
            fix = f"name its key (--{name}-key NAME), or give it no weight"
            raise InputError(f"{name} has a weight but the frames have none", ", ".join(work.files), fix=fix)
    if "energy" not in have and "forces" not in have:
        found = ", ".join(sorted({k.key for k in work.keys}))
        what = "the frames have neither energies nor forces: there is nothing to train on"
        fix = "name the keys (--energy-key, --forces-key)"
        raise InputError(what, ", ".join(work.files), f"keys: {found}", fix=fix)
    return tuple(c for c in have if weights.get(c, 0.0 if c == "charges" else 1.0) > 0)


def usual_share(count: int) -> float:
    """Of the frames, those to steer by: a twentieth, but ten at least, and of fewer than fifty a fifth."""
    return max(STEER_SHARE, min(STEER_LEAST / max(count, 1), STEER_MOST))


def share_of(text: str) -> float | None:
    """A share of the frames, or None for a file. Raises InputError."""
    try:
        value = float(text)
    except ValueError:
        if Path(text).exists():
            return None
        raise InputError("--valid is neither a share nor a file", found=clean(text), expected="e.g. 0.05") from None
    if not 0.0 < value < 0.9:
        raise InputError("--valid is out of range", found=clean(text), expected="between 0 and 0.9, or a file")
    return value


def _labelled(frames: Frames, names: str) -> tuple[Frames, Frames]:
    """(rest, free): frames that carry one of the labels, "name" or "label=name", are set aside."""
    chosen = np.zeros(len(frames), bool)
    for word in (w.strip() for w in names.split(",") if w.strip()):
        label, _, value = word.rpartition("=")
        found = np.zeros(len(frames), bool)
        for key, column in frames.groups.items():
            if not label or key == label:
                found |= np.array([_same(v, value) for v in column], bool)
        if not found.any():
            known = ", ".join(frames.groups) or "none"
            raise InputError("--free names no frames", found=clean(word), expected="a file, or a value of a label",
                             fix=f"labels of the frames: {known}")  # fmt: skip
        chosen |= found
    if chosen.all():
        raise InputError("--free leaves no frames to train on", found=clean(names))
    return frames.select(~chosen), frames.select(chosen)


def _same(value: Any, text: str) -> bool:
    try:
        return float(value) == float(text)
    except (TypeError, ValueError):
        return str(value) == text


def _with_charge(frames: Frames, charge: float | None) -> Frames:
    if charge is None or frames.total_charge is not None:
        return frames
    return replace(frames, total_charge=np.full(len(frames), charge))


def element_energies(text: str | None, frames: Frames) -> np.ndarray:
    """Energies of the elements of the frames, eV: from "H=-13.6,O=-2043", or by least squares."""
    from consilience.potentials.dataset import element_offsets

    if text is None or text.strip().lower() in ("auto", "average"):
        return element_offsets(frames, frames.elements)
    given: dict[int, float] = {}
    for pair in text.split(","):
        name, _, value = pair.partition("=")
        try:
            z, energy = number_of(name.strip()), float(value)
        except ValueError:
            z, energy = 0, float("nan")
        if z < 1 or not np.isfinite(energy):
            raise InputError("--e0s is not understood", found=clean(pair), expected="e.g. H=-13.6,O=-2043 (eV)")
        given[z] = energy
    missing = [symbol(z) for z in frames.elements if z not in given]
    if missing:
        raise InputError("--e0s lacks an element of the frames", found=clean(text), expected=", ".join(missing))
    return np.array([given[z] for z in frames.elements])


def described(frames: Frames) -> dict[str, dict[str, Any]]:
    """For each array: key, count, unit, mean and spread, as the summary gives them."""
    unit = {"energy": "eV", "forces": "eV/Å", "stress": "eV/Å³", "dipole": "e Å", "charges": "e", "esp": "V",
            "positions": "Å"}  # fmt: skip
    keys = {k.quantity: k for k in frames.keys}
    out = {}
    for name in ("positions", *CHANNELS):
        array = getattr(frames, name)
        if array is None:
            continue
        known = array[np.isfinite(array)]
        key = keys.get(name)
        out[name] = {
            "key": key.key if key else name,
            "count": int(known.size),
            "unit": unit[name],
            "mean": float(known.mean()) if known.size else None,
            "std": float(known.std()) if known.size else None,
            "file_unit": key.unit if key else "",
        }
    return out
