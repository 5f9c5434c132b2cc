"""Places a sulfate ion and ordered waters in hydrogen-bonding positions of a packed crystal, and assigns B factors."""

from __future__ import annotations

import gemmi
import numpy as np
from chain import new_atom
from scipy.spatial.transform import Rotation

_REACH = 8.0
_BASIC = ("NZ", "NE", "NH1", "NH2", "NE2")


class Surroundings:
    """Distances from a point to all atoms of the crystal, symmetry images included."""

    def __init__(self, st: gemmi.Structure) -> None:
        self._model = st[0]
        self._search = gemmi.NeighborSearch(st[0], st.cell, _REACH).populate(include_h=True)

    def near(self, xyz: np.ndarray, radius: float) -> list[tuple[gemmi.CRA, float]]:
        """(atom, distance Å) within `radius` of a point (3,) Å."""
        p = gemmi.Position(*xyz)
        marks = self._search.find_atoms(p, "\0", radius=radius)
        return [(m.to_cra(self._model), self._search.dist(p, m.pos)) for m in marks]


def sphere(n: int) -> np.ndarray:
    """n nearly even points on the unit sphere (n, 3), by the golden spiral."""
    k = np.arange(n) + 0.5
    z, phi = 1 - 2 * k / n, k * np.pi * (1 + np.sqrt(5))
    r = np.sqrt(1 - z * z)
    return np.stack([r * np.cos(phi), r * np.sin(phi), z], axis=1)


def _is_polar(atom: gemmi.Atom) -> bool:
    return atom.element.name in ("N", "O")


def _free_for_water(near: list[tuple[gemmi.CRA, float]]) -> bool:
    """No atom closer than a hydrogen bond or a van der Waals contact allows."""
    for cra, d in near:
        if cra.atom.is_hydrogen():
            limit = 1.8 if any(_is_polar(a) and a.pos.dist(cra.atom.pos) < 1.15 for a in cra.residue) else 2.55
        else:
            limit = 2.7 if _is_polar(cra.atom) else 3.4
        if d < limit:
            return False
    return True


def parent(res: gemmi.Residue, hydrogen: gemmi.Atom) -> gemmi.Atom:
    """The heavy atom of the residue nearest to a hydrogen, of its conformer or of none."""
    heavy = [a for a in res if not a.is_hydrogen() and (a.altloc == hydrogen.altloc or not a.has_altloc())]
    return min(heavy, key=lambda a: a.pos.dist(hydrogen.pos))


def add_sulfate(st: gemmi.Structure, seed: int) -> None:
    """Adds chain B with one sulfate ion where most basic side-chain nitrogens can reach it."""
    around = Surroundings(st)
    best: tuple[float, np.ndarray] = (-np.inf, np.zeros(3))
    for res in st[0]["A"]:
        for atom in res:
            if atom.name not in _BASIC:
                continue
            for point in np.array(atom.pos.tolist()) + 3.9 * sphere(150):
                near = around.near(point, 4.5)
                heavy = [(c, d) for c, d in near if not c.atom.is_hydrogen()]
                if (
                    min(d for _, d in heavy) < 3.6
                    or min((d for c, d in near if c.atom.is_hydrogen()), default=9.0) < 2.7
                ):
                    continue
                basic = sum(c.atom.name in _BASIC for c, _ in heavy)
                acid = sum(c.atom.name in ("OD1", "OD2", "OE1", "OE2", "O", "OXT") for c, _ in heavy)
                score = 2.0 * basic - 2.0 * acid - 0.1 * len(heavy)
                if score > best[0]:
                    best = (score, point)
    tetrahedron = 1.47 * np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]) / np.sqrt(3.0)
    turns = Rotation.random(300, rng=np.random.default_rng(seed))

    def overlap(oxygens: np.ndarray) -> float:
        near = [(c, d) for o in oxygens for c, d in around.near(o, 3.4)]
        limit = [1.85 if c.atom.is_hydrogen() else 2.75 if _is_polar(c.atom) else 3.3 for c, _ in near]
        bonds = sum(c.atom.name in _BASIC and d < 3.2 for c, d in near)
        return float(sum(max(x - d, 0.0) ** 2 for x, (_, d) in zip(limit, near, strict=True))) - 0.3 * bonds

    placed = [best[1] + turn.apply(tetrahedron) for turn in turns]
    oxygens = min(placed, key=overlap)
    res = gemmi.Residue()
    res.name, res.seqid, res.het_flag, res.entity_type = "SO4", gemmi.SeqId("1"), "H", gemmi.EntityType.NonPolymer
    res.add_atom(new_atom("S", "S", best[1]))
    for k, xyz in enumerate(oxygens):
        res.add_atom(new_atom(f"O{k + 1}", "O", xyz))
    chain = gemmi.Chain("B")
    chain.add_residue(res)
    st[0].add_chain(chain)


