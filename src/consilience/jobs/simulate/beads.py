"""consil simulate for models of beads: plain dynamics, replica exchange, metadynamics and umbrella windows."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from consilience.core.errors import Finding, InputError
from consilience.jobs.common.bead_start import BeadStart, read_bead_start
from consilience.jobs.common.dynamics_options import SimulateOptions
from consilience.jobs.common.interrupt import interruptible
from consilience.jobs.common.open_folder import open_folder
from consilience.jobs.common.options import RunOptions
from consilience.jobs.common.output import OutputFolder
from consilience.jobs.common.start import Start, model_files
from consilience.jobs.simulate.beads_methods import METHODS, from_histogram
from consilience.jobs.simulate.beads_report import write_report
from consilience.jobs.simulate.files import Recording, write_failure
from consilience.jobs.simulate.result import Progress, SimulateResult, history_rows, simulate_summary
from consilience.md.autopsy import Bounds, NotBonded
from consilience.units import KCAL_MOL

BOUNDS = Bounds(min_distance=2.5, max_force=200.0)  # Å, eV/Å
CLOSE, BOND_OFF = 3.0, 0.5  # Å: nearer pairs are warned of; a bond so far off its mean is broken
UNIT = "kcal/mol/bead/ns, kcal/mol/bead"
SKIN = 2.0  # Å


def simulate_beads(place: Path, file: Path, options: SimulateOptions, run: RunOptions) -> SimulateResult:
    """Run dynamics of the chains of a start with a model of beads. Raises InputError before anything is written."""
    from consilience.engines.source import Source
    from consilience.model import load_model

    options = options.of_beads()
    model = load_model(place)
    model = model.with_precision(64) if options.precision == 64 else model
    begun = read_bead_start(file)
    energy = model.beads_of(begun.residues, begun.chain, begun.number, temperature=options.temperature)
    start = as_start(begun)
    observe = Observed(begun, options)
    first = Source(energy)(start.positions, **start.place())
    if not (np.isfinite(first.energy) and np.isfinite(first.forces).all()):
        raise InputError("the start has no finite energy and forces", str(file), fix="move beads that lie upon others")
    inputs = [*model_files(model), file, *([] if options.reference is None else [options.reference])]
    folder = open_folder("simulate", begun.path.name.split(".")[0], run, inputs)
    with interruptible(folder):
        chosen = {f.name: getattr(options, f.name) for f in fields(options)}
        folder.begin(inputs, chosen, (*begun.findings, *observe.findings), [place, file])
        size = float(np.linalg.norm(first.forces, axis=1).max()) / KCAL_MOL
        folder.log(f"start: {begun.formula}; {first.energy / KCAL_MOL:.3f} kcal/mol, largest force {size:.3g} "
                   "kcal/mol/Å")  # fmt: skip
        return _run(folder, model, begun, start, energy, observe, options)


def as_start(begun: BeadStart) -> Start:
    """The beads as CA atoms with the masses of residues, for files and views."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    places = [(r[:3], int(k) + 1, letters[int(c) % len(letters)])
              for r, c, k in zip(begun.residues, begun.chain, begun.number, strict=True)]  # fmt: skip
    n = len(begun)
    periodic = begun.cell is not None and bool(np.any(begun.cell))
    return Start(
        np.full(n, 6, np.int32), begun.positions, 0.0, begun.masses, begun.cell if periodic else None,
        (periodic, periodic, periodic),
        begun.path, begun.findings, ("CA",) * n, tuple(places),
    )  # fmt: skip


