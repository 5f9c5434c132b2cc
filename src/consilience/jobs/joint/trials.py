"""Does a kind of evidence agree with the others? Short refinements with and without it, judged on steer data alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from consilience.core.fit import fit
from consilience.core.params import Model
from consilience.core.stages import Protocol
from consilience.jobs.refine.problem import Refinement, reflection_nats
from consilience.jobs.refine.protocol import steered_weights
from consilience.xray.experiment import Fitted

WORSE = -2.5  # standard errors of the paired differences: others are predicted worse
OWN_WORSE = -1.0  # the same for what was held out of the evidence itself
STRAIN, STRAIN_MORE, SOUND = 1.3, 0.2, 0.8  # bond r.m.s.Z with over without, a rise and a level allowed in any case


@dataclass(frozen=True)
class Seen:
    """Steer nats (s,) of every kind of data, bond r.m.s.Z, and what was fitted, after a short refinement."""

    nats: Mapping[str, np.ndarray]
    bond: float
    fitted: Fitted


@dataclass(frozen=True)
class Verdict:
    """Whether evidence is used, why, the gain of steer data by kind in standard errors (positive: better), its weight.

    Evidence that is not used has weight 0.
    """

    used: bool
    reason: str
    gains: Mapping[str, float]
    weight: float = 1.0


def paired(without: np.ndarray, with_it: np.ndarray) -> float:
    """Mean of the paired differences (n,) without - with, in standard errors; 0 for fewer than five."""
    d = np.asarray(without) - np.asarray(with_it)
    if len(d) < 5:
        return 0.0
    error = float(d.std(ddof=1) / np.sqrt(len(d)))
    return float(d.mean() / error) if error > 1e-12 * max(abs(float(d.mean())), 1e-12) else 0.0


def steer_state(problem: Refinement, model: Model) -> dict[str, np.ndarray]:
    """-log likelihood of each steer observation (nmr: residue) by kind; the problem was prepared at this model."""
    assert problem.fitted is not None
    found = {"xray": reflection_nats(problem.crystal, problem.fitted, problem.crystal.steer)}
    for e in problem.evidence:
        nats = e.standing(model).steer_nats
        if len(nats):
            found[e.name] = nats
    return found


def refined_briefly(problem: Refinement, protocol: Protocol, weights: Mapping[str, float]) -> Seen:
    """From the start of the problem, with some weights fixed."""
    stages = tuple(
        replace(s, weights=replace(s.weights, fixed={**s.weights.fixed, **weights}), decide=False) for s in protocol
    )  # all stages count: the one of the best steer score would be the start where nothing is gained
    done = fit(problem.start(), {}, stages, prepare=problem.prepare, controller=steered_weights)
    nats, bond = steer_state(problem, done.model), float(done.state.scores["rmsz"].get("bond", 0.0))
    assert problem.fitted is not None
    return Seen(nats, bond, problem.fitted)


def on_trial(
    problem: Refinement,
    name: str,
    protocol: Protocol,
    others: Mapping[str, float],
    weights: Sequence[float],
    say: Callable[[str], Any],
) -> Verdict:
    """Evidence `name` of a problem with each of some weights, against the same refinement without it.

    `others`: weights of evidence that was judged before. The verdict is that of the first weight that passes: no other
    kind of data is predicted worse, the bonds are not strained, and what was held out of it follows what was fitted;
    else of the last. What strains the bonds is wrong, and gets no second weight. Free data are not read.
    """
    without = refined_briefly(problem, protocol, {**others, name: 0.0})
    c, verdict = problem.crystal, Verdict(False, "not used: there is no weight to try", {}, 0.0)
    for weight in weights:
        with_it = refined_briefly(problem, protocol, {**others, name: weight})
        same = {**without.nats, "xray": reflection_nats(c, without.fitted, c.steer, with_it.fitted)}  # one error model
        gains = {k: paired(same[k], with_it.nats[k]) for k in same}
        for kind, gain in gains.items():
            say(f"trial of {name}, weight {weight:g}: steer data of {kind} {gain:+.1f} standard errors")
        say(f"bond r.m.s.Z {without.bond:.2f} without, {with_it.bond:.2f} with it")
        verdict = judged(name, gains, with_it.bond, without.bond, weight)
        if verdict.used or strained(with_it.bond, without.bond):
            break
    return verdict


def strained(bond: float, bond_without: float) -> bool:
    """Whether bond r.m.s.Z is too high with evidence, for what it is without."""
    return bond > max(SOUND, STRAIN * bond_without, bond_without + STRAIN_MORE)


def judged(name: str, gains: Mapping[str, float], bond: float, bond_without: float, weight: float = 1.0) -> Verdict:
    """The verdict on evidence from gains of steer data in standard errors and bond r.m.s.Z with and without it."""
    others = {k: g for k, g in gains.items() if k != name}
    worst = min(others, key=lambda k: others[k], default=None)
    if worst is not None and others[worst] < WORSE:
        what = f"not used: steer data of {worst} are predicted worse with it ({others[worst]:+.1f} standard errors)"
        return Verdict(False, what, gains, 0.0)
    if strained(bond, bond_without):
        what = f"not used: it strains the bonds (r.m.s.Z {bond_without:.2f} without, {bond:.2f} with it)"
        return Verdict(False, what, gains, 0.0)
    if gains.get(name, 0.0) < OWN_WORSE:
        what = f"not used: what was held out of it does not follow what was fitted ({gains[name]:+.1f} standard errors)"
        return Verdict(False, what, gains, 0.0)
    said = ", ".join(f"{k} {g:+.1f}" for k, g in gains.items())
    return Verdict(True, f"used: steer data agree (gain in standard errors: {said})", gains, weight)
