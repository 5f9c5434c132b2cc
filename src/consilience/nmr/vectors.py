"""N-H directions of a model for the residues of relaxation data: residues matched, amide H found or placed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import gemmi
import numpy as np

from consilience.core.errors import Finding, Level
from consilience.nmr.amide_constants import R_NH
from consilience.nmr.data import Residue
from consilience.nmr.lists import some
from consilience.structure.atoms import Structure

_H_NAMES = ("H", "HN", "D", "DN", "H1", "D1", "HT1", "1H")  # the last ones on N-termini only: not amide hydrogens
_TERMINAL = {"H2", "H3", "HT2", "HT3", "2H", "3H", "D2", "D3"}
_N_BOND = (0.8, 1.3)  # Å, what can be an N-H bond
_SAME = {
    "MSE": "MET", "HSD": "HIS", "HSE": "HIS", "HSP": "HIS", "HID": "HIS", "HIE": "HIS", "HIP": "HIS", "CYX": "CYS",
    "CYM": "CYS", "CYSS": "CYS", "ASH": "ASP", "GLH": "GLU", "LYN": "LYS", "SEP": "SER", "TPO": "THR", "PTR": "TYR",
}  # fmt: skip


@dataclass(frozen=True)
class AmideVectors:
    """`vectors` (n, 3): unit N->H in the model's frame, NaN where there is none; `placed` (n,) bool: H was placed.

    `tilt` (n, 3): unit vectors perpendicular to N->H, in the peptide plane on the side of C'(i-1); NaN without it.
    """

    vectors: np.ndarray
    tilt: np.ndarray
    placed: np.ndarray
    chains: tuple[str, ...]
    findings: tuple[Finding, ...] = ()

    @property
    def matched(self) -> np.ndarray:
        """(n,) bool: rows with a direction."""
        return np.asarray(np.isfinite(self.vectors).all(axis=1))


@dataclass(frozen=True)
class _Site:
    """A residue of the model: the first conformer of its atoms, and the C of the residue before (None at a start)."""

    name: str
    atoms: dict[str, np.ndarray]
    previous_c: np.ndarray | None

    @property
    def amide(self) -> str:
        """The name of the amide hydrogen, "" where there is none."""
        if _TERMINAL & self.atoms.keys():
            return ""
        first = _H_NAMES if self.previous_c is not None else _H_NAMES[:4]
        return next((n for n in first if n in self.atoms), "")


def amide_vectors(structure: Structure, residues: Sequence[Residue]) -> AmideVectors:
    """Unit N->H vectors of the residues in the first model of a structure, with everything that did not fit.

    The chain is that which the data name, else the first of those whose residue types agree best. Where a hydrogen is
    missing it is placed 1.02 Å from N in the plane of C(i-1), N and CA, opposite to the bisector. Findings name
    residues that are absent or prolines, types that differ (an error with the shift of numbers that would mend it),
    and N-H pairs at an impossible distance (an error where N and H coincide). Never raises.
    """
    sites = {c.name: dict(_sites(c)) for c in structure.hierarchy[0]}
    sites = {name: s for name, s in sites.items() if s}
    chain_of, notes = _choose_chains(sites, residues, structure.source)
    vectors = np.full((len(residues), 3), np.nan)
    tilt = np.full((len(residues), 3), np.nan)
    placed = np.zeros(len(residues), bool)
    seen = _Seen()
    for i, r in enumerate(residues):
        label, site = chain_of.get(r.chain, ""), None
        if label in sites:
            site = sites[label].get(r.number)
        if site is None:
            seen.absent.append(str(r))
            continue
        seen.compared += bool(r.name)
        if r.name and not _agree(r.name, site.name):
            seen.mismatched.append(f"data say {r.name} {r.number}, model says {site.name} {r.number}")
        where = f"{site.name} {label} {r.number}"
        if "N" not in site.atoms:
            seen.no_n.append(where)
        elif site.amide:
            vectors[i] = _direction(site, where, seen)
        elif site.name in ("PRO", "HYP"):
            if r.name not in ("PRO", "HYP"):
                seen.prolines.append(where)
        elif site.previous_c is not None and "CA" in site.atoms:
            vectors[i] = _placed(site.atoms["N"], site.atoms["CA"], site.previous_c)
            placed[i] = bool(np.isfinite(vectors[i]).all())
            (seen.placed if placed[i] else seen.no_n).append(where)
        else:
            seen.starts.append(where)
        if site.previous_c is not None:
            tilt[i] = _tilt(vectors[i], site.previous_c - site.atoms["N"])
    shift = _shift(sites, chain_of, residues, seen)
    notes += _report(seen, shift, structure.source, len(residues))
    used = tuple(dict.fromkeys(c for c in chain_of.values() if c))
    return AmideVectors(vectors, tilt, placed, used, tuple(notes))


def chains_of(structure: Structure, residues: Sequence[Residue]) -> dict[str, str]:
    """For each chain that the data name ("" among them) the chain of the model that `amide_vectors` takes."""
    sites = {c.name: dict(_sites(c)) for c in structure.hierarchy[0]}
    return _choose_chains({name: s for name, s in sites.items() if s}, residues, structure.source)[0]


class _Seen:
    """What was met on the way through the residues, in words, by kind."""

    def __init__(self) -> None:
        self.absent: list[str] = []
        self.mismatched: list[str] = []
        self.prolines: list[str] = []
        self.no_n: list[str] = []
        self.starts: list[str] = []
        self.placed: list[str] = []
        self.coincide: list[str] = []
        self.odd_length: list[str] = []
        self.compared = 0


def _sites(chain: gemmi.Chain) -> Iterator[tuple[int, _Site]]:
    """Residues that have an N (or CA), by number; insertion codes and second residues of a number are passed over."""
    before: np.ndarray | None = None
    seen: set[int] = set()
    for res in chain:
        atoms: dict[str, np.ndarray] = {}
        for a in res:
            atoms.setdefault(a.name.upper(), np.array(a.pos.tolist()))
        if "N" in atoms and "CA" not in atoms and not any(n in atoms for n in _H_NAMES):
            continue  # a ligand or an ion
        if "N" not in atoms and "CA" not in atoms:
            continue
        bonded = before is not None and "N" in atoms and 0.8 < np.linalg.norm(atoms["N"] - before) < 2.2
        site = _Site(res.name.upper(), atoms, before if bonded else None)
        before = atoms.get("C")
        number = res.seqid.num
        if number is not None and res.seqid.icode == " " and number not in seen:
            seen.add(number)
            yield number, site


def _agree(a: str, b: str) -> bool:
    return _SAME.get(a, a) == _SAME.get(b, b)


def _direction(site: _Site, where: str, seen: _Seen) -> np.ndarray:
    v = site.atoms[site.amide] - site.atoms["N"]
    r = float(np.linalg.norm(v))
    if r < 0.1:
        seen.coincide.append(f"N and {site.amide} of {where} ({r:.2f} Å)")
    elif not _N_BOND[0] <= r <= _N_BOND[1]:
        seen.odd_length.append(f"N and {site.amide} of {where} ({r:.2f} Å)")
    else:
        return v / r
    return np.full(3, np.nan)


def _placed(n: np.ndarray, ca: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Unit vector from N opposite to the bisector of C(i-1)-N-CA; NaN where the three are in line or coincide."""
    a, b = c - n, ca - n
    la, lb = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    if min(la, lb) < 0.1:
        return np.full(3, np.nan)
    u = -(a / la + b / lb)
    length = float(np.linalg.norm(u))
    return u / length if length > 0.1 else np.full(3, np.nan)


