"""Restraints of a component derived from its ideal coordinates: bonds, angles, torsions, chiral centres, planes.

Standard uncertainties are 0.02 Å and 3 degrees. Carboxylic, phosphoric and sulfuric acids are taken as their anions,
with equal bonds and angles of the terminal oxygens. Planes are grown over double and aromatic bonds as far as the
coordinates stay flat; chiral signs come from the coordinates at atoms marked R or S.
"""

from __future__ import annotations

from itertools import combinations

import gemmi
import numpy as np

from consilience.structure.ccd import IdealComponent
from consilience.structure.component_graph import UNSATURATED, ComponentGraph, deprotonated

BOND_ESD, ANGLE_ESD, PLANE_ESD = 0.02, 3.0, 0.02
FLAT = 0.05  # Å: largest distance of an atom from a plane that still holds it
# distance to the electron cloud of hydrogen, Å, by parent element and planarity (Sheldrick (2015) Acta Cryst. C71, 3-8)
ELECTRON_H = {("C", False): 0.99, ("C", True): 0.95, ("N", False): 0.91, ("N", True): 0.88, ("O", False): 0.84}


def energy_type(g: ComponentGraph, i: int) -> str:
    """Energy type of an atom by element, planarity and number of hydrogens (names of ener_lib.cif)."""
    element, h, degree = g.comp.elements[i], g.n_h[i], len(g.near[i])
    aromatic = any(g.order[i, j] == "aromatic" for j in g.near[i])
    if element == "C":
        if g.linear(i):
            return "CSP1" if h else "CSP"
        if g.flat[i]:
            return ("CR16" if h else "CR6") if aromatic else ("C", "C1", "C2", "C2")[min(h, 3)]
        return ("CT", "CH1", "CH2", "CH3")[min(h, 3)]
    if element == "N":
        if degree == 1 or g.linear(i):
            return "NS"
        if aromatic:
            return "NR16" if h else ("NR6" if degree == 3 else "NRD6")
        if g.flat[i]:
            return ("NH0" if degree == 3 else "N20", "NH1", "NH2")[min(h, 2)]
        return ("NT" if degree > 3 else "N30", "NT1", "NT2", "NT3", "NT4")[min(h, 4)]
    if element == "O":
        if h:
            return "OH2" if h == 2 else "OH1"
        if degree > 1:
            return "O2"
        parent = g.comp.elements[g.near[i][0]] if g.near[i] else ""
        return {"P": "OP", "S": "OS"}.get(parent, "OC" if g.comp.charges[i] < 0 else "O")
    if element == "S":
        return "SH1" if h else ("S1", "S1", "S2", "S3", "S3")[min(degree, 4)]
    if element == "H":
        parent = g.comp.elements[g.near[i][0]] if g.near[i] else ""
        return {"N": "HNH1", "O": "HOH1", "S": "HSH1"}.get(parent, "H")
    return element


def group(comp: IdealComponent) -> str:
    """Group of the library's links for a CCD type."""
    kind, bonded = comp.kind.lower(), {frozenset((comp.ids[i], comp.ids[j])) for i, j in comp.bonds.tolist()}
    if "peptide linking" in kind and {"N", "CA", "C"} <= set(comp.ids):
        if frozenset(("N", "CD")) in bonded:
            return "P-peptide"
        return "M-peptide" if frozenset(("N", "CN")) in bonded else "peptide"
    if "rna linking" in kind:
        return "RNA"
    if "dna linking" in kind:
        return "DNA"
    if "saccharide" in kind and {frozenset(("C1", "O5")), frozenset(("C5", "O5"))} <= bonded:
        return "pyranose"
    return "NON-POLYMER"


def planes(g: ComponentGraph) -> list[list[int]]:
    """Maximal flat groups of at least four atoms around double, aromatic and amide bonds."""
    cores = [
        (i, j)
        for (i, j), order in g.order.items()
        if i < j and g.flat[i] and g.flat[j] and (order in UNSATURATED or _is_amide(g, i, j))
    ]
    cores += [(i, j) for i in range(len(g.near)) if g.flat[i] for j in g.near[i] if not g.flat[j] and not g.hydrogen[j]]
    groups: list[set[int]] = []
    for i, j in cores:
        members = {i, j, *g.near[i], *(g.near[j] if g.flat[j] else ())}
        if len(members) > 3 and _is_plane(g, members) and members not in groups:
            groups.append(members)
    merged = True
    while merged:
        merged = False
        for a, b in combinations(groups, 2):
            shared = [k for k in a & b if g.flat[k]]
            if (a <= b or b <= a) or (len(shared) > 1 and _is_plane(g, a | b) and _joined(g, shared)):
                groups = [x for x in groups if x is not a and x is not b] + [a | b]
                merged = True
                break
    return [sorted(members, key=lambda k: (g.hydrogen[k], k)) for members in groups]


def _is_amide(g: ComponentGraph, i: int, j: int) -> bool:
    return {"C", "N"} == {g.comp.elements[i], g.comp.elements[j]} or {"N"} == {g.comp.elements[i], g.comp.elements[j]}


def _joined(g: ComponentGraph, shared: list[int]) -> bool:
    return any(
        g.order.get((i, j)) in UNSATURATED or ((i, j) in g.order and _is_amide(g, i, j))
        for i, j in combinations(shared, 2)
    )


