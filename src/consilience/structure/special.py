"""Atoms on special positions: the symmetry that fixes each, and the projections that keep an atom and its U there."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import gemmi
import numpy as np

REACH = 0.8  # Å between an unbonded atom and its image: closer, both are one atom
EXACT = 0.1  # Å, for atoms with bonds, whose place the bonds decide
SIX = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))


@dataclass(frozen=True)
class SpecialPositions:
    """Site symmetry of n atoms and what it leaves free.

    `xyz` (n, 3) Å with special atoms exactly in place; `order` (n,) of the site symmetry (1: general position);
    `along` (n, 3, 3) projector on displacements, `tensor` (n, 6, 6) on U as 11 22 33 12 13 23.
    """

    xyz: np.ndarray
    order: np.ndarray
    along: np.ndarray
    tensor: np.ndarray

    @property
    def any(self) -> bool:
        return bool((self.order > 1).any())

    def share(self, occ: np.ndarray) -> np.ndarray:
        """(n,) of each occupancy that counts: 1 / order where a file gives the whole atom to every image.

        Files hold either 1 / order of the atom or all of it; more than one atom on a site is always the latter.
        """
        return np.where(occ * self.order > 1.01, 1.0 / self.order, 1.0)


def special_positions(
    xyz: np.ndarray, cell: gemmi.UnitCell, sg: gemmi.SpaceGroup | None, bonded: np.ndarray
) -> SpecialPositions:
    """Site symmetry of atoms xyz (n, 3) Å; `bonded` (n,) atoms with covalent bonds, which must lie exactly on it."""
    n = len(xyz)
    place = np.array(xyz, float)
    order, along, tensor = np.ones(n, int), np.tile(np.eye(3), (n, 1, 1)), np.tile(np.eye(6), (n, 1, 1))
    if sg is None or not cell.is_crystal():
        return SpecialPositions(place, order, along, tensor)
    orth, frac = np.array(cell.orth.mat.tolist()), np.array(cell.frac.mat.tolist())
    ops = [(np.array(o.rot) / o.DEN, np.array(o.tran) / o.DEN) for o in sg.operations()]
    limit = np.where(bonded, EXACT, REACH)
    f = place @ frac.T
    near = np.zeros(n, bool)
    for rot, tran in ops[1:]:
        d = f @ rot.T + tran - f
        near |= np.linalg.norm((d - np.rint(d)) @ orth.T, axis=1) < limit
    for i in np.nonzero(near)[0]:
        images = _images(place[i], ops, orth, frac, limit[i])
        for _, _, distance in images:  # the nearest element first; then all that meet it there
            own = [im for im in images if im[2] <= distance + 1e-6]
            centre = np.mean([r @ place[i] + t for r, t, _ in own], axis=0)
            if np.linalg.norm(centre - place[i]) < limit[i]:
                place[i] = centre
        own = _images(place[i], ops, orth, frac, 1e-3)
        if len(own) == 1:  # near several elements, on none
            place[i] = xyz[i]
            continue
        order[i] = len(own)
        along[i] = np.mean([r for r, _, _ in own], axis=0)
        tensor[i] = np.mean([tensor_rotation(r) for r, _, _ in own], axis=0)
    return SpecialPositions(place, order, along, tensor)


def _images(x, ops, orth, frac, reach):
    """Cartesian (rotation, translation, distance) of the operations that leave x (3,) within `reach` of itself."""
    f, out = frac @ x, []
    for rot, tran in ops:
        d = rot @ f + tran - f
        for shift in product((-1, 0, 1), repeat=3):
            t = tran - np.rint(d) + np.array(shift)
            distance = float(np.linalg.norm(orth @ (rot @ f + t - f)))
            if distance < reach:
                out.append((orth @ rot @ frac, orth @ t, distance))
    return sorted(out, key=lambda image: image[2])


def tensor_rotation(r: np.ndarray) -> np.ndarray:
    """(6, 6) matrix of U -> R U R' on 11 22 33 12 13 23."""
    out = np.zeros((6, 6))
    for k, (i, j) in enumerate(SIX):
        basis = np.zeros((3, 3))
        basis[i, j] = basis[j, i] = 1.0
        turned = r @ basis @ r.T
        out[:, k] = [turned[p] for p in SIX]
    return out
