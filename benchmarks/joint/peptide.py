"""N-acetyl-(alanine)n-N-methylamide: its atoms, how to build it from torsions, and a restraint dictionary of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

# usual values (Engh & Huber 1991): Å, degrees; names without numbers
LENGTH = {("CH", "C"): 1.516, ("C", "O"): 1.231, ("C", "N"): 1.329, ("N", "CA"): 1.458, ("CA", "C"): 1.525,
          ("CA", "CB"): 1.521, ("N", "CM"): 1.458}  # fmt: skip
ANGLE = {("CH", "C", "O"): 121.0, ("CH", "C", "N"): 116.0, ("O", "C", "N"): 123.0, ("C", "N", "CA"): 121.7,
         ("N", "CA", "C"): 111.2, ("N", "CA", "CB"): 110.4, ("C", "CA", "CB"): 110.5, ("CA", "C", "O"): 120.8,
         ("CA", "C", "N"): 116.2, ("C", "N", "CM"): 121.7}  # fmt: skip
NUMBER = {"H": 1, "C": 6, "N": 7, "O": 8}
FLAT = ("C", "N")  # centres in a plane


@dataclass(frozen=True)
class Peptide:
    """`rows`: name, bonded to, angle to, torsion to, angle, torsion (degrees or "phi1", "psi1"); heavy atoms first."""

    n: int
    rows: list[tuple]

    @property
    def names(self) -> list[str]:
        return [row[0] for row in self.rows]

    @property
    def numbers(self) -> np.ndarray:
        return np.array([NUMBER[name[0]] for name in self.names], np.int32)

    @property
    def heavy(self) -> int:
        return int(np.sum(self.numbers > 1))

    @property
    def bonds(self) -> list[tuple[int, int]]:
        at = {name: i for i, name in enumerate(self.names)}
        return [(at[row[1]], i) for i, row in enumerate(self.rows) if row[1]]

    @property
    def planes(self) -> list[tuple[str, ...]]:
        """The atoms of each peptide group."""
        before = ["CH3", *(f"CA{k}" for k in range(1, self.n + 1))]
        after = [*(f"CA{k}" for k in range(1, self.n + 1)), "CM"]
        groups = enumerate(zip(before, after, strict=True))
        return [(a, f"C{k}", f"O{k}", f"N{k + 1}", b, f"H{k + 1}") for k, (a, b) in groups]


def kind(name: str) -> str:
    """The name without its number."""
    return name.rstrip("0123456789")


def length(a: str, b: str) -> float:
    """Å"""
    if "H" in (a[0], b[0]):
        return 1.01 if "N" in (a[0], b[0]) else 1.09
    pair = kind(a), kind(b)
    return LENGTH.get(pair, LENGTH.get(pair[::-1], 0.0))


def angle(a: str, centre: str, b: str) -> float:
    """Degrees"""
    found = ANGLE.get((kind(a), kind(centre), kind(b)), ANGLE.get((kind(b), kind(centre), kind(a))))
    return found if found is not None else 119.0 if kind(centre) in FLAT else 109.5


def peptide(n: int) -> Peptide:
    """With n alanines, the L enantiomer."""
    rows: list[tuple] = [("CH3", "", "", "", 0.0), ("C0", "CH3", "", "", 0.0), ("O0", "C0", "CH3", "", 0.0)]
    for k in range(1, n + 1):
        last = "CH3" if k == 1 else f"CA{k - 1}"
        rows += [
            (f"N{k}", f"C{k - 1}", last, f"O{k - 1}", 180.0),
            (f"CA{k}", f"N{k}", f"C{k - 1}", last, 180.0),
            (f"C{k}", f"CA{k}", f"N{k}", f"C{k - 1}", f"phi{k}"),
            (f"O{k}", f"C{k}", f"CA{k}", f"N{k}", f"psi{k}"),
            (f"CB{k}", f"CA{k}", f"N{k}", f"C{k}", -122.0),
        ]
    last, end = f"CA{n}", n + 1
    rows += [(f"N{end}", f"C{n}", last, f"O{n}", 180.0), ("CM", f"N{end}", f"C{n}", last, 180.0)]
    rows += [(f"HA0{a}", "CH3", "C0", "O0", 120.0 * a) for a in range(3)]
    for k in range(1, n + 1):
        rows += [(f"H{k}", f"N{k}", f"C{k - 1}", f"CA{k}", 180.0), (f"HA{k}", f"CA{k}", f"N{k}", f"C{k}", 118.0)]
        rows += [(f"HB{k}{a}", f"CB{k}", f"CA{k}", f"N{k}", 60.0 + 120.0 * a) for a in range(3)]
    rows += [(f"H{end}", f"N{end}", f"C{n}", "CM", 180.0)]
    rows += [(f"HM{a}", "CM", f"N{end}", f"C{n}", 60.0 + 120.0 * a) for a in range(3)]
    return Peptide(n, rows)


def built(molecule: Peptide, phi: np.ndarray, psi: np.ndarray) -> np.ndarray:
    """(atoms, 3) Å for torsions (n,) in degrees."""
    at = {name: i for i, name in enumerate(molecule.names)}
    x = np.zeros((len(at), 3))
    for i, (name, a, b, c, torsion) in enumerate(molecule.rows):
        if isinstance(torsion, str):
            k = int(torsion[3:]) - 1
            torsion = phi[k] if torsion[:3] == "phi" else psi[k] + 180
        if not a:
            continue
        d, w = length(a, name), np.radians(torsion)
        t = np.radians(angle(name, a, b)) if b else 0.0
        if i == 1:
            x[i] = [d, 0, 0]
        elif i == 2:
            x[i] = x[at[a]] + d * np.array([-np.cos(t), np.sin(t), 0])
        else:
            back, before = x[at[a]] - x[at[b]], x[at[b]] - x[at[c]]
            back = back / np.linalg.norm(back)
            normal = np.cross(before, back)
            normal /= np.linalg.norm(normal)
            across = np.cross(normal, back)
            x[i] = x[at[a]] + d * (-np.cos(t) * back + np.sin(t) * (np.cos(w) * across + np.sin(w) * normal))
    return x


def dictionary(path: Path, molecule: Peptide) -> Path:
    """A restraint dictionary of one component AAM, from the tables above."""
    names, bonds = molecule.names, molecule.bonds
    counts = f"{len(names)} {molecule.heavy}"
    columns = ("id", "three_letter_code", "name", "group", "number_atoms_all", "number_atoms_nh")
    lines = ["data_comp_list", "loop_", *(f"_chem_comp.{c}" for c in columns), f"AAM AAM peptide non-polymer {counts}"]
    lines += ["data_comp_AAM", *_loop("atom", "comp_id", "atom_id", "type_symbol", "type_energy", "charge")]
    lines += [f"AAM {name} {name[0]} {name[0]} 0" for name in names]
    lines += _loop("bond", "comp_id", "atom_id_1", "atom_id_2", "type", "aromatic", "value_dist", "value_dist_esd")
    for i, j in bonds:
        order = "double" if names[j][0] == "O" else "single"
        lines.append(f"AAM {names[i]} {names[j]} {order} n {length(names[i], names[j])} 0.018")
    ids = ("atom_id_1", "atom_id_2", "atom_id_3")
    lines += _loop("angle", "comp_id", *ids, "value_angle", "value_angle_esd")
    for centre, name in enumerate(names):
        around = sorted({j for b in bonds for j in b if centre in b and j != centre})
        for k, i in enumerate(around):
            lines += [
                f"AAM {names[i]} {name} {names[j]} {angle(names[i], name, names[j])} 1.8" for j in around[k + 1 :]
            ]
    lines += _loop("tor", "comp_id", "id", *ids, "atom_id_4", "value_angle", "value_angle_esd", "period")
    methyls = ["O0 C0 CH3 HA00 0.0", f"C{molecule.n} N{molecule.n + 1} CM HM0 60.0"]
    methyls += [f"N{k} CA{k} CB{k} HB{k}0 60.0" for k in range(1, molecule.n + 1)]
    lines += [f"AAM methyl_{k} {methyl} 20.0 3" for k, methyl in enumerate(methyls)]  # where hydrogens go that rotate
    lines += _loop("chir", "comp_id", "id", "atom_id_centre", *ids, "volume_sign")
    lines += [f"AAM chir_{k} CA{k} N{k} C{k} CB{k} positive" for k in range(1, molecule.n + 1)]
    lines += _loop("plane_atom", "comp_id", "plane_id", "atom_id", "dist_esd")
    lines += [f"AAM plan-{k + 1} {name} 0.02" for k, plane in enumerate(molecule.planes) for name in plane]
    path.write_text("\n".join(lines) + "\n")
    return path


def _loop(category: str, *columns: str) -> list[str]:
    return ["loop_", *(f"_chem_comp_{category}.{c}" for c in columns)]
