"""The relaxation term: rates of backbone amides over coordinates, the diffusion tensor, and internal motion.

The N-H distance is fixed: rates go with its sixth power, which order parameters absorb, so it cannot be fitted beside
them. What rates then tell of coordinates is the direction of N-H in the tensor's frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp

from consilience.core.params import Model
from consilience.core.terms import Score
from consilience.nmr.amide_constants import CSA, CSA_ANGLE, R_NH
from consilience.nmr.amides import amide_frames
from consilience.nmr.blocks import matrix
from consilience.nmr.constants import constants_named, frequencies
from consilience.nmr.data import KINDS, Column, RelaxationData
from consilience.nmr.rates import rates
from consilience.nmr.spectral import spectral_densities


class Observed(NamedTuple):
    """Rates and errors (n, m), s^-1 (NOE dimensionless), and how often each counts: 0 where held out or missing."""

    value: Any
    sigma: Any
    count: Any

    @classmethod
    def of(cls, data: RelaxationData, rows: np.ndarray | None = None, kinds: Sequence[str] = KINDS) -> Observed:
        """All that is measured; with `rows` (n,) bool and `kinds` only of those, the rest counts 0."""
        used = data.measured & np.isin([c.kind for c in data.columns], kinds)
        if rows is not None:
            used = used & rows[:, None]
        return cls(np.where(used, data.value, 0.0), np.where(used, data.sigma, 1.0), used.astype(float))


class Jacobians(NamedTuple):
    """Of weighted residuals (n, m) in raw values: by each raw number of "xyz" and "diffusion", by each own motion."""

    xyz: np.ndarray  # (n, m, raw numbers)
    diffusion: np.ndarray  # (n, m, raw numbers)
    dynamics: np.ndarray  # (n, m, 5)


class Relaxation(eqx.Module):
    """Half of chi2 over 15N rates: nats.

    Reads "xyz" (atoms, 3) Å, "diffusion" (6,) as 11 22 33 12 13 23 rad^2/ns and "dynamics" (n, 5) as blocks.MOTION.
    `atoms` (n, 3): numbers of C'(i-1), N, CA of each amide; `kind`, `field` (m,) of the columns; `omega` (f, 5) rad/ns;
    `growth` (f,) of Rex with the field; r^-6 Å^-6; csa ppm, its axis `angle` rad from N-H towards C' in the plane.
    """

    atoms: Any
    kind: Any
    field: Any
    omega: Any
    growth: Any
    r6_inverse: Any
    csa: Any
    angle: Any
    constants: str = eqx.field(static=True, default="codata2022")
    name: str = eqx.field(static=True, default="nmr")

    @classmethod
    def of(
        cls,
        atoms: np.ndarray,
        columns: Sequence[Column],
        *,
        csa: float = CSA,
        csa_angle: float = CSA_ANGLE,
        r_nh: float = R_NH,
        constants: str = "codata2022",
    ) -> Relaxation:
        """For columns of data; csa ppm, csa_angle degrees, r_nh Å."""
        fields = np.unique([c.field for c in columns])
        return cls(
            np.asarray(atoms, int),
            np.array([KINDS.index(c.kind) for c in columns]),
            np.array([int(np.flatnonzero(fields == c.field)[0]) for c in columns]),
            frequencies(fields, constants_named(constants)),
            (fields / fields.min()) ** 2,
            np.array(r_nh**-6.0),
            np.array(float(csa)),
            np.array(np.radians(csa_angle)),
            constants,
        )

    @property
    def reads(self) -> frozenset[str]:
        """Coordinates, tumbling and internal motion."""
        return frozenset({"xyz", "diffusion", "dynamics"})

    def predicted(self, places, diffusion, dynamics):
        """Rates (n, m) for places (n, 3, 3) Å of C', N, CA; diffusion (6,), dynamics (n, 5)."""
        nh, side = amide_frames(places)
        axis = jnp.cos(self.angle) * nh + jnp.sin(self.angle) * side
        s2f, s2s, tf, ts, rex = (dynamics[:, k] for k in range(5))
        omega = jnp.asarray(self.omega)
        j = spectral_densities(matrix(diffusion), nh, axis, omega, s2f * s2s, ts, s2f, tf)
        exchange = rex[:, None] * jnp.asarray(self.growth)
        found = rates(*j, omega, self.r6_inverse, self.csa, exchange, constants_named(self.constants))
        return jnp.stack(list(found))[self.kind, :, self.field].T

    def residuals(self, places, diffusion, dynamics, obs: Observed):
        """(n, m) differences over errors, 0 where nothing counts."""
        weight = jnp.sqrt(obs.count) / obs.sigma
        return weight * (self.predicted(places, diffusion, dynamics) - obs.value)

    def __call__(self, model: Model, obs: Observed) -> Score:
        r = self.residuals(jnp.asarray(model["xyz"])[self.atoms], model["diffusion"], model["dynamics"], obs)
        square = r * r
        chi2 = {f"chi2.{k}": jnp.sum(jnp.where(self.kind == i, square, 0.0)) for i, k in enumerate(KINDS)}
        return Score(0.5 * jnp.sum(square), {"n": jnp.sum(obs.count), **chi2})

    def curvature(self, model: Model, obs: Observed) -> dict[str, Any]:
        """Gauss-Newton matrices of the raw values of each block; for free atoms each amide's own 9 x 9 part."""
        free_atoms = np.shape(model.blocks["xyz"].raw) == np.shape(model["xyz"])
        local, diffusion, dynamics = _jacobians(self, model, obs, not free_atoms)
        flat = np.asarray(diffusion).reshape(-1, diffusion.shape[-1])
        out = {"diffusion": sp.csc_matrix(flat.T @ flat), "dynamics": _own(np.asarray(dynamics))}
        local = np.asarray(local)
        if not free_atoms:
            flat = local.reshape(-1, local.shape[-1])
            return {**out, "xyz": sp.csc_matrix(flat.T @ flat)}
        blocks = np.einsum("nma,nmb->nab", local, local)
        index = (3 * np.asarray(self.atoms)[:, :, None] + np.arange(3)).reshape(len(local), 9)
        rows, columns = np.repeat(index, 9, axis=1), np.tile(index, (1, 9))
        size = np.size(model.blocks["xyz"].raw)
        return {**out, "xyz": sp.csc_matrix((blocks.ravel(), (rows.ravel(), columns.ravel())), (size, size))}

    def expected(self, model: Model, obs: Observed) -> tuple[Relaxation, Observed]:
        """Term and data (as it predicts them) whose Hessian at the model is the Fisher information of this term."""
        places = jnp.asarray(model["xyz"])[self.atoms]
        return self, obs._replace(value=np.asarray(self.predicted(places, model["diffusion"], model["dynamics"])))


