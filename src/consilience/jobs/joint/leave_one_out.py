"""What each term contributes: the model refined on with every term left out in turn, scored on free data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from consilience.core.balance import Policy
from consilience.core.fit import Carry, Fit, fit
from consilience.core.params import Model
from consilience.core.stages import Stage
from consilience.jobs.joint.trials import paired
from consilience.jobs.refine.problem import Refinement, reflection_nats
from consilience.jobs.refine.protocol import SOLVER, STEPS
from consilience.xray.experiment import Fitted

CYCLES = 3
CLEAR = 2.0  # standard errors of the paired differences of free data
LOOSER = 1.2  # a term without which bond r.m.s.Z grows by this factor holds the geometry
WORDS = {1: "helps", 0: "does nothing measurable for the others", -1: "hurts"}


@dataclass(frozen=True)
class Left:
    """Scores after the refit without a term, free nats (f,) of each kind of data, and the fit to diffraction."""

    scores: dict[str, Any]
    nats: Mapping[str, np.ndarray]
    fitted: Fitted


def leave_one_out(problem: Refinement, done: Fit, unused: Mapping[str, str]) -> dict[str, Any]:
    """{term: {r_free, nll_free, chi2_free, rmsz, energy_kT, gain {data: standard errors}, words}}, "none" first.

    From the end of a fit, `CYCLES` macrocycles with the last weights and one of them zero, with work data only; then
    the tensor and motion for the new coordinates. "none" leaves nothing out. `gain` is that of free data by having the
    term. `unused` {term: reason}: evidence that had weight 0 already, which is not refitted.
    """
    last = next((h for h in reversed(done.history) if h["active"]), None)
    if last is None:
        return {}
    weights = {k: float(v) for k, v in last["weights"].items()}
    active = tuple(last["active"])
    whole = _refit(problem, done.model, done.state.carry, weights, active)
    table: dict[str, Any] = {"none": whole.scores}
    for name in weights:
        if name in unused:
            table[name] = {**whole.scores, "gain": {}, "words": f"{name}: {unused[name]}"}
        elif name != "jelly" and weights[name] > 0:
            left = _refit(problem, done.model, done.state.carry, {**weights, name: 0.0}, active)
            table[name] = _row(problem, name, left, whole)
    return table


def _refit(
    problem: Refinement, model: Model, carry: Carry, weights: Mapping[str, float], active: tuple[str, ...]
) -> Left:
    policy = Policy(fixed=dict(weights))
    stages = [Stage(active, STEPS, SOLVER, weights=policy, phase="left out", decide=False)] * CYCLES
    if {"diffusion", "dynamics"} <= set(active):
        blocks = ("diffusion", "dynamics")
        stages.append(Stage(blocks, 4 * STEPS, SOLVER, terms=("nmr",), phase="left out", decide=False))

    def prepare(moved: Model, kept: Carry, stage: Stage | None):
        return problem.prepare(moved, kept or carry, stage or stages[0])

    done = fit(model, {}, tuple(stages), prepare=prepare)
    assert problem.fitted is not None
    free = problem.crystal.reflections.free
    nats = {"xray": reflection_nats(problem.crystal, problem.fitted, free)} if free.any() else {}
    scores: dict[str, Any] = {
        "r_free": done.state.free["r_free"] if free.any() else None,
        "nll_free": done.state.free["nll_free"] if free.any() else None,
        "r_work": done.state.scores["r_work"],
        "rmsz": done.state.scores["rmsz"],
    }
    for e in problem.evidence:
        standing = e.standing(done.model)
        if len(standing.free_nats):
            nats[e.name] = standing.free_nats
            scores["chi2_free"] = standing.free["chi2"] / max(standing.free["n"], 1.0)
        if "energy_kT" in standing.work:
            scores["energy_kT"] = standing.work["energy_kT"]
    return Left(scores, nats, problem.fitted)


def _row(problem: Refinement, name: str, left: Left, whole: Left) -> dict[str, Any]:
    nats = dict(left.nats)
    if "xray" in nats:  # one error model for both: its own noise is larger than many a difference
        c = problem.crystal
        nats["xray"] = reflection_nats(c, left.fitted, c.reflections.free, whole.fitted)
    gain = {k: paired(nats[k], whole.nats[k]) for k in whole.nats}
    return {**left.scores, "gain": gain, "words": in_words(name, gain, left.scores["rmsz"], whole.scores["rmsz"])}


def in_words(name: str, gain: Mapping[str, float], rmsz_left: Mapping[str, float], rmsz: Mapping[str, float]) -> str:
    """Whether a term helps, does nothing or hurts, by the free score of the *other* data and by geometry."""
    others = {k: g for k, g in gain.items() if k != name}
    side = {k: int(g > CLEAR) - int(g < -CLEAR) for k, g in others.items()}
    verdict = -1 if -1 in side.values() else 1 if 1 in side.values() else 0
    change = {1: "helps the free score of", 0: "does not change the free score of", -1: "hurts the free score of"}
    parts = [f"{change[side[k]]} {k} ({g:+.1f} standard errors)" for k, g in others.items()]
    before, after = rmsz_left.get("bond", 0.0), rmsz.get("bond", 0.0)
    if before > LOOSER * after:
        parts.append(f"holds the geometry (bond r.m.s.Z {before:.2f} without it, {after:.2f} with it)")
        verdict = verdict or 1
    elif after > LOOSER * before:
        parts.append(f"costs geometry (bond r.m.s.Z {before:.2f} without it, {after:.2f} with it)")
    if name in gain:
        parts.append(f"its own free score gains {gain[name]:+.1f} standard errors")
    return f"{name} {WORDS[verdict]}" + (": " + "; ".join(parts) if parts else "")