def _tilt(nh: np.ndarray, towards: np.ndarray) -> np.ndarray:
    """Unit part of a vector perpendicular to nh; NaN where there is none."""
    side = towards - (towards @ nh) * nh
    length = float(np.linalg.norm(side))
    return side / length if length > 0.05 else np.full(3, np.nan)


def _choose_chains(
    sites: dict[str, dict[int, _Site]], residues: Sequence[Residue], source: str
) -> tuple[dict[str, str], list[Finding]]:
    """For each chain that the data name ("" among them) a chain of the model."""
    notes: list[Finding] = []
    out: dict[str, str] = {}
    for chain in dict.fromkeys(r.chain for r in residues):
        own = [r for r in residues if r.chain == chain]
        if chain and chain in sites:
            out[chain] = chain
            continue

        def score(name: str, own: list[Residue] = own) -> tuple[float, int]:
            found = [(r, sites[name][r.number]) for r in own if r.number in sites[name]]
            named = [_agree(r.name, s.name) for r, s in found if r.name]
            return (round(sum(named) - 2.0 * (len(named) - sum(named)), 6), len(found))

        free = [c for c in sites if c not in out.values()] or list(sites)
        ranked = sorted(free, key=lambda c: score(c), reverse=True)  # stable: the first of equals stays first
        if not ranked:
            continue
        out[chain] = ranked[0]
        equal = [c for c in ranked[1:] if score(c) == score(ranked[0]) and score(c)[1]]
        if chain:
            what = f"the model has no chain {chain}: its chain '{ranked[0]}' is taken"
            notes.append(Finding("note", what, source, f"chains {some(sites)}"))
        elif equal:
            what = f"chains {some([ranked[0], *equal])} of the model match the data alike: chain {ranked[0]} is used"
            notes.append(Finding("note", what, source, fix="name the chain in the data to use another"))
    return out, notes


