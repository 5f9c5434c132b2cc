"""Defects of the atoms of a parsed structure, each a finding that names them: numbers, occupancies, B, duplicates."""

from __future__ import annotations

from collections.abc import Iterable

import gemmi
import numpy as np

from consilience.core.errors import Finding, Level
from consilience.structure.atom_table import AtomTable
from consilience.structure.inspect_cell import inspect_cell

B_FLOOR = 2.0  # Å^2, what a negative or zero B becomes
MAIN_CHAIN = ("N", "CA", "C", "O")


def inspect_structure(st: gemmi.Structure, table: AtomTable) -> list[Finding]:
    """All findings about the atoms and the cell of a structure; an empty structure gives one error."""
    if len(table) == 0:
        return [Finding("error", "the file holds no atoms (empty model)", where=table.source, expected="atom records")]
    findings = [*_numbers(table)]
    if not any(f.level == "error" for f in findings):
        findings += _units(table)
    findings += _occupancies(table)
    findings += _b_factors(st, table)
    findings += _duplicates(table)
    findings += _elements(table)
    findings += _incomplete(st, table)
    findings += inspect_cell(st, table)
    return findings


def _many(
    table: AtomTable,
    level: Level,
    what: str,
    rows: Iterable[int],
    *,
    found: str = "",
    expected: str = "",
    fix: str = "",
) -> list[Finding]:
    """One finding for all `rows` that share a defect: the first is located, the next few are named."""
    rows = list(rows)
    if not rows:
        return []
    others = ", ".join(table.label(i) for i in rows[1:4])
    more = f" (and {others}{', ...' if len(rows) > 4 else ''})" if others else ""
    count = f": {len(rows)} atoms" if len(rows) > 1 else ""
    return [Finding(level, what + count, table.where(rows[0]) + more, found, expected, fix)]


def _numbers(t: AtomTable) -> list[Finding]:
    out: list[Finding] = []
    bad = np.flatnonzero(~np.isfinite(t.xyz).all(axis=1))
    if len(bad):
        found = " ".join(f"{v:g}" for v in t.xyz[bad[0]])
        out += _many(
            t,
            "error",
            "coordinates are not finite numbers (nan or inf)",
            bad,
            found=found,
            fix="correct or remove the atom",
        )
    far = np.flatnonzero((np.abs(t.xyz) > 1e5).any(axis=1))
    if len(far):
        found = " ".join(f"{v:g}" for v in t.xyz[far[0]])
        out += _many(t, "error", "coordinates are absurdly large", far, found=found, expected="within 1e5 Å")
    for name, values in (("occupancy", t.occ), ("B factor", t.b_iso)):
        bad = np.flatnonzero(~np.isfinite(values))
        out += _many(t, "error", f"{name} is not a finite number (nan or inf)", bad, fix="correct the file")
    return out


def _units(t: AtomTable) -> list[Finding]:
    """N-CA distances tell Å (1.46) from nm (0.146) and bohr (2.76)."""
    place = {(t.chain[i], t.seqid[i], t.name[i]): i for i in range(len(t)) if t.name[i] in ("N", "CA")}
    pairs = [(i, place[c, s, "CA"]) for (c, s, n), i in place.items() if n == "N" and (c, s, "CA") in place]
    if len(pairs) < 3:
        return []
    i, j = np.array(pairs).T
    bond = float(np.median(np.linalg.norm(t.xyz[i] - t.xyz[j], axis=1)))
    unit = "nm" if 0.10 < bond < 0.2 else "bohr" if 2.5 < bond < 3.0 else None
    if unit is None:
        return []
    return [
        Finding(
            "error",
            f"the coordinates are probably in {unit}: the unit must be Å",
            t.source,
            f"median N-CA distance {bond:.3f}",
            "1.46 Å",
            "convert the coordinates to Å",
        )
    ]


