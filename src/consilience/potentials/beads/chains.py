"""Chains of beads, one for each residue: types, places in the chain, and the geometry of consecutive beads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from consilience.core.errors import InputError, clean
from consilience.residues import RESIDUES, standard

FAR = 99  # separation of beads of different chains
NEAR = 5  # separations up to this one are treated by themselves


class Chains(eqx.Module):
    """Beads sorted by chain and place in it: types (n,) as indices of `RESIDUES`, chain (n,), number (n,), ints.

    Padding: chain -1. Whether consecutive beads are bonded follows from chain and number, never from the array alone.
    """

    types: Any
    chain: Any
    number: Any

    @property
    def real(self):
        """True for beads, False for padding."""
        return self.chain >= 0

    def linked(self, count: int):
        """(n - count + 1,) bool: whether `count` consecutive beads from each one on are one piece of chain."""
        n = self.types.shape[0]
        if n < count:
            return jnp.zeros(0, bool)
        first, last = slice(0, n - count + 1), slice(count - 1, n)
        same = (self.chain[first] == self.chain[last]) & (self.chain[first] >= 0)
        return same & (self.number[last] - self.number[first] == count - 1)

    def separation(self, index):
        """Distance along the chain between each bead and beads `index` (n, K); FAR in another chain."""
        number, chain = jnp.asarray(self.number), jnp.asarray(self.chain)
        apart = jnp.abs(number[index] - number[:, None])
        return jnp.where(chain[index] == chain[:, None], jnp.minimum(apart, FAR), FAR)


def residue_type(name: str) -> int:
    """Index of a three-letter residue name in `RESIDUES`. Raises InputError for others."""
    known = standard(name)
    if known not in RESIDUES:
        raise InputError("no bead stands for this residue", found=clean(name), expected="one of the 20 amino acids")
    return RESIDUES.index(known)


def chains_of(residues: Sequence[str], chain: Any, number: Any) -> Chains:
    """Chains of residues (n names) that are sorted by chain and number.

    Raises InputError for unknown residues, beads out of order, or two beads at one place.
    """
    types = np.array([residue_type(r) for r in residues], np.int32)
    chain, number = np.asarray(chain, np.int32), np.asarray(number, np.int32)
    if not types.shape == chain.shape == number.shape:
        raise InputError("residues, chain and number differ in length", found=f"{types.shape}, {chain.shape}, "
                         f"{number.shape}")  # fmt: skip
    same = chain[1:] == chain[:-1]
    wrong = np.flatnonzero((chain[1:] < chain[:-1]) | (same & (number[1:] <= number[:-1])))
    if wrong.size:
        raise InputError("beads are not in the order of their chains", f"beads {wrong[0]} and {wrong[0] + 1}",
                         fix="sort beads by chain and place in the chain")  # fmt: skip
    return Chains(types, chain, number)


def bond_lengths(x):
    """Distances (n - 1,) between consecutive beads x (n, 3), Å."""
    b = x[1:] - x[:-1]
    return jnp.sqrt(jnp.sum(b * b, -1) + 1e-12)


def cos_angles(x):
    """Cosines (n - 2,) of the angles at the middle of three consecutive beads x (n, 3)."""
    b = x[1:] - x[:-1]
    r2 = jnp.sum(b * b, -1) + 1e-12
    return -jnp.sum(b[:-1] * b[1:], -1) / jnp.sqrt(r2[:-1] * r2[1:])


def dihedrals(x):
    """(cos, sin) (n - 3,) of the dihedral angles of four consecutive beads x (n, 3); IUPAC: right-handed positive.

    Both vanish where three beads lie on a line, and are finite there with finite gradients.
    """
    b = x[1:] - x[:-1]
    normal = jnp.cross(b[:-1], b[1:])
    m, n = normal[:-1], normal[1:]
    scale = jnp.sqrt((jnp.sum(m * m, -1) + 1e-9) * (jnp.sum(n * n, -1) + 1e-9))
    middle = b[1:-1]
    length = jnp.sqrt(jnp.sum(middle * middle, -1) + 1e-12)
    sine = jnp.sum(jnp.cross(m, n) * middle, -1) / (length * scale)
    return jnp.sum(m * n, -1) / scale, sine
