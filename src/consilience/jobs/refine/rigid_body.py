"""Rigid bodies before anything else: each chain or domain turns and shifts as a whole, low resolution first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from consilience.core.fit import Prepared
from consilience.core.lbfgs import LBFGS
from consilience.core.objective import Objective
from consilience.core.params import Block, Model
from consilience.jobs.refine.problem import Refinement
from consilience.structure.rigid import RigidBodies
from consilience.xray.experiment import Crystal

RESOLUTIONS = (6.0, 4.5, 3.0)  # Å
STEPS, FEWEST = 25, 100
SOLVER = LBFGS(max_step={"xyz": 0.5}, tolerance=1e-7)


def place_bodies(problem: Refinement, body: np.ndarray) -> np.ndarray:
    """Coordinates (n, 3) Å of the structure after refinement of the bodies (n,) against its own work data."""
    structure, whole = problem.structure, problem.crystal
    xyz = structure.xyz
    for d_min in RESOLUTIONS:
        chosen = whole.reflections.d >= d_min
        if np.sum(chosen & whole.work & ~whole.steer) < FEWEST:
            continue
        coarse = Refinement(
            structure.with_atoms(xyz=xyz), problem.topology, _select(whole, chosen), problem.target, problem.source
        )
        xyz = _fit(coarse.prepare(coarse.start(), {}, None), xyz, body)
    return xyz


def _fit(state: Prepared, xyz: np.ndarray, body: np.ndarray) -> np.ndarray:
    count = int(body.max()) + 1
    centre = np.array([xyz[body == k].mean(0) for k in range(count)])
    radius = np.array([np.sqrt(np.sum((xyz[body == k] - centre[k]) ** 2, axis=1).mean()) for k in range(count)])
    bijector = RigidBodies(body, centre, np.maximum(radius, 1.0), xyz)
    model = Model({**state.model.blocks, "xyz": Block(np.zeros((count, 6)), bijector)})
    objective = Objective({"xray": state.terms["xray"]}, state.obs, {"xray": 1.0})
    function = objective.function(model)
    solved = SOLVER.init(function, model.raw(["xyz"]))
    for _ in range(STEPS):
        if solved.done:
            break
        solved = SOLVER.step(function, solved)
    return np.asarray(model.with_raw(solved.raw)["xyz"])


def _select(c: Crystal, chosen: np.ndarray) -> Crystal:
    """The same crystal with some of its reflections."""
    r = c.reflections
    part = replace(r, hkl=r.hkl[chosen], value=r.value[chosen], sigma=r.sigma[chosen], free=r.free[chosen])
    arrays = ("amplitude", "sigma", "work", "steer", "centric", "epsilon", "inv_d2")
    return replace(c, reflections=part, **{name: getattr(c, name)[chosen] for name in arrays})
