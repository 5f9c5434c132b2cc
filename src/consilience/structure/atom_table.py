"""The atoms of a parsed model as columns, and how each is named in a message."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import gemmi
import numpy as np


@dataclass(frozen=True)
class AtomTable:
    """The atoms of the first model as columns, in hierarchy order; `label` writes one for a message."""

    chain: list[str]
    seqid: list[str]
    resname: list[str]
    name: list[str]
    altloc: list[str]
    element: list[str]
    xyz: np.ndarray  # (n, 3) Å
    occ: np.ndarray  # (n,)
    b_iso: np.ndarray  # (n,) Å^2
    line: Callable[[int], int | None]
    source: str

    def __len__(self) -> int:
        return len(self.name)

    def label(self, i: int) -> str:
        """An atom in words: "atom CA of SER A 2"."""
        alt = f" (altloc {self.altloc[i]})" if self.altloc[i] else ""
        return f"atom {self.name[i]} of {self.residue(i)}{alt}"

    def residue(self, i: int) -> str:
        """The residue of an atom: "SER A 2"."""
        return f"{self.resname[i]} {self.chain[i]} {self.seqid[i]}"

    def where(self, i: int) -> str:
        """File, line and atom."""
        line = self.line(i)
        return f"{self.source}{'' if line is None else f', line {line}'}, {self.label(i)}"


def atom_table(
    st: gemmi.Structure, source: str, line_of: Callable[[int, tuple[str, ...]], int | None] = lambda i, key: None
) -> AtomTable:
    """Columns over the atoms of `st[0]`; `line_of(index, key)` gives the line in the file for messages."""
    rows = [(c.name, r, a) for c in st[0] for r in c for a in r] if len(st) else []
    keys = [(c, str(r.seqid), r.name, a.name, a.altloc.strip("\0")) for c, r, a in rows]
    return AtomTable(
        chain=[k[0] for k in keys],
        seqid=[k[1] for k in keys],
        resname=[k[2] for k in keys],
        name=[k[3] for k in keys],
        altloc=[k[4] for k in keys],
        element=[a.element.name for _, _, a in rows],
        xyz=np.array([a.pos.tolist() for _, _, a in rows], float).reshape(-1, 3),
        occ=np.array([a.occ for _, _, a in rows], float),
        b_iso=np.array([a.b_iso for _, _, a in rows], float),
        line=lambda i: line_of(i, keys[i]),
        source=source,
    )
