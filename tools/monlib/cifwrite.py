"""Writes components, links, modifications and energy types as CIF in the layout of the CCP4 monomer library."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from grammar import PLANE_ESD, Component, expand, lines

Row = Sequence[object]


def word(value: object) -> str:
    """One CIF value, quoted where it must be."""
    text = "." if value is None else str(value)
    if " " not in text and text[:1] not in "'\"_#$[];" and text != "":
        return text
    return f'"{text}"' if '"' not in text else f"'{text}'"


def loop(category: str, tags: Sequence[str], rows: Iterable[Row]) -> str:
    """A CIF loop with aligned columns; nothing where there are no rows."""
    table = [[word(v) for v in row] for row in rows]
    if not table:
        return ""
    widths = [max(len(row[i]) for row in table) for i in range(len(tags))]
    body = (" ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)).rstrip() for row in table)
    return "\n".join(["loop_", *(f"_{category}.{t}" for t in tags), *body]) + "\n\n"


def numbers(*values: float, digits: int = 3) -> list[str]:
    return [f"{v:.{digits}f}" for v in values]


def header(what: str) -> str:
    return f"# {what}\n# Written by tools/monlib/make.py from the tables beside it; literature is cited there.\n\n"


COMP_TAGS = ("id", "three_letter_code", "name", "group", "number_atoms_all", "number_atoms_nh", "desc_level")


def comp_row(c: Component) -> Row:
    heavy = sum(a.element != "H" for a in c.atoms.values())
    return (c.id, c.id, c.name, c.group, len(c.atoms), heavy, ".")


def component_cif(c: Component) -> str:
    """The file of one component: its row in the list of components and its restraints."""
    out = [header(f"Restraints of {c.id}"), "data_comp_list\n", loop("chem_comp", COMP_TAGS, [comp_row(c)])]
    out.append(f"data_comp_{c.id}\n")
    atoms = [(c.id, a.id, a.element, a.type, a.charge) for a in c.atoms.values()]
    out.append(loop("chem_comp_atom", ("comp_id", "atom_id", "type_symbol", "type_energy", "charge"), atoms))
    tags = ("value_dist", "value_dist_esd", "value_dist_nucleus", "value_dist_nucleus_esd")
    bonds = [
        (c.id, *k, b.order, "ny"[b.order == "aromatic"], *numbers(b.value, b.esd, b.value_nucleus, b.esd_nucleus))
        for k, b in c.bonds.items()
    ]
    out.append(loop("chem_comp_bond", ("comp_id", "atom_id_1", "atom_id_2", "type", "aromatic", *tags), bonds))
    ids = [f"atom_id_{i}" for i in (1, 2, 3, 4)]
    angles = [(c.id, *k, *numbers(*v, digits=2)) for k, v in c.angles.items()]
    out.append(loop("chem_comp_angle", ("comp_id", *ids[:3], "value_angle", "value_angle_esd"), angles))
    torsions = [(c.id, t.id, *k, *numbers(t.value, t.esd, digits=1), t.period) for k, t in c.torsions.items()]
    out.append(loop("chem_comp_tor", ("comp_id", "id", *ids, "value_angle", "value_angle_esd", "period"), torsions))
    chirs = [(c.id, f"chir_{i}", *k, sign) for i, (k, sign) in enumerate(c.chirs.items(), 1)]
    out.append(loop("chem_comp_chir", ("comp_id", "id", "atom_id_centre", *ids[:3], "volume_sign"), chirs))
    planes = [(c.id, name, a, *numbers(PLANE_ESD)) for name, members in c.planes.items() for a in members]
    out.append(loop("chem_comp_plane_atom", ("comp_id", "plane_id", "atom_id", "dist_esd"), planes))
    return "".join(out).rstrip("\n") + "\n"


def link_atoms(key: Iterable[str]) -> list[str]:
    """('1.C', '2.N') -> 1 C 2 N."""
    return list(chain.from_iterable(a.split(".", 1) for a in key))


def link_tags(n: int) -> list[str]:
    return list(chain.from_iterable((f"atom_{i}_comp_id", f"atom_id_{i}") for i in range(1, n + 1)))


def link_cif(c: Component) -> str:
    """The restraints of one link; `c` is keyed by side.atom."""
    out = [f"data_link_{c.id}\n"]
    bonds = [(c.id, *link_atoms(k), b.order, *numbers(b.value, b.esd)) for k, b in c.bonds.items()]
    out.append(loop("chem_link_bond", ("link_id", *link_tags(2), "type", "value_dist", "value_dist_esd"), bonds))
    angles = [(c.id, *link_atoms(k), *numbers(*v, digits=2)) for k, v in c.angles.items()]
    out.append(loop("chem_link_angle", ("link_id", *link_tags(3), "value_angle", "value_angle_esd"), angles))
    tors = [(c.id, t.id, *link_atoms(k), *numbers(t.value, t.esd, digits=1), t.period) for k, t in c.torsions.items()]
    out.append(
        loop("chem_link_tor", ("link_id", "id", *link_tags(4), "value_angle", "value_angle_esd", "period"), tors)
    )
    chirs = [(c.id, f"chir_{i}", *link_atoms(k), sign) for i, (k, sign) in enumerate(c.chirs.items(), 1)]
    tags = ("link_id", "id", "atom_centre_comp_id", "atom_id_centre", *link_tags(3), "volume_sign")
    out.append(loop("chem_link_chir", tags, chirs))
    planes = [(c.id, name, *link_atoms([a]), *numbers(PLANE_ESD)) for name, ms in c.planes.items() for a in ms]
    out.append(loop("chem_link_plane", ("link_id", "plane_id", "atom_comp_id", "atom_id", "dist_esd"), planes))
    return "".join(out)


def mod_cif(name: str, entry: Mapping, hydrogens: Mapping) -> str:
    """One modification: atoms deleted or retyped, bonds and angles changed, torsions deleted."""
    out = [f"data_mod_{name}\n"]
    atoms = [(name, f, a, ".", ".", *(rest or ["."])) for f, a, *rest in lines(entry.get("atoms"))]
    tags = ("mod_id", "function", "atom_id", "new_atom_id", "new_type_symbol", "new_type_energy")
    out.append(loop("chem_mod_atom", tags, atoms))
    bonds: list[Row] = []
    for function, pattern, order, value, esd in lines(entry.get("bonds")):
        v = numbers(float(value), float(esd))
        bonds += [(name, function, *key, order, *v, *v) for key in expand(pattern)]
    for function, pattern, parent in lines(entry.get("hydrogen")):
        electron, nucleus, _ = hydrogens["parents"][parent]
        v = numbers(electron, hydrogens["electron_esd"], nucleus, hydrogens["nucleus_esd"])
        bonds += [(name, function, *key, "single", *v) for key in expand(pattern)]
    values = ("new_value_dist", "new_value_dist_esd", "new_value_dist_nucleus", "new_value_dist_nucleus_esd")
    out.append(loop("chem_mod_bond", ("mod_id", "function", "atom_id_1", "atom_id_2", "new_type", *values), bonds))
    angles = [
        (name, function, *key, *numbers(float(value), float(esd), digits=2))
        for function, pattern, value, esd in lines(entry.get("angles"))
        for key in expand(pattern)
    ]
    ids = [f"atom_id_{i}" for i in (1, 2, 3, 4)]
    out.append(
        loop("chem_mod_angle", ("mod_id", "function", *ids[:3], "new_value_angle", "new_value_angle_esd"), angles)
    )
    torsions = [(name, f, ".", *key, ".", ".", ".") for f, p in lines(entry.get("torsions")) for key in expand(p)]
    tags = ("mod_id", "function", "id", *ids, "new_value_angle", "new_value_angle_esd", "new_period")
    out.append(loop("chem_mod_tor", tags, torsions))
    return "".join(out)


def list_cif(
    components: Sequence[Component], links: Mapping, link_parts: Sequence[Component], mods: Mapping, h: Mapping
):
    """list/mon_lib_list.cif: the components' names and groups, every link and every modification."""
    out = [header("Components, links and modifications"), "data_comp_list\n"]
    out.append(loop("chem_comp", COMP_TAGS, [comp_row(c) for c in components]))
    out.append("data_link_list\n")
    tags = ("id", "comp_id_1", "mod_id_1", "group_comp_1", "comp_id_2", "mod_id_2", "group_comp_2", "name")
    rows = [(name, *entry["sides"][0].split(), *entry["sides"][1].split(), name) for name, entry in links.items()]
    out.append(loop("chem_link", tags, rows))
    out.append("data_mod_list\n")
    rows = [(name, name, entry.get("comp", "."), entry["group"]) for name, entry in mods.items()]
    out.append(loop("chem_mod", ("id", "name", "comp_id", "group_id"), rows))
    out += [link_cif(c) for c in link_parts] + [mod_cif(name, entry, h) for name, entry in mods.items()]
    return "".join(out).rstrip("\n") + "\n"


def energy_cif(rows: Iterable[Row]) -> str:
    """ener_lib.cif: radii and hydrogen-bonding class of every energy type."""
    tags = ("type", "hb_type", "vdw_radius", "vdwh_radius", "ion_radius", "hb_radius", "element", "valency", "sp")
    return header("Energy types: radii in A") + "data_energy\n" + loop("lib_atom", tags, rows).rstrip("\n") + "\n"
