"""The refinement as a problem for core.fit: blocks, terms, and how what follows the atoms is prepared anew."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import equinox as eqx
import numpy as np

from consilience.core.fit import Carry, Fit, Prepared
from consilience.core.gradcheck import check_gradients
from consilience.core.params import Bijector, Block, Composed, Model, Positive, PositiveDefinite, Projected
from consilience.core.stages import Stage
from consilience.jobs.joint.evidence import Evidence, Standing
from consilience.jobs.refine.carry import carried_errors, carried_scale, packed
from consilience.jobs.refine.protocol import Adp
from consilience.jobs.refine.result import Refined
from consilience.jobs.refine.statistics import geometry_outliers, ramachandran_counts, residue_table
from consilience.structure.atoms import Structure
from consilience.structure.contacts import find_contacts
from consilience.structure.jelly import JellyBody, jelly_pairs
from consilience.structure.nonbonded import Riding
from consilience.structure.occupancy import Shares, partial_occupancies
from consilience.structure.restraints import Geometry, rms_deviations, rmsz
from consilience.structure.special import SpecialPositions, special_positions
from consilience.structure.topology import Topology
from consilience.xray.adp import Similarity, similar_pairs
from consilience.xray.adp_aniso import AnisotropicSimilarity, clipped, isotropic
from consilience.xray.experiment import Crystal, Fitted, refit, start_term
from consilience.xray.fourier import ReflectionIndex
from consilience.xray.maps import fourier_map, map_coefficients
from consilience.xray.scattering import Source
from consilience.xray.sigmaa import amplitude_nll
from consilience.xray.statistics import correlation, r_factor
from consilience.xray.term import Atoms, Diffraction, Target, beq

Z_TOP = 0.95  # bond r.m.s.Z above which the steer score is penalised
B_RANGE = (1.0, 500.0)  # Å^2


@dataclass
class Refinement:
    """Structure, topology and crystal of one refinement; what `prepare` returns depends on its arguments only."""

    structure: Structure  # heavy atoms
    topology: Topology
    crystal: Crystal
    target: Target = "ml"
    source: Source = "xray"
    adp: Adp = "iso"
    occupancies: bool = False
    jelly: bool = False
    evidence: tuple[Evidence, ...] = ()  # besides diffraction and restraints
    fitted: Fitted | None = None  # of the last preparation, for the files
    _plans: dict[bool, Diffraction] = field(default_factory=dict, repr=False)

    @cached_property
    def special(self) -> SpecialPositions:
        s, r = self.structure, self.crystal.reflections
        return special_positions(s.xyz, r.cell, r.spacegroup, self._bonded)

    @cached_property
    def shares(self) -> Shares | None:
        """What `--occupancy partial` refines; None where no atom is partial."""
        return partial_occupancies(self.structure, self.special.order > 1)

    @property
    def _bonded(self) -> np.ndarray:
        return np.isin(np.arange(len(self.structure)), self.topology.bonded)

    def start(self) -> Model:
        s, special = self.structure, self.special
        b = np.clip(np.where(s.is_aniso, beq(s.u_aniso), s.b_iso), *B_RANGE)
        on_site = special.any
        blocks = {
            "xyz": Block.of(special.xyz, Projected(special.along, special.xyz) if on_site else Bijector()),
            "b": Block.of(b, Positive()),
            "occ": Block.of(s.occ, self.shares if self.occupancies else None),
        }
        if self.adp != "iso":
            u = clipped(np.where(s.is_aniso[:, None], s.u_aniso, isotropic(b)), *B_RANGE)
            definite = PositiveDefinite()
            if on_site:
                u = np.einsum("nij,nj->ni", special.tensor, u)
                definite = Composed(definite, Projected(special.tensor, np.zeros((len(s), 6))))
            blocks["u"] = Block.of(u, definite)
        for e in self.evidence:
            blocks |= e.blocks()
        return Model.of(**blocks)

    def prepare(self, model: Model, carry: Carry, stage: Stage | None) -> Prepared:
        """Hydrogens, contacts, solvent, scale and error model for the atoms as they are; all scores."""
        final = stage is not None and stage.phase == "final"
        aniso = self._is_aniso(carry, stage)
        if aniso and self.adp == "aniso" and "aniso" not in carry:
            model = model.with_values(u=isotropic(model["b"]))
        if aniso:
            u = clipped(np.asarray(model["u"]), *B_RANGE)
            model = model.with_values(u=u, b=beq(u))
        model = model.with_values(b=np.clip(np.asarray(model["b"]), *B_RANGE))
        xyz = np.asarray(model["xyz"])
        riding = self.topology.ride(xyz)
        reflections = self.crystal.reflections
        contacts = find_contacts(
            xyz,
            riding,
            self.topology.nonbonded,
            reflections.cell,
            reflections.spacegroup,
            self.structure.occ,
            capacity=int(carry.get("contacts", 0)),
        )
        term = eqx.tree_at(lambda t: t.atoms, self._term(riding, aniso), self._scatterers(riding))
        term, model, fitted = refit(
            term,
            model,
            self.crystal,
            self._everywhere,
            self.structure,
            scale=carried_scale(carry),
            errors=carried_errors(carry, "errors") if final else None,
            guess=carried_errors(carry, "fitted_errors"),
        )
        self.fitted = fitted
        geometry = Geometry(self.topology.restraints, contacts)
        terms = {"xray": term, "geometry": geometry, "adp": self._similarity(aniso)}
        if self.jelly and not final:
            terms["jelly"] = JellyBody.of(self._springs, xyz)
        obs = {"xray": self.crystal.observed(include_steer=final)}
        terms |= {e.name: e.term(model) for e in self.evidence}
        obs |= {e.name: e.observed(final) for e in self.evidence}
        z = rmsz(geometry.restraints, xyz)
        standing = {e.name: e.standing(model) for e in self.evidence}
        scores, free, steer = self._scores(fitted, z, standing)
        return Prepared(
            model,
            terms,
            obs,
            {**packed(fitted, contacts), **({"aniso": np.array(1)} if aniso else {})},
            None if final or steer is None else steer,
            scores,
            free,
        )

    def result(self, done: Fit, start: Structure) -> Refined:
        """Everything the files and the report need, from the last state of a fit."""
        fitted = self.fitted
        assert fitted is not None
        model = done.model
        xyz = np.asarray(model["xyz"])
        u = np.asarray(model["u"]) if "u" in done.state.terms["xray"].reads else np.zeros((len(xyz), 6))
        structure = self.structure.with_atoms(
            xyz=xyz, b_iso=np.asarray(model["b"]), u_aniso=u, occ=np.asarray(model["occ"])
        )
        double, difference = map_coefficients(self.crystal, fitted)
        maps = fourier_map(double, self.crystal), fourier_map(difference, self.crystal)
        calculated = fourier_map(fitted.f_model, self.crystal)
        geometry = done.state.terms["geometry"]
        deviations = rms_deviations(geometry.restraints, xyz)
        residues = residue_table(structure, maps[0], calculated)
        return Refined(
            structure,
            start,
            self.crystal,
            fitted,
            maps,
            geometry_outliers(self.topology, xyz),
            residues,
            done.history,
            {
                "rmsz": done.state.scores["rmsz"],
                "rmsd_bond": deviations["bond"],
                "rmsd_angle": float(np.degrees(deviations["angle"])),
                "ramachandran": ramachandran_counts(residues),
            },
        )

    def check_gradients(self, done: Fit, directions: int) -> dict[str, Any]:
        """Float64 check of every term at the final model, for the blocks that were refined."""
        active = {b for h in done.history for b in h["active"]}
        pairs, extra = [], {e.name: e for e in self.evidence}
        for name, term in done.state.terms.items():
            blocks = sorted(active & term.reads)
            model, order, step = done.model, 2, 1e-5
            if name in extra:  # near the result: at it these gradients nearly vanish, and their relative errors grow
                model, order, step = _aside(model, extra[name].blocks()), 4, 2e-5
            found = check_gradients(
                term, model, done.state.obs.get(name), blocks, directions=directions, order=order, step=step
            )
            pairs += [e.as_dict() for e in found]
        return {"max_rel_error": max((p["rel_error"] for p in pairs), default=0.0), "pairs": pairs}

    def _is_aniso(self, carry: Carry, stage: Stage | None) -> bool:
        asked = stage is not None and "u" in stage.active
        return self.adp == "given" or (self.adp == "aniso" and (asked or "aniso" in carry))

    def _term(self, riding: Riding, aniso: bool) -> Diffraction:
        if aniso not in self._plans:
            atoms, start = self._scatterers(riding), self.start()
            u = np.asarray(start["u"]) if aniso else None
            plan = start_term(self.structure, atoms, self.crystal, self.source, self.target, u)
            self._plans[aniso] = plan
            r = self.crystal.reflections
            self._everywhere = ReflectionIndex.build(r.hkl, plan.plan.shape, r.cell, r.spacegroup)
        return self._plans[aniso]

    @cached_property
    def _pairs(self) -> tuple[np.ndarray, np.ndarray]:
        s, t = self.structure, self.topology
        return similar_pairs(t.bonded, t.angled, s.xyz, s.altloc)

    @cached_property
    def _springs(self) -> np.ndarray:
        return jelly_pairs(self.structure)

    def _similarity(self, aniso: bool) -> Similarity | AnisotropicSimilarity:
        if not aniso:
            return Similarity(*self._pairs)
        rigid = np.concatenate([self.topology.bonded, self.topology.angled])
        return AnisotropicSimilarity.of(*self._pairs, rigid, self.structure.xyz, self._bonded)

    def _scatterers(self, riding: Riding) -> Atoms:
        n, share = len(self.structure), self.special.share(self.structure.occ)
        return Atoms(
            np.r_[np.arange(n), riding.parent],
            np.r_[np.zeros((n, 3)), riding.offset],
            np.r_[share, riding.occ * share[riding.parent]],
        )

    def _scores(
        self, fitted: Fitted, z: dict[str, float], standing: dict[str, Standing]
    ) -> tuple[dict, dict, float | None]:
        c = self.crystal
        y, f = fitted.f_model, c.amplitude
        free = c.reflections.free
        fitted_only = c.work & ~c.steer
        scores: dict[str, Any] = {
            "r_work": r_factor(f[c.work], y[c.work]),
            "r_steer": r_factor(f[c.steer], y[c.steer]),
            "cc_work": correlation(f[c.work], y[c.work]),
            "rmsz": z,
            "nll_work": _mean_nll(c, fitted, fitted_only),
            "k_sol": fitted.scale.k_sol,
            "b_sol": fitted.scale.b_sol,
        }
        steer = None
        if c.steer.any():
            scores["nll_steer"] = _mean_nll(c, fitted, c.steer)
            nats = scores["nll_steer"] * c.steer.sum() + sum(s.steer_nats.sum() for s in standing.values())
            count = int(c.steer.sum()) + sum(s.steer_count for s in standing.values())
            steer = float(nats / count) + 0.3 * max(0.0, z.get("bond", 0.0) - Z_TOP) ** 2
        held_out: dict[str, Any] = {
            "r_free": r_factor(f[free], y[free]),
            "cc_free": correlation(f[free], y[free]),
            "nll_free": _mean_nll(c, fitted, free),
        }
        if standing:
            scores["evidence"] = {k: {"work": s.work, "steer": s.steer} for k, s in standing.items()}
            held_out["evidence"] = {k: s.free for k, s in standing.items()}
        return scores, held_out, steer


def _aside(model: Model, names: Iterable[str]) -> Model:
    """The model with some blocks a little off their values."""
    rng = np.random.default_rng(0)
    raw = model.raw(names)
    return model.with_raw({k: np.asarray(v) + 0.05 * rng.normal(size=np.shape(v)) for k, v in raw.items()})


def reflection_nats(c: Crystal, fitted: Fitted, mask: np.ndarray, errors: Fitted | None = None) -> np.ndarray:
    """-log likelihood (m,) of the chosen amplitudes, nats; with the error model of another fit, to compare the two."""
    errors = errors or fitted
    fc = errors.d[mask] * np.abs(fitted.f_model[mask])
    return np.asarray(amplitude_nll(c.amplitude[mask], fc, errors.variance[mask], c.centric[mask]))


def _mean_nll(c: Crystal, fitted: Fitted, mask: np.ndarray) -> float:
    return float(np.mean(reflection_nats(c, fitted, mask))) if mask.any() else 0.0
