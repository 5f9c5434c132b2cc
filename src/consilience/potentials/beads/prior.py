"""The classical energy of chains of beads: bonds, angles, dihedrals, excluded volume, and pairs of residue types.

Linear in all its coefficients, which are sums over the residue types in a term, or belong to the sites of one sequence.
Nothing in it is weighted: it is an energy, eV.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from consilience.potentials.beads import prior_basis as basis
from consilience.potentials.beads.chains import NEAR, Chains, bond_lengths, cos_angles, dihedrals
from consilience.residues import RESIDUES
from consilience.units import KCAL_MOL

TYPES = len(RESIDUES)
SOFTEST = 120.0 * KCAL_MOL  # eV/Å², of a bond
WEAKEST = np.array([3.5, 3.5, 3.5, 3.5, 1.0]) * KCAL_MOL  # eV, of the excluded volume by separation 2..5 and beyond
CLASSES = 3  # of pairs: separation 4, 5, and beyond


def _pair_numbers() -> np.ndarray:
    """Number of each unordered pair of types, (20, 20)."""
    out = np.zeros((TYPES, TYPES), np.int32)
    i, j = np.triu_indices(TYPES)
    out[i, j] = out[j, i] = np.arange(len(i))
    return out


PAIRS = _pair_numbers()


class Table(eqx.Module):
    """Coefficients of one kind of term: shared (k,), by_type (m, 20, k) for each of its m beads, or of sites (s, k)."""

    shared: Any
    by_type: Any
    sites: Any = None

    def __call__(self, *types):
        """Coefficients (t, k) of t terms from the types (t,) of their beads."""
        by_type = jnp.asarray(self.by_type)
        out = self.shared + sum(by_type[p][t] for p, t in enumerate(types))
        return out if self.sites is None else out + self.sites


class PairTable(eqx.Module):
    """Coefficients of pairs: by class of separation (3, k), by type (20, k), by unordered pair of types (210, k)."""

    shared: Any
    by_type: Any
    by_pair: Any

    def __call__(self, first, second, separation):
        """Coefficients (..., k); zero for separations below 4."""
        level = jnp.clip(separation - (NEAR - 1), 0, CLASSES - 1)
        shared, by_type, by_pair = (jnp.asarray(a) for a in (self.shared, self.by_type, self.by_pair))
        which = jnp.asarray(PAIRS)[first, second]
        out = shared[level] + by_type[first] + by_type[second] + by_pair[which]
        return jnp.where((separation >= NEAR - 1)[..., None], out, 0.0)


class Walls(eqx.Module):
    """Walls of the angles outside the support of the data: between cosines `low` and `high` they vanish.

    Their strengths are in eV; heights at 180° and 60° are some 30 kcal/mol.
    """

    low: Any  # cosine of the widest angle
    high: Any  # cosine of the narrowest angle
    strength_low: Any
    strength_high: Any

    def __call__(self, cosine):
        return (
            self.strength_low * jnp.maximum(self.low - cosine, 0.0) ** 3
            + self.strength_high * jnp.maximum(cosine - self.high, 0.0) ** 3
        )


def walls(widest: float, narrowest: float) -> Walls:
    """Walls beyond two angles, radians."""
    low, high = np.cos(min(widest, np.radians(165.0))), np.cos(max(narrowest, np.radians(62.0)))
    height = 30.0 * KCAL_MOL
    return Walls(low, high, height / (1.0 + low) ** 3, height / max(np.cos(np.radians(55.0)) - high, 0.05) ** 3)


class Prior(eqx.Module):
    """E = bonds + angles + dihedrals + excluded volume + pairs, eV.

    bond: one linear coefficient, eV/Å, about BOND; `stiffness` () or (n - 1,), eV/Å²; excluded_volume (5,), eV, for
    separations 2, 3, 4, 5 and beyond. pair None: no such term. `sequence`: the types it is for, where it has sites.
    """

    bond: Table
    stiffness: Any
    angle: Table
    dihedral: Table
    excluded_volume: Any
    pair: PairTable | None
    walls: Walls
    sequence: tuple[int, ...] | None = eqx.field(static=True, default=None)

    @property
    def cutoff(self) -> float:
        """How far lists must reach, Å."""
        return basis.CORE_REACH if self.pair is None else basis.REACH

    def prepared(self, chains: Chains) -> PreparedPrior:
        """The prior of these chains, with the coefficients of each of their terms."""
        t = chains.types
        n = t.shape[0]
        two, three, four = ([t[i : max(n - count + 1 + i, 0)] for i in range(count)] for count in (2, 3, 4))
        on = [jnp.asarray(chains.linked(c), float) for c in (2, 3, 4)]
        return PreparedPrior(
            self,
            chains,
            self.bond(*two) * on[0][:, None],
            self.stiffness * on[0],
            self.angle(*three) * on[1][:, None],
            on[1],
            self.dihedral(*four) * on[2][:, None],
        )


class PreparedPrior(eqx.Module):
    """A prior for certain chains: coefficients of each term, zero where there is none."""

    prior: Prior
    chains: Chains
    bond: Any  # (n - 1, 1)
    stiffness: Any  # (n - 1,)
    angle: Any  # (n - 2, ANGLES)
    angled: Any  # (n - 2,)
    dihedral: Any  # (n - 3, 2 DIHEDRALS)

    def bonded(self, x) -> dict[str, Any]:
        """Energies of bonds, angles and dihedrals of beads x (n, 3), eV."""
        n = x.shape[0]
        zero = jnp.zeros((), x.dtype)
        d = bond_lengths(x) - basis.BOND if n > 1 else zero
        out = {"bond": jnp.sum(self.bond[:, 0] * d + 0.5 * self.stiffness * d * d)}
        out["angle"], out["dihedral"] = zero, zero
        if n > 2:
            cosine = cos_angles(x)
            out["angle"] = jnp.sum(self.angle * basis.multiples(cosine, basis.ANGLES))
            out["angle"] += jnp.sum(self.angled * self.prior.walls(cosine))
        if n > 3:
            out["dihedral"] = jnp.sum(self.dihedral * dihedral_terms(x))
        return out

    def pair_terms(self, first, second, separation, mask) -> PairTerms:
        """Coefficients of pairs given by types, separation and mask, all of one shape; each pair occurs twice."""
        on = jnp.where(mask & (separation >= 2), 0.5, 0.0)
        strength = jnp.asarray(self.prior.excluded_volume)[jnp.clip(separation - 2, 0, NEAR - 1)] * on
        pair = self.prior.pair
        coefficients = None if pair is None else pair(first, second, separation) * on[..., None]
        return PairTerms(strength, separation > NEAR, coefficients)


def dihedral_terms(x):
    """Functions of the dihedrals of beads x (n, 3) times sin² of both their angles: (n - 3, 2 DIHEDRALS).

    The factors take the energy to zero where an angle opens to 180° and the dihedral loses its meaning.
    """
    sin2 = 1.0 - cos_angles(x) ** 2
    return basis.dihedral_basis(*dihedrals(x)) * (sin2[:-1] * sin2[1:])[:, None]


class PairTerms(eqx.Module):
    """Coefficients of pairs: of the excluded volume, whether it is hard, and of the Gaussians or None."""

    strength: Any
    hard: Any
    bumps: Any

    def __call__(self, r2) -> dict[str, Any]:
        """Energies, eV, of pairs at squared distances r2, Å²; what is switched off may be at any distance but zero."""
        out = {"excluded_volume": self.strength * basis.core(r2, self.hard)}
        if self.bumps is not None:
            out["pair"] = jnp.sum(self.bumps * basis.bumps(r2), -1)
        return out


def empty_prior(
    wall: Walls, *, pair: bool = True, sites: tuple[int, ...] | None = None, stiffness: float = 1.5 * SOFTEST
) -> Prior:
    """A prior of stiff bonds and excluded volume alone. `sites`: types of the sequence that it is for."""

    def table(beads: int, k: int) -> Table:
        own = None if sites is None else np.zeros((max(len(sites) - beads + 1, 0), k))
        return Table(np.zeros(k), np.zeros((beads, TYPES, k)), own)

    k = len(basis.CENTRES)
    return Prior(
        table(2, 1),
        np.full(() if sites is None else max(len(sites) - 1, 0), stiffness),
        table(3, basis.ANGLES),
        table(4, 2 * basis.DIHEDRALS),
        2.0 * WEAKEST,
        PairTable(np.zeros((CLASSES, k)), np.zeros((TYPES, k)), np.zeros((PAIRS.max() + 1, k))) if pair else None,
        wall,
        sites,
    )
