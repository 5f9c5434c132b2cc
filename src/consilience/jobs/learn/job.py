"""consil learn: dynamics of an ensemble, mean forces where its members disagree, training with them; in rounds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from consilience.coarse.beads import Beads
from consilience.coarse.meanforce import MeanForces, pooled_error
from consilience.core.errors import Finding, RunError
from consilience.jobs.common.html_table import Shown
from consilience.jobs.common.interrupt import interruptible
from consilience.jobs.common.open_folder import FINISHED, open_folder
from consilience.jobs.common.options import RunOptions
from consilience.jobs.common.output import SUMMARY, OutputFolder
from consilience.jobs.common.runtime import prepare_jax
from consilience.jobs.learn.options import LearnOptions
from consilience.units import KCAL_MOL

WHEN = ("before", "after")
UNSEEN = 5  # every fifth labelled frame is not trained on


@dataclass(frozen=True, repr=False)
class LearnResult(Shown):
    """What `learn` returns: the summary as written, the folder, and the last model (a `BeadModel`)."""

    summary: dict[str, Any]
    folder: Path
    model: Any


def learn(
    inputs: Sequence[str | Path], *, options: LearnOptions | None = None, run: RunOptions | None = None
) -> LearnResult:
    """Active learning of a model of beads; the command `consil learn`.

    `inputs`, in any order: a model folder, all-atom frames as FRAMES:TOPOLOGY, bead files that the model was trained on
    (none: the beads of the all-atom frames). Raises InputError for bad input before anything is written, RunError where
    no frame can be labelled.
    """
    from consilience.jobs.learn.inputs import read_learn_inputs

    options, run = (options or LearnOptions()).checked(), run or RunOptions()
    prepare_jax()
    given = read_learn_inputs(inputs, options)
    folder = open_folder("learn", given.molecules[0].frames.name, run, given.paths)
    with interruptible(folder):
        config = {f.name: getattr(options, f.name) for f in fields(options)}
        folder.begin(given.paths, config, given.findings, given.names)
        return _learn(folder, given, options)


def _learn(folder: OutputFolder, given: Any, options: LearnOptions) -> LearnResult:
    from consilience.coarse.write import write_beads
    from consilience.jobs.learn.inputs import noise_of
    from consilience.jobs.learn.report import write_report
    from consilience.jobs.learn.train import precision_weights, read_labelled, train_options
    from consilience.model import load_model
    from consilience.potentials.beads.model import BeadModel, save_beads

    files, proteins = list(given.files), list(given.proteins)
    if not files:
        files, proteins = [folder / "beads.npz"], [m.beads for m in given.molecules]
        write_beads(files[0], proteins)
    noise = noise_of(proteins)
    model, rounds, labelled, last = given.bundle, [], [], {}
    for number in range(1, options.rounds + 1):
        found = _labels(folder, number, model, given, options)
        files.append(folder / f"labelled-{number}.npz")
        new = read_labelled(files[-1])
        labelled += new
        unseen = folder / f"unseen-{number}.npz"
        aside = read_labelled(unseen) if unseen.is_file() else []
        weights = precision_weights(labelled, proteins, noise)
        place, last = _train(folder, number, files, train_options(model, options, weights))
        after = load_model(place).bundle
        row = {
            **found,
            "weights": weights,
            "labelled": _scores(new, model, after),
            "unseen": _scores(aside, model, after) if aside else None,
            "table": last["table"],
        }
        rounds.append(row)
        folder.log(f"round {number}: " + spoken(row))
        model = after
    info = {**model.info, "learning": {"started_from": given.model.path.name, "rounds": options.rounds,
                                       "labelled_frames": sum(r["labelled"]["n_frames"] for r in rounds)}}  # fmt: skip
    model = BeadModel(model.prior, model.networks, model.shape, info)
    save_beads(folder / "model", model)
    status = last["status"]
    summary = {
        "status": status,
        "unit": "kcal/mol/Å",
        "rounds": rounds,
        "n_labelled": info["learning"]["labelled_frames"],
        "n_dropped": sum(sum(r["dropped"].values()) for r in rounds),
        "force_map": "basic" if options.force_map is None else options.force_map.name,
        "force_field": list(options.force_field),
        "files": [f.name for f in files],
        "table": last["table"],
        "gradients": last["gradients"],
        "scores": last["scores"],
        "warnings": last["warnings"],
    }
    folder.write_csv("history.csv", [_history(k + 1, r) for k, r in enumerate(rounds)])
    full = {**summary, "warnings": [*folder.warnings, *last["warnings"]], "seed": folder.run.seed, **folder.timings()}
    write_report(folder, full)
    written = folder.write_summary(summary)
    folder.log(f"model: {folder.path / 'model'}; report: {folder.path / 'report.html'}")
    return LearnResult(written, folder.path, model)


def _labels(folder: OutputFolder, number: int, model: Any, given: Any, options: LearnOptions) -> dict[str, Any]:
    """Explore, pick and label; writes unseen-N.npz, picked-N.json, labelled-N.npz, unless a resumed run has them."""
    from consilience.jobs.learn.label import label, openmm_engine
    from consilience.jobs.learn.pick import explore, pick
    from consilience.jobs.learn.train import write_labelled

    done, notes = folder / f"labelled-{number}.npz", folder / f"picked-{number}.json"
    if folder.resumed and done.is_file() and notes.is_file():
        return json.loads(notes.read_text(encoding="utf-8"))
    seed = folder.run.seed + 1009 * number
    explored = []
    for m in given.molecules:
        folder.log(f"round {number}: {len(model.networks)} members move {m.beads.name}")
        explored.append(explore(model, m.beads, steps=options.steps, dt=options.dt, seed=seed,
                                temperature=options.temperature, replicas=options.replicas))  # fmt: skip
    chosen = pick(explored, options.frames)
    if not sum(map(len, chosen)):
        raise RunError("no frame of the model's dynamics is sound: beads touch or bonds break; train the model longer")
    platform = openmm_engine().platform_for(folder.run.device)
    found, dropped, counts = [], Counter(), []
    for m, e, rows in zip(given.molecules, explored, chosen, strict=True):
        if not len(rows):
            continue
        folder.log(f"round {number}: labelling {len(rows)} frames of {m.beads.name}, {options.ps:g} ps each")
        one = label(e.beads.select(rows), m.frames, m.map, m.forces, temperature=options.temperature, ps=options.ps,
                    force_field=options.force_field, platform=platform, seed=seed)  # fmt: skip
        for k, why in one.dropped.items():
            folder.log(f"frame {rows[k]} of {m.beads.name} is dropped: {why}")
        dropped.update(_kind(why) for why in one.dropped.values())
        counts.append({"protein": m.beads.name, "picked": len(rows), "labelled": len(one.beads)})
        found.append(one)
    total = sum(len(f.beads) for f in found)
    if not total:
        reasons = "; ".join(f"{why}: {n}" for why, n in dropped.items())
        fix = "fewer --steps, a lower --temperature, or a model trained longer: its frames are not those of a molecule"
        raise RunError(f"no frame could be labelled: {reasons}\n  to do: {fix}")
    if sum(dropped.values()) > total:
        what = "more than half of the frames could not be reached by the atoms: the model leaves what molecules do"
        counted = f"{sum(dropped.values())} of {total + sum(dropped.values())}"
        folder.warn(Finding("warn", what, f"round {number}", counted, fix="fewer --steps"))
    order = np.split(np.arange(total), np.cumsum([len(f.beads) for f in found])[:-1])
    aside = [o % UNSEEN == UNSEEN - 1 for o in order]
    if any(a.any() for a in aside):
        write_labelled(folder / f"unseen-{number}.npz", [_part(f, a) for f, a in zip(found, aside, strict=True)])
    said = {
        "round": number,
        "explored": sum(e.n_frames for e in explored),
        "sound": sum(len(e.beads) for e in explored),
        "runs_failed": int(sum(e.failed for e in explored)),
        "disagreement_explored": float(np.concatenate([e.disagreement for e in explored]).mean()) / KCAL_MOL,
        "picked": sum(map(len, chosen)),
        "dropped": dict(dropped),
        "proteins": counts,
    }
    folder.write(notes.name, json.dumps(said, indent=1) + "\n")
    write_labelled(done, [_part(f, ~a) for f, a in zip(found, aside, strict=True)])
    return said


def _kind(why: str) -> str:
    kinds = ("a CA is", "strained", "chirality", "the dynamics")
    names = ("not reached", "strained", "chirality or peptide bond", "broken dynamics")
    return next((n for k, n in zip(kinds, names, strict=True) if why.startswith(k)), why)


def _part(found: Any, rows: np.ndarray) -> Any:
    kept = np.flatnonzero(rows)
    return replace(found, beads=found.beads.select(kept), error=found.error[kept], noise=found.noise[kept],
                   frame=found.frame[kept])  # fmt: skip


def _train(folder: OutputFolder, number: int, files: Sequence[Path], options: Any) -> tuple[Path, dict[str, Any]]:
    """The training of a round in round-N, continued or left as it is in a resumed run; its folder and summary."""
    from consilience.jobs.train.job import train

    place = folder / f"round-{number}"
    old = _summary(place)
    if folder.resumed and old.get("status") in FINISHED:
        return place, old
    folder.log(f"round {number}: training on {', '.join(f.name for f in files)}")
    own = replace(folder.run, output=place, overwrite=not folder.resumed)
    return place, train(files, options=options, run=own).summary


def _summary(place: Path) -> dict[str, Any]:
    try:
        return json.loads((place / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _scores(labelled: Sequence[tuple[Beads, MeanForces]], before: Any, after: Any) -> dict[str, Any]:
    """Disagreement (mean over frames) and error of the mean forces of two models, kcal/mol/Å.

    The error is free of the standard errors of the means (0 where these are larger); `raw` is with them.
    """
    from consilience.jobs.learn.pick import disagreement
    from consilience.jobs.train_beads.forces import mean_forces

    out: dict[str, Any] = {"n_frames": sum(len(b) for b, _ in labelled)}
    errors = np.concatenate([m.error.ravel() for _, m in labelled])
    means = np.concatenate([m.mean.ravel() for _, m in labelled])
    out["standard_error"] = float(np.sqrt(np.mean(errors**2))) / KCAL_MOL
    out["mean_force_rms"] = float(np.sqrt(np.mean(means**2))) / KCAL_MOL
    for name, model in zip(WHEN, (before, after), strict=True):
        apart = np.concatenate([disagreement(model, b) for b, _ in labelled])
        error = pooled_error([(mean_forces(model, b), m) for b, m in labelled])
        out[name] = {
            "disagreement": float(apart.mean()) / KCAL_MOL,
            "mean_force_error": error.value / KCAL_MOL,
            "mean_force_error_err": error.standard_error / KCAL_MOL,
            "mean_force_error_raw": error.raw / KCAL_MOL,
        }
    return out


def spoken(row: Mapping[str, Any]) -> str:
    """One line about a round."""
    parts = []
    for name, words in (("labelled", "labelled frames"), ("unseen", "frames set aside")):
        if (one := row[name]) is not None:
            (d, e), (later, less) = ([one[w][k] for k in ("disagreement", "mean_force_error")] for w in WHEN)
            parts.append(f"{one['n_frames']} {words}: disagreement {d:.2f} -> {later:.2f}, "
                         f"error of mean forces {e:.2f} -> {less:.2f} kcal/mol/Å")  # fmt: skip
    return "; ".join(parts)


def _history(number: int, row: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {"round": number, "picked": row["picked"], "dropped": sum(row["dropped"].values())}
    for name in ("labelled", "unseen"):
        one = row[name]
        for when in WHEN:
            for key in ("disagreement", "mean_force_error"):
                out[f"{name}_{key}_{when}_kcal_A"] = None if one is None else one[when][key]
    return out
