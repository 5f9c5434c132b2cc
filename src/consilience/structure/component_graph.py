"""Chemistry of a component: its oxyacids as anions, neighbours, bond orders, planarity, ideal lengths and angles."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import gemmi
import numpy as np

from consilience.structure.ccd import IdealComponent

# terminal oxygens of an anion, Å, by central element and their number (Engh & Huber (2001) Int. Tables F, ch. 18.3;
# Gelbin et al. (1996) J. Am. Chem. Soc. 118, 519; Allen et al. (1987) J. Chem. Soc. Perkin Trans. 2, S1)
ANION_O = {("C", 2): 1.25, ("P", 2): 1.485, ("P", 3): 1.51, ("P", 4): 1.532, ("S", 3): 1.45, ("S", 4): 1.472}
UNSATURATED = ("double", "aromatic", "deloc")


def deprotonated(comp: IdealComponent) -> IdealComponent:
    """The component with its oxyacid groups as anions: acid hydrogens removed, bonds of the oxygens "deloc"."""
    near: list[list[int]] = [[] for _ in comp.ids]
    for i, j in comp.bonds.tolist():
        near[i].append(j)
        near[j].append(i)
    h = [e == "H" for e in comp.elements]
    drop: set[int] = set()
    deloc: set[frozenset[int]] = set()
    for i, element in enumerate(comp.elements):
        ends = [j for j in near[i] if comp.elements[j] == "O" and sum(not h[k] for k in near[j]) == 1]
        bare = [j for j in ends if len(near[j]) == 1]
        if bare and (element, len(ends)) in ANION_O:
            drop |= {k for j in ends for k in near[j] if h[k]}
            deloc |= {frozenset((i, j)) for j in ends}
    keep = [i for i in range(len(comp.ids)) if i not in drop]
    number = {old: new for new, old in enumerate(keep)}
    bonds = [
        (number[i], number[j], "deloc" if frozenset((i, j)) in deloc else order)
        for (i, j), order in zip(comp.bonds.tolist(), comp.orders, strict=True)
        if i in number and j in number
    ]
    lost = {j for k in drop for j in near[k]}
    return replace(
        comp,
        ids=tuple(comp.ids[i] for i in keep),
        elements=tuple(comp.elements[i] for i in keep),
        charges=tuple(-1 if i in lost else comp.charges[i] for i in keep),
        stereo=tuple(comp.stereo[i] for i in keep),
        xyz=comp.xyz[keep],
        bonds=np.array([b[:2] for b in bonds], int).reshape(-1, 2),
        orders=tuple(b[2] for b in bonds),
    )


class ComponentGraph:
    """Neighbours, bond orders and planarity of the atoms of one component."""

    def __init__(self, comp: IdealComponent):
        self.comp = comp
        n = len(comp.ids)
        self.order: dict[tuple[int, int], str] = {}
        self.near: list[list[int]] = [[] for _ in range(n)]
        for (i, j), order in zip(comp.bonds.tolist(), comp.orders, strict=True):
            metal = any(gemmi.Element(comp.elements[k]).is_metal for k in (i, j))
            self.order[i, j] = self.order[j, i] = "metal" if metal else order
            self.near[i].append(j)
            self.near[j].append(i)
        self.hydrogen = [e == "H" for e in comp.elements]
        self.heavy = [[j for j in near if not self.hydrogen[j]] for near in self.near]
        self.n_h = [len(a) - len(b) for a, b in zip(self.near, self.heavy, strict=True)]
        self.flat = [self._is_flat(i) for i in range(n)]

    def angle(self, a: int, centre: int, b: int) -> float:
        u, v = (self.comp.xyz[k] - self.comp.xyz[centre] for k in (a, b))
        return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(u, v)), u @ v)))

    def anion(self, i: int) -> list[int]:
        """Terminal oxygens of an oxyacid anion with centre i, else nothing."""
        ends = [j for j in self.near[i] if self.order[i, j] == "deloc" and self.comp.elements[j] == "O"]
        return ends if len(ends) > 1 and all(len(self.near[j]) == 1 for j in ends) else []

    def ideal_length(self, i: int, j: int) -> float:
        """Å, from the coordinates, except for the terminal oxygens of anions."""
        for a, b in ((i, j), (j, i)):
            ends = self.anion(a)
            if b in ends:
                return ANION_O.get((self.comp.elements[a], len(ends)), self.length(i, j))
        return self.length(i, j)

    def ideal_angle(self, a: int, centre: int, b: int) -> float:
        """Degrees, from the coordinates; averaged over the equivalent oxygens of an anion."""
        ends = self.anion(centre)
        if a in ends and b in ends:
            return float(np.mean([self.angle(x, centre, y) for x, y in combinations(ends, 2)]))
        if a in ends or b in ends:
            other = b if a in ends else a
            return float(np.mean([self.angle(x, centre, other) for x in ends]))
        return self.angle(a, centre, b)

    def length(self, i: int, j: int) -> float:
        return float(np.linalg.norm(self.comp.xyz[i] - self.comp.xyz[j]))

    def _is_flat(self, i: int) -> bool:
        orders = [self.order[i, j] for j in self.near[i]]
        if self.comp.elements[i] == "C":
            return any(o in UNSATURATED for o in orders)
        if self.comp.elements[i] in ("N", "B"):
            total = sum(self.angle(a, i, b) for a, b in combinations(self.near[i], 2))
            return any(o in UNSATURATED for o in orders) or (len(orders) == 3 and total > 352.0)
        return False

    def linear(self, i: int) -> bool:
        return len(self.near[i]) == 2 and self.angle(self.near[i][0], i, self.near[i][1]) > 165.0

    def in_ring(self, i: int, j: int) -> bool:
        seen, front = {i}, [k for k in self.near[i] if k != j]
        while front:
            k = front.pop()
            if k == j:
                return True
            if k not in seen:
                seen.add(k)
                front += self.near[k]
        return False
