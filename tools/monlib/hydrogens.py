"""Derives bonds, angles and rotor torsions of hydrogens from the heavy-atom geometry, so that they are consistent."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from math import acos, cos, degrees, radians

import numpy as np
from grammar import Atom, Bond, Component, Torsion, unordered

# energy type of a hydrogen by the element that carries it
HYDROGEN_TYPE = {"C": "H", "N": "HNH1", "O": "HOH1", "S": "HSH1"}


def heavy_angle(comp: Component, a: str, centre: str, b: str) -> float:
    return comp.angles[unordered((a, centre, b), comp.angles)][0]


def third_of_methine(angles: list[float]) -> float:
    """X-C-H angle, degrees, of a C-H that makes equal angles with three neighbours; angles: X1-C-X2, X1-C-X3, X2-C-X3.

    The unit vector h with h.u_i = c has |h|^2 = c^2 1^T G^-1 1, G the Gram matrix of the neighbours' directions.
    """
    c12, c13, c23 = (cos(radians(a)) for a in angles)
    gram = np.array([[1, c12, c13], [c12, 1, c23], [c13, c23, 1]])
    return degrees(acos(-1.0 / np.sqrt(np.linalg.inv(gram).sum())))


def hydrogen_angles(
    comp: Component, parent: str, heavy: list[str], hs: tuple[str, ...], sp: int, own: float | None, hch: float
) -> dict[tuple[str, str, str], float]:
    """Ideal angles at `parent` that involve its hydrogens, degrees."""
    out: dict[tuple[str, str, str], float] = {}
    if len(heavy) == 3:
        (h,) = hs
        value = third_of_methine([heavy_angle(comp, a, parent, b) for a, b in combinations(heavy, 2)])
        out = {(x, parent, h): value for x in heavy}
    elif len(heavy) == 2 and sp == 2:
        (h,) = hs
        out = {(x, parent, h): 180.0 - heavy_angle(comp, heavy[0], parent, heavy[1]) / 2 for x in heavy}
    elif len(heavy) == 2:
        half = radians(heavy_angle(comp, heavy[0], parent, heavy[1]) / 2)
        value = degrees(acos(-cos(half) * cos(radians(hch / 2))))
        out = {(x, parent, h): value for h in hs for x in heavy} | {(hs[0], parent, hs[1]): hch}
    else:
        assert own is not None, f"{comp.id} {parent}: no angle for a terminal hydrogen"
        out = {(x, parent, h): own for h in hs for x in heavy} | {(a, parent, b): own for a, b in combinations(hs, 2)}
    return {k: round(v, 2) for k, v in out.items()}


def rotor(comp: Component, parent: str, joint: str, h: str, n_h: int, sp: Mapping[str, int]) -> Torsion | None:
    """Torsion of the first hydrogen of a group on a single bond: staggered, or in the plane of a trigonal joint."""
    if sp[comp.atoms[parent].type] == 2:
        return None
    planar = sp[comp.atoms[joint].type] == 2
    period = (6 if n_h == 3 else 2) if planar else 3
    return Torsion(f"hyd_{h}", 180.0, 10.0 if n_h == 3 else 20.0, period)


def add_hydrogens(comp: Component, table: Mapping, sp: Mapping[str, int]) -> None:
    """Add the hydrogens that the component names: atoms, bonds, angles, rotors, and their places in planes."""
    esd = table["angle_esd"]
    for parent, hs in comp.hydrogens.items():
        kind = comp.atoms[parent].type
        electron, nucleus, own = table["parents"][kind]
        heavy = [a for a in comp.neighbours(parent) if comp.atoms[a].element != "H"]
        # gemmi places the first hydrogen of two on the side of previous x next atom: that one has the higher number
        # (IUPAC rules, Markley et al. (1998) Pure Appl. Chem. 70, 117-142)
        hs = hs[::-1] if sp[kind] == 3 and len(heavy) == 2 else hs
        for h in hs:
            comp.atoms[h] = Atom(h, "H", HYDROGEN_TYPE[comp.atoms[parent].element])
            comp.bonds[parent, h] = Bond("single", electron, table["electron_esd"], nucleus, table["nucleus_esd"])
        angles = hydrogen_angles(comp, parent, heavy, hs, sp[kind], own, table["hch_angle"])
        comp.angles |= {k: (v, esd) for k, v in angles.items()}
        if len(heavy) == 1:
            ends = [a for a in comp.neighbours(heavy[0]) if a != parent and comp.atoms[a].element != "H"]
            torsion = rotor(comp, parent, heavy[0], hs[0], len(hs), sp)
            if torsion and ends:
                comp.torsions[ends[0], heavy[0], parent, hs[0]] = torsion
        if sp[kind] == 2:
            for name, members in comp.planes.items():
                if parent in members and sum(x in members for x in heavy) == len(heavy):
                    comp.planes[name] = (*members, *hs)
