"""A molecule in the 3-D view of a report."""

from __future__ import annotations

from typing import Any

import gemmi
import numpy as np

from consilience.jobs.common.start import Start
from consilience.report.page import Arrow, Viewer


def molecule_view(
    start: Start, positions: Any, *, arrows: Any = None, title: str = "Structure", label: str = "Motion"
) -> Viewer:
    """The viewer of one geometry (n, 3) Å; arrows (n, 3) Å from each atom, where they are longer than 0.05 Å."""
    x = np.asarray(positions, float)
    st = gemmi.Structure()
    st.add_model(gemmi.Model(1))
    residues = start.residues or [("UNL", 1, "A")] * len(x)
    names = start.names or [f"{e}{i + 1}"[:4] for i, e in enumerate(start.elements)]
    last: tuple[str, int, str] | None = None
    for xyz, element, name, (residue, number, chain) in zip(x, start.elements, names, residues, strict=True):
        if last is None or chain != last[2]:
            st[0].add_chain(gemmi.Chain(chain))
            last = None
        if (residue, number, chain) != last:
            new = gemmi.Residue()
            new.name, new.seqid, new.het_flag = residue, gemmi.SeqId(number, " "), "H" if residue == "UNL" else "A"
            st[0][-1].add_residue(new)
        atom = gemmi.Atom()
        atom.name, atom.element, atom.pos = name, gemmi.Element(element), gemmi.Position(*xyz)
        st[0][-1][-1].add_atom(atom)
        last = (residue, number, chain)
    st.setup_entities()
    rods: list[Arrow] = []
    if arrows is not None:
        for a, d in zip(x, np.asarray(arrows, float), strict=True):
            if np.linalg.norm(d) > 0.05:
                rods.append(Arrow(_point(a), _point(a + d), radius=0.06))
    return Viewer(st.make_pdb_string(), color_by=("element", "chain"), title=title, arrows=tuple(rods),
                  arrows_label=label, hydrogens=True)  # fmt: skip


def _point(a: np.ndarray) -> tuple[float, float, float]:
    return float(a[0]), float(a[1]), float(a[2])
