"""The files that LAMMPS reads: beads and lists (data), numbers of all terms (coefficients), and the commands around."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

import numpy as np

from consilience.engines.lammps.formula import Form
from consilience.engines.lammps.spherical import spherical
from consilience.engines.lammps.terms import (
    BeadSystem,
    Listed,
    Spec,
    Terms,
    listed,
    listed_dihedrals,
    listed_pairs,
)

Styles = Literal["compiled", "lepton"]
SKIN = 2.0  # Å


@dataclass(frozen=True)
class Prepared:
    """A system with its lists as LAMMPS has them."""

    system: BeadSystem
    terms: Terms
    bonds: Listed
    angles: Listed
    dihedrals: Listed
    pairs: dict[tuple[int, int], tuple[float, Spec]]

    @property
    def reach(self) -> float:
        """How far from a rank's own beads LAMMPS must know others, Å, for the listed terms."""
        return self.system.extent(self.bonds.atoms)


def prepare(system: BeadSystem, terms: Terms) -> Prepared:
    """The lists of a system: every near pair of a chain is a bond, though it may have no term."""
    near = system.near_pairs(terms.near)
    return Prepared(
        system,
        terms,
        listed(terms.bonds, 2, near),
        listed(terms.angles, 3),
        listed_dihedrals(terms.dihedrals),
        listed_pairs(terms.pairs, len(system.names)),
    )


def data_text(ready: Prepared, order: np.ndarray | None = None) -> str:
    """The data file: box, masses, beads (tag = row + 1, molecule = chain), places in the chain, lists.

    order (n,): in which the beads are written (None: as they are); lists go by tags, so that it does not matter.
    """
    s = ready.system
    n = len(s)
    parts = {"bond": ready.bonds, "angle": ready.angles, "dihedral": ready.dihedrals}
    kept = {k: v for k, v in parts.items() if len(v.atoms)}
    out = ["Chains of beads; kcal/mol, Å, amu", "", f"{n} atoms"]
    out += [f"{len(v.atoms)} {k}s" for k, v in kept.items()]
    out += [f"{len(s.names)} atom types", *(f"{len(v.specs)} {k} types" for k, v in kept.items()), ""]
    out += _box(s)
    out += ["", "Masses", "", *(f"{i + 1} {float(m)!r} # {s.names[i]}" for i, m in enumerate(s.masses))]
    molecule = np.unique(s.chain, return_inverse=True)[1] + 1
    rows = range(n) if order is None else (int(i) for i in order)
    out += ["", "Atoms # molecular", ""]
    for i in rows:
        x, y, z = (repr(float(v)) for v in s.positions[i])
        out.append(f"{i + 1} {molecule[i]} {s.types[i] + 1} {x} {y} {z}")
    out += ["", "Numbers", "", *(f"{i + 1} {int(k)}" for i, k in enumerate(s.number))]
    for name, lists in kept.items():
        out += ["", f"{name.capitalize()}s", ""]
        for row, (atoms, kind) in enumerate(zip(lists.atoms, lists.kinds, strict=True)):
            out.append(f"{row + 1} {kind + 1} {' '.join(str(a + 1) for a in atoms)}")
    return "\n".join(out) + "\n"


def _box(system: BeadSystem) -> list[str]:
    if system.cell is None:
        low, high = system.positions.min(0) - 5.0, system.positions.max(0) + 5.0
        edges = [(float(a), float(b)) for a, b in zip(low, high, strict=True)]
        tilt = []
    else:
        c = system.cell
        edges = [(0.0, float(c[i, i])) for i in range(3)]
        slanted = np.abs(np.tril(c, -1)).max() > 0
        tilt = [f"{float(c[1, 0])!r} {float(c[2, 0])!r} {float(c[2, 1])!r} xy xz yz"] if slanted else []
    return [f"{a!r} {b!r} {x}lo {x}hi" for (a, b), x in zip(edges, "xyz", strict=True)] + tilt


