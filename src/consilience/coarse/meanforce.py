"""Scores of bead models free of the noise of bead forces: mean-force errors, explained variance and its limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from consilience.core.errors import InputError
from consilience.files import read_bytes
from consilience.frames.npz import arrays_of
from consilience.units import KCAL_MOL


@dataclass(frozen=True)
class MeanForces:
    """k configurations of b beads whose mean force was measured with the beads frozen.

    `positions` (k, b, 3) Å; `mean` and `error` (k, b, 3) eV/Å: the mean force and its standard error; `noise` (k,)
    eV/Å: standard deviation of the instantaneous force about it; `temperature` K; `frame` (k,) int or None.
    """

    positions: np.ndarray
    mean: np.ndarray
    error: np.ndarray
    noise: np.ndarray | None
    temperature: float
    frame: np.ndarray | None = None
    path: Path = Path()

    @property
    def rms(self) -> float:
        """Root mean square mean force, eV/Å, corrected for the errors of the means."""
        return float(np.sqrt(max(np.mean(self.mean**2) - np.mean(self.error**2), 0.0)))

    @property
    def noise_rms(self) -> float | None:
        """Root mean square noise, eV/Å."""
        return None if self.noise is None else float(np.sqrt(np.mean(self.noise**2)))

    @property
    def explained_limit(self) -> float | None:
        """The explained variance of the exact mean force: mean² / (mean² + noise²)."""
        if self.noise_rms is None:
            return None
        return self.rms**2 / (self.rms**2 + self.noise_rms**2)


@dataclass(frozen=True)
class MeanForceError:
    """Root mean square error against the true mean forces, eV/Å, and its standard error over configurations.

    `value`² = <|F - mean|²> - <error²>: the errors of the reference are subtracted; `raw` is without that.
    """

    value: float
    standard_error: float
    raw: float


@dataclass(frozen=True)
class Comparison:
    """How much smaller the error of one model is than another's (eV/Å), paired over configurations."""

    gain: float
    standard_error: float

    @property
    def sigmas(self) -> float:
        """The gain in standard errors."""
        return self.gain / self.standard_error if self.standard_error > 0 else 0.0


def read_mean_forces(path: str | Path) -> MeanForces:
    """A file with R (k, beads, 3) Å, F_mean and F_sem kcal/mol/Å, and optionally noise_rms (k,), temp, frame.

    Raises InputError where arrays are missing, differ in shape or are not finite.
    """
    where = str(path)
    arrays = arrays_of(read_bytes(path), where)
    missing = [k for k in ("R", "F_mean", "F_sem") if k not in arrays]
    if missing:
        expected = "R, F_mean, F_sem (configurations, beads, 3)"
        raise InputError("this is no file of mean forces", where, f"no {', '.join(missing)}", expected)
    shape = arrays["R"].shape
    for key in ("R", "F_mean", "F_sem"):
        a = arrays[key]
        if a.shape != shape or a.ndim != 3 or shape[2] != 3 or not len(a):
            found = f"{key} {a.shape}, R {shape}"
            raise InputError("arrays of mean forces do not fit one another", where, found, "(configurations, beads, 3)")
        if a.dtype.kind != "f" or not np.isfinite(a).all() or (key == "F_sem" and (a < 0).any()):
            raise InputError(f"{key} is not finite, or negative", where)
    noise = arrays.get("noise_rms")
    if noise is not None and (noise.shape != shape[:1] or not np.isfinite(noise).all()):
        raise InputError("noise_rms does not fit the configurations", where, f"{noise.shape}", f"{shape[:1]}")
    temperature = float(np.ravel(arrays.get("temp", np.array(300.0)))[0])
    return MeanForces(
        positions=arrays["R"].astype(float),
        mean=arrays["F_mean"].astype(float) * KCAL_MOL,
        error=arrays["F_sem"].astype(float) * KCAL_MOL,
        noise=None if noise is None else noise.astype(float) * KCAL_MOL,
        temperature=temperature,
        frame=arrays.get("frame"),
        path=Path(path),
    )


def mean_force_error(predicted: np.ndarray, reference: MeanForces) -> MeanForceError:
    """The error of predicted forces (k, b, 3) eV/Å at the reference's positions; standard error by jackknife."""
    return pooled_error([(predicted, reference)])


def pooled_error(pairs: Sequence[tuple[np.ndarray, MeanForces]]) -> MeanForceError:
    """The error over the configurations of several proteins, each configuration counting alike."""
    found = [_squares(predicted, reference) for predicted, reference in pairs]
    raw, corrected = (np.concatenate([f[k] for f in found]) for k in range(2))
    value, error = _jackknife_rms(corrected)
    return MeanForceError(value, error, float(np.sqrt(raw.mean())))


def compare_mean_forces(better: np.ndarray, worse: np.ndarray, reference: MeanForces) -> Comparison:
    """How much smaller the error of `better` is than that of `worse` (both (k, b, 3) eV/Å); paired jackknife."""
    a, b = _squares(better, reference)[1], _squares(worse, reference)[1]
    k = len(a)

    def gain(keep: np.ndarray) -> float:
        return _root(b[keep].mean()) - _root(a[keep].mean())

    everything = np.ones(k, bool)
    parts = []
    for i in range(k):
        keep = everything.copy()
        keep[i] = False
        parts.append(gain(keep))
    spread = float(np.sqrt((k - 1) / k * np.sum((np.array(parts) - np.mean(parts)) ** 2))) if k > 1 else 0.0
    return Comparison(gain(everything), spread)


def explained_variance(predicted: np.ndarray, forces: np.ndarray) -> float:
    """1 - <|F - predicted|²> / <|F|²> over frames and beads; forces have no mean but zero in a free molecule."""
    square = float(np.mean(forces**2))
    if not square > 0:
        raise InputError("the forces are all zero: no variance can be explained")
    return 1.0 - float(np.mean((forces - predicted) ** 2)) / square


def explained_limit(noise: float, force_rms: float) -> float:
    """The largest explained variance that any model of the beads can have: 1 - noise² / <F²>, not below 0."""
    return max(0.0, 1.0 - (noise / force_rms) ** 2)


def _squares(predicted: np.ndarray, reference: MeanForces) -> tuple[np.ndarray, np.ndarray]:
    """(k,) mean squares of each configuration, raw and with the errors of the reference subtracted."""
    if predicted.shape != reference.mean.shape:
        found = f"{predicted.shape}, the reference {reference.mean.shape}"
        raise InputError("predicted forces do not fit the reference", str(reference.path), found)
    raw = ((predicted - reference.mean) ** 2).mean((1, 2))
    return raw, raw - (reference.error**2).mean((1, 2))


def _root(square: float) -> float:
    return float(np.sqrt(max(square, 0.0)))


def _jackknife_rms(squares: np.ndarray) -> tuple[float, float]:
    k = len(squares)
    if k < 2:
        return _root(float(squares.mean())), 0.0
    parts = np.array([_root(float((squares.sum() - s) / (k - 1))) for s in squares])
    return _root(float(squares.mean())), float(np.sqrt((k - 1) / k * np.sum((parts - parts.mean()) ** 2)))
