"""One diffraction experiment around a model: who may see which reflections, and the refit of what is not the atoms.

Solvent, scale and error model are found anew whenever the atoms have moved.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import equinox as eqx
import numpy as np

from consilience.core.params import Model
from consilience.structure.atoms import Structure
from consilience.xray.fourier import EIGHT_PI2, ISOTROPIC, ReflectionIndex, matrix, plan_structure_factors
from consilience.xray.reflections import Reflections
from consilience.xray.scaling import Scale, fit_scale, scattering_vectors
from consilience.xray.scattering import Source, form_factors
from consilience.xray.sigmaa import (
    AmplitudeData,
    ErrorModel,
    correct_error_model,
    figure_of_merit,
    fit_error_model,
    measured_variance,
)
from consilience.xray.solvent import mask_structure_factors, solvent_mask
from consilience.xray.term import Atoms, Diffraction, Observed, Target

B_MIN = 1.0  # Å^2


@dataclass(frozen=True)
class Crystal:
    """Reflections split for one refinement. `work` includes `steer`; all arrays (m,) over the reflections.

    `amplitude`, `sigma`: the observations as amplitudes (French & Wilson's for intensities), used for scaling and
    statistics.
    """

    reflections: Reflections
    amplitude: np.ndarray
    sigma: np.ndarray
    work: np.ndarray
    steer: np.ndarray
    centric: np.ndarray
    epsilon: np.ndarray
    inv_d2: np.ndarray

    @classmethod
    def of(
        cls, reflections: Reflections, amplitude: np.ndarray, sigma: np.ndarray, steer_share: float, seed: int
    ) -> Crystal:
        """Hold back `steer_share` of the work reflections, drawn with a fixed seed from the work set alone."""
        ops = reflections.spacegroup.operations()
        work = ~reflections.free
        steer = np.zeros(len(work), bool)
        chosen = np.random.default_rng(seed).random(int(work.sum())) < steer_share
        steer[np.flatnonzero(work)[chosen]] = True
        return cls(
            reflections,
            amplitude,
            sigma,
            work,
            steer,
            np.asarray(ops.centric_flag_array(reflections.hkl)),
            np.asarray(ops.epsilon_factor_array(reflections.hkl), float) / len(list(ops.cen_ops)),
            reflections.inv_d2,
        )

    def observed(self, include_steer: bool) -> Observed:
        """Arrays over the work reflections for the term; steer ones count 0 unless included. No free reflection."""
        w = self.work
        value = self.reflections.value if self.reflections.kind == "intensity" else self.amplitude
        sigma = self.reflections.sigma if self.reflections.kind == "intensity" else self.sigma
        counts = np.where(self.steer & (not include_steer), 0.0, 1.0)
        return Observed(value[w], sigma[w], self.centric[w], counts[w])

    def amplitudes(self, mask: np.ndarray, f_model: np.ndarray) -> AmplitudeData:
        f = np.abs(f_model)
        return AmplitudeData(self.amplitude, self.sigma, f, self.epsilon, self.centric, self.inv_d2).select(mask)


@dataclass(frozen=True)
class Fitted:
    """What a refit found: structure factors on the scale of the data, (m,) over all reflections."""

    scale: Scale
    errors: ErrorModel
    fitted_errors: ErrorModel  # before the correction by held-out reflections
    f_calc: np.ndarray  # atoms alone, absolute scale
    f_model: np.ndarray  # k (F_c + solvent)
    d: np.ndarray
    variance: np.ndarray
    fom: np.ndarray


def start_term(
    structure: Structure, atoms: Atoms, crystal: Crystal, source: Source, target: Target, u=None
) -> Diffraction:
    """A diffraction term for the heavy atoms of `structure` plus riding hydrogens, before any refit."""
    elements = np.r_[structure.element, np.full(len(atoms.parent) - len(structure), "H")]
    a5, b5 = form_factors(elements, source)
    cell, sg = crystal.reflections.cell, crystal.reflections.spacegroup
    b = np.maximum(structure.b_iso, B_MIN)[atoms.parent]
    aniso = None if u is None else np.arange(len(elements)) < len(structure)
    plan = plan_structure_factors(
        cell, float(crystal.inv_d2.max() ** -0.5), a5, b5, b, None if u is None else u[atoms.parent], aniso
    )
    at = ReflectionIndex.build(crystal.reflections.hkl[crystal.work], plan.shape, cell, sg)
    m = int(crystal.work.sum())
    one = np.ones(m)
    return Diffraction(plan, at, atoms, np.zeros(m, complex), one, one, one, target, aniso=u is not None)


def refit(
    term: Diffraction,
    model: Model,
    crystal: Crystal,
    everywhere: ReflectionIndex,
    structure: Structure,
    *,
    scale: Scale | None = None,
    errors: ErrorModel | None = None,
    guess: ErrorModel | None = None,
) -> tuple[Diffraction, Model, Fitted]:
    """Solvent mask, scale and error model for the atoms as they are; returns the term, the model, and what was fitted.

    The isotropic part of the scale goes into the atomic B (the model changes by that much): the scale left in the term
    is traceless. `errors` fixes the error model; otherwise its shape comes from the fitted reflections and its level
    from the steer set; `scale` and `guess` are where the fits start. Free reflections are computed for display and
    never looked at.
    """
    b = np.array(model["b"])
    u = np.array(model["u"]) if term.aniso else None
    term = eqx.tree_at(lambda t: t.plan, term, term.plan.resort(*_expanded(term, b, u)))
    reflections, work = crystal.reflections, crystal.work
    f_calc = term.f_calc(model, everywhere)
    mask = solvent_mask(structure.with_atoms(xyz=np.asarray(model["xyz"])), float(crystal.inv_d2.max() ** -0.5))
    f_mask = mask_structure_factors(mask, reflections.hkl)
    scale = fit_scale(
        crystal.amplitude[work],
        crystal.sigma[work],
        f_calc[work],
        f_mask[work],
        reflections.hkl[work],
        reflections.cell,
        reflections.spacegroup,
        scale,
    )
    shift = scale.b_overall
    lowest = b.min() if u is None else min(b.min(), EIGHT_PI2 * np.linalg.eigvalsh(matrix(u)).min())
    shift = max(shift, B_MIN - lowest)
    if abs(shift) > 1e-3:
        f_calc = f_calc * np.exp(-shift * crystal.inv_d2 / 4)
        model = model.with_values(b=b + shift)
        if u is not None:
            model = model.with_values(u=u + shift / EIGHT_PI2 * ISOTROPIC)
        scale = replace(scale, b_overall=scale.b_overall - shift, b_sol=scale.b_sol + shift)
    solvent = scale.solvent(crystal.inv_d2) * f_mask
    overall = scale.overall(scattering_vectors(reflections.hkl, reflections.cell))
    f_model = overall * (f_calc + solvent)
    shape = errors or guess
    if errors is None:
        fitted = work & ~crystal.steer if crystal.steer.any() else work
        shape = errors = fit_error_model(crystal.amplitudes(fitted, f_model), start=guess)
        if crystal.steer.any():
            errors = correct_error_model(errors, crystal.amplitudes(crystal.steer, f_model))
    d, s = errors.at(crystal.inv_d2)
    total = crystal.epsilon * s
    if term.target != "mli":  # the intensity likelihood takes the measurement's error into account itself
        total = total + errors.kappa * measured_variance(crystal.sigma, crystal.centric)
    fom = figure_of_merit(2 * crystal.amplitude * d * np.abs(f_model) / total, crystal.centric)
    term = eqx.tree_at(
        lambda t: (t.f_solvent, t.overall, t.d, t.variance),
        term,
        (solvent[work], overall[work], d[work], total[work]),
    )
    return term, model, Fitted(scale, errors, shape or errors, f_calc, f_model, d, total, fom)


def _expanded(term: Diffraction, b: np.ndarray, u: np.ndarray | None):
    return b[term.atoms.parent], None if u is None else u[term.atoms.parent]