def jacobians(term: Relaxation, model: Model, obs: Observed) -> Jacobians:
    """Derivatives of the weighted residuals in raw values, where "xyz" has few raw numbers (rigid bodies)."""
    return Jacobians(*(np.asarray(x) for x in _jacobians(term, model, obs, True)))


def _own(j: np.ndarray) -> sp.csc_matrix:
    """Block-diagonal J'J of parameters that belong to one residue, j (n, m, k)."""
    n, _, k = j.shape
    blocks = np.einsum("nma,nmb->nab", j, j)
    index = np.arange(n * k).reshape(n, k)
    rows, columns = np.repeat(index, k, axis=1), np.tile(index, (1, k))
    return sp.csc_matrix((blocks.ravel(), (rows.ravel(), columns.ravel())), (n * k, n * k))


@eqx.filter_jit
def _jacobians(term: Relaxation, model: Model, obs: Observed, bodies: bool):
    raw = model.raw(["xyz", "diffusion", "dynamics"])

    def of(name: str):
        def residuals(x):
            moved = model.with_raw({name: x})
            places = jnp.asarray(moved["xyz"])[term.atoms]
            return term.residuals(places, moved["diffusion"], moved["dynamics"], obs)

        return residuals

    def each(function, x, width: int):
        """Derivative by the last `width` numbers of every residue at once, x (n, width)."""
        push = jax.linearize(function, x)[1]
        return jax.vmap(lambda e: push(jnp.broadcast_to(e, x.shape)), out_axes=-1)(jnp.eye(width))

    n = term.atoms.shape[0]
    if bodies:
        x = jnp.asarray(raw["xyz"])
        xyz = jax.jacfwd(of("xyz"))(x).reshape(n, -1, x.size)
    else:
        places = jnp.asarray(model["xyz"])[term.atoms].reshape(n, 9)
        xyz = each(lambda p: term.residuals(p.reshape(n, 3, 3), model["diffusion"], model["dynamics"], obs), places, 9)
    diffusion = jax.jacfwd(of("diffusion"))(jnp.asarray(raw["diffusion"]))
    return xyz, diffusion, each(of("dynamics"), jnp.asarray(raw["dynamics"]), 5)
