"""The measured and synthetic relaxation data of the benchmarks, and float64 for everything that imports this file."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

from consilience._xla import guard

guard()

import jax  # noqa: E402 - after the guard
import numpy as np  # noqa: E402

jax.config.update("jax_enable_x64", True)

from consilience.nmr.data import RelaxationData  # noqa: E402 - after the precision is set
from consilience.nmr.read import read_relaxation  # noqa: E402
from consilience.nmr.vectors import amide_vectors  # noqa: E402
from consilience.structure.read import read_structure  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("CONSIL_DATA", ROOT.parent / "shared" / "data")) / "nmr"
RELAX_TAU = 10.595544757  # ns, held in the reference run of relax
QUADRIC = (
    0.72561,
    0.84029,
)  # theta, phi (rad) of ubiquitin's axis in the frame of 1UBQ, published with quadric


def rotation() -> np.ndarray:
    """(3, 3) columns are the axes of relax's synthetic tensors: zyz angles 1.0, 2.0, 0.5 rad."""

    def rz(a: float) -> np.ndarray:
        return np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1.0]])

    def ry(a: float) -> np.ndarray:
        return np.array([[np.cos(a), 0, np.sin(a)], [0, 1.0, 0], [-np.sin(a), 0, np.cos(a)]])

    return (rz(1.0) @ ry(2.0) @ rz(0.5)).T


# eigenvalues (rad^2/ns) of relax's synthetic tensors along the columns of `rotation`
SYNTHETIC = {
    "sphere": ("iso", (0.02, 0.02, 0.02)),
    "spheroid_prolate": ("axial", (0.02, 0.02, 0.03)),
    "spheroid_oblate": ("axial", (0.02, 0.03, 0.03)),
    "ellipsoid": ("rhombic", (0.01, 0.02, 0.03)),
}


def truth(name: str) -> np.ndarray:
    """(3, 3) tensor of one of the synthetic cases, rad^2/ns."""
    axes = rotation()
    return axes @ np.diag(SYNTHETIC[name][1]) @ axes.T


def columns_from(folder: Path, fields: tuple[int, ...], suffix: str) -> RelaxationData:
    """Data of a folder of files KIND.FIELD.suffix: residue, value, error."""
    files = [folder / f"{k}.{f}.{suffix}" for f in fields for k in ("R1", "R2", "NOE")]
    return read_relaxation([p for p in files if p.exists()])


@cache
def trhbn() -> tuple[RelaxationData, dict]:
    """The 100 residues of trHbN with all 8 data, and relax's result for each residue number."""
    folder = DATA / "trhbn_bmr17226"
    data = columns_from(folder, (500, 600, 800), "txt")
    data = data.select(rows=data.measured.sum(1) == 8)
    return data, json.loads((folder / "relax_m1-m5.json").read_text())["result"]


@cache
def synthetic(name: str) -> tuple[RelaxationData, np.ndarray]:
    """Noise-free rates of relax's test suite and the N-H directions (n, 3)."""
    folder = DATA / "synth_relax" / name
    data = columns_from(folder, (500, 600, 700, 800), "out")
    return data, amide_vectors(read_structure(folder / "uniform.pdb", strict=False), data.residues).vectors


@cache
def ubiquitin(*names: str) -> tuple[RelaxationData, np.ndarray]:
    """Ubiquitin data of the named files ("palmer500", "bmr4245_500") and the directions (n, 3) of 1UBQ."""
    folder = DATA / "ubiquitin"
    data = read_relaxation([folder / f"{n}_R1R2NOE.txt" for n in names], field_mhz=500.0)
    return data, amide_vectors(read_structure(folder / "1ubq_H.pdb"), data.residues).vectors