def _occupancies(t: AtomTable) -> list[Finding]:
    out: list[Finding] = []
    rows = np.flatnonzero(t.occ < 0)
    if len(rows):
        found = f"{t.occ[rows[0]]:.2f}"
        out += _many(
            t, "error", "negative occupancy", rows, found=found, expected="0 to 1", fix="correct the occupancy"
        )
    rows = np.flatnonzero(t.occ > 1.001)
    if len(rows):
        found = f"{t.occ[rows[0]]:.2f}"
        fix = "lower it to 1, unless this is meant (a heavier element at the site)"
        out += _many(t, "warn", "occupancy over 1, kept as it is", rows, found=found, expected="0 to 1", fix=fix)
    rows = np.flatnonzero(t.occ == 0)
    if len(rows) == len(t):
        out.append(Finding("error", "every occupancy is zero", t.source, expected="0 to 1, most of them 1"))
    elif len(rows) > 0.5 * len(t):
        out += _many(t, "warn", "most occupancies are zero: no scattering from these", rows, expected="mostly 1")
    else:
        out += _many(t, "note", "occupancy of zero: no scattering from this", rows)
    sums: dict[tuple[str, str, str], float] = {}
    first: dict[tuple[str, str, str], int] = {}
    for i in range(len(t)):
        if t.altloc[i] and t.occ[i] >= 0:
            key = (t.chain[i], t.seqid[i], t.name[i])
            sums[key] = sums.get(key, 0.0) + float(t.occ[i])
            first.setdefault(key, i)
    high: dict[str, float] = {}
    for k, s in sums.items():
        if s > 1.015:
            name = t.residue(first[k])
            high[name] = max(high.get(name, 0.0), s)
    if high:
        shown = ", ".join(f"{r}: {s:.2f}" for r, s in list(high.items())[:5]) + (", ..." if len(high) > 5 else "")
        out.append(
            Finding(
                "warn",
                f"occupancies of alternative conformers sum to more than 1 in {len(high)} residue(s); kept as they are",
                f"{t.source}, {shown}",
                f"sum up to {max(high.values()):.2f}",
                "at most 1",
                "correct the occupancies",
            )
        )
    low = sorted({t.residue(first[k]) for k, s in sums.items() if 0 < s < 0.95})
    if low:
        text = ", ".join(low[:5]) + (", ..." if len(low) > 5 else "")
        out.append(
            Finding("note", f"conformers with occupancies summing to less than 1 in {len(low)} residue(s)", text)
        )
    return out


def _b_factors(st: gemmi.Structure, t: AtomTable) -> list[Finding]:
    out: list[Finding] = []
    fix = f"set to {B_FLOOR:g} Å^2; check the B column of the file"
    neg = np.flatnonzero(t.b_iso < 0)
    if len(neg):
        out += _many(t, "warn", "negative B factor", neg, found=f"{t.b_iso[neg[0]]:.2f} Å^2", expected="> 0", fix=fix)
    zero = np.flatnonzero(t.b_iso == 0)
    if len(zero) == len(t):
        level: Level = "warn" if st.cell.is_crystal() else "note"
        out.append(Finding(level, "every B factor is zero", t.source, expected="> 0 Å^2", fix=fix))
    elif len(zero):
        out += _many(t, "note", f"B factor of zero (set to {B_FLOOR:g} Å^2)", zero)
    large = np.flatnonzero(t.b_iso > 500)
    out += _many(t, "note", "very large B factor (over 500 Å^2)", large)
    bad = [i for i, a in enumerate(_atoms(st)) if a.aniso.nonzero() and not _positive(a.aniso)]
    out += _many(
        t, "warn", "anisotropic displacement tensor is not positive definite", bad, fix="check the ANISOU records"
    )
    return out


def _atoms(st: gemmi.Structure) -> Iterable[gemmi.Atom]:
    return (a for chain in st[0] for res in chain for a in res)


def _positive(u: gemmi.SMat33f) -> bool:
    values = (u.u11, u.u22, u.u33, u.u12, u.u13, u.u23)
    if not np.isfinite(values).all():
        return False
    a, b, c, d, e, f = values
    return bool(a > 0 and a * b > d * d and a * (b * c - f * f) - d * (d * c - f * e) + e * (d * f - b * e) > 0)


def reset_b_factors(st: gemmi.Structure) -> None:
    """Give atoms with B <= 0 the floor value, in place (only for a hierarchy that the caller has just parsed)."""
    for atom in _atoms(st):
        if not atom.b_iso > 0 and np.isfinite(atom.b_iso):
            atom.b_iso = B_FLOOR