def _shift(
    sites: dict[str, dict[int, _Site]], chain_of: dict[str, str], residues: Sequence[Residue], seen: _Seen
) -> int:
    """What must be added to the numbers of the data so that types agree; 0 where nothing (clearly) does."""
    named = [r for r in residues if r.name]
    wrong = len(seen.mismatched) + len([r for r in seen.absent])
    if len(named) < 4 or wrong < 0.3 * len(residues):
        return 0
    best, best_shift = 0.0, 0
    for label in dict.fromkeys(chain_of.values()):
        own = [r for r in named if chain_of.get(r.chain) == label]
        numbers = sites.get(label, {})
        if len(own) < 4 or not numbers:
            continue
        low = min(numbers) - max(r.number for r in own)
        high = max(numbers) - min(r.number for r in own)
        if high - low > 5000:
            continue
        for shift in sorted(range(low, high + 1), key=abs):
            hits = sum(_agree(r.name, s.name) for r in own if (s := numbers.get(r.number + shift)) is not None)
            if hits / len(own) > best:
                best, best_shift = hits / len(own), shift
    return best_shift if best >= 0.8 else 0


def _report(seen: _Seen, shift: int, source: str, n: int) -> list[Finding]:
    out: list[Finding] = []

    def add(level: Level, items: list[str], what: str, fix: str = "", expected: str = "") -> None:
        if items:
            out.append(Finding(level, what.format(n=len(items)), f"{source}: {some(items)}", "", expected, fix))

    if shift:
        what = f"residue numbering of data and model differ by an offset: {shift:+d} on the data makes the types agree"
        example = some([*seen.mismatched, *(f"{a} is not in the model" for a in seen.absent)], 3)
        fix = f"add {shift:+d} to the residue numbers of the data, or renumber the model"
        out.append(Finding("error", what, source, example, "equal residue types", fix))
    else:
        most = seen.compared >= 4 and len(seen.mismatched) > 0.5 * seen.compared
        what = "{n} residue type mismatch(es) between data and model"
        add("error" if most else "warn", seen.mismatched, what, "check numbering and sequence")
        if n and len(seen.absent) == n:
            add("error", seen.absent, "none of the residues of the data is in the model", "check numbering and chains")
        else:
            add("warn", seen.absent, "{n} residue(s) of the data are not in the model: skipped", "check the numbering")
    add("warn", seen.prolines, "{n} residue(s) are prolines (PRO) in the model and have no amide H: skipped")
    add("warn", seen.no_n, "{n} residue(s) lack N, or have atoms that give no direction: skipped")
    what = "{n} residue(s) begin a chain or follow a gap and have no amide H: no N-H direction, skipped"
    add("warn", seen.starts, what, "add the hydrogens to the model")
    what = "{n} amide hydrogen(s) lie on their N: the N-H distance is zero, so there is no direction"
    add("error", seen.coincide, what, "correct or remove the hydrogen", "0.8 to 1.3 Å")
    what = "{n} N-H pair(s) at an impossible distance: skipped"
    add("warn", seen.odd_length, what, "correct or remove the hydrogen", "0.8 to 1.3 Å")
    add(
        "note",
        seen.placed,
        f"{{n}} amide hydrogen(s) are missing in the model: placed in the peptide plane at {R_NH} Å",
    )
    return out
