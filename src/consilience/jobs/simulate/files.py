"""The files of a simulation that grow while it runs, and the checkpoint that says how much of them is valid."""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from consilience.core.checkpoint import load_checkpoint, save_checkpoint
from consilience.core.errors import InputError
from consilience.jobs.common.dynamics_options import SimulateOptions
from consilience.jobs.common.output import OutputFolder
from consilience.jobs.common.start import Start
from consilience.md.record import Trajectory
from consilience.md.trajectory import DCDWriter, extxyz_frames, write_topology

OBSERVABLES = "observables.csv"
COLUMNS = ("step", "E", "T", "time_fs", "E_pot", "E_kin")
SPREAD, REPLICA = "force_disagreement_eV_A", "replica"
SAVED = 2.0  # seconds between checkpoints


class Recording:
    """trajectory.dcd or .extxyz of every replica, topology.pdb, observables.csv, checkpoint.safetensors.

    `table`: the observables of all frames so far, each (F, R): step, E, T, time_fs, E_pot, E_kin (in multiples of
    `unit` eV), and the columns `more`. `state`: of the engine at the last whole block, or None. Opened in a resumed
    folder it goes on where the checkpoint says, and cuts off what was written after it.
    """

    def __init__(
        self,
        folder: OutputFolder,
        start: Start,
        options: SimulateOptions,
        more: tuple[str, ...] = (),
        unit: float = 1.0,
    ):
        self.folder, self.start, self.options = folder, start, options
        self.columns, self.unit = (*COLUMNS, *more), unit
        self.table: dict[str, np.ndarray] = {c: np.zeros((0, options.replicas)) for c in self.columns}
        self.state: dict[str, np.ndarray] | None = None
        self.frames, self._sizes = 0, {}
        self._saved = 0.0
        if folder.resumed and options.engine == "native" and folder.checkpoint.exists():
            self.state, header = load_checkpoint(folder.checkpoint)
            self.frames, self._sizes = int(header["frames"]), dict(header["bytes"])
        self._read_table()
        self._dcd = [self._writer(r) for r in range(options.replicas)] if options.format == "dcd" else []
        if self.state is None:
            self._begin()
        else:
            self._cut()

    def trajectory(self, replica: int) -> Path:
        """The trajectory file of a replica: trajectory.dcd, trajectory-2.dcd, ..."""
        number = "" if replica == 0 else f"-{replica + 1}"
        return self.folder / f"trajectory{number}.{self.options.format}"

    def write(
        self, piece: Trajectory, state: dict[str, np.ndarray], more: Mapping[str, np.ndarray], sound: bool
    ) -> None:
        """Append a piece, and more columns (R, F) of it.

        A `sound` one counts as valid, one that ended in a failure is done again.
        """
        if len(piece):
            self._append(piece, more)
        if sound and self.options.engine == "native":
            self.state, self.frames, self._sizes = state, len(self.table["step"]), self._lengths()
            if time.monotonic() - self._saved > SAVED:
                self.save()

    def save(self) -> None:
        """Write the checkpoint of the last whole block."""
        if self.state is not None:
            save_checkpoint(self.folder.checkpoint, self.state, {"frames": self.frames, "bytes": self._sizes})
            self._saved = time.monotonic()

    def close(self) -> None:
        """Close the trajectories."""
        for writer in self._dcd:
            writer.close()

    def _append(self, piece: Trajectory, more: Mapping[str, np.ndarray]) -> None:
        values = {
            "step": np.repeat(piece.step[:, None], self.options.replicas, 1).astype(float),
            "E": piece.total.T / self.unit,
            "T": piece.temperature.T,
            "time_fs": np.repeat(piece.time[:, None], self.options.replicas, 1),
            "E_pot": piece.potential.T / self.unit,
            "E_kin": piece.kinetic.T / self.unit,
        }
        values |= {name: np.asarray(a).T for name, a in more.items()}
        rows = []
        for f in range(len(piece)):
            for r in range(self.options.replicas):
                cells = [str(int(piece.step[f])), *(repr(float(values[c][f, r])) for c in self.columns[1:])]
                rows.append(",".join([*cells, str(r + 1)] if self.options.replicas > 1 else cells) + "\n")
        with open(self.folder / OBSERVABLES, "a", encoding="utf-8") as handle:
            handle.write("".join(rows))
        for r in range(self.options.replicas):
            if self._dcd:
                self._dcd[r].write(piece.positions[r])
            else:
                with open(self.trajectory(r), "a", encoding="utf-8") as handle:
                    handle.write(extxyz_frames(piece, self.start.elements, r, cell=self.start.cell))
        self.table = {c: np.concatenate([self.table[c], values[c]]) for c in self.columns}

    def _writer(self, replica: int) -> DCDWriter:
        o = self.options
        keep = self.frames if self.state is not None else None
        return DCDWriter(
            self.trajectory(replica), len(self.start.numbers), dt=o.dt, every=o.every, cell=self.start.cell, keep=keep
        )

    def _begin(self) -> None:
        names = self.columns + ((REPLICA,) if self.options.replicas > 1 else ())
        (self.folder / OBSERVABLES).write_text(",".join(names) + "\n", encoding="utf-8")
        if self.options.format == "extxyz":
            for r in range(self.options.replicas):
                self.trajectory(r).write_text("")
        s = self.start
        write_topology(
            self.folder / "topology.pdb", s.positions, s.elements, names=s.names, residues=s.residues, cell=s.cell
        )

    def _cut(self) -> None:
        for name, size in self._sizes.items():
            path = self.folder / name
            if not path.exists() or path.stat().st_size < size:
                what = "a file of the interrupted run is missing or shorter than its checkpoint says"
                raise InputError(what, str(path), fix="start anew with --overwrite")
            with open(path, "r+b") as handle:
                handle.truncate(size)

    def _lengths(self) -> dict[str, int]:
        growing = [] if self._dcd else [self.trajectory(r) for r in range(self.options.replicas)]
        return {p.name: p.stat().st_size for p in [self.folder / OBSERVABLES, *growing]}

    def _read_table(self) -> None:
        if self.state is None or not self.frames:
            return
        path = self.folder / OBSERVABLES
        try:
            with open(path, encoding="utf-8", newline="") as handle:
                reader = csv.reader(handle)
                next(reader)
                count = self.frames * self.options.replicas
                rows = [row for _, row in zip(range(count), reader, strict=False)]
            numbers = np.array([[float(v) for v in row[: len(self.columns)]] for row in rows])
            numbers = numbers.reshape(self.frames, self.options.replicas, len(self.columns))
        except (OSError, ValueError, StopIteration):
            what = "the observables of the interrupted run are missing or damaged"
            raise InputError(what, str(path), fix="start anew with --overwrite") from None
        self.table = {c: numbers[:, :, k] for k, c in enumerate(self.columns)}


def write_failure(folder: OutputFolder, start: Start, failure: Any) -> None:
    """failure.extxyz: the last sound frame and the one that crossed a bound, where its positions are finite."""
    from consilience.frames.write import write_extxyz

    kept = [x for x in (failure.last_good, failure.failed) if np.isfinite(x).all()]
    if kept:
        write_extxyz(folder / "failure.extxyz", start.as_frames(np.stack(kept)))
