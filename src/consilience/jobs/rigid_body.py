"""Rigid bodies before anything else: each chain turns and shifts as a whole, low resolution first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from consilience.core.fit import Prepared
from consilience.core.lbfgs import LBFGS
from consilience.core.objective import Objective
from consilience.core.params import Bijector, Block, Model
from consilience.jobs.refine_problem import Refinement
from consilience.structure.atoms import Structure
from consilience.xray.experiment import Crystal

RESOLUTIONS = (6.0, 4.5, 3.0)  # Å
STEPS, FEWEST = 25, 100
SOLVER = LBFGS(max_step={"xyz": 0.5}, tolerance=1e-7)


class RigidBodies(Bijector):
    """xyz (n, 3) from raw (k, 6): turn and shift of each body, in Å (a turn at the body's radius of gyration).

    `body` (n,) numbers the bodies; `centre` (k, 3), `radius` (k,) Å, `place` (n, 3) where they start.
    """

    body: Any
    centre: Any
    radius: Any
    place: Any

    def forward(self, raw):
        turn = jax.vmap(rotation)(raw[:, :3] / self.radius[:, None])
        moved = jnp.einsum("nij,nj->ni", turn[self.body], self.place - self.centre[self.body])
        return moved + self.centre[self.body] + raw[self.body, 3:]

    def inverse(self, value):
        return np.zeros((len(self.centre), 6))


def rotation(w: jax.Array) -> jax.Array:
    """Matrix of the unit quaternion (1, w / 2) / |(1, w / 2)|: a turn by about |w| radians, smooth at zero."""
    x, y, z = w / 2
    s = 2 / (1 + x * x + y * y + z * z)
    return jnp.array(
        [
            [1 - s * (y * y + z * z), s * (x * y - z), s * (x * z + y)],
            [s * (x * y + z), 1 - s * (x * x + z * z), s * (y * z - x)],
            [s * (x * z - y), s * (y * z + x), 1 - s * (x * x + y * y)],
        ]
    )


def bodies_of(structure: Structure) -> np.ndarray:
    """(n,) chain number of each atom; waters and chains of fewer than ten atoms go with the nearest other."""
    chain = np.array([k for k, c in enumerate(structure.hierarchy[0]) for r in c for _ in r])
    water = np.array([r.is_water() for c in structure.hierarchy[0] for r in c for _ in r], bool)
    large = [k for k in np.unique(chain) if np.sum((chain == k) & ~water) >= 10]
    if not large:
        return np.zeros(len(structure), int)
    body = np.full(len(structure), -1)
    for number, k in enumerate(large):
        body[(chain == k) & ~water] = number
    anchored = body >= 0
    for i in np.nonzero(~anchored)[0]:
        nearest = np.argmin(np.sum((structure.xyz[anchored] - structure.xyz[i]) ** 2, axis=1))
        body[i] = body[anchored][nearest]
    return body


def place_bodies(problem: Refinement) -> np.ndarray:
    """Coordinates (n, 3) Å of the structure after rigid-body refinement against its own work data."""
    structure, whole = problem.structure, problem.crystal
    body, xyz = bodies_of(structure), structure.xyz
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
