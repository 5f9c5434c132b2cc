"""Non-bonded contacts: repulsion of atoms closer than their van der Waals distance, symmetry mates included.

Ideal distances from the radii of energy types, shortened for hydrogen bonds and for pairs three bonds apart, with the
values of Murshudov et al., Acta Cryst. D67 (2011) 355 (REFMAC5 documentation).
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import gemmi
import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial import KDTree

from consilience.structure.nonbonded import NonBonded, Riding

SIGMA = 0.2  # Å
DONOR_ACCEPTOR = -0.3  # Å, donor-acceptor pair against the sum of radii
HYDROGEN_ACCEPTOR = 0.1  # Å, on the acceptor's radius alone
THREE_BONDS = -0.15  # Å on each atom of a pair three bonds apart
BUFFER = 0.5  # Å beyond the ideal distance: pairs that may close up before the list is made anew


class Contacts(eqx.Module):
    """Pairs of atoms and, for symmetry mates, the operator on the second: d = |x_i + o_i - R (x_j + o_j) - t|.

    `index` (m, 2) heavy atoms (parents of hydrogens); `ideal`, `sigma` (m,) Å; `rotation` (m, 3, 3); `shift` (m, 3)
    holds R o_j + t - o_i with the riding offsets o. Padded with pairs that are never close.
    """

    index: np.ndarray
    ideal: np.ndarray
    sigma: np.ndarray
    rotation: np.ndarray
    shift: np.ndarray

    @classmethod
    def none(cls) -> Contacts:
        """An empty list."""
        return cls.of(*(np.zeros((0, *s)) for s in ((2,), (), (), (3, 3), (3,))), capacity=1)

    @classmethod
    def of(cls, index, ideal, sigma, rotation, shift, capacity: int) -> Contacts:
        pad = capacity - len(index)
        return cls(
            np.r_[np.asarray(index, np.int32).reshape(-1, 2), np.zeros((pad, 2), np.int32)],
            np.r_[ideal, np.full(pad, -1.0)],
            np.r_[sigma, np.ones(pad)],
            np.r_[rotation, np.tile(np.eye(3), (pad, 1, 1))],
            np.r_[shift, np.tile([50.0, 0, 0], (pad, 1))],
        )

    @property
    def live(self) -> np.ndarray:
        return self.ideal > 0

    def residuals(self, xyz: jax.Array) -> jax.Array:
        """(m,) (d - ideal) / sigma where closer than ideal, else 0."""
        d = jax.vmap(contact_distance)(xyz[self.index], self.rotation, self.shift)
        return jnp.minimum(d - self.ideal, 0.0) / self.sigma


def contact_distance(x: Any, rotation: Any, shift: Any) -> jax.Array:
    """Distance between x[0] and the image of x[1], with a finite gradient at zero."""
    d = x[0] - rotation @ x[1] - shift
    return jnp.sqrt(jnp.sum(d * d) + 1e-12)


def ideal_distances(atoms: NonBonded, i: np.ndarray, j: np.ndarray, three_bonds: np.ndarray) -> np.ndarray:
    """(m,) ideal contact distances in Å for pairs of atom numbers."""
    d = atoms.radius[i] + atoms.radius[j]
    p, q = atoms.polarity[i], atoms.polarity[j]
    donor_p, donor_q = np.isin(p, ("D", "B")), np.isin(q, ("D", "B"))
    takes_p, takes_q = np.isin(p, ("A", "B")), np.isin(q, ("A", "B"))
    d = np.where((donor_p & takes_q) | (donor_q & takes_p), d + DONOR_ACCEPTOR, d)
    d = np.where((p == "H") & takes_q, atoms.radius[j] + HYDROGEN_ACCEPTOR, d)
    d = np.where((q == "H") & takes_p, atoms.radius[i] + HYDROGEN_ACCEPTOR, d)
    return np.where(three_bonds, atoms.radius[i] + atoms.radius[j] + 2 * THREE_BONDS, d)


def find_contacts(
    xyz: np.ndarray,
    riding: Riding,
    atoms: NonBonded,
    cell: gemmi.UnitCell,
    sg: gemmi.SpaceGroup | None,
    occ: np.ndarray,
    capacity: int = 0,
) -> Contacts:
    """Pairs within their ideal distance plus a buffer, including symmetry mates (each of these pairs at half weight).

    Left out: pairs within two bonds or in one plane, different alternative conformers, metals and zero occupancies.
    `capacity` is a padded length to keep if it suffices.
    """
    n = len(xyz)
    x = np.r_[xyz, riding.positions(xyz)]
    parent = np.r_[np.arange(n), riding.parent]
    offset = np.r_[np.zeros((n, 3)), riding.offset]
    reach = 2 * float(atoms.radius.max(initial=1.0)) + BUFFER
    image, number, rotation, shift = _images(x, cell, sg, reach)
    near = KDTree(x).sparse_distance_matrix(KDTree(image), reach, output_type="coo_matrix")
    i, k = near.row.astype(np.int64), near.col
    d, j, symmetric = near.data, number[k], k >= len(x)
    low, high = np.minimum(i, j), np.maximum(i, j)
    code = low * len(x) + high
    three = ~symmetric & np.isin(code, atoms.torsion)
    ideal = ideal_distances(atoms, i, j, three)
    keep = np.where(symmetric, d > 1e-3, (i < j) & ~np.isin(code, atoms.near))
    a, b = atoms.altloc[i], atoms.altloc[j]
    keep &= (a == 0) | (b == 0) | (a == b)
    keep &= ~(atoms.metal[i] | atoms.metal[j])
    keep &= (d < ideal + BUFFER) & ~((parent[i] == parent[j]) & ~symmetric)
    keep &= (occ[parent[i]] > 0) & (occ[parent[j]] > 0)
    i, j, k, ideal, symmetric = i[keep], j[keep], k[keep], ideal[keep], symmetric[keep]
    r = rotation[k]
    total_shift = np.einsum("mij,mj->mi", r, offset[j]) + shift[k] - offset[i]
    sigma = np.where(symmetric, SIGMA * np.sqrt(2.0), SIGMA)
    needed = len(i)
    if needed > capacity:
        capacity = -(-int(1.3 * needed + 64) // 512) * 512
    return Contacts.of(np.c_[parent[i], parent[j]], ideal, sigma, r, total_shift, capacity)


def _images(x, cell, sg, reach):
    """All copies of the atoms that come within reach of the molecule; the identity copies first, in order."""
    low, high = x.min(0) - reach, x.max(0) + reach
    out = [(x, np.arange(len(x)), np.eye(3), np.zeros(3))]
    if sg is not None and cell.is_crystal():
        orth, frac = np.array(cell.orth.mat.tolist()), np.array(cell.frac.mat.tolist())
        f = x @ frac.T
        corners = np.array(np.meshgrid(*zip(low, high, strict=True))).reshape(3, -1).T @ frac.T
        f_low, f_high = corners.min(0), corners.max(0)
        for number, op in enumerate(sg.operations()):
            rot, tran = np.array(op.rot) / op.DEN, np.array(op.tran) / op.DEN
            g = f @ rot.T + tran
            first = np.floor(f_low - g.max(0)).astype(int)
            last = np.ceil(f_high - g.min(0)).astype(int)
            cartesian = orth @ rot @ frac
            for cell_shift in np.ndindex(*(last - first + 1)):
                t = orth @ (tran + np.array(cell_shift) + first)
                if number == 0 and np.allclose(t, 0) and np.allclose(rot, np.eye(3)):
                    continue
                y = x @ cartesian.T + t
                inside = np.all((y > low) & (y < high), axis=1)
                if inside.any():
                    out.append((y[inside], np.nonzero(inside)[0], cartesian, t))
    image = np.concatenate([o[0] for o in out])
    number = np.concatenate([o[1] for o in out])
    rotation = np.concatenate([np.broadcast_to(o[2], (len(o[1]), 3, 3)) for o in out])
    shift = np.concatenate([np.broadcast_to(o[3], (len(o[1]), 3)) for o in out])
    return image, number, rotation, shift
