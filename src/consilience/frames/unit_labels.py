"""Unit labels of files and users ("kcal/mol/Å", "Hartree/Bohr", "e*ang"): what they measure, their factor to ours."""

from __future__ import annotations

import json
import re
from typing import Literal

from consilience.core.errors import InputError, clean
from consilience.units import BOHR, DEBYE, ENERGY, EV_PER_A3_IN_GPA, HARTREE, LENGTH

Dimension = Literal["energy", "forces", "length", "dipole", "esp", "stress"]
DIMENSIONS: tuple[Dimension, ...] = ("forces", "energy", "length", "dipole", "esp", "stress")
OURS = {"energy": "eV", "forces": "eV/Å", "length": "Å", "dipole": "e Å", "esp": "V", "stress": "eV/Å^3"}
_ENERGY = {"ev": 1.0, "electronvolt": 1.0, "mev": 1e-3, "kcal/mol": ENERGY["kcal/mol"], "kj/mol": ENERGY["kJ/mol"],
           "kcal": ENERGY["kcal/mol"], "kj": ENERGY["kJ/mol"], "hartree": HARTREE, "hartrees": HARTREE, "ha": HARTREE,
           "eh": HARTREE, "hart": HARTREE, "ry": HARTREE / 2, "rydberg": HARTREE / 2,
           "cm-1": 1.239841984e-4}  # fmt: skip
_LENGTH = {"å": 1.0, "a": 1.0, "ang": 1.0, "angstrom": 1.0, "angstroms": 1.0, "angs": 1.0, "bohr": BOHR, "a0": BOHR,
           "bohrs": BOHR, "nm": LENGTH["nm"], "pm": 0.01}  # fmt: skip
_ATOMIC = ("au", "a.u.", "atomic", "atomicunits")
_WORDS = {"positions": "length", "coordinates": "length", "coords": "length", "r": "length", "pos": "length",
          "lengths": "length", "distance": "length", "e": "energy", "energies": "energy", "f": "forces",
          "force": "forces", "d": "dipole", "dipoles": "dipole", "mu": "dipole"}  # fmt: skip


def factor(label: str, dimension: Dimension) -> float | None:
    """What a value with this label is multiplied by to be in eV, eV/Å, Å, e Å, V or eV/Å^3; None: no such unit."""
    t = _plain(label)
    if dimension == "energy":
        return HARTREE if t in _ATOMIC else _ENERGY.get(t)
    if dimension == "length":
        return BOHR if t in _ATOMIC else _LENGTH.get(t)
    if dimension == "forces":
        if t in _ATOMIC:
            return HARTREE / BOHR
        energy, slash, length = t.rpartition("/")
        e, d = _ENERGY.get(energy), _LENGTH.get(length)
        return e / d if slash and e and d else None
    if dimension == "dipole":
        if t in ("debye", "d", "debyes"):
            return DEBYE
        length = re.sub(r"^e[*·.]?|[*·.]?e$", "", t) if t not in _ATOMIC else "bohr"
        return _LENGTH.get(length) if length != t or t in _ATOMIC else None
    if dimension == "esp":
        if t in ("v", "volt", "mv"):
            return 1e-3 if t == "mv" else 1.0
        return HARTREE if t in _ATOMIC else _ENERGY.get(re.sub(r"/e$", "", t))
    if t in ("gpa", "kbar"):
        return (1.0 if t == "gpa" else 0.1) / EV_PER_A3_IN_GPA
    energy, _, volume = t.rpartition("/")
    e, d = _ENERGY.get(energy), _LENGTH.get(re.sub(r"\^?3$|³$", "", volume))
    return e / d**3 if e and d and volume[-1:] in "3³" else None


def _plain(label: str) -> str:
    t = clean(label).strip().lower().replace("ångström", "å").replace("ångstrom", "å").replace("\u212b", "å")
    t = re.sub(r"\s*/\s*", "/", t)
    t = re.sub(r"\s*\*?\s*mol\^?\(?-1\)?", "/mol", t)
    t = re.sub(r"[\s*]+(å|a|ang|angstrom|bohr|nm)\^?\(?-1\)?$", r"/\1", t)
    t = re.sub(r"^\((.*)\)$", r"\1", t)
    return re.sub(r"[\s()]", "", t) if t != "cm^-1" else "cm-1"


def dimension_of(label: str) -> Dimension | None:
    """What a label measures, where it says so on its own ("a.u." does not)."""
    if _plain(label) in (*_ATOMIC, "a", "d"):
        return "length" if _plain(label) == "a" else None
    return next((d for d in DIMENSIONS if factor(label, d) is not None), None)


def parse_units(text: str, where: str = "--units") -> dict[str, str]:
    """{dimension or array name: label} of "eV/Å", "kcal/mol, Å", "energy=hartree, forces=eV/Å", "atomic" or JSON.

    A unit of forces names that of the energy and the reverse (per Å), where the other is not given.
    Raises InputError for a unit that is not known.
    """
    given: dict[str, str] = {}
    stripped = text.strip()
    if stripped.startswith("{"):
        try:
            entries = json.loads(stripped)
        except (ValueError, RecursionError):
            entries = None
        if not isinstance(entries, dict):
            raise InputError("the units cannot be understood", where, clean(stripped)[:60], "a label, or JSON")
        return {str(k): str(v) for k, v in entries.items()}
    for part in (p.strip() for p in re.split(r"[;,]", stripped)):
        if not part:
            continue
        name, sep, label = re.sub(r"\s*:\s*", "=", part, count=1).partition("=")
        if sep:
            key = name.strip()
            low = key.lower()
            known = low if low in DIMENSIONS else _WORDS.get(low, key)
            if known in DIMENSIONS and factor(label, known) is None:
                raise InputError(f"unknown unit of {known}", where, clean(label)[:40], "e.g. " + OURS[known])
            given[known] = label.strip()
        elif _plain(part) in _ATOMIC:
            given |= {"energy": "hartree", "forces": "hartree/bohr", "length": "bohr", "dipole": "e bohr",
                      "esp": "hartree/e"}  # fmt: skip
        else:
            dimension = dimension_of(part)
            if dimension is None:
                if re.fullmatch(r"[kK]|K(elvin)?|e|amu|g/mol|fs|ps", part):
                    continue
                expected = "eV/Å, kcal/mol, kJ/mol/nm, hartree/bohr, atomic, ..."
                raise InputError("unknown unit", where, clean(part)[:40], expected)
            given[dimension] = part
    if "forces" in given and "energy" not in given:
        given["energy"] = given["forces"].rpartition("/")[0].strip() or given["forces"]
    elif "energy" in given and "forces" not in given:
        given["forces"] = f"{given['energy']}/Å"
    return given
