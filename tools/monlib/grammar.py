"""Reads the compact restraint tables: one line per restraint, '/' for atoms that share a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

# Standard deviations of small-molecule samples outside these limits are moved to them: in proteins at atomic
# resolution bonds of all kinds spread by little over 0.01 A and angles by 1-2 deg (Jaskolski et al. (2007) Acta Cryst.
# D63, 611-620; Berkholz et al. (2009) Structure 17, 1316-1325).
BOND_ESD = (0.010, 0.012)
ANGLE_ESD = (1.0, 2.0)
PLANE_ESD = 0.02


@dataclass(frozen=True)
class Atom:
    """An atom of a component: `type` is its energy type, `charge` its formal charge in e."""

    id: str
    element: str
    type: str
    charge: int = 0


@dataclass(frozen=True)
class Bond:
    """Ideal bond length and esd, A; the nuclear pair differs for bonds to hydrogen."""

    order: str
    value: float
    esd: float
    value_nucleus: float
    esd_nucleus: float


@dataclass(frozen=True)
class Torsion:
    id: str
    value: float
    esd: float
    period: int


@dataclass
class Component:
    """One chemical component or link; every table is keyed by atom ids in the order of the table's line."""

    id: str
    name: str = ""
    group: str = "NON-POLYMER"
    atoms: dict[str, Atom] = field(default_factory=dict)
    hydrogens: dict[str, tuple[str, ...]] = field(default_factory=dict)
    bonds: dict[tuple[str, str], Bond] = field(default_factory=dict)
    angles: dict[tuple[str, str, str], tuple[float, float]] = field(default_factory=dict)
    torsions: dict[tuple[str, str, str, str], Torsion] = field(default_factory=dict)
    chirs: dict[tuple[str, str, str, str], str] = field(default_factory=dict)
    planes: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def neighbours(self, atom: str) -> list[str]:
        """Atoms bonded to `atom`, in the order of the bonds."""
        return [b if a == atom else a for a, b in self.bonds if atom in (a, b)]


def expand(pattern: str) -> Iterator[tuple[str, ...]]:
    """'CD1/CD2-CE1/CE2-CZ' -> (CD1, CE1, CZ), (CD2, CE2, CZ): alternatives advance together."""
    places = [p.split("/") for p in pattern.split("-")]
    n = max(len(p) for p in places)
    if any(len(p) not in (1, n) for p in places):
        raise ValueError(f"alternatives of different number in {pattern!r}")
    for i in range(n):
        yield tuple(p[i] if len(p) > 1 else p[0] for p in places)


def lines(text: str | None) -> list[list[str]]:
    """The words of each non-empty line."""
    return [words for words in (line.split() for line in (text or "").splitlines()) if words]


def clip(value: str, limits: tuple[float, float]) -> float:
    """The esd within the limits; '=0.03' is taken as it is (bonds to metals, whose spread is real)."""
    return float(value[1:]) if value.startswith("=") else min(max(float(value), limits[0]), limits[1])


def unordered(key: tuple[str, ...], table: Mapping) -> tuple[str, ...]:
    """The key under which a chain of atoms stands in the table, read in either direction."""
    return key[::-1] if key[::-1] in table else key


def add_restraints(comp: Component, entry: Mapping) -> None:
    """Add the bonds, angles, torsions, chiral centres and planes of an entry; a repeated one replaces the earlier."""
    for pattern, *rest in lines(entry.get("bonds")):
        order = rest[0] if len(rest) == 3 else "single"
        value, esd = float(rest[-2]), clip(rest[-1], BOND_ESD)
        for key in expand(pattern):
            comp.bonds[unordered(key, comp.bonds)] = Bond(order, value, esd, value, esd)
    for pattern, value, esd in lines(entry.get("angles")):
        for key in expand(pattern):
            comp.angles[unordered(key, comp.angles)] = (float(value), clip(esd, ANGLE_ESD))
    for name, pattern, value, esd, period in lines(entry.get("torsions")):
        for key in expand(pattern):
            comp.torsions[unordered(key, comp.torsions)] = Torsion(name, float(value), float(esd), int(period))
    for *key, sign in lines(entry.get("chirs")):
        comp.chirs[tuple(key)] = sign
    for name, members in entry.get("planes", {}).items():
        comp.planes[name] = tuple(members.split())


def add_entry(comp: Component, entry: Mapping, element_of: Mapping[str, str]) -> None:
    """Add atoms, hydrogens and restraints of one table entry to the component."""
    comp.name = entry.get("name", comp.name)
    comp.group = entry.get("group", comp.group)
    for word in entry.get("atoms", "").split():
        name, kind, *charge = word.split(":")
        comp.atoms[name] = Atom(name, element_of[kind], kind, int(charge[0]) if charge else 0)
    for word in entry.get("hydrogens", "").split():
        parent, names = word.split("=")
        comp.hydrogens[parent] = tuple(names.split(","))
    add_restraints(comp, entry)


def component(name: str, entry: Mapping, parts: Mapping[str, Mapping], element_of: Mapping[str, str]) -> Component:
    """The component `name`: its parts in order, then its own lines."""
    comp = Component(name)
    for part in entry.get("parts", ()):
        add_entry(comp, parts[part], element_of)
    add_entry(comp, entry, element_of)
    return comp
