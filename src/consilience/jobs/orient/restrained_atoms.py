"""All atoms against relaxation data and geometry, after the domains: linkers close, N-H turn within restraints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gemmi
import numpy as np

from consilience.core.fit import Carry, Prepared, fit
from consilience.core.lbfgs import LBFGS
from consilience.core.params import Block, Model
from consilience.core.stages import Stage
from consilience.jobs.orient.orientation import Orientation
from consilience.jobs.orient.problem import Domains
from consilience.nmr.profile import profile
from consilience.structure.atoms import Structure
from consilience.structure.contacts import find_contacts
from consilience.structure.restraints import Geometry, rmsz
from consilience.structure.topology import Topology

SOLVER = LBFGS(max_step={"xyz": 0.2, "dynamics": 0.5}, tolerance=1e-7)
STEPS, STAGES = 25, 4
SOLUTION = gemmi.UnitCell(1e4, 1e4, 1e4, 90, 90, 90)  # Å: no neighbours by symmetry


@dataclass(frozen=True)
class Restrained:
    """Coordinates (a, 3) Å, scores and bond, angle, ... r.m.s.Z before and after, and whether they were kept."""

    xyz: np.ndarray
    before: dict[str, Any]
    after: dict[str, Any]
    accepted: bool
    reason: str


def restrain(problem: Domains, done: Orientation, structure: Structure, topology: Topology) -> Restrained:
    """Move all atoms with natural weights: half of chi2 of the work residues and the restraints, both in nats.

    The tensor is held. `structure`, without hydrogens, is that of the problem. The result is kept unless chi2 of the
    steer residues rises beyond what their errors explain (two standard deviations above one per datum).
    """
    split = problem.split
    obs, seen = problem.observed(split.work), problem.observed(split.work | split.steer)
    unseen = problem.observed(split.free)
    count = {s: max(1, int(problem.observed(getattr(split, s)).count.sum())) for s in ("work", "steer", "free")}

    def prepare(model: Model, carry: Carry, stage: Stage | None) -> Prepared:
        xyz, tensor = np.asarray(model["xyz"]), np.asarray(model["diffusion"])
        contacts = find_contacts(
            xyz,
            topology.ride(xyz),
            topology.nonbonded,
            SOLUTION,
            gemmi.SpaceGroup("P 1"),
            structure.occ,
            capacity=int(carry.get("contacts", 0)),
        )
        chi2 = profile(problem.term, xyz, tensor, seen, problem.slow).chi2
        hidden = profile(problem.term, xyz, tensor, unseen, problem.slow).chi2
        scores = {
            "chi2_work": float(chi2[split.work].sum()),
            "chi2_steer": float(chi2[split.steer].sum()),
            "rmsz": rmsz(topology.restraints, xyz),
        }
        terms = {"nmr": problem.term, "geometry": Geometry(topology.restraints, contacts)}
        free = {"chi2_free": float(hidden[split.free].sum())}
        kept = {"contacts": np.array(len(contacts.index))}
        return Prepared(model, terms, {"nmr": obs}, kept, scores["chi2_steer"] / count["steer"], scores, free)

    blocks = done.model.blocks
    model = Model.of(xyz=Block.of(done.xyz), diffusion=blocks["diffusion"], dynamics=blocks["dynamics"])
    stages = tuple(Stage(("xyz", "dynamics"), STEPS, SOLVER, phase="atoms", decide=False) for _ in range(STAGES))
    result = fit(model, {}, stages, prepare=prepare)
    first, last = result.history[0], result.history[-1]
    before, after = ({**h["scores"], **h["free"]} for h in (first, last))
    usual = count["steer"] + 2 * float(np.sqrt(2 * count["steer"]))
    accepted = after["chi2_steer"] <= max(before["chi2_steer"], usual)
    change = ", ".join(f"{s} {before[f'chi2_{s}'] / n:.2f} -> {after[f'chi2_{s}'] / n:.2f}" for s, n in count.items())
    bond = f"bond r.m.s.Z {before['rmsz'].get('bond', 0.0):.2f} -> {after['rmsz'].get('bond', 0.0):.2f}"
    verdict = "kept" if accepted else "not kept, the steer residues disagree"
    reason = f"all atoms with restraints: {bond}, chi2 per datum {change}: {verdict}"
    return Restrained(np.asarray(result.model["xyz"]) if accepted else done.xyz, before, after, accepted, reason)
