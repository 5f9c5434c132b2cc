"""Which array of a file is the energy, the forces, ...: spellings in order of preference, decided by name and shape."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from consilience.core.errors import Finding, InputError, clean
from consilience.frames.frames import Key
from consilience.frames.raw import Raw
from consilience.frames.unit_labels import Dimension, factor

# The first spelling that is there, has the right shape and is not empty wins; names are compared without case and
# punctuation. Labels that say REF stand first: where a file has both, the others come from another calculator.
SPELLINGS: dict[str, tuple[str, ...]] = {
    "energy": ("REF_energy", "energy", "E", "energies", "total_energy", "energy_total", "E_tot", "Etot", "dft_energy",
               "TotEnergy", "energy_ref", "E_ref", "U0", "energy_U0", "potential_energy", "E_pot", "epot",
               "free_energy", "scf_energy", "mp2_energy", "ccsd_energy", "xtb_energy"),
    "forces": ("REF_forces", "forces", "F", "force", "dft_forces", "forces_ref", "F_ref", "total_forces", "frc",
               "xtb_forces", "gradient", "gradients", "grad", "G", "dEdR"),
    "dipole": ("REF_dipole", "dipole", "D", "dipoles", "dipole_moment", "dipole_moments", "dip", "mu", "dft_dipole"),
    "charges": ("REF_charges", "charges", "q", "Q", "Qa", "atomic_charges", "Q_atomic", "partial_charges", "Q_esp",
                "esp_charges", "charges_esp", "Q_resp", "Q_mbis", "Q_hirshfeld", "hirshfeld_charges", "Q_nbo",
                "nbo_charges", "Q_npa", "Q_mulliken", "mulliken_charges", "mulliken", "initial_charges"),
    "total_charge": ("total_charge", "Q", "charge", "REF_total_charge", "qtot", "Q_tot", "net_charge", "charges"),
    "stress": ("REF_stress", "stress", "dft_stress"),
    "virial": ("REF_virials", "REF_virial", "virial", "virials", "dft_virial"),
    "momenta": ("momenta",),
    "esp": ("esp", "REF_esp", "V_esp", "esp_values", "electrostatic_potential", "V"),
    "esp_xyz": ("esp_xyz", "esp_grid", "vdw_surface", "esp_points", "esp_coords", "grid", "grid_xyz"),
    "T": ("T", "temperature", "temp", "T_K", "temperature_K"),
    "kind": ("kind", "config_type", "configtype", "type"),
    "traj": ("traj", "trajectory"),
}  # fmt: skip
GROUPS = ("T", "kind", "traj")
DIMENSION: dict[str, Dimension] = {"energy": "energy", "forces": "forces", "dipole": "dipole", "esp": "esp",
                                   "esp_xyz": "length", "positions": "length", "stress": "stress",
                                   "virial": "energy"}  # fmt: skip
_TAIL: dict[str, tuple[Any, ...]] = {"energy": (), "forces": ("n", 3), "dipole": (3,), "charges": ("n",),
                                     "total_charge": (), "stress": (3, 3), "virial": (3, 3), "momenta": ("n", 3),
                                     "esp": ("p",), "esp_xyz": ("p", 3), "T": (), "kind": (), "traj": ()}  # fmt: skip
_GRADIENTS = ("gradient", "gradients", "grad", "g", "dedr")
_OVERRIDE = {"numbers", "positions", *SPELLINGS}


def plain(name: str) -> str:
    """A name without case and punctuation."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def check_override(keys: Mapping[str, str]) -> None:
    """InputError for an override of a quantity that does not exist."""
    for quantity in keys:
        if quantity not in _OVERRIDE:
            expected = ", ".join(sorted(_OVERRIDE))
            raise InputError("there is no such quantity to name a key for", "keys", clean(quantity), expected)


