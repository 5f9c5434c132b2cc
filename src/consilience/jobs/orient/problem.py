"""What an orientation of rigid domains is fitted to: coordinates, bodies, data, and who of the residues sees them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.stats import chi2 as chi2_distribution

from consilience.core.fit import Carry, Prepared
from consilience.core.params import Block, Model
from consilience.core.stages import Stage
from consilience.jobs.orient.domains import Bodies
from consilience.nmr.amide_constants import CSA_ANGLE, R_NH
from consilience.nmr.blocks import Motion, six, tensor_block
from consilience.nmr.data import KINDS, RelaxationData
from consilience.nmr.profile import profile
from consilience.nmr.term import Observed, Relaxation
from consilience.nmr.tumbling import Shape
from consilience.structure.rigid import Turns

OUTLIER = 1e-4  # probability below which a residue is taken to have motion of another kind


@dataclass(frozen=True)
class Split:
    """(n,) bool each: residues that are fitted, that decisions see, that only the report sees; a row may be in none."""

    work: np.ndarray
    steer: np.ndarray
    free: np.ndarray

    @classmethod
    def of(cls, used: np.ndarray, body: np.ndarray, seed: int, free: float = 0.15, steer: float = 0.1) -> Split:
        """The same share of every body's residues; `used` (n,) bool, `body` (n,) int."""
        rng, group = np.random.default_rng([seed, 15]), np.full(len(used), "none", dtype="<U5")
        for k in np.unique(body[used]):
            rows = rng.permutation(np.flatnonzero(used & (body == k)))
            first, second = int(np.ceil(free * len(rows))), int(np.ceil(steer * len(rows)))
            group[rows] = "work"
            group[rows[:first]], group[rows[first : first + second]] = "free", "steer"
        return cls(group == "work", group == "steer", group == "free")


@dataclass(frozen=True)
class Domains:
    """An orientation problem: coordinates (a, 3) Å and bodies, amides (n, 3), data of n residues, and their split."""

    xyz: np.ndarray
    bodies: Bodies
    atoms: np.ndarray
    data: RelaxationData
    split: Split
    kinds: tuple[str, ...] = KINDS
    csa_angle: float = CSA_ANGLE  # degrees
    r_nh: float = R_NH  # Å
    constants: str = "codata2022"

    @cached_property
    def term(self) -> Relaxation:
        """Over all residues."""
        return Relaxation.of(
            self.atoms, self.data.columns, csa_angle=self.csa_angle, r_nh=self.r_nh, constants=self.constants
        )

    def observed(self, rows: np.ndarray) -> Observed:
        """What is measured of some residues (n,) bool."""
        return Observed.of(self.data, rows, self.kinds)

    @property
    def slow(self) -> bool:
        """Enough data for an internal time of each residue, not S2 alone."""
        return bool(np.median(self.observed(self.split.work).count.sum(1)[self.split.work]) > 2)

    def without_outliers(self, xyz: np.ndarray, diffusion: np.ndarray) -> Domains:
        """The same without work and steer residues that do not fit a model (exchange, slow motion): p < OUTLIER.

        xyz (a, 3) Å, diffusion (3, 3) rad^2/ns. Errors are scaled so that the middle residue fits. Free residues stay.
        """
        seen = self.split.work | self.split.steer
        obs = self.observed(seen)
        chi2 = profile(self.term, xyz, six(np.asarray(diffusion), np), obs, self.slow).chi2
        freedom = np.maximum(obs.count.sum(axis=1) - 1 - self.slow, 1)
        usual = max(1.0, float(np.median(chi2[seen] / chi2_distribution.median(freedom[seen]))))
        good = ~(seen & (chi2_distribution.sf(chi2 / usual, freedom) < OUTLIER))
        return replace(self, split=Split(self.split.work & good, self.split.steer & good, self.split.free))

    def start(self, diffusion: np.ndarray, shape: Shape, turn: np.ndarray) -> Model:
        """Blocks at a tensor (3, 3) rad^2/ns with the bodies turned by `turn` (k - 1, 3) rad."""
        turns = Turns(self.bodies.body, self.bodies.pivot, self.xyz)
        tensor = tensor_block(diffusion, shape)
        xyz, numbers = np.asarray(turns.forward(turn)), np.asarray(tensor.value)
        motion = profile(self.term, xyz, numbers, self.observed(self.split.work | self.split.steer), self.slow)
        free = np.tile([False, True, False, self.slow, False], (len(self.atoms), 1))
        return Model.of(
            xyz=Block(np.asarray(turn, float), turns),
            diffusion=tensor,
            dynamics=Block.of(motion.motion, Motion(free, motion.motion)),
        )

    def prepare(self, fitted: np.ndarray):
        """A preparation for core.fit: `fitted` (n,) bool rows are the work observations of the solver."""
        obs, split = self.observed(fitted), self.split
        seen, hidden = split.work | split.steer, split.free
        n_work, n_steer, n_free = (max(1, int(self.observed(r).count.sum())) for r in (split.work, split.steer, hidden))

        def prepared(model: Model, carry: Carry, stage: Stage | None) -> Prepared:
            xyz, tensor = np.asarray(model["xyz"]), np.asarray(model["diffusion"])
            chi2 = profile(self.term, xyz, tensor, self.observed(seen), self.slow).chi2
            unseen = profile(self.term, xyz, tensor, self.observed(hidden), self.slow).chi2
            scores = {
                "chi2_work": float(chi2[split.work].sum()),
                "chi2_steer": float(chi2[split.steer].sum()),
                "n_work": n_work,
                "n_steer": n_steer,
            }
            free = {"chi2_free": float(unseen[hidden].sum()), "n_free": n_free}
            steer = scores["chi2_steer"] / n_steer
            return Prepared(model, {"nmr": self.term}, {"nmr": obs}, {}, steer, scores, free)

        return prepared
