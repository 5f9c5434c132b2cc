"""One refinement against several kinds of evidence: what joins, whether it agrees, and what it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from consilience.core.fit import Fit, fit
from consilience.core.stages import Protocol
from consilience.jobs.common.options import RefineOptions
from consilience.jobs.common.output import OutputFolder
from consilience.jobs.joint.evidence import Evidence
from consilience.jobs.joint.leave_one_out import leave_one_out
from consilience.jobs.joint.potential import PotentialEvidence, potential_evidence
from consilience.jobs.joint.relaxation import Rates, RelaxationEvidence, relaxation_evidence, tensor_of
from consilience.jobs.joint.trials import Verdict, on_trial
from consilience.jobs.refine.problem import Refinement
from consilience.jobs.refine.protocol import refinement_protocol, steered_weights
from consilience.jobs.refine.scores import cycle_line
from consilience.nmr.diffusion import DiffusionKind, correlation_time, principal_axes

ALONE = "checkpoint-alone.safetensors"
TRIAL_CYCLES = 3
SETS = ("work", "steer", "free")


@dataclass(frozen=True)
class Joint:
    """A problem with its evidence, what was decided of each, and the cycles that ran before it was there."""

    problem: Refinement
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    history: Sequence[dict[str, Any]] = ()
    cycles: int = 0  # that are left

    @property
    def weights(self) -> dict[str, float]:
        """Of the evidence that was judged; 0 of what is not used."""
        return {name: v.weight for name, v in self.verdicts.items()}

    @property
    def blocks(self) -> tuple[str, ...]:
        """Blocks of the evidence that is used."""
        used = [e for e in self.problem.evidence if self.weights.get(e.name, 1.0)]
        return tuple(name for e in used for name in e.blocks())


def join(
    problem: Refinement, rates: Rates | None, options: RefineOptions, folder: OutputFolder, *, as_it_is: bool = False
) -> Joint:
    """Evidence for a problem. Coordinates are first refined without: a tensor needs directions, a potential sane bonds.

    Each kind then stands trial (`trials.on_trial`) unless the user gave its weight. With `as_it_is` neither is done,
    for stages of the user's own. Raises InputError where a potential or relaxation data do not fit the model.
    """
    moving = options.cycles > 0 and options.xyz and not as_it_is
    history: list[dict[str, Any]] = []
    cycles = options.cycles
    evidence: list[Evidence] = []
    if moving:
        first = max(1, cycles // 3)
        problem, history = _alone(problem, first, options, folder)
        cycles -= first
    if options.potential is not None:
        found = potential_evidence(options.potential, problem.structure, problem.topology)
        folder.log(f"potential {options.potential}: E / kT at {found.temperature:g} K of {found.applies}")
        evidence.append(found)
    if rates is not None:
        told = relaxation_evidence(rates, problem.structure.xyz, options, folder.run.seed)
        _tell_relaxation(told, folder)
        evidence.append(told)
    problem = replace(problem, evidence=tuple(evidence), fitted=None, _plans={})
    verdicts: dict[str, Verdict] = {}
    if not moving:
        return Joint(problem, verdicts, history, cycles)
    for e in evidence:
        if isinstance(e, RelaxationEvidence):
            good, why = e.informative(problem.start())
            if not good:
                what = f"not used: directions of N-H carry nothing here ({why})"
                verdicts[e.name] = Verdict(False, what, {}, 0.0)
    for e in evidence:
        if e.name in verdicts or e.name in (options.weights or {}):
            continue
        joint = Joint(problem, verdicts)
        stages = main_stages(joint, TRIAL_CYCLES, options)
        verdicts[e.name] = on_trial(problem, e.name, stages, joint.weights, e.tried, folder.log)
    for name, verdict in verdicts.items():
        folder.log(f"{name} {verdict.reason}")
    return Joint(problem, verdicts, history, cycles)


def main_stages(joint: Joint, cycles: int, options: RefineOptions) -> Protocol:
    """Stages that see no steer data, with isotropic displacement."""
    user = {**(options.weights or {}), **joint.weights}
    found = refinement_protocol(cycles + 2, "joint", options.xyz, options.b, user, more=joint.blocks)
    return tuple(s for s in found if s.phase == "main")[:cycles]


def _alone(
    problem: Refinement, cycles: int, options: RefineOptions, folder: OutputFolder
) -> tuple[Refinement, list[dict[str, Any]]]:
    """The problem with coordinates and B after some cycles without further evidence, and their records."""
    folder.log(f"{cycles} cycles against diffraction data and restraints alone")
    plain = replace(problem, adp="iso", occupancies=False, fitted=None, _plans={})

    def tell(record: dict[str, Any], state: Any) -> None:
        if not record.get("replayed"):
            folder.log(cycle_line(record))

    place = folder.path / ALONE
    done = fit(
        plain.start(),
        {},
        main_stages(Joint(plain), cycles, options),
        prepare=plain.prepare,
        controller=steered_weights,
        callbacks=[tell],
        checkpoint=place,
        resume=folder.resumed,
    )
    s = problem.structure
    moved = s.with_atoms(xyz=np.asarray(done.model["xyz"]), b_iso=np.asarray(done.model["b"]))
    return replace(problem, structure=moved), done.history


def _tell_relaxation(told: RelaxationEvidence, folder: OutputFolder) -> None:
    split, data = told.problem.split, told.problem.data
    unused = int(np.sum(~(split.work | split.steer | split.free)))
    folder.log(f"relaxation data: {', '.join(map(str, data.columns))}")
    folder.log(
        f"residues: {int(split.work.sum())} work, {int(split.steer.sum())} steer, {int(split.free.sum())} free, "
        f"{unused} left out (flexible, too few data, or not explained by a rigid amide)"
    )
    values = ", ".join(f"{v:.4f}" for v in np.linalg.eigvalsh(told.tensor))
    folder.log(f"tumbling {told.shape}: eigenvalues {values} rad^2/ns. {told.reason}".rstrip(". ") + ".")


def joint_summary(joint: Joint, done: Fit, start: Mapping[str, Any]) -> dict[str, Any]:
    """`evidence`, `leave_one_out`, tensor and free scores of a finished joint refinement; `start`: the first record."""
    unused = {name: v.reason for name, v in joint.verdicts.items() if not v.used}
    last = next((h for h in reversed(done.history) if h["active"]), {"weights": {}})
    table = leave_one_out(joint.problem, done, unused)
    out: dict[str, Any] = {"leave_one_out": table, "evidence": {}, "more_scores": {}}
    for e in joint.problem.evidence:
        verdict = joint.verdicts.get(e.name)
        used = verdict is None or verdict.used
        said: dict[str, Any] = {"used": used, "weight": last["weights"].get(e.name, 0.0) if used else 0.0}
        said["reason"] = verdict.reason if verdict is not None else "weight as given"
        now = e.standing(done.model)
        before = {**start["scores"]["evidence"][e.name], "free": start["free"]["evidence"][e.name]}
        if isinstance(e, PotentialEvidence):
            said["applies"] = e.applies
            out["more_scores"][e.name] = {"work": {**now.work, "temperature_K": e.temperature}, "steer": {}, "free": {}}
        else:
            out["more_scores"][e.name] = {s: {**getattr(now, s), "chi2_start": before[s].get("chi2")} for s in SETS}
        if isinstance(e, RelaxationEvidence):
            tensor = tensor_of(done.model)
            kinds: dict[str, DiffusionKind] = {"iso": "iso", "prolate": "axial", "oblate": "axial"}
            axes = principal_axes(tensor, kinds.get(e.shape, "rhombic")).as_dict()
            out["diffusion"] = {**axes, "tensor": tensor.tolist()}
            out["tau_c_ns"] = correlation_time(tensor)
        out["evidence"][e.name] = said
    return out


def fold_scores(summary: dict[str, Any]) -> dict[str, Any]:
    """The summary with the scores of evidence among the others."""
    more = summary.pop("more_scores")
    return {**summary, "scores": {**summary["scores"], **more}}


def whole_course(joint: Joint, later: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Records of the cycles before the evidence was there and of those after, numbered through."""
    shift = joint.history[-1]["stage"] + 2 if joint.history else 0
    return [*joint.history, *({**h, "stage": h["stage"] + shift} for h in later)]


def in_table(summary: Mapping[str, Any]) -> list[str]:
    """The table of terms left out, as lines."""
    lines = ["without      R-free   nll free  chi2 free  bond Z  energy kT"]
    for name, row in summary["leave_one_out"].items():
        cells = (row.get("r_free"), row.get("nll_free"), row.get("chi2_free"), row["rmsz"].get("bond"),
                 row.get("energy_kT"))  # fmt: skip
        forms = ((8, 4), (9, 4), (9, 3), (6, 2), (9, 1))
        shown = "  ".join(" " * n if c is None else f"{c:{n}.{d}f}" for c, (n, d) in zip(cells, forms, strict=True))
        lines.append(f"{name:<10s} {shown}".rstrip())
    return lines + [row["words"] for row in summary["leave_one_out"].values() if "words" in row]
