"""Ideal coordinates of a chemical component, from a CCD-style CIF block or from the optional biotite package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gemmi
import numpy as np

ATOM_COLUMNS = ("atom_id", "type_symbol", "charge", "pdbx_stereo_config")
IDEAL = tuple(f"pdbx_model_Cartn_{x}_ideal" for x in "xyz")
MODEL = tuple(f"model_Cartn_{x}" for x in "xyz")
PLAIN = ("x", "y", "z")
BOND_COLUMNS = ("atom_id_1", "atom_id_2", "value_order", "pdbx_aromatic_flag")
# spellings of a dictionary against those of the CCD
BOND_ALIASES = {"value_order": ("type",), "pdbx_aromatic_flag": ("aromatic",)}
ORDERS = {"sing": "single", "doub": "double", "trip": "triple", "arom": "aromatic", "delo": "deloc", "meta": "metal"}


@dataclass(frozen=True)
class IdealComponent:
    """A component with coordinates and bonds.

    `xyz` (n, 3) Å; `stereo` (n,) "R", "S" or "N"; `bonds` (m, 2) atom numbers; `orders` (m,) "single", "double",
    "triple", "aromatic", "deloc" or "metal"; `kind`: the CCD type, for example "L-peptide linking".
    """

    name: str
    kind: str
    ids: tuple[str, ...]
    elements: tuple[str, ...]
    charges: tuple[int, ...]
    stereo: tuple[str, ...]
    xyz: np.ndarray
    bonds: np.ndarray
    orders: tuple[str, ...]


def has_restraints(block: gemmi.cif.Block) -> bool:
    """True where a component block carries ideal bond lengths, or has a single atom and so needs none."""
    values = block.find_values("_chem_comp_bond.value_dist")
    if any(not gemmi.cif.is_null(v) for v in values):
        return True
    return len(block.find_values("_chem_comp_atom.atom_id")) == 1


def from_block(block: gemmi.cif.Block) -> IdealComponent | None:
    """The component of a CCD-style block; None where coordinates or bonds are incomplete."""

    def column(category: str, *names: str) -> list[str] | None:
        for name in names:
            values = block.find_values(f"_{category}.{name}")
            if len(values):
                return [gemmi.cif.as_string(v) for v in values]
        return None

    atoms = {k: column("chem_comp_atom", k) for k in (*ATOM_COLUMNS, *IDEAL, *MODEL, *PLAIN)}
    bonds = {k: column("chem_comp_bond", k, *BOND_ALIASES.get(k, ())) for k in BOND_COLUMNS}
    kind = column("chem_comp", "type", "group")
    return _assemble(block.name.removeprefix("comp_"), kind[0] if kind else "", atoms, bonds)


def from_biotite(name: str) -> IdealComponent | None:
    """The component from the CCD inside biotite; None where it is not installed or does not know the name."""
    try:
        from biotite.structure.info.ccd import get_from_ccd  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None

    def table(category: str, names: Sequence[str]) -> dict[str, list[str]]:
        out: dict[str, Any] = {}
        for k in names:  # by columns: each is unpacked for all components of the CCD
            try:
                out[k] = get_from_ccd(category, name, k)
            except KeyError:
                continue
        return {k: list(v.as_array(str)) for k, v in out.items() if v is not None}

    kind = table("chem_comp", ["type"]).get("type", [""])[0]
    bonds = table("chem_comp_bond", BOND_COLUMNS)
    for coordinates in (IDEAL, MODEL):
        atoms = table("chem_comp_atom", (*ATOM_COLUMNS, *coordinates))
        if (found := _assemble(name, kind, atoms, bonds)) is not None:
            return found
    return None


def _assemble(
    name: str, kind: str, atoms: Mapping[str, list[str] | None], bonds: Mapping[str, list[str] | None]
) -> IdealComponent | None:
    ids, elements = atoms.get("atom_id"), atoms.get("type_symbol")
    if not ids or not elements:
        return None
    n = len(ids)
    sets = (_coordinates([atoms.get(k) for k in names]) for names in (IDEAL, MODEL, PLAIN))
    xyz = next((c for c in sets if c is not None), None)
    first, second = bonds.get("atom_id_1") or [], bonds.get("atom_id_2") or []
    number = {a: i for i, a in enumerate(ids)}
    if xyz is None or (n > 1 and not first) or not set(first) | set(second) <= number.keys():
        return None
    aromatic = bonds.get("pdbx_aromatic_flag") or ["N"] * len(first)
    orders = bonds.get("value_order") or ["SING"] * len(first)
    return IdealComponent(
        name=name,
        kind=kind,
        ids=tuple(ids),
        elements=tuple("H" if e.upper() == "D" else e.upper() for e in elements),
        charges=tuple(_integer(c) for c in atoms.get("charge") or ["0"] * n),
        stereo=tuple(s.upper()[:1] or "N" for s in atoms.get("pdbx_stereo_config") or ["N"] * n),
        xyz=xyz,
        bonds=np.array([[number[a], number[b]] for a, b in zip(first, second, strict=True)], int).reshape(-1, 2),
        orders=tuple(
            "aromatic" if flag.upper().startswith("Y") else ORDERS.get(order.lower()[:4], "single")
            for order, flag in zip(orders, aromatic, strict=True)
        ),
    )


def _coordinates(columns: Sequence[list[str] | None]) -> np.ndarray | None:
    """(n, 3) Å, or None where a number is missing or all atoms coincide."""
    if any(c is None for c in columns):
        return None
    try:
        xyz = np.array(columns, float).T
    except ValueError:
        return None
    return xyz if np.all(np.isfinite(xyz)) and (len(xyz) == 1 or np.ptp(xyz) > 0.0) else None


def _integer(text: str) -> int:
    try:
        return int(float(text))
    except ValueError:
        return 0
