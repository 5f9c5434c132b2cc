"""A small potential of formaldehyde: fitted once, kept in the cache of the tests until its code changes."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import jax
import numpy as np

from consilience.examples import example_path
from consilience.frames.read import read_frames
from consilience.potentials import bundle
from consilience.potentials.build import Architecture, build
from consilience.potentials.dataset import batch_of, element_offsets, energy_scale, split_frames
from consilience.potentials.training import Schedule, train

RECIPE = {"epochs": 70, "batch": 30, "learning_rate": 1e-2}


def folder_of_tiny_model(cache: Path) -> Path:
    """The folder of the model; other workers of the same test run wait for the one that fits it."""
    digest = hashlib.sha256(repr(RECIPE).encode() + jax.__version__.encode())
    for path in sorted(Path(bundle.__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    folder = cache / digest.hexdigest()[:16]
    cache.mkdir(parents=True, exist_ok=True)
    lock = folder.with_suffix(".lock")
    while not (folder / "model.json").exists():
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            if time.time() - lock.stat().st_mtime > 120:
                lock.unlink(missing_ok=True)  # of a run that was killed
            time.sleep(0.5)
            continue
        try:
            bundle.save_model(folder, fitted())
        finally:
            lock.unlink(missing_ok=True)
    return folder


def fitted() -> bundle.TrainedModel:
    """Errors: about 0.15 eV/Å in forces of frames up to 2000 K."""
    frames = read_frames(example_path("molecule/frames.npz"))
    architecture = Architecture("equivariant", (1, 6, 8), cutoff=4.0, features=8, layers=1, radial_size=16)
    potential = build(architecture, element_offsets(frames, architecture.species), energy_scale(frames), seed=1)
    channels = ("energy", "forces", "dipole")
    work, steer = (batch_of(f, potential, channels) for f in split_frames(frames, 0.1, 0))
    done = train(potential, work, steer, Schedule(**RECIPE), seed=0)
    card = {"unseen": {"force_rmse_mev_A": 1e3 * float(done.sigma["forces"])}}
    x = np.round(frames.positions[0], 6).tolist()
    info = {"channels": list(channels), "card": card, "reference": {"numbers": [6, 8, 1, 1], "positions": x}}
    return bundle.TrainedModel(architecture, (done.potential,), info)


def as_ensemble(folder: Path, target: Path, noise: float) -> Path:
    """The same model with a second member whose weights differ by a fraction `noise`."""
    import equinox as eqx

    from consilience.potentials.weights import split

    model = bundle.load_bundle(folder)
    weights, rest = split(model.potential)
    rng = np.random.default_rng(0)
    other = jax.tree.map(lambda w: np.asarray(w * (1 + noise * rng.standard_normal(w.shape)), w.dtype), weights)
    members = (model.potential, eqx.combine(other, rest))
    bundle.save_model(target, bundle.TrainedModel(model.architecture, members, model.info))
    return target
