"""consil train: fit a potential to reference data, prove it, and write it with its errors and its card."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from consilience.core.errors import Finding, InputError
from consilience.frames.frames import join
from consilience.frames.molecules import in_company
from consilience.jobs.common.options import RunOptions, TrainOptions
from consilience.jobs.common.output import OutputFolder
from consilience.jobs.common.runtime import prepare_jax
from consilience.jobs.train.data import TrainingData, described, element_energies, load_training
from consilience.jobs.train.leading import in_folder
from consilience.jobs.train.recipe import Recipe, architecture_of, for_molecules, recipe
from consilience.jobs.train.result import TrainResult
from consilience.jobs.train_beads.recipe import BEAD_MODELS

TOLERANCE = 1e-6  # of the gradients of the loss
BOUNDS = (0.03, 0.15)  # eV/Å: disagreement of members that is never, and always, worth a warning
SPOKEN = 20.0  # seconds between two lines of progress


def train(
    files: Sequence[str | Path], *, options: TrainOptions | None = None, run: RunOptions | None = None
) -> TrainResult:
    """Train a potential on frames of molecules or beads; the command `consil train`.

    Raises InputError for bad input before anything is written, RunError where training fails.
    """
    options, run = options or TrainOptions(), run or RunOptions()
    if options.model in BEAD_MODELS:
        from consilience.jobs.train_beads.job import train_beads

        return train_beads(files, options, run)
    if options.ablation:
        raise InputError("--ablation is for models of beads", found=options.model, expected=", ".join(BEAD_MODELS))
    prepare_jax()
    made = recipe(options)
    data = load_training(files, options, made.schedule.get("weights", {}))
    stem = f"{Path(files[0]).name.split('.')[0]}-{options.model.replace('+', '-')}"
    return in_folder(stem, run, data.paths, lambda folder: _train(data, options, made, folder))


def _train(data: TrainingData, options: TrainOptions, made: Recipe, folder: OutputFolder) -> TrainResult:
    from consilience.jobs.train.report import write_report
    from consilience.potentials.build import build
    from consilience.potentials.bundle import TrainedModel, save_model
    from consilience.potentials.dataset import batch_of, energy_scale
    from consilience.potentials.training import Schedule
    from consilience.potentials.training import train as fit_potential
    from consilience.potentials.wall import wall_frames
    from consilience.potentials.weights import cast, named, split

    config = {f.name: getattr(options, f.name) for f in fields(options) if f.name != "frames"}
    config |= {"keys": options.frames.keys, "units": options.frames.units}
    atoms = float(data.work.natoms.mean())
    if not data.work.is_periodic:  # a cell of few atoms is no small molecule
        made = for_molecules(made, atoms)
    schedule = Schedule(**made.schedule).settled(len(data.work), atoms)
    architecture = architecture_of(made, data.work.elements)
    config |= {"architecture": architecture, "schedule": schedule}
    folder.begin(data.paths, config, data.findings)
    shown = described(data.work)
    for name, row in shown.items():
        unit = f" (in the file: {row['file_unit']})" if row["file_unit"] not in ("", row["unit"]) else ""
        folder.log(f"{name}: key {row['key']}, {row['count']} numbers, mean {row['mean']:.4g} {row['unit']}, "
                   f"spread {row['std']:.4g}{unit}")  # fmt: skip
    sets = {"train": data.work, "valid": data.steer} | ({} if data.free is None else {"free": data.free})
    folder.log(", ".join(f"{k} {len(v)} frames" for k, v in sets.items()) + f"; fitted: {', '.join(data.channels)}")
    offsets, scale = element_energies(options.e0s, data.work), energy_scale(data.work)
    kind = np.float64 if options.precision == 64 else np.float32
    members, histories, epochs, per_step = [], [], 0, []
    share = schedule if schedule.minutes is None else replace(schedule, minutes=schedule.minutes / options.ensemble)
    for i in range(options.ensemble):
        seed = folder.run.seed + i
        potential = cast(build(architecture, offsets, scale, seed), kind)
        fitted = data.work
        if potential.repulsion is not None and "forces" in data.channels:
            fitted = join([fitted, wall_frames(potential.species, potential.repulsion)])
        work = batch_of(fitted, potential, data.channels)
        steer = batch_of(data.steer, potential, data.channels)
        tell = _Progress(folder, share, i, options.ensemble, len(data.work))
        place = folder.checkpoint if options.ensemble == 1 else folder / f"checkpoint-{i + 1}.safetensors"
        done = fit_potential(
            potential, work, steer, share, seed=seed, checkpoint=place, resume=folder.resumed, callback=tell
        )
        members.append(done.potential)
        histories += [{"member": i + 1, **_flat(r)} for r in done.fit.history if r["stage"] >= 0]
        epochs = max(epochs, sum(r["stage"] >= 0 for r in done.fit.history))
        per_step.append(tell.ms_per_step())
    if finding := cut_short(schedule, len(data.work), epochs):
        folder.warn(finding)
    model = TrainedModel(architecture, tuple(members))
    table, bound = _table(model, sets, data.channels)
    if "stress" in data.channels and (finding := stress_that_energies_deny(model, data)):
        folder.warn(finding)
    for name, row in table.items():
        folder.log(name + ": " + ", ".join(f"{k} {v:.4g}" for k, v in row.items()))
    gradients = _gradients(model, data)
    card, checks, reference = _card(model, data, table, folder)
    card["disagreement_ev_A"] = bound
    summary: dict[str, Any] = {
        "status": "ok",
        "model": options.model,
        "data": shown,
        "table": table,
        "n_parameters": int(sum(a.size for a in named(split(members[0])[0]).values())),
        "epochs": epochs,
        "ms_per_step": float(np.median(per_step)) if per_step else 0.0,
        "members": len(members),
        "card": card,
        "checks": [c.as_dict() for c in checks],
        "gradients": gradients,
        "scores": {
            c: {s: {k: v for k, v in row.items() if _belongs(k, c)} for s, row in _named_sets(table).items()}
            for c in data.channels
        },
    }
    failed = [c for c in checks if not c.passed]
    for c in failed:
        folder.log(f"check does not hold: {c.name}: {c.value:.3g}, tolerance {c.tolerance:.3g} {c.about}")
    if failed or gradients["max_rel_error"] > TOLERANCE:
        summary["status"] = "checks_failed"
    info = {
        "model": options.model,
        "channels": list(data.channels),
        "reference": reference,
        "surroundings": "others" if in_company(data.work) else "none",
        "errors": table,
        "card": card,
        "provenance": {
            "files": [p.name for p in data.paths],
            "frames": {k: len(v) for k, v in sets.items()},
            "schedule": {f.name: getattr(schedule, f.name) for f in fields(schedule)},
            "seed": folder.run.seed,
            "epochs": epochs,
        },
    }
    model = TrainedModel(architecture, tuple(members), info)
    save_model(folder / "model", model)
    folder.write_csv("history.csv", histories)
    write_report(folder, summary, histories, model, sets, data.channels)
    for i in range(options.ensemble):
        (folder / f"checkpoint-{i + 1}.safetensors").unlink(missing_ok=True)
    summary = folder.write_summary(summary)
    folder.log(f"model: {folder.path / 'model'}; report: {folder.path / 'report.html'}; "
               f"{sum(c.passed for c in checks)} of {len(checks)} checks hold")  # fmt: skip
    return TrainResult(summary, folder.path, model)


class _Progress:
    """One line now and then, with what is left."""

    def __init__(self, folder: OutputFolder, schedule: Any, member: int, members: int, frames: int):
        self.folder, self.schedule, self.label = folder, schedule, f"member {member + 1}, " if members > 1 else ""
        self.steps = max(1, frames // min(schedule.batch, frames))
        self.began = self.spoken = time.monotonic()
        self.ends: list[float] = []

    def __call__(self, record: dict[str, Any]) -> None:
        now = time.monotonic()
        if record.get("replayed") or record["stage"] < 0:
            return
        self.ends.append(now)
        if len(self.ends) > 1 and now - self.spoken < SPOKEN:
            return
        self.spoken = now
        scores = record["scores"]
        words = [f"{k.removeprefix('rms_')} {1e3 * v:.3g}" for k, v in scores.items()]
        done = record["stage"] + 1
        share = done / self.schedule.epochs
        if self.schedule.minutes is not None:
            share = max(share, (now - self.began) / (60 * self.schedule.minutes))
        left = (now - self.began) * (1 - share) / max(share, 1e-6)
        self.folder.log(
            f"{self.label}epoch {done}: loss {record['value_after']:.4g}; steer r.m.s. (1e-3 eV, eV/Å, e Å, V) "
            f"{', '.join(words)}; {left:.0f} s left"
        )

    def ms_per_step(self) -> float:
        """Median time of a step, the first epochs (which compile) left out."""
        gaps = np.diff(self.ends)[1:]
        return float(np.median(gaps)) * 1e3 / self.steps if gaps.size else 0.0


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    return {
        "epoch": record["stage"] + 1, "loss": record["value_after"], "steer": record["steer"], "best": record["best"],
        **record["scores"],
    }  # fmt: skip


def _table(model: Any, sets: dict[str, Any], channels: tuple[str, ...]):
    """Rows of errors of the mean of the members, by set; and how far members disagree on validation frames at most."""
    from consilience.potentials.dataset import batch_of
    from consilience.potentials.ensemble import mean_prediction
    from consilience.potentials.scores import score_row

    table, bound = {}, None
    for name, frames in sets.items():
        batch = batch_of(frames, model.potential, channels)
        found = mean_prediction(model.members, batch)
        table[name] = score_row(found, batch)
        if name == "valid" and "disagreement" in found:
            bound = float(np.clip(2.0 * np.quantile(found["disagreement"], 0.99), *BOUNDS))
    return table, bound


HARDLY = 1000  # steps; good models take tens of thousands


def cut_short(schedule: Any, frames: int, epochs: int) -> Finding | None:
    """A warning where the time ended a training that had hardly begun, because most of it went to compilation."""
    steps = epochs * max(1, frames // min(schedule.batch, frames))
    if schedule.minutes is None or epochs >= schedule.epochs or steps >= HARDLY:
        return None
    what = "the time was over when the training had hardly begun"
    fix = "give more time (--time); compilation took part of it, and takes little when the command is run again"
    return Finding("warn", what, "", f"{steps} steps, {epochs} passes over the data", f"{HARDLY} steps at least", fix)


ALIKE = 0.5  # correlation of stresses fitted and given; what is learnt at all has 0.9


def stress_that_energies_deny(model: Any, data: TrainingData) -> Finding | None:
    """A warning where stresses of the frames that steer do not follow from what was learnt with the energies.

    Half the codes count pressure as positive stress. The two cannot both be fitted.
    """
    from consilience.potentials.dataset import batch_of
    from consilience.potentials.ensemble import mean_prediction

    batch = batch_of(data.steer, model.potential, ("stress",))
    given = batch.labels.get("stress", np.zeros(0))
    known = np.isfinite(given)
    if known.sum() < 9 or not np.std(given[known]) > 0:
        return None
    found = mean_prediction(model.members, batch)["stress"][known]
    likeness = float(np.corrcoef(found, given[known])[0, 1])
    if likeness > ALIKE:
        return None
    what = "the stresses of the frames do not follow from their energies and forces"
    fix = "give tension as positive, change the sign where a code counts pressure; or --set training.weights.stress=0"
    where = ", ".join(data.steer.files)
    return Finding("warn", what, where, f"correlation {likeness:.2f} after training", f"above {ALIKE:g}", fix)


def _gradients(model: Any, data: TrainingData) -> dict[str, Any]:
    """The loss's own gradient against central differences, on a float64 copy and a few frames."""
    import jax

    from consilience.core.gradcheck import check_gradients
    from consilience.core.params import Block, Model
    from consilience.potentials.dataset import batch_of
    from consilience.potentials.labels import ReferenceData
    from consilience.potentials.weights import cast, split

    weights, rest = split(cast(model.potential, np.float64))
    batch = batch_of(data.work.select(np.arange(min(4, len(data.work)))), model.potential, data.channels)
    sigma = {c: np.asarray(0.1) for c in data.channels}
    term = ReferenceData(rest, sigma, {}, np.asarray(0.01))
    found = check_gradients(term, Model.of(net=Block(jax.tree.map(np.asarray, weights))), batch, directions=2)
    pairs = [g.as_dict() for g in found]
    return {"max_rel_error": max(p["rel_error"] for p in pairs), "pairs": pairs}


