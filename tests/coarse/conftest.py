"""A chain of beads with harmonic bonds in a canonical ensemble, whose every property is known."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consilience.coarse.beads import Beads
from consilience.units import BOLTZMANN, KCAL_MOL

STIFFNESS = 200.0  # kcal/mol/Å²
SEQUENCE = ("GLY", "ALA", "TRP", "PRO", "LYS", "ASP", "SER", "VAL")


def chain(frames: int = 400, beads: int = 8, temperature: float = 300.0, seed: int = 0, name: str = "chain") -> Beads:
    """Bonds about 3.8 Å with a normal distribution of lengths and jittered directions; forces of the bonds alone."""
    rng = np.random.default_rng(seed)
    spread = np.sqrt(BOLTZMANN * temperature / (STIFFNESS * KCAL_MOL))
    directions = np.array([[0.87, 0.5 * (-1) ** i, 0.1 * i] for i in range(beads - 1)])
    u = directions + 0.1 * rng.standard_normal((frames, beads - 1, 3))
    u /= np.linalg.norm(u, axis=-1, keepdims=True)
    stretch = spread * rng.standard_normal((frames, beads - 1, 1))
    x = np.concatenate([np.zeros((frames, 1, 3)), np.cumsum(u * (3.8 + stretch), axis=1)], axis=1)
    x -= x.mean(1, keepdims=True)
    pull = STIFFNESS * KCAL_MOL * stretch * u
    force = np.zeros_like(x)
    force[:, :-1] += pull
    force[:, 1:] -= pull
    return Beads(
        name=name,
        residues=SEQUENCE[:beads],
        chain=np.zeros(beads, int),
        number=np.arange(beads),
        positions=x,
        forces=force,
        temperature=np.full(frames, temperature),
        trajectory=np.arange(frames) // 50,
    )


def arrays(beads: Beads | None = None, **changed: Any) -> dict[str, np.ndarray]:
    """The arrays of a bead file; None takes one away."""
    b = beads or chain()
    assert b.forces is not None
    out = {"R": b.positions, "F": b.forces / KCAL_MOL, "seq": np.array(b.residues), "temp": b.temperature}
    out["traj"] = b.trajectory
    return {k: np.asarray(v) for k, v in (out | changed).items() if v is not None}


def save(path: Path, given: dict[str, np.ndarray]) -> Path:
    np.savez(path, **given)
    return path


def hostile(path: Path, name: str, array: np.ndarray) -> Path:
    """A file with a pickled array."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=True)
    with zipfile.ZipFile(path, "w") as z:
        z.writestr(f"{name}.npy", stream.getvalue())
    return path


@pytest.fixture
def beads() -> Beads:
    return chain()
