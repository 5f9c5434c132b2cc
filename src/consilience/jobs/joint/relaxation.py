"""Relaxation data in a refinement against diffraction: the tensor, motion, and N-H directions of free atoms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from consilience.core.errors import Finding, InputError, raise_errors
from consilience.core.params import Block, Model
from consilience.jobs.common.options import RefineOptions
from consilience.jobs.joint.evidence import Standing
from consilience.jobs.orient.domains import Bodies
from consilience.jobs.orient.problem import Domains, Split
from consilience.jobs.relaxation.inputs import read_tensor
from consilience.nmr.amides import amide_atoms, amide_frames
from consilience.nmr.blocks import Motion, matrix, tensor_block
from consilience.nmr.data import KINDS, RelaxationData
from consilience.nmr.directions import follow_directions
from consilience.nmr.profile import profile
from consilience.nmr.read import read_relaxation
from consilience.nmr.tumbling import Shape
from consilience.nmr.vectors import amide_vectors
from consilience.structure.atoms import Structure

FEWEST = 12  # amides: a tensor, and something held out
FLEXIBLE_NOE = 0.65
NULLS = 25  # isotropic tensors that are tried
CHANCE = 0.02  # with which rates may follow directions that are not theirs
STEER = 0.2  # of the residues: they decide whether the data are used


@dataclass(frozen=True)
class RelaxationEvidence:
    """Rates of amides over "xyz", "diffusion" and "dynamics"; `tensor` (3, 3) rad^2/ns of a `shape` is the start.

    The residues are split into work, steer and free; a free residue is scored with its own motion fitted anew.
    Isotropic tumbling (shape "iso") says nothing of coordinates.
    """

    problem: Domains
    tensor: np.ndarray
    shape: Shape
    reason: str = ""
    name: str = "nmr"
    tried: tuple[float, ...] = (1.0,)

    def blocks(self) -> dict[str, Block]:
        """Tensor and motion, at the best motion for the start."""
        p = self.problem
        block = tensor_block(self.tensor, self.shape)
        seen = p.observed(p.split.work | p.split.steer)
        motion = profile(p.term, p.xyz, np.asarray(block.value), seen, p.slow).motion
        free = np.tile([False, True, False, p.slow, False], (len(p.atoms), 1))
        return {"diffusion": block, "dynamics": Block.of(motion, Motion(free, motion))}

    def term(self, model: Model) -> Any:
        """The same for any model."""
        return self.problem.term

    def observed(self, final: bool) -> Any:
        """Rates of work residues; in final stages of steer residues too."""
        return self._seen if final else self._work

    def standing(self, model: Model) -> Standing:
        """chi2 of residues, each with its own best motion."""
        p, xyz = self.problem, np.asarray(model["xyz"])
        tensor = np.asarray(model["diffusion"])
        chi2 = profile(p.term, xyz, tensor, self._seen, p.slow).chi2
        hidden = profile(p.term, xyz, tensor, self._hidden, p.slow).chi2
        parts = {s: (hidden if s == "free" else chi2)[getattr(p.split, s)] for s in ("work", "steer", "free")}
        scores = {s: {"chi2": float(v.sum()), "n": float(self._count(s))} for s, v in parts.items()}
        halves = parts["steer"] / 2, self._count("steer"), parts["free"] / 2
        return Standing(scores["work"], scores["steer"], scores["free"], *halves)

    def informative(self, model: Model) -> tuple[bool, str]:
        """Whether rates follow N-H directions, and these explain steer residues better than isotropic tumbling does."""
        p, xyz, tensor = self.problem, np.asarray(model["xyz"]), np.asarray(model["diffusion"])
        if self.shape == "iso":
            return False, self.reason
        seen = p.data.select(rows=~p.split.free)
        nh, _ = amide_frames(xyz[p.atoms[~p.split.free]])
        chance = follow_directions(seen.value, seen.measured, seen.columns, np.asarray(nh))
        if chance is not None and chance > CHANCE:
            return False, f"dealt to other residues, R2/R1 follow them as closely with p = {chance:.2f}"
        rows = p.split.steer
        own = profile(p.term, xyz, tensor, self._seen, p.slow).chi2[rows]
        sizes = tensor[:3].mean() * np.linspace(0.7, 1.3, NULLS)
        flat = [profile(p.term, xyz, np.r_[d, d, d, 0, 0, 0], self._seen, p.slow).chi2 for d in sizes]
        null = min(flat, key=lambda chi2: float(chi2[p.split.work].sum()))[rows]
        per = max(1, self._count("steer"))
        found = (
            f"chi2 per datum of steer residues {own.sum() / per:.2f}, with isotropic tumbling {null.sum() / per:.2f}"
        )
        return bool(own.sum() < null.sum()), found

    def _count(self, part: str) -> int:
        return int(self.problem.observed(getattr(self.problem.split, part)).count.sum())

    @cached_property
    def _work(self) -> Any:
        return self.problem.observed(self.problem.split.work)

    @cached_property
    def _seen(self) -> Any:
        return self.problem.observed(self.problem.split.work | self.problem.split.steer)

    @cached_property
    def _hidden(self) -> Any:
        return self.problem.observed(self.problem.split.free)


@dataclass(frozen=True)
class Rates:
    """Relaxation data of residues whose amide the model has, as read."""

    data: RelaxationData
    atoms: np.ndarray  # (n, 3)
    paths: tuple[Path, ...]
    findings: tuple[Finding, ...]


def read_rates(paths: Sequence[Path], structure: Structure, options: RefineOptions) -> Rates:
    """Data for the amides of a structure without hydrogens. Raises InputError for anything that must stop the run."""
    for name in options.without:
        if name not in KINDS:
            raise InputError("--without names no kind of rate", found=name, expected=", ".join(KINDS))
    data = read_relaxation([str(p) for p in paths])
    data = data.select(columns=np.array([c.kind not in options.without for c in data.columns]))
    amides = amide_vectors(structure, data.residues)
    raise_errors(amides.findings)
    atoms = amide_atoms(structure, data.residues)
    known = np.asarray((atoms >= 0).all(axis=1) & data.measured.any(axis=1))
    if known.sum() < FEWEST:
        found, where = f"{int(known.sum())} amides with data", ", ".join(map(str, paths))
        raise InputError("too few amides of the model have relaxation data", where, found, f"at least {FEWEST}")
    data, atoms = data.select(rows=known), atoms[known]
    return Rates(data, atoms, tuple(paths), (*data.findings, *amides.findings))


def relaxation_evidence(rates: Rates, xyz: np.ndarray, options: RefineOptions, seed: int) -> RelaxationEvidence:
    """Evidence with the tensor that the work residues support at coordinates (a, 3) Å; residues that move are left out.

    Tumbling that is isotropic within the errors, or that `--diffusion iso` asks for, gives evidence that does not act
    on coordinates.
    """
    data = rates.data
    noe = np.array([c.kind == "NOE" for c in data.columns])
    stiff = np.asarray((data.measured.sum(axis=1) >= 2) & ~np.any(data.value[:, noe] < FLEXIBLE_NOE, axis=1))
    bodies = Bodies(np.zeros(len(xyz), int), xyz.mean(axis=0)[None], ("all",))
    split = Split.of(stiff, np.zeros(len(stiff), int), seed, steer=STEER)
    kinds = tuple(k for k in KINDS if k in {c.kind for c in data.columns})
    problem = Domains(xyz, bodies, rates.atoms, data, split, kinds)
    tensor, shape, reason = _tensor(problem, options)
    return RelaxationEvidence(problem.without_outliers(xyz, tensor), tensor, shape, reason)


def _tensor(problem: Domains, options: RefineOptions) -> tuple[np.ndarray, Shape, str]:
    from consilience.nmr.analysis import AnalysisOptions, analyse

    if options.tensor is not None:
        given = read_tensor(options.tensor)
        values = np.linalg.eigvalsh(given)
        if np.ptp(values) < 0.02 * values[-1]:
            return given, "iso", "the given tensor is isotropic"
        return given, "rhombic", ""
    rows = problem.split.work
    nh, side = (np.asarray(v) for v in amide_frames(np.asarray(problem.xyz)[problem.atoms[rows]]))
    choices = AnalysisOptions(
        diffusion=options.diffusion, models=("m2" if problem.slow else "m1",), csa_angle=problem.csa_angle
    )
    done = analyse(problem.data.select(rows=rows), nh, side, choices)
    if done.tumbling is None:
        raise InputError("no tumbling explains the relaxation data", fix="check rates, errors and fields")
    if done.kind == "iso":
        tests = ", ".join(f"{t.kind} p = {t.p:.1e}" for t in done.tried if t.p is not None) or "as asked"
        return done.tumbling.diffusion, "iso", f"tumbling is isotropic within the errors (F tests: {tests})"
    return done.tumbling.diffusion, done.tumbling.shape, ""


def tensor_of(model: Model) -> np.ndarray:
    """(3, 3) rad^2/ns."""
    return matrix(np.asarray(model["diffusion"]), np)
