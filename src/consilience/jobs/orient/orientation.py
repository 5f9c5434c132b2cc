"""Orient rigid domains with relaxation data: turns, the tensor and internal motion together, judged on held-out data.

The first body stays and the tensor is fitted in its frame; the others turn. Relaxation does not see translation, so
that is held. No decision reads the free residues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import f as f_distribution

from consilience.core.fit import Fit, fit
from consilience.core.lbfgs import LBFGS
from consilience.core.params import Block, Model
from consilience.core.stages import Stage
from consilience.jobs.orient.problem import Domains
from consilience.nmr.blocks import matrix
from consilience.nmr.diffusion import principal_axes
from consilience.nmr.term import Jacobians, jacobians
from consilience.nmr.tumbling import SIZE, Shape
from consilience.structure.rigid import Turns, rotation

SIGNIFICANCE = 1e-3  # of the F test for turning at all
UNDETERMINED = np.radians(20.0)  # a turn with a larger standard error than this is called undetermined
SOLVER = LBFGS(max_step={"xyz": 0.2, "diffusion": 0.2, "dynamics": 1.0}, tolerance=1e-8, memory=20)
STEPS, STAGES = 60, 4
BLOCKS = ("xyz", "diffusion", "dynamics")


@dataclass(frozen=True)
class TurnOfBody:
    """How a body turned: matrix (3, 3) from the start, its angle (rad), and what is known of it.

    `sigma` (3,) rad about the tensor's axes, infinite where undetermined; `undetermined` (u, 3) axes in the model's
    frame about which the data allow any turn; `alternatives` (3,) rad: how far from the start the turns lie that the
    data cannot tell from this one (half a turn about each axis of the tensor).
    """

    name: str
    matrix: np.ndarray
    sigma: np.ndarray
    undetermined: np.ndarray
    alternatives: np.ndarray

    @property
    def angle(self) -> float:
        """rad."""
        return angle_of(self.matrix)

    @property
    def axis(self) -> np.ndarray:
        """(3,) unit vector; z where nothing turned."""
        w = np.array([self.matrix[2, 1], self.matrix[0, 2], self.matrix[1, 0]])
        w = w - np.array([self.matrix[1, 2], self.matrix[2, 0], self.matrix[0, 1]])
        size = np.linalg.norm(w)
        return w / size if size > 1e-9 else np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class Orientation:
    """Result: coordinates (a, 3) Å, tensor (3, 3) rad^2/ns, bodies, scores at the start and now, and the decision.

    `before`, `after`: chi2 of work, steer, free with their counts; before is the start with its own best tensor.
    `accepted` says that turning is supported: F test on work data with probability `p`, and a better steer score.
    `found` (k - 1, 3, 3): the turns of the fit, whether or not they were accepted.
    """

    xyz: np.ndarray
    diffusion: np.ndarray
    shape: Shape
    model: Model
    turns: tuple[TurnOfBody, ...]
    found: np.ndarray
    before: dict[str, float]
    after: dict[str, float]
    p: float
    accepted: bool
    reason: str
    history: list[dict[str, Any]]


def orient(
    problem: Domains,
    diffusion: np.ndarray,
    shape: Shape,
    *,
    hold: bool = False,
    starts: int = 3,
    spread: float = 0.2,
    seed: int = 0,
) -> Orientation:
    """Turn the bodies of a problem from a tensor (3, 3) rad^2/ns of one shape, which is fitted too unless on `hold`.

    The first start is the model itself, the others are turned by about `spread` rad at random; the best by work and
    steer residues is taken, kept where the turn is significant, and then refined against both.
    """
    split, count = problem.split, len(problem.bodies.names)
    rng = np.random.default_rng([seed, 3])
    blocks = tuple(b for b in BLOCKS if not (hold and b == "diffusion"))
    first = Stage(blocks[1:], STEPS, SOLVER, phase="tensor", decide=False)  # what turning is compared with
    protocol = (first, *(Stage(blocks, STEPS, SOLVER, phase="turn", patience=2) for _ in range(STAGES)))
    runs: list[Fit] = []
    for k in range(starts):
        turn = np.zeros((count - 1, 3)) if k == 0 else spread * rng.normal(size=(count - 1, 3)) / np.sqrt(3)
        runs.append(fit(problem.start(diffusion, shape, turn), {}, protocol, prepare=problem.prepare(split.work)))
    reference = runs[0].history[1]
    best = min(runs, key=lambda r: r.state.scores["chi2_work"] + r.state.scores["chi2_steer"])
    p = _probability(problem, reference["scores"], best.state.scores, 0 if hold else SIZE[shape], 3 * (count - 1))
    better = best.state.scores["chi2_steer"] < reference["scores"]["chi2_steer"]
    found = _matrices(best.model)
    accepted = bool(p < SIGNIFICANCE and better)
    if accepted:
        reason = f"the turn is supported: F test p = {p:.1e}, the steer score fell"
        both = split.work | split.steer
        final = (Stage(blocks, 2 * STEPS, SOLVER, phase="final", decide=False),)
        chosen = fit(best.model, {}, final, prepare=problem.prepare(both))
        history = best.history + [{**h, "stage": len(protocol)} for h in chosen.history[1:]]
        found = _matrices(chosen.model)
    else:
        weak = f"F test p = {p:.1e}" + ("" if better else ", and the steer score did not fall")
        reason = f"no turn is supported: {weak}; the start is kept"
        chosen = fit(problem.start(diffusion, shape, np.zeros((count - 1, 3))), {}, (first,),
                     prepare=problem.prepare(split.work))  # fmt: skip
        history = best.history
    state = chosen.state
    after = {**state.scores, **state.free}
    tensor = matrix(np.asarray(state.model["diffusion"]), np)
    model = _untwisted(state.model, tensor) if shape in ("prolate", "oblate") else state.model
    found = _matrices(model) if accepted else found
    fitted = split.work | split.steer if accepted else split.work
    return Orientation(
        np.asarray(model["xyz"]) if accepted else problem.xyz,
        tensor,
        shape,
        model,
        tuple(_turns(problem, model, tensor, fitted, after, hold)),
        found,
        {**reference["scores"], **reference["free"]},
        after,
        p,
        accepted,
        reason,
        history,
    )


def angle_of(m: np.ndarray) -> float:
    """Angle in rad of a rotation matrix (3, 3)."""
    return float(np.arccos(np.clip((np.trace(m) - 1) / 2, -1, 1)))


def _untwisted(model: Model, tensor: np.ndarray) -> Model:
    """Bodies turned back about the unique axis of an axial tensor, which no rate sees, to be nearest to their start."""
    axis = principal_axes(tensor, "axial").axes[2]
    half = np.asarray(model.blocks["xyz"].raw) / 2  # quaternions (1, half), not normalised
    t = half @ axis
    # product of the quaternions (1, -t axis) and (1, half): the twist about the axis taken off
    scalar = 1 + t * t
    vector = half - t[:, None] * axis - t[:, None] * np.cross(axis, half)
    return model.with_raw({"xyz": 2 * vector / scalar[:, None]})


def _matrices(model: Model) -> np.ndarray:
    return np.array([np.asarray(rotation(w)) for w in model.blocks["xyz"].raw])


def _probability(problem: Domains, before: dict, after: dict, tensor: int, more: int) -> float:
    """That chi2 of the work residues falls as much by chance, for `more` parameters (F test).

    Misfit beyond the errors is taken to be common to the rates of a residue: the data then count for less by the
    design effect 1 + (m - 1) r (Kish 1965), m data for each residue, r the share of the variance beyond the errors.
    """
    residues = int(problem.split.work.sum())
    freedom = before["n_work"] - residues * (1 + problem.slow) - tensor - more
    if freedom <= 0:
        return 1.0
    reduced = max(after["chi2_work"] / freedom, 1e-12)
    effect = 1 + (freedom / residues - 1) * max(1 - 1 / reduced, 0.0) if freedom > residues else 1.0
    gain = max(before["chi2_work"] - after["chi2_work"], 0.0)
    return float(f_distribution.sf(gain / more / (reduced * effect), more, freedom / effect))


def information(jac: Jacobians) -> np.ndarray:
    """Fisher information (3 k', 3 k') of turns, with the tensor and every residue's own motion projected out."""
    turns, motion = jac.xyz.shape[-1], jac.dynamics
    whole = np.concatenate([jac.xyz, jac.diffusion], -1)
    out = np.zeros((whole.shape[-1],) * 2)
    for j, own in zip(whole, motion, strict=True):
        own = own[:, np.linalg.norm(own, axis=0) > 0]
        q = np.linalg.qr(own)[0] if own.shape[1] else np.zeros((len(j), 0))
        rest = j - q @ (q.T @ j)
        out += rest.T @ rest
    a, b, d = out[:turns, :turns], out[:turns, turns:], out[turns:, turns:]
    return a - b @ np.linalg.pinv(d, rcond=1e-12, hermitian=True) @ b.T if d.size else a