def coefficients_text(ready: Prepared, styles: Styles, network: bool) -> str:
    """bond_coeff, angle_coeff, dihedral_coeff and pair_coeff of all terms; the network's line is in the input."""
    forms = {f.name: f for f in ready.terms.forms}
    out = ["# numbers of all terms: kcal/mol, Å; generated, see selftest.csv for the proof"]
    for i, spec in enumerate(ready.bonds.specs):
        out.append(f"bond_coeff {i + 1} {_spec(spec, forms, styles, 'r')}")
    for i, spec in enumerate(ready.angles.specs):
        out.append(f"angle_coeff {i + 1} {_spec(spec, forms, styles, 'c')}")
    for i, spec in enumerate(ready.dihedrals.specs):
        out.append(f"dihedral_coeff {i + 1} {spherical(spec)}")
    if ready.terms.pairs:
        style = "consil" if styles == "compiled" else "lepton"
        style = f"{style} " if network else ""
        for (a, b), (cutoff, spec) in ready.pairs.items():
            if styles == "compiled":
                out.append(f"pair_coeff {a + 1} {b + 1} {style}{cutoff or 1.0!r} {_spec(spec, forms, styles, 'r')}")
            else:
                out.append(
                    f"pair_coeff {a + 1} {b + 1} {style}{_spec(spec, forms, styles, 'r', True)} {cutoff or 1.0!r}"
                )
    return "\n".join(out) + "\n"


def _spec(spec: Spec, forms: dict[str, Form], styles: Styles, variable: str, pair: bool = False) -> str:
    if styles == "compiled":
        return " ".join(f"{name} {' '.join(map(repr, values))}" for name, values in spec) or "none"
    x = "r" if variable == "r" else "cos(theta)"
    zero = f"0*{x}" if variable == "r" else "0*theta"
    text = "+".join(forms[name].lepton(values, x) for name, values in spec) or zero
    return f'"{text}"' if pair else f'0.0 "{text}"'


def styles_text(ready: Prepared, styles: Styles, network: float | None) -> str:
    """The commands that choose styles and read the data; network: its cutoff, Å, or None.

    They use the variables plugin, network, pjrt and data.
    """
    s, terms = ready.system, ready.terms
    compiled = styles == "compiled"
    cutoff = max(terms.cutoff, network or 0.0, 1.0)
    own, offset = ("consil", "") if compiled else ("lepton", " no_offset")
    out = ["units real", "atom_style molecular", f"boundary {'s s s' if s.cell is None else 'p p p'}", "newton on"]
    if compiled or network is not None:
        out.append("plugin load ${plugin}")
    out.append("fix number all property/atom i_number ghost yes  # place in the chain")
    # zero within a chain up to the separation of the lists, yet kept in the neighbour lists, which the network reads
    out.append("special_bonds lj 0.0 1.0 1.0 coul 0.5 1.0 1.0")
    if len(ready.bonds.atoms):
        out.append(f"bond_style {own}{offset}")
    if len(ready.angles.atoms):
        out.append(f"angle_style {own}{offset}")
    if len(ready.dihedrals.atoms):
        out.append("dihedral_style spherical")
    mine = f"{own} {max(terms.cutoff, 1.0)!r}" if terms.pairs else ""
    theirs = "jax/pjrt ${pjrt} ${network}" if network is not None else ""
    if mine and theirs:
        out.append(f"pair_style hybrid/overlay {mine} {theirs}")
    else:
        out.append(f"pair_style {mine or theirs or f'zero {cutoff!r}'}")
    out.append("read_data ${data} fix number NULL Numbers")
    names = " ".join(s.names)
    if network is not None:
        out.append(f"pair_coeff * * {'jax/pjrt ' if mine else ''}{names}")
    elif not mine:
        out.append("pair_coeff * *")
    out.append(f"neighbor {SKIN} bin")
    out.append("neigh_modify every 1 delay 0 check yes")
    out.append(f"comm_modify cutoff {max(cutoff + SKIN, ready.reach) + SKIN:.1f}  # listed pairs of a stretched chain")
    out.append("include ${coefficients}")
    return "\n".join(out) + "\n"


def source(name: str) -> str:
    """The text of a file of the plug-in's sources or of a template beside them."""
    return (files("consilience.engines.lammps") / "plugin" / name).read_text(encoding="utf-8")
