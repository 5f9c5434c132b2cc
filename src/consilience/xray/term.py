"""The diffraction term: likelihood of the observed work amplitudes given coordinates and displacement parameters."""

from __future__ import annotations

from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp

from consilience.core.params import Model
from consilience.core.terms import Score
from consilience.xray.fourier import EIGHT_PI2, ReflectionIndex, StructureFactors
from consilience.xray.likelihood import amplitude_nll, intensity_nll, least_squares_nll, safe_abs

Target = Literal["ml", "ls", "mli"]


class Observed(NamedTuple):
    """Work observations: `value` (m,) amplitudes, or intensities for the target "mli"; `sigma` (m,); `centric` (m,);
    `counts` (m,) 1 where the reflection is fitted, 0 where it is held back (steer)."""

    value: np.ndarray
    sigma: np.ndarray
    centric: np.ndarray
    counts: np.ndarray


class Atoms(eqx.Module):
    """Scatterers of the model: heavy atoms and the hydrogens that ride on them.

    `parent` (a,) maps every scatterer to its heavy atom, `offset` (a, 3) Å from it, `share` (a,) occupancy of the
    scatterer relative to its parent's.
    """

    parent: np.ndarray
    offset: np.ndarray
    share: np.ndarray

    def expand(self, model: Model, aniso: bool = False):
        """Coordinates (a, 3), B (a,), occupancies (a,), U (a, 6) or None of all scatterers.

        With `aniso` B is that of the tensors: riding hydrogens move with their parent, isotropically.
        """
        xyz = model["xyz"][self.parent] + self.offset
        occ = model["occ"][self.parent] * self.share
        if not aniso:
            return xyz, model["b"][self.parent], occ, None
        u = model["u"]
        return xyz, beq(u)[self.parent], occ, u[self.parent]


class Diffraction(eqx.Module):
    """-log likelihood of the work reflections in nats; scale, solvent and error model are held fixed within a stage.

    `overall` (m,) multiplies F_c + `f_solvent` (m,); `d`, `variance` (m,): the error model at each reflection.
    """

    plan: StructureFactors
    at: ReflectionIndex
    atoms: Atoms
    f_solvent: np.ndarray
    overall: np.ndarray
    d: np.ndarray
    variance: np.ndarray
    target: Target = eqx.field(static=True, default="ml")
    name: str = eqx.field(static=True, default="xray")
    aniso: bool = eqx.field(static=True, default=False)

    @property
    def reads(self) -> frozenset[str]:
        return frozenset({"xyz", "u", "occ"} if self.aniso else {"xyz", "b", "occ"})

    def f_model(self, model: Model) -> jax.Array:
        """Scaled model structure factors (m,), complex."""
        xyz, b, occ, u = self.atoms.expand(model, self.aniso)
        f = self.plan(xyz, b, occ, self.at, u)
        return jnp.asarray(self.overall) * (f + self.f_solvent)

    def __call__(self, model: Model, obs: Observed) -> Score:
        f = safe_abs(self.f_model(model))
        if self.target == "ml":
            nll = amplitude_nll(obs.value, f, self.d, self.variance, obs.centric)
        elif self.target == "mli":
            nll = intensity_nll(obs.value, obs.sigma, f, self.d, self.variance, obs.centric)
        else:
            nll = least_squares_nll(obs.value, f, self.variance)
        total = jnp.sum(jnp.where(obs.counts > 0, obs.counts * nll, 0.0))
        return Score(total, {"nll_per_reflection": total / jnp.maximum(obs.counts.sum(), 1.0)})

    def f_calc(self, model: Model, at: ReflectionIndex | None = None) -> np.ndarray:
        """Structure factors of the atoms alone, complex (m,), absolute scale; at any reflections of the crystal."""
        at = at or self.at
        return at.gather(np.asarray(_half_grid(self, model))) * np.exp(float(self.plan.blur) * at.inv_d2 / 4)

    def pin(self, model: Model) -> Diffraction:
        """Box centres held still, density in float64."""
        xyz = np.asarray(self.atoms.expand(model)[0])
        return eqx.tree_at(lambda t: t.plan, self, self.plan.pin(xyz))

    def curvature(self, model: Model, obs: Observed) -> dict[str, sp.dia_matrix]:
        """Diagonal Fisher information of the raw blocks, heavy atoms, averaged over directions of scattering.

        Atoms are taken as independent scatterers with random phases (Murshudov et al., Acta Cryst. D53 (1997) 240,
        section 3).
        """
        from consilience.xray.fisher import data_fisher

        return {name: sp.diags(diagonal) for name, diagonal in data_fisher(self, model, obs).items()}

    def expected(self, model: Model, obs: Observed) -> tuple[Diffraction, Observed]:
        """Term and data whose Hessian at the model is the Fisher information of this term."""
        from consilience.xray.fisher import expected_term

        return expected_term(self, model, obs)


@eqx.filter_jit
def _half_grid(term: Diffraction, model: Model) -> jax.Array:
    return term.plan.half_grid(*term.atoms.expand(model, term.aniso))


def beq(u):
    """Equivalent isotropic B in Å^2 of tensors (n, 6)."""
    return EIGHT_PI2 * u[:, :3].mean(1)
