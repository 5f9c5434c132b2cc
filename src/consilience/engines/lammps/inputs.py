"""The files that LAMMPS reads: beads and lists (data), numbers of all terms (coefficients), and the commands around."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from consilience.engines.lammps.terms import (
    BeadSystem,
    Listed,
    PairSpec,
    Spec,
    Terms,
    listed,
    listed_dihedrals,
    listed_pairs,
)

SKIN = 2.0  # Å
STRETCHED = 1.3  # times its length: a bond beyond which LAMMPS may lose a bead on another rank


@dataclass(frozen=True)
class Prepared:
    """A system with its lists as LAMMPS has them."""

    system: BeadSystem
    terms: Terms
    bonds: Listed
    angles: Listed
    dihedrals: Listed
    pairs: dict[tuple[int, int], PairSpec]

    @property
    def lists(self) -> dict[str, Listed]:
        """The lists that are not empty, by their name in LAMMPS."""
        found = {"bond": self.bonds, "angle": self.angles, "dihedral": self.dihedrals}
        return {k: v for k, v in found.items() if len(v.atoms)}

    @property
    def reach(self) -> float:
        """How far from a rank's own beads LAMMPS must know others, Å, for the listed terms."""
        if not len(self.bonds.atoms):
            return 0.0
        x = self.system.positions
        lengths = np.linalg.norm(x[self.bonds.atoms[:, 1]] - x[self.bonds.atoms[:, 0]], axis=1)
        return self.terms.links * STRETCHED * float(np.median(lengths))


def prepare(system: BeadSystem, terms: Terms) -> Prepared:
    """The lists of a system."""
    return Prepared(
        system,
        terms,
        listed(terms.bonds, 2),
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
    out = ["Chains of beads; kcal/mol, Å, amu", "", f"{n} atoms", f"{len(s.names)} atom types"]
    for name, lists in ready.lists.items():
        out += [f"{len(lists.atoms)} {name}s", f"{len(lists.specs)} {name} types"]
    out += ["", *_box(s)]
    out += ["", "Masses", "", *(f"{i + 1} {float(m)!r} # {s.names[i]}" for i, m in enumerate(s.masses))]
    molecule = np.unique(s.chain, return_inverse=True)[1] + 1
    out += ["", "Atoms # molecular", ""]
    for i in range(n) if order is None else (int(i) for i in order):
        x, y, z = (repr(float(v)) for v in s.positions[i])
        out.append(f"{i + 1} {molecule[i]} {s.types[i] + 1} {x} {y} {z}")
    out += ["", "Numbers", "", *(f"{i + 1} {int(k)}" for i, k in enumerate(s.number))]
    for name, lists in ready.lists.items():
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


def coefficients_text(ready: Prepared, network: bool) -> str:
    """bond_coeff, angle_coeff, dihedral_coeff and pair_coeff of all terms but the network; generated."""
    out = ["# numbers of all classical terms: kcal/mol, Å"]
    out += [f"bond_coeff {i + 1} {_spec(spec)}" for i, spec in enumerate(ready.bonds.specs)]
    out += [f"angle_coeff {i + 1} {_spec(spec)}" for i, spec in enumerate(ready.angles.specs)]
    out += [f"dihedral_coeff {i + 1} {_series(spec)}" for i, spec in enumerate(ready.dihedrals.specs)]
    style = "consil " if network else ""
    for (a, b), spec in ready.pairs.items() if ready.terms.pairs else ():
        at = " ".join(f"at {k} {_spec(v)}" for k, v in sorted(spec.at.items())) or "none"
        out.append(f"pair_coeff {a + 1} {b + 1} {style}{spec.cutoff or 1.0!r} {at}")
    return "\n".join(out) + "\n"


def _spec(spec: Spec) -> str:
    return " ".join(f"{name} {' '.join(map(repr, values))}" for name, values in spec) or "none"


def _series(spec: tuple[tuple[int, tuple[float, ...], tuple[float, ...]], ...]) -> str:
    out = []
    for power, cos, sin in spec:
        out.append(f"series {power} {len(cos) - 1} {' '.join(map(repr, (*cos, *sin[1:])))}")
    return " ".join(out)


def setup_text(ready: Prepared, network: float | None) -> str:
    """The commands that choose styles and read the data; network: its cutoff, Å, or None.

    They use the variables plugin, data and coefficients, and for a network also network and pjrt.
    """
    s, terms = ready.system, ready.terms
    cutoff = max(terms.cutoff, network or 0.0, 1.0)
    out = ["units real", "atom_style molecular", f"boundary {'s s s' if s.cell is None else 'p p p'}", "newton on"]
    out.append("plugin load ${plugin}")
    out.append("fix number all property/atom i_number ghost yes  # place in the chain")
    out.append("special_bonds lj 1.0 1.0 1.0 coul 1.0 1.0 1.0  # what depends on the separation is in the pair styles")
    out += [f"{name}_style consil" for name in ready.lists]
    mine = f"consil {terms.cutoff!r} {terms.far}" if terms.pairs else ""
    theirs = "jax/pjrt ${pjrt} ${network}" if network is not None else ""
    if mine and theirs:
        out.append(f"pair_style hybrid/overlay {mine} {theirs}")
    else:
        out.append(f"pair_style {mine or theirs or f'zero {cutoff!r}'}")
    out.append("read_data ${data} fix number NULL Numbers")
    if network is not None:
        out.append(f"pair_coeff * * {'jax/pjrt ' if mine else ''}{' '.join(s.names)}")
    elif not mine:
        out.append("pair_coeff * *")
    out.append(f"neighbor {SKIN} bin")
    out.append("neigh_modify every 1 delay 0 check yes")
    out.append(f"comm_modify cutoff {max(cutoff, ready.reach) + SKIN:.1f}")
    out.append("include ${coefficients}")
    return "\n".join(out) + "\n"


def source(name: str) -> str:
    """The text of a file of the plug-in's sources."""
    return (files("consilience.engines.lammps") / "plugin" / name).read_text(encoding="utf-8")
