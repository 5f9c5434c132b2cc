"""Labelled frames as files, and the training that takes them beside the frames a model was trained on before."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np

from consilience.coarse.beads import Beads
from consilience.coarse.meanforce import MeanForces
from consilience.coarse.read import read_beads
from consilience.coarse.write import write_beads
from consilience.files import read_bytes
from consilience.frames.npz import arrays_of
from consilience.jobs.common.config import load_config
from consilience.jobs.common.options import TrainOptions
from consilience.jobs.learn.label import Labelled
from consilience.jobs.learn.options import LearnOptions
from consilience.jobs.train_beads.sets import LEARNED
from consilience.potentials.beads.model import BeadModel
from consilience.potentials.weights import split
from consilience.units import KCAL_MOL

MOST = 100.0  # weight of a labelled frame against another one, at most
_SHAPE = ("cutoff", "features", "channels", "layers", "l_max", "radial_size", "parity", "temperature")


def learned_name(name: str) -> str:
    """What the labelled frames of a protein are called, in files and in data.weights."""
    return re.sub(r"[^\w+-]", "_", name) + f"-{LEARNED}"


def write_labelled(path: Path, found: Sequence[Labelled]) -> None:
    """A bead file whose forces are mean forces; `force_error` kcal/mol/Å and `noise` stand beside them."""
    kept = [f for f in found if len(f.beads)]
    most = max((f.error.shape[1] for f in kept), default=0)
    errors = [np.pad(f.error, ((0, 0), (0, most - f.error.shape[1]), (0, 0))) for f in kept]
    extra = {
        "force_error": (np.concatenate(errors) / KCAL_MOL).astype(np.float32),
        "noise_rms": np.concatenate([f.noise for f in kept]) / KCAL_MOL,
    }
    write_beads(path, [replace(f.beads, name=learned_name(f.beads.name)) for f in kept], extra)


def read_labelled(path: Path) -> list[tuple[Beads, MeanForces]]:
    """The proteins of such a file, each with its mean forces and their errors."""
    proteins, _ = read_beads(path)
    arrays = arrays_of(read_bytes(path), str(path))
    out, first = [], 0
    for b in proteins:
        rows, n = slice(first, first + len(b)), len(b.residues)
        first += len(b)
        assert b.forces is not None
        error = arrays["force_error"][rows, :n].astype(float) * KCAL_MOL
        noise = arrays["noise_rms"][rows].astype(float) * KCAL_MOL
        out.append((b, MeanForces(b.positions, b.forces, error, noise, float(b.temperature[0]), path=path)))
    return out


def precision_weights(
    labelled: Sequence[tuple[Beads, MeanForces]], others: Sequence[Beads], noise: float | None
) -> dict[str, float]:
    """Weights of the labelled frames by protein, an ordinary frame's being 1: the ratio of their variances.

    At most 100, and not more in all than the ordinary frames have. `noise`: of these, eV/Å; None: that of the
    instantaneous force during the labelling.
    """
    total, count = sum(len(b) for b in others), sum(len(b) for b, _ in labelled)
    bound = min(MOST, max(1.0, total / max(count, 1)))
    squares: dict[str, list[tuple[float, float]]] = {}
    for b, m in labelled:
        own = noise if noise is not None else float(m.noise_rms or 0.0)
        squares.setdefault(b.name, []).append((own**2, float(np.mean(m.error**2))))
    ratio = {k: np.mean([a for a, _ in v]) / max(float(np.mean([e for _, e in v])), 1e-12) for k, v in squares.items()}
    return {k: float(np.clip(r, 1.0, bound)) for k, r in ratio.items()}


def train_options(model: BeadModel, options: LearnOptions, weights: dict[str, float]) -> TrainOptions:
    """A training like that of `model`: kind, shape and members are kept where the recipe does not say otherwise."""
    kind = model.info.get("model")
    if kind not in ("allegro", "hybrid"):
        kind = "allegro" if model.prior is None else "hybrid"
    settings = []
    said: Any = load_config(options.config) if options.config else {}
    if model.shape is not None and not _said(said, "model", "network"):
        values = {k: getattr(model.shape, k) for k in _SHAPE}
        settings += [f"model.network.{k}={str(v).lower()}" for k, v in values.items()]
    if model.prior is not None and not _said(said, "model", "prior"):
        settings.append(f"model.prior.by={'types' if model.prior.sequence is None else 'sites'}")
        settings += ["model.prior.pair=false"] if model.prior.pair is None else []
    shares = any(s.strip().startswith("data.fractions") for s in options.settings) or _said(said, "data", "fractions")
    if not shares:
        settings += [f"data.weights.{k}={v:.6g}" for k, v in weights.items()]
    return TrainOptions(
        model=cast(Any, kind),
        config=options.config,
        settings=(*settings, *options.settings),
        valid=options.valid,
        free=options.free,
        epochs=options.epochs,
        minutes=options.minutes,
        precision=_bits(model),
        ensemble=len(model.networks),
    )


def _said(said: Any, section: str, key: str) -> bool:
    inner = said.get(section)
    return isinstance(inner, dict) and inner.get(key) is not None


def _bits(model: BeadModel) -> Any:
    leaves = jax.tree.leaves(split(model.networks[0])[0])
    return 64 if all(np.asarray(a).dtype == np.float64 for a in leaves) else 32
