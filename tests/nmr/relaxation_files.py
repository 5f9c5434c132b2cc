"""Small relaxation data, NMR-STAR texts and a peptide with amide hydrogens, written by the tests themselves."""

from __future__ import annotations

import numpy as np

NAMES = {2: "SER", 3: "GLY", 4: "LEU", 5: "LYS", 6: "VAL", 8: "ALA", 9: "GLU", 10: "THR", 11: "ALA", 12: "GLY"}
SEQUENCE = ("ALA", "SER", "GLY", "LEU", "LYS", "VAL", "PRO", "ALA", "GLU", "THR", "ALA", "GLY")


def rates(field: float = 600.13) -> dict[str, dict[int, tuple[float, float]]]:
    """kind -> residue -> (value, error): plausible numbers that depend on the residue and a little on the field."""
    scale = 600.13 / field
    return {
        "R1": {n: (round((2.3 + 0.01 * n) * scale, 4), 0.045) for n in NAMES},
        "R2": {n: (round(5.3 + 0.02 * n, 4), 0.11) for n in NAMES},
        "NOE": {n: (round(0.70 + 0.003 * n, 4), 0.03) for n in NAMES},
    }


def frame(kind: str, number: int, rows: list[str], *, unit: str = "s-1", field: str = "600.13", extra: str = "") -> str:
    """One saveframe of NMR-STAR 3; rows as "2 SER N 2.3 0.04"."""
    if kind == "NOE":
        prefix, tag, category = "Heteronucl_NOE_list", "Heteronucl_NOE", "heteronucl_NOEs"
        names = [f"{n}_{i}" for i in (1, 2) for n in ("Comp_index_ID", "Comp_ID", "Atom_ID")]
        units = "   _Heteronucl_NOE_list.Heteronuclear_NOE_val_type 'peak height'"
        rows = [" ".join([*r.split()[:3], r.split()[0], r.split()[1], "H", *r.split()[3:]]) for r in rows]
    else:
        t = {"R1": "T1", "R2": "T2"}[kind]
        prefix, tag, category = f"Heteronucl_{t}_list", t, f"heteronucl_{t}_relaxation"
        names = ["Comp_index_ID", "Comp_ID", "Atom_ID"]
        units = f"   _{prefix}.{t}_val_units {unit}"
    frequency = f"   _{prefix}.Spectrometer_frequency_1H {field}\n" if field else ""
    columns = "\n".join(f"      _{tag}.{n}" for n in ("ID", *names, "Val", "Val_err"))
    body = "\n".join(f"      {i} {r}" for i, r in enumerate(rows, 1))
    return (
        f"save_list_{number}\n   _{prefix}.Sf_category {category}\n   _{prefix}.Sf_framecode list_{number}\n"
        f"   _{prefix}.ID {number}\n   _{prefix}.Sample_label $sample_1\n{frequency}{units}\n{extra}"
        f"   loop_\n{columns}\n{body}\n   stop_\nsave_\n\n"
    )


def star_rows(kind: str, changes: dict[int, str] | None = None, field: float = 600.13, atom: str = "N") -> list[str]:
    """Rows of a list; `changes` replaces "value error" of a residue by other text."""
    changes = changes or {}
    data = rates(field)[kind]
    return [f"{n} {NAMES[n]} {atom} " + changes.get(n, "{} {}".format(*data[n])) for n in NAMES]


def star(frames: list[str] | None = None) -> str:
    """A whole NMR-STAR text; the clean one without arguments."""
    if frames is None:
        frames = [frame(k, i, star_rows(k)) for i, k in enumerate(("R1", "R2", "NOE"), 1)]
    head = (
        "data_1\nsave_entry\n   _Entry.Sf_category entry_information\n   _Entry.ID 1\n   _Entry.Title\n;\n"
        "A title; with signs\n;\n   _Entry.NMR_STAR_version 3.2.1.13\n"
    )
    return head + "save_\n\n" + "".join(frames)


def peptide(
    *, hydrogens: bool = True, chains: str = "A", shift: int = 0, names: tuple[str, ...] = SEQUENCE, move_h: str = ""
) -> str:
    """PDB text of an extended chain with ideal peptide planes; `move_h` "5:0.0" puts H of residue 5 at 0 Å from N."""
    lines, serial = [], 0
    moved = {int(m.split(":")[0]): float(m.split(":")[1]) for m in move_h.split()}
    for k, chain in enumerate(chains):
        for i, name in enumerate(names):
            up = 1.0 if i % 2 else -1.0
            n = np.array([3.6 * i, 0.0, 20.0 * k])
            ca = n + np.array([1.2, up * 0.83, 0.0])
            c = ca + np.array([1.25, -up * 0.87, 0.0])
            atoms = {"N": n, "CA": ca, "C": c, "O": c + np.array([0.1, -up * 1.22, 0.0])}
            if hydrogens and i and name != "PRO":
                previous = n - np.array([3.6 - 2.45, -up * -0.04, 0.0])
                u = -(unit(previous - n) + unit(ca - n))
                atoms["H"] = n + moved.get(i + 1, 1.01) * unit(u)
            for atom, xyz in atoms.items():
                serial += 1
                x, y, z = xyz
                lines.append(
                    f"ATOM  {serial:5d}  {atom:<3s} {name} {chain}{i + 1 + shift:4d}    {x:8.3f}{y:8.3f}{z:8.3f}"
                    f"  1.00 15.00           {atom[0]}"
                )
        lines.append("TER")
    return "\n".join([*lines, "END", ""])


def unit(v: np.ndarray) -> np.ndarray:
    return v / np.linalg.norm(v)
