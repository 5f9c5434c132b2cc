"""consil train on beads: a prior, an Allegro network, or both, by force matching; proven and tried in dynamics."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from consilience.coarse.beads import Beads
from consilience.coarse.noise import residual_noise
from consilience.core.errors import Finding
from consilience.jobs.common.options import RunOptions, TrainOptions
from consilience.jobs.common.output import OutputFolder
from consilience.jobs.common.runtime import prepare_jax
from consilience.jobs.train.leading import in_folder
from consilience.jobs.train.result import TrainResult
from consilience.jobs.train_beads.ablation import ablation
from consilience.jobs.train_beads.fit import Fitted, fit_beads
from consilience.jobs.train_beads.recipe import BeadRecipe, bead_recipe, with_recipe
from consilience.jobs.train_beads.scores import by_protein, table_of
from consilience.jobs.train_beads.sets import BeadSets, chains_of_beads, load_bead_sets
from consilience.jobs.train_beads.stability import TRIAL_STEPS, trial
from consilience.potentials.beads.model import BeadModel, save_beads
from consilience.units import KCAL_MOL

TOLERANCE = 1e-6  # of the gradients of the loss
SPOKEN = 20.0  # seconds between two lines of progress


def train_beads(files: Sequence[str | Path], options: TrainOptions, run: RunOptions) -> Any:
    """Train on bead files; see `jobs.train.train`."""
    prepare_jax()
    recipe = bead_recipe(options)
    options = with_recipe(options, files, recipe)
    if run.output is None and recipe.directory is not None:
        run = replace(run, output=Path(recipe.directory))
    to_others = options.model != "prior" and recipe.prior.by == "types"
    sets = load_bead_sets(files, options, recipe.stride, transfer=to_others)
    stem = f"{Path(files[0]).name.split('.')[0]}-{options.model}"
    return in_folder(stem, run, sets.paths, lambda folder: _train(sets, options, recipe, folder))


def _train(sets: BeadSets, options: TrainOptions, recipe: BeadRecipe, folder: OutputFolder) -> Any:
    from consilience.jobs.train_beads.report import write_report

    config = {f.name: getattr(options, f.name) for f in fields(options) if f.name != "frames"}
    config |= {"keys": options.frames.keys, "units": options.frames.units, "recipe": recipe}
    folder.begin(sets.paths, config, sets.findings)
    for name, proteins in sets.by_name.items():
        folder.log(f"{name}: " + ", ".join(f"{b.name} {len(b)} frames of {len(b.residues)} beads" for b in proteins))
    fitted = fit_beads(
        options.model,
        sets,
        recipe,
        members=options.ensemble,
        precision=options.precision,
        seed=folder.run.seed,
        checkpoint=lambda i: folder.checkpoint if options.ensemble == 1 else folder / f"checkpoint-{i + 1}.safetensors",
        resume=folder.resumed,
        callback=_Progress(folder, options.ensemble),
        say=folder.log,
    )
    model = fitted.model
    matched = None if fitted.prior is None else fitted.prior.populations
    if matched is not None and "failed" in matched:
        what = "dynamics failed while populations were matched: the prior is that of forces alone"
        folder.warn(Finding("warn", what, found=matched["failed"], fix="--set model.prior.populations=false"))
    if fitted.idle:
        which = f"network {', '.join(map(str, fitted.idle))} of {options.ensemble}"
        fix = "more epochs, more frames, or another split (--valid): steer frames may be of another kind"
        what = "no epoch predicted the steer frames better than the start: the network adds nothing"
        folder.warn(Finding("warn", what, which, f"{fitted.epochs} epochs", fix=fix))
    table = table_of(model, sets)
    for name, row in table.items():
        folder.log(name + ": " + ", ".join(f"{k} {v:.4g}" for k, v in row.items() if isinstance(v, float)))
    gradients = _gradients(fitted, sets, recipe)
    checks, card = prove(model, sets, folder, recipe)
    summary: dict[str, Any] = {
        "status": "ok",
        "model": options.model,
        "data": _described(sets),
        "table": table,
        "proteins": {k: by_protein(model, v) for k, v in sets.by_name.items()},
        "n_parameters": parameters_of(model),
        "epochs": fitted.epochs,
        "ms_per_step": None,
        "members": max(len(model.networks), 1),
        "noise_floor_kcal_A": _floor(sets),
        "prior": None
        if fitted.prior is None
        else {
            "spread": fitted.prior.factor,
            "explained": fitted.prior.explained,
            "populations": fitted.prior.populations,
        },
        "ablation": ablation(sets, options, recipe, model, folder) if options.ablation else None,
        "card": card,
        "checks": [c.as_dict() for c in checks],
        "gradients": gradients,
        "scores": {"forces": {{"train": "work", "valid": "steer"}.get(k, k): row for k, row in table.items()}},
    }
    for c in (c for c in checks if not c.passed):
        folder.log(f"check does not hold: {c.name}: {c.value:.3g}, tolerance {c.tolerance:.3g} {c.about}")
    if not all(c.passed for c in checks) or gradients["max_rel_error"] > TOLERANCE:
        summary["status"] = "checks_failed"
    info = {
        "model": options.model,
        "errors": table,
        "card": card,
        "reference": reference_of(sets.work[0]),
        "provenance": {
            "files": [p.name for p in sets.paths],
            "proteins": {k: [b.name for b in v] for k, v in sets.by_name.items()},
            "temperatures_k": sorted({float(t) for b in sets.work for t in np.unique(b.temperature)}),
            "seed": folder.run.seed,
            "epochs": fitted.epochs,
        },
    }
    model = BeadModel(model.prior, model.networks, model.shape, info)
    save_beads(folder / "model", model)
    folder.write_csv("history.csv", fitted.histories or _prior_history(fitted))
    write_report(folder, summary, fitted, model, sets)
    for i in range(options.ensemble):
        (folder / f"checkpoint-{i + 1}.safetensors").unlink(missing_ok=True)
    summary = folder.write_summary(summary)
    folder.log(f"model: {folder.path / 'model'}; report: {folder.path / 'report.html'}; "
               f"{sum(c.passed for c in checks)} of {len(checks)} checks hold")  # fmt: skip
    return TrainResult(summary, folder.path, model)


class _Progress:
    """One line now and then."""

    def __init__(self, folder: OutputFolder, members: int):
        self.folder, self.members, self.spoken = folder, members, -np.inf

    def __call__(self, member: int, record: dict[str, Any]) -> None:
        now = time.monotonic()
        if record.get("replayed") or record["stage"] < 0 or now - self.spoken < SPOKEN:
            return
        self.spoken = now
        label = f"member {member + 1}, " if self.members > 1 else ""
        steer = record["scores"].get("rms_forces")
        words = "" if steer is None else f"; r.m.s. of what is left {steer / KCAL_MOL:.4f} kcal/mol/Å on steer frames"
        self.folder.log(f"{label}epoch {record['stage'] + 1}: loss {record['value_after']:.5g}{words}")


def _floor(sets: BeadSets) -> float | None:
    """Noise of the forces of the work set, kcal/mol/Å: what no model can explain; None where it cannot be told."""
    found = [(residual_noise(b), b.positions[0].size) for b in sets.work]
    known = [(v, n) for v, n in found if v is not None]
    if not known:
        return None
    return float(np.sqrt(sum(v * v * n for v, n in known) / sum(n for _, n in known))) / KCAL_MOL


def _described(sets: BeadSets) -> dict[str, dict[str, Any]]:
    forces = np.concatenate([np.ravel(b.forces) for b in sets.work if b.forces is not None]) / KCAL_MOL
    x = np.concatenate([np.ravel(b.positions) for b in sets.work])
    return {
        "positions": {"key": "R", "count": int(x.size), "unit": "Å", "mean": float(x.mean()), "std": float(x.std())},
        "forces": {"key": "F", "count": int(forces.size), "unit": "kcal/mol/Å", "mean": float(forces.mean()),
                   "std": float(forces.std())},
    }  # fmt: skip


def parameters_of(model: BeadModel) -> int:
    """Numbers that were fitted, of the prior and of one network."""
    from consilience.potentials.beads.prior_normal import coefficients
    from consilience.potentials.weights import split

    count = 0 if model.prior is None else sum(np.size(a) for a in jax.tree.leaves(coefficients(model.prior)))
    if model.networks:
        count += sum(np.size(a) for a in jax.tree.leaves(split(model.networks[0])[0]))
    return int(count)


def reference_of(beads: Beads) -> dict[str, Any]:
    """A frame that a model keeps for its own checks."""
    return {
        "residues": list(beads.residues),
        "chain": [int(c) for c in beads.chain],
        "number": [int(k) for k in beads.number],
        "positions": np.round(beads.positions[0], 5).tolist(),
    }


def prove(
    model: BeadModel, sets: BeadSets, folder: OutputFolder, recipe: BeadRecipe
) -> tuple[list[Any], dict[str, Any]]:
    """The laws on a frame of the first protein, and a trial in dynamics of the longest and of all free proteins."""
    from consilience.jobs.check.beads_model import card_of

    first = sets.work[0]
    longest = max(sets.work, key=lambda b: len(b.residues))
    tried = {b.name: b for b in (longest, *sets.free)}
    how = {"steps": TRIAL_STEPS, **recipe.trial}
    folder.log(f"proving the model on {first.name}, and by {how['steps']} steps of dynamics of {', '.join(tried)}")
    checks, card = card_of(model, chains_of_beads(first), first.positions[0], first.masses)
    trials = {}
    for name, b in tried.items():
        energy = model.energy(chains_of_beads(b))
        trials[name] = trial(energy, b.positions[0], b.masses, **how)
        if not trials[name]["stable"]:
            folder.log(f"{name}: not stable: {trials[name]['why']}")
    card["trials"] = trials
    return checks, card


def _gradients(fitted: Fitted, sets: BeadSets, recipe: BeadRecipe) -> dict[str, Any]:
    """Gradients of the terms that were fitted against central differences, float64, two directions each."""
    from consilience.core.gradcheck import check_gradients
    from consilience.core.params import Block, Model
    from consilience.jobs.train_beads.sets import sample_of
    from consilience.potentials.beads.batch import packed
    from consilience.potentials.beads.prior_fit import ForceMatching
    from consilience.potentials.beads.prior_normal import coefficients, normal
    from consilience.potentials.beads.terms import BeadForces
    from consilience.potentials.weights import split

    pairs = []
    first = sets.work[0].select(np.arange(min(8, len(sets.work[0]))))
    assert first.forces is not None
    if fitted.model.prior is not None:
        values = coefficients(fitted.model.prior)
        obs = normal(fitted.model.prior, chains_of_beads(first), first.positions, first.forces)
        term = ForceMatching(np.asarray(0.5), tuple(values))
        blocks = {k: Block.of(jax.tree.map(np.asarray, v)) for k, v in values.items()}
        pairs += [g.as_dict() for g in check_gradients(term, Model.of(**blocks), obs, directions=2)]
    if fitted.model.networks:
        model = fitted.model.cast(64)
        weights, rest = split(model.networks[0])
        packs = packed([sample_of(first.select(np.arange(min(4, len(first)))))], model.networks[0].cutoff)
        term = BeadForces(rest, None, np.asarray(0.5))
        found = check_gradients(term, Model.of(net=Block(jax.tree.map(np.asarray, weights))), packs, directions=2)
        pairs += [g.as_dict() for g in found]
    return {"max_rel_error": max(p["rel_error"] for p in pairs), "pairs": pairs}


def _prior_history(fitted: Fitted) -> list[dict[str, Any]]:
    assert fitted.prior is not None
    return [
        {"epoch": 1, "loss": r["value_after"], "steps": r["steps"]} for r in fitted.prior.fit.history if r["stage"] >= 0
    ]