def _duplicates(t: AtomTable) -> list[Finding]:
    out: list[Finding] = []
    seen: dict[tuple[str, ...], int] = {}
    again: list[int] = []
    for i in range(len(t)):
        key = (t.chain[i], t.seqid[i], t.resname[i], t.name[i], t.altloc[i])
        if key in seen:
            again.append(i)
        else:
            seen[key] = i
    out += _many(
        t,
        "error",
        "duplicate atom: the same atom appears twice (chain, residue, name and altloc are equal)",
        again,
        expected="each atom once",
        fix="remove one of the two, or give them different altlocs",
    )
    finite = np.asarray(np.isfinite(t.xyz).all(axis=1))
    repeated = set(again)
    order = np.lexsort(np.round(t.xyz, 3).T)
    order = order[finite[order]]
    touching = np.flatnonzero(np.abs(np.diff(t.xyz[order], axis=0)).max(axis=1, initial=0.0) <= 1e-3)
    same: list[int] = []
    for a, b in ((int(order[k]), int(order[k + 1])) for k in touching):
        if {a, b} & repeated or t.altloc[a] != t.altloc[b]:
            continue
        if t.occ[a] > 0 and t.occ[b] > 0 and t.occ[a] + t.occ[b] > 1.05:
            same.append(max(a, b))
    return out + _many(
        t,
        "error",
        "two atoms at the same position (they overlap: distance 0)",
        sorted(same),
        expected="distinct positions, or partial occupancies that sum to 1",
        fix="remove one of the two atoms",
    )


def _elements(t: AtomTable) -> list[Finding]:
    rows = [i for i, e in enumerate(t.element) if e == "X"]
    fix = "write the element in columns 77-78 (PDB) or type_symbol (mmCIF)"
    out = _many(t, "error", "unknown element", rows, expected="a chemical element", fix=fix)
    odd = [
        i for i, e in enumerate(t.element) if t.name[i] in MAIN_CHAIN and e not in ("H", t.name[i][0]) and _is_aa(t, i)
    ]
    return out + _many(t, "warn", "the element contradicts the atom name in an amino acid", odd, fix=fix)


def _is_aa(t: AtomTable, i: int) -> bool:
    return gemmi.find_tabulated_residue(t.resname[i]).is_amino_acid()


def _incomplete(st: gemmi.Structure, t: AtomTable) -> list[Finding]:
    """Amino-acid residues without all of N, CA, C, O; CA-only models are one finding."""
    lacking: list[tuple[str, list[str]]] = []
    side: list[str] = []
    n_aa = n_ca_only = 0
    for chain in st[0]:
        for res in chain:
            info = gemmi.find_tabulated_residue(res.name)
            if not info.is_amino_acid():
                continue
            n_aa += 1
            names = {a.name for a in res}
            n_ca_only += names == {"CA"}
            missing = [n for n in MAIN_CHAIN if n not in names]
            label = f"{res.name} {chain.name} {res.seqid}"
            if missing:
                lacking.append((label, missing))
            elif res.name not in ("GLY", "UNK") and "CB" not in names:
                side.append(label)
    if n_aa > 2 and n_ca_only > 0.8 * n_aa:
        return [
            Finding("warn", "only CA atoms: the other main-chain atoms are missing", t.source, f"{n_ca_only} residues")
        ]
    out: list[Finding] = []
    if lacking:
        shown = "; ".join(f"{r} lacks {' '.join(m)}" for r, m in lacking[:6]) + ("; ..." if len(lacking) > 6 else "")
        fix = "build the missing atoms, or leave it: no peptide bond is made across the gap"
        what = f"missing main-chain atoms in {len(lacking)} residue(s)"
        out.append(Finding("warn", what, f"{t.source}, {shown}", expected="N CA C O", fix=fix))
    if side:
        shown = ", ".join(side[:6]) + (", ..." if len(side) > 6 else "")
        out.append(Finding("note", f"{len(side)} residue(s) lack the whole side chain (no CB)", shown))
    return out