class Observed:
    """Rg, RMSD and Q of frames, and how bonds spread; of the reference, or of the start where none is given.

    columns: their names in observables.csv, lengths in Å.
    """

    def __init__(self, begun: BeadStart, options: SimulateOptions):
        from consilience.md.bias import GyrationRadius, NativeFraction, Rmsd
        from consilience.md.observables import native_contacts

        self.findings: list[Finding] = []
        reference = begun if options.reference is None else read_bead_start(options.reference)
        if len(reference) != len(begun):
            raise InputError("the reference has another number of beads", str(reference.path), f"{len(reference)}",
                             f"{len(begun)}")  # fmt: skip
        self.of: dict[str, Any] = {"Rg": GyrationRadius(), "RMSD": Rmsd(reference.positions)}
        try:
            self.of["Q"] = NativeFraction(native_contacts(reference.positions, number=begun.number, chain=begun.chain))
        except InputError as err:
            if options.cv == "q":
                raise
            self.findings.append(Finding("note", f"no fraction of native contacts: {err.finding.what}"))
        self.cv = None if options.cv is None else {"rg": "Rg", "rmsd": "RMSD", "q": "Q"}[options.cv]
        same = (begun.chain[1:] == begun.chain[:-1]) & (begun.number[1:] - begun.number[:-1] == 1)
        self._bonded = self._usual(begun, np.flatnonzero(same))
        b = len(self._bonded)
        self._sums, self._count = np.zeros((2, b)), 0
        self._least, self._most = np.full(b, np.inf), np.full(b, -np.inf)

    def _usual(self, begun: BeadStart, bonded: np.ndarray) -> np.ndarray:
        """Bonds that start at a usual length; others are warned of, for dynamics will take them there."""
        d = np.linalg.norm(begun.positions[bonded + 1] - begun.positions[bonded], axis=1)
        off = np.abs(d - np.median(d)) >= BOND_OFF if len(d) else np.zeros(0, bool)
        if off.any():
            k = int(bonded[off][0])
            where = f"{begun.path}, beads {k + 1} and {k + 2} ({begun.residues[k]}, {begun.residues[k + 1]})"
            what = (
                "CA atoms of neighbours in the chain are not at the usual distance: a cis peptide, or a damaged model"
            )
            found, usual = f"{d[off][0]:.2f} Å, {int(off.sum())} of {len(d)}", f"{np.median(d):.2f} Å"
            fix = "a model of beads knows trans peptides only, and takes these bonds to their length"
            self.findings.append(Finding("warn", what, where, found, usual, fix))
        return bonded[~off]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.of)

    @property
    def coordinate(self) -> Any:
        """The coordinate of --cv."""
        return self.of[self.cv or "Rg"]

    def __call__(self, positions: np.ndarray) -> dict[str, np.ndarray]:
        """Columns (R, F) of frames (R, F, n, 3); the bonds are added to those seen so far."""
        from consilience.md.bias import along

        if positions.shape[1]:
            x = positions.reshape(-1, *positions.shape[2:])
            d = np.linalg.norm(x[:, self._bonded + 1] - x[:, self._bonded], axis=-1)
            self._sums += [d.sum(0), (d * d).sum(0)]
            self._count += len(d)
            self._least, self._most = np.minimum(self._least, d.min(0)), np.maximum(self._most, d.max(0))
        return {name: np.asarray(along(f, positions)) for name, f in self.of.items()}

    def bonds(self) -> tuple[float, float]:
        """R.m.s. and largest deviation of bonds from their means over all frames, Å."""
        if not self._count or not len(self._bonded):
            return 0.0, 0.0
        mean = self._sums[0] / self._count
        variance = np.maximum(self._sums[1] / self._count - mean**2, 0.0)
        off = np.maximum(self._most - mean, mean - self._least)
        return float(np.sqrt(variance.mean())), float(off.max())


def _run(
    folder: OutputFolder,
    model: Any,
    begun: BeadStart,
    start: Start,
    energy: Any,
    observe: Observed,
    options: SimulateOptions,
) -> SimulateResult:
    more = (*observe.columns, *(("window",) if options.method == "umbrella" else ()))
    recorded = replace(options, replicas=1) if options.method == "umbrella" else options
    if folder.resumed and options.method != "md":
        folder.log(f"the run by {options.method} begins anew: it repeats itself to the last bit")
        folder.checkpoint.unlink(missing_ok=True)
    recording = Recording(folder, start, recorded, more, KCAL_MOL)
    again = recording.state is not None
    progress = Progress(folder, options.steps)

    def on_block(piece: Any, state: dict[str, np.ndarray], **columns: np.ndarray) -> None:
        sound = options.method == "md" and not np.any(state.get("code", np.zeros(1)) > 0)
        recording.write(piece, state, {**observe(piece.positions), **columns}, sound)
        if len(piece):
            progress(int(piece.step[-1]), piece)

    common: dict[str, Any] = {
        "dt": options.dt, "friction": options.friction, "every": options.every, "seed": folder.run.seed,
        "cutoff": energy.cutoff, "skin": SKIN, "bounds": BOUNDS, "watched": NotBonded(energy.chains), **start.place(),
    }  # fmt: skip
    try:
        result, free, found = METHODS[options.method](
            start, energy, observe, options, common, recording.state, on_block
        )
    except KeyboardInterrupt:
        recording.save()
        raise
    finally:
        recording.close()
    if result.failure is None:
        recording.save()
    table, n = recording.table, len(begun)
    free = free or from_histogram(table, options, observe.cv)
    summary = {**simulate_summary(result, {**table, "E": table["E"] * KCAL_MOL}, options, n), **found}
    summary |= {"unit": UNIT, "max_force": result.max_force / KCAL_MOL, "n_beads": n}
    if summary["drift"] is not None:  # a meV/ps is an eV/ns
        for key, size in (("drift", 1.0), ("drift_err", 1.0), ("energy_rms", 1e3)):
            summary[key] /= size * KCAL_MOL
    bonds = (None, None) if again else observe.bonds()  # of all frames, or of none
    summary |= dict(zip(("bond_rms", "bond_max"), bonds, strict=True))
    _judge(folder, summary, observe, file=begun.path)
    summary |= _series(table, options, n)
    if free is not None:
        folder.write_csv("free_energy.csv", free)
    if not summary["stable"]:
        summary["status"] = "checks_failed"
        folder.log(f"unstable: {summary['failure']['message']}")
    if result.failure is not None:
        write_failure(folder, start, result.failure)
        folder.log(f"the last sound frame is in {folder / 'failure.extxyz'}")
    folder.write_csv("history.csv", _history(table, n))
    full = {**summary, "warnings": list(folder.warnings), "seed": folder.run.seed, **folder.timings()}
    write_report(folder / "report.html", full, table, start, begun, options, observe, free)
    summary = folder.write_summary(summary)
    folder.log(f"{summary['n_steps']} steps of {options.dt:g} fs, {summary['steps_per_s']:.4g} steps/s; "
               f"report: {folder.path / 'report.html'}")  # fmt: skip
    return SimulateResult(summary, folder.path, table)