def choose(raw: Raw, keys: Mapping[str, str]) -> tuple[dict[str, np.ndarray], dict[str, Key], list[Finding]]:
    """Arrays by quantity in standard shapes, which key each came from, and what was decided.

    Raises InputError where a key that `keys` asks for is absent.
    """
    arrays: dict[str, np.ndarray] = {}
    chosen: dict[str, Key] = {"positions": Key("positions", raw.positions_key, file=raw.path)}
    findings: list[Finding] = []
    taken: set[str] = set()
    for quantity, spellings in SPELLINGS.items():
        asked = keys.get(quantity)
        candidates = _candidates(raw, quantity, spellings, asked) if quantity in _TAIL else []
        fitting: list[tuple[str, np.ndarray, str]] = []
        problems: list[tuple[str, str]] = []
        for name, unit in candidates:
            if name in taken and asked != name:
                continue
            value, problem = _shaped(raw, name, quantity)
            if value is None:
                problems.append((name, problem))
            else:
                fitting.append((name, value, unit))
        if not fitting:
            findings += _misfits(raw, quantity, problems, asked)
            continue
        name, value, unit = fitting[0]
        if plain(name) in _GRADIENTS and quantity == "forces":
            value = -value
            what = f"forces are taken as minus the gradient '{clean(name)}'"
            findings.append(Finding("note", what, raw.path))
        taken.add(name)
        arrays[quantity] = value
        label = raw.units.get(name) or unit or raw.units.get(DIMENSION.get(quantity, ""), "")
        chosen[quantity] = Key(quantity, name, label, said="file" if label else "", file=raw.path)
        findings += _choice(raw, quantity, fitting, asked)
    return arrays, chosen, findings


def _candidates(raw: Raw, quantity: str, spellings: tuple[str, ...], asked: str | None) -> list[tuple[str, str]]:
    """Names in the file that may be the quantity, best first, each with the unit that its name ends in."""
    if asked is not None:
        if asked not in raw.arrays:
            known = ", ".join(clean(k) for k in raw.arrays) or "none"
            raise InputError(f"there is no key '{clean(asked)}' for {quantity}", raw.path, f"keys: {known}")
        return [(asked, "")]
    out: list[tuple[str, str]] = []
    for spelling in spellings:
        exact = [k for k in raw.arrays if k == spelling]
        loose = [k for k in raw.arrays if k != spelling and plain(k) == plain(spelling)]
        if len(spelling) == 1:  # Q and q, T and t mean different things; z, r, e and f do not
            loose = [k for k in loose if k in "zref"]
        out += [(k, "") for k in exact + loose]
        dimension = DIMENSION.get(quantity)
        for k in raw.arrays if dimension else ():
            match = re.fullmatch(r"(.+?)[_\s]?[\[(](.+)[\])]|(.+?)_([^_]+(?:_mol)?(?:_A|_ang)?)", k)
            if not match or k in dict(out):
                continue
            base, unit = (match[1], match[2]) if match[1] else (match[3], re.sub(r"_", "/", match[4]))
            unit = unit.replace("kcalmol", "kcal/mol").replace("kjmol", "kj/mol")
            if plain(base) == plain(spelling) and dimension and factor(unit, dimension):
                out.append((k, unit))
    return list(dict(out).items())


def _shaped(raw: Raw, name: str, quantity: str) -> tuple[np.ndarray | None, str]:
    """The array in the standard shape of the quantity, or why it cannot be."""
    a = raw.arrays[name]
    f, n = raw.numbers.shape
    tail = tuple(n if t == "n" else t for t in _TAIL[quantity])
    is_text = a.dtype.kind in "US"
    if quantity in ("kind", "traj"):
        if a.ndim == 1 and len(a) == f and name not in raw.atomic:
            return (a if is_text or quantity == "traj" else a.astype(str)), ""
        return None, ""
    if is_text:
        bad = next((str(x) for x in a.ravel() if x), "")
        comma = " (a decimal comma?)" if re.fullmatch(r"[-+]?\d+,\d+.*", bad) else ""
        return None, f"it holds text where numbers are needed: '{clean(bad)[:30]}'{comma}"
    if quantity in ("stress", "virial") and name not in raw.atomic and a.shape in ((f, 6), (f, 9)):
        return _matrix(a), ""
    if quantity == "esp_xyz" and a.ndim == 2 and a.shape[0] == f and a.shape[1] % 3 == 0 and f > 1:
        a = a.reshape(f, -1, 3)
    if len(tail) == 0 and a.ndim == 2 and a.shape == (f, 1):
        a = a[:, 0]
    if (raw.single or f == 1) and _fits(a.shape, (1, *tail)) is False and _fits((1, *a.shape), (1, *tail)):
        a = a[None]
    if quantity == "esp_xyz" and a.ndim == 2 and a.shape[1:] == (3,) and f > 1:
        a = np.broadcast_to(a, (f, *a.shape))  # one grid for all frames
    if quantity == "charges" and a.shape == (n,) and f != n and name not in raw.atomic:
        a = np.broadcast_to(a, (f, n))
    if not _fits(a.shape, (f, *tail)) or ("n" in _TAIL[quantity]) != ("n" in _TAIL[quantity] or name in raw.atomic):
        return None, _why(a.shape, (f, *tail), n)
    out = np.array(a, dtype=float)
    if "n" in _TAIL[quantity]:
        out[raw.numbers == 0] = 0.0
    return out, ""