def _is_plane(g: ComponentGraph, members: set[int]) -> bool:
    x = g.comp.xyz[sorted(members)]
    x = x - x.mean(0)
    return bool(np.abs(x @ np.linalg.svd(x)[2][2]).max() < FLAT)


def torsions(g: ComponentGraph) -> list[tuple[tuple[int, int, int, int], float, float, int]]:
    """One torsion per rotatable bond: atoms, value and esd (degrees), period."""
    out = []
    for i, j in g.comp.bonds.tolist():
        if g.order[i, j] != "single" or g.in_ring(i, j) or g.linear(i) or g.linear(j):
            continue
        a = next((k for k in g.heavy[i] + g.near[i] if k != j), None)
        d = next((k for k in g.heavy[j] + g.near[j] if k != i), None)
        if a is None or d is None or (g.hydrogen[a] and g.hydrogen[d]) or (g.flat[i] and g.flat[j]):
            continue
        value = float(np.degrees(gemmi.calculate_dihedral(*(gemmi.Position(*g.comp.xyz[k]) for k in (a, i, j, d)))))
        rotor = next((k for k, end in ((i, a), (j, d)) if g.hydrogen[end]), None)
        if g.flat[i] or g.flat[j]:
            period = 2 if rotor is not None and g.n_h[rotor] == 1 else 6
        else:
            period = 3
        out.append(((a, i, j, d), value, 20.0, period))
    return out


def chirs(g: ComponentGraph) -> list[tuple[tuple[int, int, int, int], str]]:
    """Centre, three neighbours and sign of every atom marked R or S."""
    out = []
    for i, mark in enumerate(g.comp.stereo):
        ends = sorted(g.near[i], key=lambda k: g.hydrogen[k])[:3]
        # marks at phosphorus depend on which of the equivalent oxygens carries the hydrogen
        if mark not in ("R", "S") or len(g.near[i]) < 3 or g.comp.elements[i] == "P":
            continue
        u, v, w = (g.comp.xyz[k] - g.comp.xyz[i] for k in ends)
        volume = float(u @ np.cross(v, w))
        if abs(volume) > 0.5:
            out.append(((i, *ends), "positive" if volume > 0 else "negative"))
    return out


def restraints_block(comp: IdealComponent) -> gemmi.cif.Block:
    """A dictionary block, as gemmi.MonLib reads it, with restraints derived from the coordinates of `comp`."""
    comp = deprotonated(comp)
    g = ComponentGraph(comp)
    block = gemmi.cif.Block(f"comp_{comp.name}")
    block.set_pair("_chem_comp.id", gemmi.cif.quote(comp.name))
    block.set_pair("_chem_comp.group", gemmi.cif.quote(group(comp)))

    def add(category: str, tags: list[str], rows: list[list[object]]) -> None:
        if rows:
            loop = block.init_loop(f"_chem_comp_{category}.", ["comp_id", *tags])
            for row in rows:
                loop.add_row([gemmi.cif.quote(str(v)) for v in (comp.name, *row)])

    ids = comp.ids
    names = ["atom_id_1", "atom_id_2", "atom_id_3", "atom_id_4"]
    rows: list[list[object]] = [
        [ids[i], comp.elements[i], energy_type(g, i), comp.charges[i], *(f"{c:.3f}" for c in comp.xyz[i])]
        for i in range(len(ids))
    ]
    add("atom", ["atom_id", "type_symbol", "type_energy", "charge", "x", "y", "z"], rows)
    rows = []
    for i, j in comp.bonds.tolist():
        length = electron = g.ideal_length(i, j)
        if g.hydrogen[i] != g.hydrogen[j]:
            k = j if g.hydrogen[i] else i
            electron = ELECTRON_H.get((comp.elements[k], g.flat[k]), length)
        rows.append([ids[i], ids[j], g.order[i, j], *(f"{v:.3f}" for v in (electron, BOND_ESD, length, BOND_ESD))])
    values = ["value_dist", "value_dist_esd", "value_dist_nucleus", "value_dist_nucleus_esd"]
    add("bond", [*names[:2], "type", *values], rows)
    rows = [
        [ids[a], ids[i], ids[b], f"{g.ideal_angle(a, i, b):.2f}", ANGLE_ESD]
        for i in range(len(ids))
        for a, b in combinations(g.near[i], 2)
    ]
    add("angle", [*names[:3], "value_angle", "value_angle_esd"], rows)
    rows = [
        [f"tor_{n}", *(ids[k] for k in atoms), f"{value:.1f}", esd, period]
        for n, (atoms, value, esd, period) in enumerate(torsions(g), 1)
    ]
    add("tor", ["id", *names, "value_angle", "value_angle_esd", "period"], rows)
    rows = [[f"chir_{n}", *(ids[k] for k in atoms), sign] for n, (atoms, sign) in enumerate(chirs(g), 1)]
    add("chir", ["id", "atom_id_centre", *names[:3], "volume_sign"], rows)
    rows = [[f"plan-{n}", ids[k], PLANE_ESD] for n, members in enumerate(planes(g), 1) for k in members]
    add("plane_atom", ["plane_id", "atom_id", "dist_esd"], rows)
    return block
