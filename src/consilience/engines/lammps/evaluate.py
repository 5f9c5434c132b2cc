"""LAMMPS in a process of its own, on one or more ranks: energies and forces of frames, for the proof of an export."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from consilience.core.errors import InputError, RunError, clean
from consilience.engines.lammps.build import EXTRA, Installation

PARTS = {"ebond": "bond", "eangle": "angle", "edihed": "dihedral", "evdwl": "pair"}
_OURS = "XLA_FLAGS", "PJRT_NPROC", "JAX_ENABLE_X64", "JAX_PLATFORMS"


@dataclass(frozen=True)
class Evaluated:
    """energies (f,) kcal/mol, forces (f, n, 3) kcal/mol/Å, parts: energies (f,) by kind; owners (f, n): ranks."""

    energies: np.ndarray
    forces: np.ndarray
    parts: Mapping[str, np.ndarray]
    owners: np.ndarray


def run_lammps(
    found: Installation, script: Path, variables: Mapping[str, object], *, ranks: int = 1, seconds: float = 600.0
) -> str:
    """The log of a script, run in its own folder. Raises RunError with what LAMMPS says, where it fails.

    Raises InputError where more than one rank is asked for without mpiexec.
    """
    command = [str(found.executable), "-in", script.name, "-log", "none", "-nocite"]
    for name, value in variables.items():
        command += ["-var", name, str(value)]
    if ranks > 1:
        if found.mpiexec is None:
            raise InputError("mpiexec is not installed: no run on several ranks", fix=EXTRA)
        command = [str(found.mpiexec), "-n", str(ranks), *command]
    environment = {k: v for k, v in os.environ.items() if k not in _OURS}
    environment["OMP_NUM_THREADS"] = "1"
    if found.mpi_library is not None:
        places = [str(found.mpi_library.parent), environment.get("LD_LIBRARY_PATH", "")]
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(p for p in places if p)
    try:
        done = subprocess.run(
            command, cwd=script.parent, env=environment, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise RunError(f"LAMMPS took more than {seconds:.0f} s") from None
    if done.returncode or "ERROR" in done.stdout:
        said = [line for line in (done.stdout + "\n" + done.stderr).splitlines() if "ERROR" in line]
        tail = "\n".join(said) or (done.stdout + done.stderr)[-1500:]
        raise RunError(f"LAMMPS failed (exit status {done.returncode}): {clean(tail)[:1500]}")
    return done.stdout


def write_frames(path: Path, frames: np.ndarray, cell: np.ndarray | None) -> None:
    """Frames (f, n, 3), Å, as a dump of LAMMPS that `rerun` reads, without loss."""
    lines: list[str] = []
    for step, x in enumerate(frames):
        low, high = (x.min(0) - 5.0, x.max(0) + 5.0) if cell is None else (np.zeros(3), np.diag(cell))
        lines += ["ITEM: TIMESTEP", str(step), "ITEM: NUMBER OF ATOMS", str(len(x))]
        lines.append("ITEM: BOX BOUNDS " + ("ss ss ss" if cell is None else "pp pp pp"))
        lines += [f"{float(a)!r} {float(b)!r}" for a, b in zip(low, high, strict=True)]
        lines.append("ITEM: ATOMS id x y z")
        lines += [f"{i + 1} {float(a)!r} {float(b)!r} {float(c)!r}" for i, (a, b, c) in enumerate(x)]
    path.write_text("\n".join(lines) + "\n")


def evaluate_frames(
    found: Installation,
    setup: Path,
    frames: np.ndarray,
    variables: Mapping[str, object],
    *,
    cell: np.ndarray | None = None,
    ranks: int = 1,
    seconds: float = 600.0,
) -> Evaluated:
    """Energies and forces of frames (f, n, 3) as LAMMPS gives them with the commands of `setup` (styles and numbers).

    Files of the evaluation are written beside `setup` and removed. Raises RunError where LAMMPS fails.
    """
    folder = setup.parent
    names = [f"selftest-{ranks}.{end}" for end in ("in", "frames", "forces")]
    script, positions, forces = (folder / n for n in names)
    keys = " ".join(PARTS)
    script.write_text(
        f"include {setup.name}\n"
        f"thermo_style custom step pe {keys}\n"
        "thermo 1\n"
        "thermo_modify format float %.17g norm no lost error\n"
        f"dump forces all custom 1 {forces.name} id proc fx fy fz\n"
        "dump_modify forces sort id format float %.17g\n"
        f"rerun {positions.name} dump x y z box {'yes' if cell is None else 'no'}\n"
    )
    write_frames(positions, frames, cell)
    try:
        log = run_lammps(found, script, variables, ranks=ranks, seconds=seconds)
        table = _thermo(log, len(frames))
        rows = _forces(forces, frames.shape)
    finally:
        for path in (script, positions, forces):
            path.unlink(missing_ok=True)
    parts = {name: table[:, 2 + i] for i, name in enumerate(PARTS.values())}
    return Evaluated(table[:, 1], rows[..., 1:], parts, rows[..., 0].astype(int))


def _thermo(log: str, count: int) -> np.ndarray:
    """The rows of the table in a log, among which warnings may stand."""
    rows: list[list[float]] = []
    inside = False
    for line in log.splitlines():
        inside = (inside or line.split()[:2] == ["Step", "PotEng"]) and not line.startswith("Loop time")
        try:
            row = [float(v) for v in line.split()]
        except ValueError:
            continue
        if inside and len(row) == 2 + len(PARTS):
            rows.append(row)
    if len(rows) != count:
        raise RunError(f"LAMMPS gave {len(rows)} energies for {count} frames:\n{clean(log)[-1000:]}")
    return np.array(rows)


def _forces(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Owner and forces (f, n, 4) in a dump that is sorted by tag."""
    lines = path.read_text().splitlines()
    f, n, _ = shape
    out = np.array([[float(v) for v in line.split()] for i, line in enumerate(lines) if i % (n + 9) >= 9])
    if out.shape != (f * n, 5) or not (out[:, 0].reshape(f, n) == np.arange(1, n + 1)).all():
        raise RunError(f"the forces that LAMMPS wrote are not {f} frames of {n} beads")
    return out[:, 1:].reshape(f, n, 4)
