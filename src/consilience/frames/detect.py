"""Decides the units of energies, forces and positions: user or file, else clear physics; and says what was decided."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from consilience.core.errors import Finding, clean
from consilience.frames.evidence import Evidence, gather, length_unit
from consilience.frames.frames import Key
from consilience.frames.keys import DIMENSION
from consilience.frames.raw import Raw
from consilience.frames.unit_labels import OURS, factor
from consilience.units import HARTREE

_ENERGIES = ("eV", "kcal/mol", "kJ/mol", "hartree", "meV")
_FORCES = ("eV/Å", "kcal/mol/Å", "kJ/mol/Å", "kJ/mol/nm", "hartree/bohr", "meV/Å", "hartree/Å")
_LENGTHS = {1.0: "Å", 10.0: "nm", 0.01: "pm"}  # by factor; bohr else
_LOG_TOTAL, _LOG_SLOPE = math.log(1.25), math.log(1.15)
_STRONG = 2.0  # how much better than eV, Å an assumption must be before it is made


@dataclass(frozen=True)
class Decision:
    """Keys with unit and factor by quantity, and what was found."""

    keys: dict[str, Key]
    findings: list[Finding]
    evidence: Evidence


def decide(raw: Raw, arrays: Mapping[str, np.ndarray], keys: Mapping[str, Key], units: Mapping[str, str]) -> Decision:
    """The unit and factor of every quantity in `keys`; `units`: what the user says (`unit_labels.parse_units`)."""
    out = {q: _labelled(raw, k, units) for q, k in keys.items()}
    findings = _unknown_labels(raw, keys, out)
    energy, forces = arrays.get("energy"), arrays.get("forces")
    said = {q: out[q].factor for q in ("energy", "forces", "positions") if q in out and out[q].said}
    evidence = gather(raw.numbers, raw.positions, energy, forces, raw.cell, raw.pbc, said.get("positions"))
    length, more = _length(raw, evidence, said)
    findings += more
    if "positions" not in said:
        out["positions"] = replace(out["positions"], **length)
    r = out["positions"].factor
    changes, cost, default = {}, 0.0, 0.0
    pick = _pick(evidence, r, said, energy is not None, forces is not None)
    if pick is not None:
        e, f, cost, default = pick
        changes = {q: u for q, u in (("energy", e), ("forces", f)) if q in out and q not in said and u != OURS[q]}
        # a slope that no pair of units explains is a mistake of another kind: then nothing is converted
        explained = evidence.slope is None or not evidence.slope.is_clear or cost < 3.0
        if changes and explained and default - cost >= _STRONG:
            for q, u in changes.items():
                out[q] = replace(out[q], unit=u, factor=factor(u, DIMENSION[q]) or 1.0, said="physics")
            findings.append(_converted(raw, changes, evidence))
    sign = _sign(evidence, out["forces"].factor) if "forces" in out else ""
    if sign:
        findings.append(_wrong_sign(raw, evidence, sign))
    left = _consistency(raw, out, evidence)
    findings += left
    unused = changes and not any(k.said == "physics" and q in changes for q, k in out.items())
    if unused and default > cost and ("energy" in changes or not left) and not any("per atom" in f.what for f in left):
        findings.append(_unclear(raw, changes, evidence))
    for q, k in out.items():
        if q in OURS and not k.unit:
            out[q] = replace(k, unit=OURS[q])
    return Decision(out, findings, evidence)


def _labelled(raw: Raw, key: Key, units: Mapping[str, str]) -> Key:
    """The key with the unit that the user, the name or the file gives it."""
    dimension = DIMENSION.get(key.quantity)
    if dimension is None:
        return key
    for label, said in ((units.get(key.key) or units.get(key.quantity) or units.get(dimension), "user"),
                        (key.unit or raw.units.get(key.key) or raw.units.get(dimension), "file")):  # fmt: skip
        value = factor(label, dimension) if label else None
        if label and value:
            return replace(key, unit=label, factor=value, said=said)
    return replace(key, unit="", factor=1.0, said="")


def _unknown_labels(raw: Raw, keys: Mapping[str, Key], out: Mapping[str, Key]) -> list[Finding]:
    found = []
    for q, k in keys.items():
        label = k.unit or raw.units.get(k.key, "")
        if label and q in DIMENSION and not out[q].said:
            what = f"the unit label of {q} is not known: it is left aside"
            found.append(Finding("warn", what, f"{raw.path}, '{clean(k.key)}'", clean(label)[:40], OURS[DIMENSION[q]]))
        elif out[q].said == "file" and abs(out[q].factor - 1.0) > 1e-9:
            what = f"{q} converted from {out[q].unit} (the file says so)"
            found.append(Finding("note", what, raw.path))
    return found


def _length(raw: Raw, evidence: Evidence, said: Mapping[str, float]) -> tuple[dict, list[Finding]]:
    ratio = evidence.length
    if ratio is None:
        return {}, []
    value = length_unit(ratio)
    found = f"nearest neighbours at {ratio:.2f} times the sums of covalent radii (taken as Å)"
    if "positions" in said:
        if value and abs(math.log(value / said["positions"])) > 0.3:
            what = f"the positions do not look as labelled: bond lengths ask for {_LENGTHS.get(value, 'bohr')}"
            return {}, [Finding("warn", what, raw.path, found, fix="check the units")]
        return {}, []
    if value == 1.0:
        return {}, []
    if value is None:
        if 0.6 < ratio < 1.8:
            return {}, []
        what = "the distances between atoms are unlike those of molecules in Å: wrong unit?"
        return {}, [Finding("warn", what, raw.path, found, "about 1", "name the unit (--units ..., length=bohr)")]
    unit = _LENGTHS.get(value, "bohr")
    what = f"the positions look like {unit}, not Å (the file does not say): they were converted"
    fix = f"confirm it with --units length={unit}, or keep the values with --units length=Å"
    return {"unit": unit, "factor": value, "said": "physics"}, [Finding("warn", what, raw.path, found, "about 1", fix)]


def _sign(evidence: Evidence, forces: float) -> str:
    """What shows that the forces point the wrong way; "" where nothing does."""
    if evidence.slope is not None and evidence.slope.is_clear:
        return "slope" if evidence.slope.value < 0 else ""
    k = 0.0 if evidence.stiffness is None else evidence.stiffness * forces
    return "stiffness" if evidence.stiffness_sharp and 0.5 < -k < 2.0 else ""


def _wrong_sign(raw: Raw, evidence: Evidence, how: str) -> Finding:
    what = "the forces have the wrong sign: they are gradients (+dE/dR), not forces (-dE/dR)"
    found = "bonds that are stretched are pushed further"
    if how == "slope" and evidence.slope:
        found = (
            f"energy differences of near frames are {evidence.slope.value:.3g} times the work of the forces "
            f"({evidence.slope.count} pairs)"
        )
    return Finding("error", what, raw.path, found, "a positive factor", "multiply the forces by -1, or name the key "
                   "'gradient'")  # fmt: skip


def _pick(evidence: Evidence, r: float, said: Mapping[str, float], has_energy: bool, has_forces: bool):
    """(energy unit, force unit, cost, cost of eV and eV/Å) of the units that explain the evidence best, or None."""
    if not (has_energy or has_forces):
        return None
    energies = [(u, factor(u, "energy") or 1.0) for u in _ENERGIES] if has_energy else [("eV", 1.0)]
    forces = [(u, factor(u, "forces") or 1.0) for u in _FORCES] if has_forces else [("eV/Å", 1.0)]
    if "energy" in said:
        energies = [("", said["energy"])]
    if "forces" in said:
        forces = [("", said["forces"])]
    known_total = evidence.total is not None and evidence.total > 0 and any(
        abs(math.log(evidence.total * e / HARTREE)) < _LOG_TOTAL for _, e in energies
    )  # fmt: skip
    best = None
    default = math.inf
    for eu, e in energies:
        for fu, f in forces:
            cost = _cost(evidence, e, f, r, known_total, has_energy, has_forces)
            is_default = eu in ("", "eV") and fu in ("", "eV/Å")
            natural = fu.startswith(eu) or not eu or not fu or not has_energy or not has_forces
            if is_default:
                default = cost
            rank = cost + (0.0 if is_default else 0.05 if natural else 0.2) + (0.15 if fu in _FORCES[6:] else 0.0)
            if best is None or rank < best[0] - 1e-12:
                best = (rank, eu, fu, cost)
    assert best is not None
    return best[1], best[2], best[3], default


def _cost(evidence: Evidence, e: float, f: float, r: float, known_total: bool, has_energy: bool, has_forces: bool):
    cost = 0.0
    if has_energy and known_total and evidence.total:
        cost += 3.0 if abs(math.log(evidence.total * e / HARTREE)) > _LOG_TOTAL else 0.0
    if evidence.slope is not None and evidence.slope.is_clear:
        limit = max(_LOG_SLOPE, evidence.slope.tolerance)
        cost += 3.0 if abs(math.log(abs(evidence.slope.value) * e / (f * r))) > limit else 0.0
    if has_forces and evidence.stiffness:
        off = abs(math.log(abs(evidence.stiffness) * f))
        if evidence.stiffness_sharp:
            cost += 0.0 if off < 0.7 else 0.5 if off < 1.1 else 2.0 if off < 2.0 else 3.0
        else:
            cost += 0.0 if off < 1.5 else 1.0 if off < 2.5 else 2.5
    return cost


def _reasons(evidence: Evidence) -> str:
    out = []
    if evidence.total is not None:
        out.append(f"energy / energy of the free atoms in hartree {evidence.total:.4g} (1 for hartree, 27.2 for eV, "
                   "627.5 for kcal/mol, 2626 for kJ/mol)")  # fmt: skip
    if evidence.slope is not None and evidence.slope.is_clear:
        out.append(f"slope of energy differences on the work of the forces {evidence.slope.value:.4g}")
    if evidence.stiffness is not None:
        out.append(f"stiffness of bonds {evidence.stiffness:.3g} times the usual in eV/Å^2")
    return "; ".join(out)


def _converted(raw: Raw, changes: Mapping[str, str], evidence: Evidence) -> Finding:
    words = " and ".join(f"{q} like {u}" for q, u in changes.items())
    what = f"the units look wrong for eV and Å: {words} (the file does not say): converted to eV and eV/Å"
    option = ", ".join(f"{q}={u}" for q, u in changes.items())
    fix = f'confirm it with --units "{option}", or keep the values with --units eV/Å'
    return Finding("warn", what, raw.path, _reasons(evidence), fix=fix)


def _unclear(raw: Raw, changes: Mapping[str, str], evidence: Evidence) -> Finding:
    words = ", ".join(f"{q} in {u}" for q, u in changes.items())
    what = f"the units may not be eV and Å (perhaps {words}): nothing was converted"
    return Finding("warn", what, raw.path, _reasons(evidence), fix="name them with --units")


def _consistency(raw: Raw, keys: Mapping[str, Key], evidence: Evidence) -> list[Finding]:
    """Energies against forces in the units decided: a factor that is left is said."""
    out = []
    if "energy" in keys and evidence.total and keys["energy"].said in ("user", "file"):
        said = keys["energy"].factor
        ratio = evidence.total * said / HARTREE
        for u in _ENERGIES:
            value = factor(u, "energy") or 1.0
            fits = evidence.total > 0 and abs(math.log(evidence.total * value / HARTREE)) < _LOG_TOTAL
            if fits and abs(math.log(abs(ratio))) > 0.7:
                what = f"the energies do not look as labelled ({keys['energy'].unit}): their size asks for {u}"
                out.append(Finding("warn", what, raw.path, _reasons(evidence), fix="check the units"))
                break
    slope = evidence.slope
    if slope is not None and slope.count >= 12 and slope.misses > 0.33 and not slope.is_clear:
        what = "energies and forces are not consistent: energy differences of near frames do not follow the forces"
        found = f"they miss the work of the forces by {100 * slope.misses:.0f} % of both ({slope.count} pairs)"
        fix = "do energies and forces belong to the same frames, in the same order?"
        return [*out, Finding("warn", what, raw.path, found, "below 20 %", fix)]
    if slope is None or not slope.is_clear or "energy" not in keys or "forces" not in keys:
        return out
    value = abs(slope.value) * keys["energy"].factor / (keys["forces"].factor * keys["positions"].factor)
    if abs(math.log(value)) <= slope.tolerance:
        return out
    counts = (raw.numbers > 0).sum(1)
    hint = ""
    if abs(value * counts.mean() - 1.0) < 0.1 and np.ptp(counts) == 0 and counts[0] > 1:
        hint = " (are the energies per atom?)"
    elif abs(1 / value - 2.0) < 0.1:
        hint = " (forces twice too large: is every pair counted twice?)"
    elif abs(value - 2.0) < 0.06:
        hint = " (forces half of what they should be)"
    elif abs(value - 1.89) < 0.06:
        hint = " (forces per bohr?)"
    what = f"energies and forces are not consistent: the forces are off by a factor of {1 / value:.2g}{hint}"
    found = f"energy differences of near frames / work of the forces: slope {value:.3g} ({slope.count} pairs)"
    fix = "check units, and that both are of the same method"
    return [*out, Finding("warn", what, raw.path, found, "slope 1", fix)]