def _judge(folder: OutputFolder, summary: dict[str, Any], observe: Observed, file: Path) -> None:
    """A broken bond makes a run unstable; beads that came near are warned of."""
    near, off = summary["min_distance"], summary["bond_max"]
    if summary["failure"] is None and off is not None and off >= BOND_OFF:
        message = f"a bond was {off:.2f} Å off its mean length (bound {BOND_OFF:g} Å)"
        none = dict.fromkeys(("step", "time_fs", "replica", "distance", "max_force", "max_force_atom", "temperature"))
        summary["failure"] = {**none, "reason": "a bond broke", "atoms": [], "term": "bond", "message": message,
                              "term_energies": {}, "term_forces": {}}  # fmt: skip
        summary["stable"] = False
    if summary["stable"] and near is not None and near < CLOSE:
        found, fix = f"{near:.2f} Å", "train the excluded volume on more data, or check the model: consil check MODEL"
        folder.warn(Finding("warn", "beads that are not bonded came very near", str(file), found, f"{CLOSE:g} Å", fix))


def _series(table: dict[str, np.ndarray], options: SimulateOptions, n: int) -> dict[str, Any]:
    """Means with block errors of the observables, and the test of the temperature; the first fifth is left out."""
    from consilience.md.statistics import heat_capacity, integrated_time, mean_of, temperature_test

    count = len(table["step"])
    kept = slice(count // 5, None)
    if count < 20 or options.method == "umbrella":
        return {}
    out: dict[str, Any] = {}
    for name in ("Rg", "RMSD", "Q"):
        if name in table and options.method != "metad":
            parts = [mean_of(s) for s in table[name][kept].T]
            slow = integrated_time(table[name][kept, 0], options.every * options.dt * 1e-3)
            means, errors = [p.value for p in parts], [p.error for p in parts]
            out[name] = {"mean": means, "error": errors, "correlation_ps": slow}
    if options.ensemble == "nvt" and options.method == "md":
        total = table["E"][kept, 0] * KCAL_MOL
        c = heat_capacity(total, options.temperature)
        out["heat_capacity"] = {"value": c.value / KCAL_MOL, "error": c.error / KCAL_MOL, "unit": "kcal/mol/K"}
        kinetic = table["E_kin"][kept, 0] * KCAL_MOL
        out["temperature_p"] = temperature_test(kinetic, 3 * n, options.temperature)
    return out


def _history(table: dict[str, np.ndarray], n: int) -> list[dict[str, Any]]:
    names = {"E_change_meV_atom": "E_change_kcal_bead", "E_rms_meV_atom": "E_rms_kcal_bead",
             "E_pot_mean_eV": "E_pot_mean_kcal"}  # fmt: skip
    rows = history_rows(table, n)
    return [{names.get(k, k): v * (1e-3 if "meV" in k else 1.0) for k, v in row.items()} for row in rows]