def _fits(shape: tuple[int, ...], wanted: tuple[Any, ...]) -> bool:
    return len(shape) == len(wanted) and all(w == "p" or s == w for s, w in zip(shape, wanted, strict=True))


def _why(shape: tuple[int, ...], wanted: tuple[Any, ...], n: int) -> str:
    text = f"its shape is {shape}, not {wanted}".replace("'", "")
    if len(wanted) == 3 and len(shape) == 3 and shape == (wanted[0], 3, n):
        return text + ": the axes of atoms and xyz are exchanged"
    if len(wanted) == 3 and wanted[1] == n and len(shape) == 2 and shape == (wanted[0], 3 * n):
        return text + ": atoms and xyz are flattened into one axis"
    if len(shape) == len(wanted) and shape[0] != wanted[0] and shape[1:] == wanted[1:]:
        return text + f": {shape[0]} entries for {wanted[0]} frames"
    return text


def _matrix(a: np.ndarray) -> np.ndarray:
    if a.shape[1] == 9:
        return a.reshape(-1, 3, 3).astype(float)
    xx, yy, zz, yz, xz, xy = a.astype(float).T  # Voigt order
    return np.stack([xx, xy, xz, xy, yy, yz, xz, yz, zz], 1).reshape(-1, 3, 3)


def _misfits(raw: Raw, quantity: str, problems: list[tuple[str, str]], asked: str | None) -> list[Finding]:
    """An error where a name says what the array is but its content cannot be that; not for names of two meanings."""
    shared = {"Q", "q", "charge", "charges", "V", "G", "mu", "D", "U0", "grid", "type", "T"}
    real = [(name, why) for name, why in problems if why and (asked or name not in shared)]
    if quantity in GROUPS or not real:
        return []
    name, why = real[0]
    what = f"the {quantity.replace('_', ' ')} cannot be read from '{clean(name)}': {why}"
    return [Finding("error", what, raw.path, fix=f"correct the array, or name another key ({quantity})")]


def _choice(raw: Raw, quantity: str, fitting: list[tuple[str, np.ndarray, str]], asked: str | None) -> list[Finding]:
    """What is said about a choice: another spelling than the usual, or several candidates."""
    out = []
    name, value, _ = fitting[0]
    words = quantity.replace("_", " ")
    usual = {"energy": ("energy", "E"), "forces": ("forces", "F"), "charges": ("charges", "q"),
             "dipole": ("dipole", "D"), "T": ("T", "temperature"), "kind": ("kind", "config_type")}  # fmt: skip
    plainly = usual.get(quantity, SPELLINGS[quantity][:2])
    if quantity == "total_charge" and name == "Q":
        what = f"'Q' is taken as the total charge of each frame: its shape is {raw.arrays[name].shape}"
        out.append(Finding("note", what, raw.path))
    elif quantity == "charges" and name == "Q":
        out.append(Finding("note", "'Q' is taken as atomic charges by its shape", raw.path))
    elif name not in plainly and asked is None and len(fitting) == 1:
        out.append(Finding("note", f"{words} read from the key '{clean(name)}'", raw.path))
    if len(fitting) > 1 and asked is None:
        others = [k for k, _, _ in fitting[1:]]
        differ = [k for k, v, _ in fitting[1:] if v.shape == value.shape and not _equal(v, value)]
        plain_and_ref = [k for k in differ if plain(name).startswith("ref") and plain(k) in ("energy", "forces")]
        what = f"several keys may be the {words}: '{clean(name)}' is used, not {', '.join(map(clean, others))}"
        option = f"--{quantity}-key" if quantity in ("energy", "forces", "dipole", "charges") else f"keys['{quantity}']"
        level = "warn" if plain_and_ref else "note"
        out.append(Finding(level, what, raw.path, fix=f"{option} names another one"))
    return out


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype.kind == b.dtype.kind and bool(np.allclose(a, b, rtol=0, atol=1e-6, equal_nan=True))