def _card(model: Any, data: TrainingData, table: dict, folder: OutputFolder) -> tuple[dict, list, dict]:
    """The conservation card: what was proven of the model, and on which molecule."""
    from consilience.jobs.check.model import card_of, reference_molecule

    molecule = reference_molecule(data.work)
    folder.log(f"proving the model on {len(molecule.numbers)} atoms of a frame")
    checks, measured = card_of(model, molecule, _now_and_then(lambda what: folder.log(f"proving: {what}")))
    card = {
        "checks": {c.name: {"value": c.value, "tolerance": c.tolerance, "passed": c.passed} for c in checks},
        **measured,
        "unseen": table.get("free") or table.get("valid"),
    }
    reference = {
        "numbers": molecule.numbers.tolist(),
        "positions": np.round(molecule.positions, 6).tolist(),
        "charge": float(molecule.charge),
    }
    return card, checks, reference


def _now_and_then(say: Callable[[str], None]) -> Callable[[str], None]:
    """`say`, at most every SPOKEN seconds."""
    last = time.monotonic()

    def tell(what: str) -> None:
        nonlocal last
        if time.monotonic() - last > SPOKEN:
            last = time.monotonic()
            say(what)

    return tell


def _belongs(key: str, channel: str) -> bool:
    return key.startswith({"forces": "force", "charges": "charge"}.get(channel, channel))


def _named_sets(table: dict[str, Any]) -> dict[str, Any]:
    names = {"train": "work", "valid": "steer", "free": "free"}
    return {names[k]: v for k, v in table.items()}