def water_sites(st: gemmi.Structure, count: int, *, first_shell: bool = True) -> np.ndarray:
    """(count, 3) Å: positions with most hydrogen bonds to the model, at least 2.75 Å from each other and their images.

    `first_shell`: seek partners at hydrogen-bond distance; otherwise the sites are 3-5 Å from the model
    (disordered solvent).
    """
    around = Surroundings(st)
    points: list[np.ndarray] = []
    scores: list[float] = []
    for chain in st[0]:
        for res in chain:
            for atom in res:
                if not _is_polar(atom):
                    continue
                for point in np.array(atom.pos.tolist()) + (2.85 if first_shell else 4.5) * sphere(60):
                    near = around.near(point, 4.2)
                    if not _free_for_water(near):
                        continue
                    heavy = [(c, d) for c, d in near if not c.atom.is_hydrogen()]
                    if not first_shell and min((d for _, d in heavy), default=9.0) < 3.2:
                        continue
                    bonds = [c for c, d in heavy if _is_polar(c.atom) and d < 3.2]
                    hydrogens = sum(c.atom.is_hydrogen() and d < 2.2 for c, d in near)
                    points.append(point)
                    scores.append(len(bonds) + 0.5 * hydrogens + 0.08 * len(heavy))
    chosen: list[np.ndarray] = []
    for k in np.argsort(-np.array(scores), kind="stable"):
        p = gemmi.Position(*points[k])
        if st.cell.find_nearest_image(p, p, gemmi.Asu.Different).dist() < 3.0:
            continue
        apart = [st.cell.find_nearest_image(p, gemmi.Position(*q), gemmi.Asu.Any).dist() for q in chosen]
        if min(apart, default=9.0) > 2.75:
            chosen.append(points[k])
        if len(chosen) == count:
            break
    return np.array(chosen)


def add_waters(st: gemmi.Structure, sites: np.ndarray) -> None:
    """Adds chain W with one water oxygen per site (n, 3) Å."""
    chain = gemmi.Chain("W")
    for k, xyz in enumerate(sites):
        res = gemmi.Residue()
        res.name, res.seqid, res.het_flag, res.entity_type = "HOH", gemmi.SeqId(k + 1, " "), "H", gemmi.EntityType.Water
        res.add_atom(new_atom("O", "O", xyz))
        chain.add_residue(res)
    st[0].add_chain(chain)


def assign_b(st: gemmi.Structure, seed: int) -> None:
    """Isotropic B (Å^2) of every atom: low where packed, smooth along the chain, higher at the ends."""
    rng = np.random.default_rng(seed)
    around = Surroundings(st)

    def crowding(atom: gemmi.Atom) -> float:
        return sum(not c.atom.is_hydrogen() for c, _ in around.near(np.array(atom.pos.tolist()), 8.0))

    crowd = {a.serial: crowding(a) for c in st[0] for r in c for a in r if not a.is_hydrogen()}
    middle, width = np.mean(list(crowd.values())), np.std(list(crowd.values()))
    exposed = {k: (middle - v) / width for k, v in crowd.items()}  # about -2 (buried) to 2
    protein = list(st[0]["A"])
    main = np.array([np.mean([exposed[a.serial] for a in r if a.name in ("N", "CA", "C", "O")]) for r in protein])
    smooth = np.convolve(np.pad(main, 2, mode="edge"), [0.1, 0.2, 0.4, 0.2, 0.1], mode="valid")
    order = np.arange(len(protein))
    ends = np.exp(-np.minimum(order, order[::-1]) / 1.5)
    base = np.maximum(15.0 + 4.5 * smooth, 9.5) + 8.0 * ends
    depth = {"B": 0.6, "G": 1.3, "D": 2.2, "E": 3.2, "Z": 4.2, "H": 5.0}
    for k, res in enumerate(protein):
        for atom in (a for a in res if not a.is_hydrogen()):
            own = depth.get(atom.name[1:2], 0.0) if atom.name not in ("N", "CA", "C", "O", "OXT") else 0.0
            own *= 0.6 if res.name in ("PHE", "TYR", "TRP", "HIS") else 1.0
            own *= float(np.clip(0.8 + 1.2 * exposed[atom.serial], 0.3, 3.0))
            atom.b_iso = base[k] + own + (1.5 if atom.name in ("O", "OXT") else 0.0) + rng.normal(0.0, 0.4)
    for res in st[0]["B"]:
        for atom in res:
            atom.b_iso = 24.0 if atom.name == "S" else 26.0 + rng.normal(0.0, 1.0)
    for res in st[0]["W"]:
        res[0].b_iso = 27.0 + 5.0 * exposed[res[0].serial] + rng.normal(0.0, 3.0)
    for chain in st[0]:
        for res in chain:
            for atom in res:
                atom.b_iso = float(np.clip(atom.b_iso, 8.0, 45.0))
            for atom in (a for a in res if a.is_hydrogen()):
                atom.b_iso = parent(res, atom).b_iso
