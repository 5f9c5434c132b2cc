"""A molecular structure: the parsed hierarchy and its atoms as arrays, in file order."""

from __future__ import annotations

from dataclasses import dataclass, replace

import gemmi
import numpy as np

from consilience.core.errors import Finding

FloatArray = np.ndarray
EIGHT_PI2 = 8.0 * np.pi**2


@dataclass(frozen=True)
class Structure:
    """One model of a structure as read from a file.

    `hierarchy` is the gemmi structure (first model only); it is never changed in place. The arrays
    run over its atoms in order, hydrogens included: `xyz` (n, 3) Å; `b_iso` (n,) Å^2; `u_aniso`
    (n, 6) Å^2 as U11 U22 U33 U12 U13 U23 in the Cartesian frame, zero where an atom is isotropic;
    `occ` (n,). `findings` holds what the reader noticed.
    """

    hierarchy: gemmi.Structure
    source: str
    xyz: FloatArray
    b_iso: FloatArray
    u_aniso: FloatArray
    occ: FloatArray
    element: np.ndarray  # (n,) str, e.g. "C", "FE"
    altloc: np.ndarray  # (n,) str, "" where there is none
    is_hydrogen: np.ndarray  # (n,) bool
    findings: tuple[Finding, ...] = ()

    @property
    def cell(self) -> gemmi.UnitCell:
        return self.hierarchy.cell

    @property
    def spacegroup(self) -> gemmi.SpaceGroup | None:
        return self.hierarchy.find_spacegroup()

    @property
    def is_aniso(self) -> np.ndarray:
        """(n,) bool: atoms that carry an anisotropic displacement tensor."""
        return np.any(self.u_aniso != 0.0, axis=1)

    def __len__(self) -> int:
        return len(self.occ)

    @classmethod
    def from_hierarchy(cls, st: gemmi.Structure, source: str = "", findings: tuple[Finding, ...] = ()) -> Structure:
        """Arrays of the first model of a gemmi structure; the structure itself is kept, not copied."""
        atoms = [a for chain in st[0] for res in chain for a in res]
        u = np.array([[a.aniso.u11, a.aniso.u22, a.aniso.u33, a.aniso.u12, a.aniso.u13, a.aniso.u23] for a in atoms])
        return cls(
            hierarchy=st,
            source=source,
            xyz=np.array([a.pos.tolist() for a in atoms], float).reshape(-1, 3),
            b_iso=np.array([a.b_iso for a in atoms], float),
            u_aniso=u.reshape(-1, 6).astype(float),
            occ=np.array([a.occ for a in atoms], float),
            element=np.array([a.element.name for a in atoms]),
            altloc=np.array([a.altloc.strip("\0") for a in atoms]),
            is_hydrogen=np.array([a.is_hydrogen() for a in atoms], bool),
            findings=findings,
        )

    def with_atoms(
        self,
        xyz: FloatArray | None = None,
        b_iso: FloatArray | None = None,
        u_aniso: FloatArray | None = None,
        occ: FloatArray | None = None,
    ) -> Structure:
        """A copy (hierarchy included) with new coordinates, displacement parameters or occupancies.

        `u_aniso` (n, 6): rows of zeros make an atom isotropic; for the others B becomes 8 pi^2 tr(U)/3.
        """
        st = self.hierarchy.clone()
        for i, a in enumerate(a for chain in st[0] for res in chain for a in res):
            if xyz is not None:
                a.pos = gemmi.Position(*xyz[i])
            if b_iso is not None:
                a.b_iso = float(b_iso[i])
            if occ is not None:
                a.occ = float(occ[i])
            if u_aniso is not None:
                a.aniso = gemmi.SMat33f(*(float(v) for v in u_aniso[i]))
                if a.aniso.nonzero():
                    a.b_iso = EIGHT_PI2 * a.aniso.trace() / 3.0
        return Structure.from_hierarchy(st, self.source, self.findings)

    def without_hydrogens(self) -> Structure:
        """A copy without hydrogen and deuterium atoms."""
        st = self.hierarchy.clone()
        st.remove_hydrogens()
        return Structure.from_hierarchy(st, self.source, self.findings)

    def with_findings(self, *more: Finding) -> Structure:
        return replace(self, findings=(*self.findings, *more))
