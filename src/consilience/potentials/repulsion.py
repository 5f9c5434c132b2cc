"""The screened repulsion of nuclei at short range (Ziegler, Biersack & Littmark 1985), gone where bonds begin."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from consilience.potentials.graph import Graph
from consilience.potentials.radial import envelope
from consilience.units import BOHR, COULOMB

# single-bond covalent radii, Å (Pyykkö & Atsumi 2009), Z = 1..36
COVALENT = np.array([
    0.0, 0.32, 0.46, 1.33, 1.02, 0.85, 0.75, 0.71, 0.63, 0.64, 0.67, 1.55, 1.39, 1.26, 1.16, 1.11, 1.03, 0.99, 0.96,
    1.96, 1.71, 1.48, 1.36, 1.34, 1.22, 1.19, 1.16, 1.11, 1.10, 1.12, 1.18, 1.24, 1.21, 1.21, 1.16, 1.14, 1.17,
])  # fmt: skip
_SHARES = (0.18175, 0.50986, 0.28022, 0.02817)
_RATES = (3.1998, 0.94229, 0.4029, 0.20162)


def zbl_pair(r, z1, z2):
    """k z1 z2 phi(r / a) / r in eV, a = 0.8854 a0 / (z1^0.23 + z2^0.23); r in Å, above zero."""
    length = 0.8854 * BOHR / (z1**0.23 + z2**0.23)
    x = r / length
    screening = sum(c * jnp.exp(-b * x) for c, b in zip(_SHARES, _RATES, strict=True))
    return COULOMB * z1 * z2 / r * screening


class ZBL(eqx.Module):
    """The universal repulsion of all pairs of neighbours, zero from the sum of the covalent radii times `reach` on."""

    reach: float = eqx.field(static=True, default=1.0)

    def __call__(self, positions, graph: Graph):
        """Energy of each atom's half of its pairs (n,), eV; never negative, falling with distance."""
        pairs = graph.neighbours
        r = jnp.sqrt(jnp.sum(pairs.vectors(positions) ** 2, -1))
        z = jnp.maximum(graph.numbers, 1)
        radii = jnp.asarray(COVALENT, r.dtype)[jnp.minimum(z, len(COVALENT) - 1)]
        end = self.reach * (radii[:, None] + radii[pairs.index])
        zf = z.astype(r.dtype)
        energy = zbl_pair(r, zf[:, None], zf[pairs.index]) * envelope(r / end)
        return 0.5 * jnp.sum(jnp.where(pairs.mask, energy, 0.0), 1)