def _turns(
    problem: Domains, model: Model, tensor: np.ndarray, rows: np.ndarray, scores: dict, hold: bool
) -> Sequence[TurnOfBody]:
    here = Turns(problem.bodies.body, problem.bodies.pivot, np.asarray(model["xyz"]))
    at = Model({**model.blocks, "xyz": Block(np.zeros_like(model.blocks["xyz"].raw), here)})
    jac = jacobians(problem.term, at, problem.observed(rows))
    fisher = information(jac._replace(diffusion=jac.diffusion[..., :0]) if hold else jac)
    own = max(1.0, scores["chi2_work"] / max(scores["n_work"] - problem.split.work.sum() * (1 + problem.slow), 1))
    value, vector = np.linalg.eigh(fisher / own)
    covariance = (vector / np.maximum(value, 1e-9)) @ vector.T
    axes = np.linalg.eigh(tensor)[1].T
    axes = axes * np.sign(np.linalg.det(axes))
    out = []
    for k, m in enumerate(_matrices(model)):
        part = covariance[3 * k : 3 * k + 3, 3 * k : 3 * k + 3]
        spread, direction = np.linalg.eigh(part)
        loose = np.sqrt(spread) > UNDETERMINED
        sigma = np.sqrt(np.einsum("ki,ij,kj->k", axes, part, axes))
        half = [2 * np.outer(a, a) - np.eye(3) for a in axes]
        far = np.array([angle_of(h @ m) for h in half])
        sigma = np.where(sigma > UNDETERMINED, np.inf, sigma)
        out.append(TurnOfBody(problem.bodies.names[k + 1], m, sigma, direction.T[loose], far))
    return out
