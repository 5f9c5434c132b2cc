"""Writes the restraint library src/consilience/structure/monlib from the tables of published values beside this file.

usage: python tools/monlib/make.py [FOLDER]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path

import yaml
from cifwrite import component_cif, energy_cif, list_cif
from grammar import Atom, Component, add_restraints, component, unordered
from hydrogens import add_hydrogens

HERE = Path(__file__).resolve().parent
TARGET = HERE.parents[1] / "src" / "consilience" / "structure" / "monlib"


def table(name: str) -> dict:
    return yaml.safe_load((HERE / "tables" / f"{name}.yaml").read_text(encoding="utf-8"))


def energy_rows(data: Mapping) -> Iterator[tuple[object, ...]]:
    """Rows of ener_lib.cif: type, hydrogen-bond class, radii (A), element, valency, hybridization."""
    for element, by_sp in data["types"].items():
        vdw, united, ion, bonding, valency = data["families"][element]
        for sp, by_class in by_sp.items():
            wide = data["planar_carbon_united"] if element == "C" and sp == 2 else united
            for hb, names in by_class.items():
                yield from (
                    (n, hb, vdw, wide, ion, bonding if hb != "N" else None, element, valency, sp) for n in names
                )
    for element, (vdw, ion) in data["elements"].items():
        yield (element, "N", vdw, vdw, ion, None, element, ".", ".")


def check(comp: Component) -> None:
    """Every two bonds at an atom have an angle, and no restraint names an absent atom."""
    for centre in comp.atoms:
        for a, b in combinations(comp.neighbours(centre), 2):
            if unordered((a, centre, b), comp.angles) not in comp.angles:
                raise ValueError(f"{comp.id}: no angle {a}-{centre}-{b}")
    for kind in (comp.bonds, comp.angles, comp.torsions, comp.chirs, comp.planes.values()):
        for key in kind:
            missing = set(key) - comp.atoms.keys()
            if missing:
                raise ValueError(f"{comp.id}: unknown atoms {sorted(missing)} in {key}")


def components(energy: list[tuple[object, ...]]) -> list[Component]:
    """All components, complete with hydrogens, sorted by id."""
    element_of = {str(row[0]): str(row[6]) for row in energy}
    sp = {str(row[0]): row[8] for row in energy}
    hydrogens = table("hydrogens")
    parts = table("peptide") | table("nucleotide_parts")
    out = []
    for name, entry in (table("amino_acids") | table("nucleotides") | table("small")).items():
        comp = component(name, entry, parts, element_of)
        add_hydrogens(comp, hydrogens, sp)
        check(comp)
        out.append(comp)
    for name, (title, element, charge) in table("ions").items():
        out.append(Component(name, title, atoms={element: Atom(element, element, element, charge)}))
    return sorted(out, key=lambda c: c.id)


def write(folder: Path) -> None:
    """Write every file of the library into `folder`."""
    energy = list(energy_rows(table("energy_types")))
    if len({row[0] for row in energy}) != len(energy):
        raise ValueError("an energy type stands twice in the table")
    comps = components(energy)
    data = table("links")
    links = []
    for name, entry in data["links"].items():
        link = Component(name)
        add_restraints(link, entry)
        links.append(link)
    files = {f"{c.id[0].lower()}/{c.id}.cif": component_cif(c) for c in comps}
    files["list/mon_lib_list.cif"] = list_cif(comps, data["links"], links, data["mods"], table("hydrogens"))
    files["ener_lib.cif"] = energy_cif(energy)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii", newline="\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET)
