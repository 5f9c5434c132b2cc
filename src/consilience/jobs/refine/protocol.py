"""The protocol of a refinement: its stages, and how weights follow geometry and the steer set from one to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from consilience.core.balance import Policy
from consilience.core.errors import InputError
from consilience.core.fit import History
from consilience.core.lbfgs import LBFGS
from consilience.core.stages import Protocol, Stage
from consilience.structure.atoms import Structure

if TYPE_CHECKING:
    from consilience.jobs.fit.mixture import StageSaid

Adp = Literal["iso", "aniso", "given"]
ANISO_D_MIN, ANISO_DATA = 1.4, 2.0  # Å; reflections for each parameter

LIMITS = {"xyz": 0.4, "b": 0.5, "u": 0.5, "occ": 0.5, "diffusion": 0.2, "dynamics": 1.0, "hydrogens": 0.2}
SOLVER = LBFGS(max_step=LIMITS, tolerance=3e-6)
STEPS, FINAL_STAGES, PATIENCE = 5, 2, 3
START = Policy(ratio={"geometry": 1.0, "adp": 1.0}, reference="xray", lo=0.15, hi=2.0)
ADP_SHARE = 2.0  # weight of the ADP restraints over that of the geometry, once the refinement has started
Z_TARGET, Z_LOWEST = 0.8, 0.55  # bond r.m.s.Z aimed at; every sign of overfitting lowers the aim
WEIGHT_RANGE = (0.005, 20.0)


def displacement_model(option: str, d_min: float, n_work: int, structure: Structure) -> Adp:
    """How displacement is described: "iso", "aniso" (after isotropic cycles), or "given" (tensors of the model).

    "auto" is anisotropic at 1.4 Å or better with at least two work reflections for each of nine parameters per atom.
    """
    enough = d_min <= ANISO_D_MIN and n_work >= ANISO_DATA * 9 * len(structure)
    if option == "iso" or (option == "auto" and not enough):
        return "iso"
    return "given" if structure.is_aniso.mean() > 0.5 else "aniso"


def refinement_protocol(
    cycles: int,
    blocks: str,
    xyz: bool,
    b: bool,
    user: Mapping[str, float] | None,
    adp: Adp = "iso",
    occ: bool = False,
    more: tuple[str, ...] = (),
) -> Protocol:
    """Stages for a number of macrocycles, with the steer set in the last of them.

    Joint: coordinates and displacement parameters together; alternate: in turn, two stages for each cycle. Weights that
    the user gives are obeyed as they are. Anisotropic displacement follows isotropic cycles, a third of all, unless the
    model brings it. Occupancies (`occ`) are one block more; `more`
    names blocks of other evidence, which move with the coordinates.
    """
    if cycles == 0 or not (xyz or b or occ):
        return ()

    def turns_of(displacement: str) -> list[tuple[str, ...]]:
        chosen = [name for name, on in (("xyz", xyz), (displacement, b), ("occ", occ)) if on]
        if blocks == "joint":
            return [(*chosen, *more)]
        return [(name, *(more if name == "xyz" else ())) for name in chosen]

    turns = turns_of("b" if adp == "iso" else "u")
    policy = replace(START, fixed=dict(user or {}))
    final = min(FINAL_STAGES, cycles - 1) if cycles > 1 else 0
    patience = PATIENCE * len(turns)
    first = (cycles - final + 1) // 3 if adp == "aniso" and b else 0
    before = [Stage(t, STEPS, SOLVER, weights=policy, phase="iso") for _ in range(first) for t in turns_of("b")]
    main = before + [
        Stage(t, STEPS, SOLVER, weights=policy, patience=patience) for _ in range(cycles - final - first) for t in turns
    ]
    end = [Stage(t, STEPS, SOLVER, weights=policy, phase="final", decide=False) for _ in range(final) for t in turns]
    return tuple(main + end)


def listed_stages(said: Sequence[StageSaid], user: Mapping[str, float] | None, blocks: Sequence[str]) -> Protocol:
    """Stages as a user listed them, over blocks that the model has; the last ones see steer data only if all do.

    Policies: natural (weight 1), ratio (restraints against diffraction by gradients), fixed (the weights given, others
    1). Raises InputError for a block that this model lacks.
    """
    out = []
    for i, stage in enumerate(said):
        missing = [name for name in stage.active if name not in blocks]
        if missing:
            found, known = ", ".join(missing), ", ".join(blocks)
            raise InputError("a stage moves a block that this model lacks", f"protocol[{i}]", found, known)
        fixed = dict(user or {})
        policy = replace(START, fixed=fixed) if stage.weights == "ratio" else Policy(fixed=fixed)
        terms = (
            None if stage.terms is None else (*stage.terms, *(("adp", "jelly") if "geometry" in stage.terms else ()))
        )
        out.append(Stage(stage.active, stage.steps, SOLVER, terms, policy, phase="listed"))
    return tuple(out)


def steered_weights(history: History, stage: Stage) -> Policy:
    """Weights of the next stage from geometry and steer data.

    The first stages use the ratio of gradient norms. Then the weight of the geometry is moved, by a factor of at most
    1.6, towards a bond r.m.s.Z of 0.8; each stage that did not improve the steer score lowers that aim, to no less than
    0.55. The ADP restraints keep a fixed ratio to the geometry. The free set is not in what this function may read.
    """
    policy = stage.weights
    used = [h["weights"]["geometry"] for h in history if h["weights"].get("geometry")]
    if not used or "geometry" in policy.fixed:
        return policy
    weight = float(used[-1])
    settled = len(used) > 1
    if stage.decide and settled:
        z = history[-1]["scores"]["rmsz"].get("bond", Z_TARGET)
        worse = sum(1 for h in history if h.get("phase") == stage.phase and not h.get("best", True))
        aim = max(Z_LOWEST, Z_TARGET - 0.1 * worse)
        weight *= float(np.clip(z / aim, 1 / 1.6, 1.6))
    weight = float(np.clip(weight, *WEIGHT_RANGE))
    follow = {"geometry": weight, "adp": ADP_SHARE * weight, "jelly": weight}
    return replace(policy, fixed={**follow, **policy.fixed})
