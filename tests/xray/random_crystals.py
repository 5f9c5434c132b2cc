"""Random small crystals in any space group: deterministic models and Miller indices for tests of structure factors."""

from __future__ import annotations

import gemmi
import numpy as np

from consilience.structure.atoms import EIGHT_PI2, Structure

ELEMENTS = ("C", "N", "O", "S", "FE", "H", "ZN", "CL")


def random_cell(sg: gemmi.SpaceGroup, rng: np.random.Generator) -> gemmi.UnitCell:
    """A cell that obeys the lattice of the group (its setting and unique axis included), edges 9-14 Å."""
    a, b, c = (float(x) for x in rng.uniform(9.0, 14.0, 3))
    system = sg.crystal_system_str()
    if system == "triclinic":
        cell = (a, b, c, *(float(x) for x in rng.uniform(75.0, 108.0, 3)))
    elif system == "monoclinic":
        angles = [90.0, 90.0, 90.0]
        angles["abc".index(sg.monoclinic_unique_axis())] = float(rng.uniform(95.0, 115.0))
        cell = (a, b, c, *angles)
    elif system == "orthorhombic":
        cell = (a, b, c, 90.0, 90.0, 90.0)
    elif system == "tetragonal":
        cell = (a, a, c, 90.0, 90.0, 90.0)
    elif system == "cubic":
        cell = (a, a, a, 90.0, 90.0, 90.0)
    elif sg.ext == "R":
        alpha = float(rng.uniform(70.0, 105.0))
        cell = (a, a, a, alpha, alpha, alpha)
    else:
        cell = (a, a, c, 90.0, 90.0, 120.0)
    return gemmi.UnitCell(*cell)


def special_position(sg: gemmi.SpaceGroup, rng: np.random.Generator) -> np.ndarray | None:
    """A random fractional point (3,) that some operator beside the identity leaves in place; None if there is none."""
    ops = list(sg.operations())
    for k in rng.permutation(len(ops)):
        rot, tran = np.array(ops[k].rot) / ops[k].DEN, np.array(ops[k].tran) / ops[k].DEN
        if np.array_equal(rot, np.eye(3)):
            continue
        inverse = np.linalg.pinv(rot - np.eye(3))
        for cell in rng.permutation(27):
            shift = tran + np.array([cell // 9 - 1, cell // 3 % 3 - 1, cell % 3 - 1])
            # (R - 1) x = -t: a particular solution plus anything in the null space
            x = -inverse @ shift
            if np.allclose(rot @ x + shift, x, atol=1e-9):
                _, s, vt = np.linalg.svd(rot - np.eye(3))
                return x + rng.uniform(-0.4, 0.4, 3) @ np.where(s[:, None] < 1e-9, vt, 0.0)
    return None


def random_crystal(
    space_group: int | str, seed: int = 0, n_atoms: int = 5, *, aniso: bool = True, special: bool = True
) -> Structure:
    """`n_atoms` atoms of different elements, B 5-60 Å^2, half of them anisotropic, some occupancies below 1.

    With `special` the first atom lies on a special position where the group has one (isotropic; its occupancy counts
    for each symmetry copy, coinciding ones included). The same arguments give the same model.
    """
    sg = gemmi.SpaceGroup(space_group)
    rng = np.random.default_rng([sg.number, seed])
    st = gemmi.Structure()
    st.cell, st.spacegroup_hm = random_cell(sg, rng), sg.xhm()
    st.setup_cell_images()
    residue = gemmi.Residue()
    residue.name, residue.seqid = "UNL", gemmi.SeqId("1")
    on_element = special_position(sg, rng) if special else None
    for k in range(n_atoms):
        atom = gemmi.Atom()
        atom.element = gemmi.Element(ELEMENTS[k % len(ELEMENTS)])
        atom.name = f"{atom.element.name[:2]}{k}"
        place = rng.uniform(-0.2, 1.2, 3)
        if k == 0 and on_element is not None:
            place = on_element
        atom.pos = st.cell.orthogonalize(gemmi.Fractional(*place))
        atom.b_iso = float(rng.uniform(5.0, 60.0))
        atom.occ = 1.0 if k % 2 == 0 else float(rng.uniform(0.3, 1.0))
        if aniso and k % 2 == 1:
            axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
            u = axes @ np.diag(rng.uniform(4.0, 60.0, 3) / EIGHT_PI2) @ axes.T
            atom.aniso = gemmi.SMat33f(*(float(x) for x in (u[0, 0], u[1, 1], u[2, 2], u[0, 1], u[0, 2], u[1, 2])))
            atom.b_iso = float(EIGHT_PI2 * np.trace(u) / 3.0)
        residue.add_atom(atom)
    chain, model = gemmi.Chain("A"), gemmi.Model(1)
    chain.add_residue(residue)
    model.add_chain(chain)
    st.add_model(model)
    return Structure.from_hierarchy(st, source=f"random {sg.xhm()} {seed}")


def miller_indices(structure: Structure, d_min: float, *, unique: bool = True) -> np.ndarray:
    """(m, 3) int indices to `d_min` Å without absences and 000: one per orbit (`unique`), or all of them."""
    return gemmi.make_miller_array(structure.cell, structure.spacegroup, d_min, unique=unique)
