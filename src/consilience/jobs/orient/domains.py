"""Rigid domains of a model: from a text such as "A:1-76;A:80-150" or, by default, its chains."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from consilience.core.errors import InputError, clean
from consilience.structure.atoms import Structure
from consilience.structure.rigid import bodies_of, with_nearest

_PART = re.compile(r"\s*([^:,;\s]+)\s*(?::\s*(-?\d+)\s*-\s*(-?\d+)\s*)?")
EXPECTED = 'chains or ranges of residues, one body each, e.g. "A:1-76;A:80-150" or "A;B,C"'


@dataclass(frozen=True)
class Bodies:
    """`body` (a,) number of each atom; `pivot` (k, 3) Å about which each turns; `names` as the user wrote them."""

    body: np.ndarray
    pivot: np.ndarray
    names: tuple[str, ...]


def find_bodies(structure: Structure, text: str | None = None) -> Bodies:
    """Bodies from a text, or one for each chain of ten atoms or more.

    Bodies are set apart by ";" or spaces, parts of one body by ",". Residues of a linker go with the body before them
    in the chain, all other atoms that are in no body (ligands, water) with the nearest. A body that continues the chain
    of an earlier one turns about its first atom, so that the bond there keeps its length; others turn about their
    centre. Raises InputError for a text that is not understood, a part without atoms, atoms in two bodies, or fewer
    than two bodies.
    """
    where = [(c.name, r.seqid.num) for c in structure.hierarchy[0] for r in c for _ in r]
    chain, number = np.array([w[0] for w in where]), np.array([w[1] if w[1] is not None else -9999 for w in where])
    if text is None:
        body = bodies_of(structure)
        names = [str(chain[np.flatnonzero(body == k)[0]]) for k in range(int(body.max(initial=0)) + 1)]
    else:
        body, names = np.full(len(structure), -1), [t for t in re.split(r"[;\s]+", text.strip()) if t]
        for k, name in enumerate(names):
            for part in name.split(","):
                body = _marked(body, k, part, chain, number)
        if names:
            body = with_nearest(_linked(structure, body, chain, number), structure.xyz)
    if len(names) < 2:
        found = ", ".join(names) or "none"
        raise InputError("orienting domains takes two bodies or more", found=found, expected=EXPECTED)
    pivot = np.array([_pivot(k, body, chain, number, structure.xyz) for k in range(len(names))])
    return Bodies(body, pivot, tuple(names))


def _marked(body: np.ndarray, k: int, part: str, chain: np.ndarray, number: np.ndarray) -> np.ndarray:
    match = _PART.fullmatch(part)
    if match is None:
        raise InputError("--domains is not understood", found=f"'{clean(part)}'", expected=EXPECTED)
    name, first, last = match.groups()
    inside = chain == name
    if first is not None:
        inside &= (number >= int(first)) & (number <= int(last))
    if not inside.any():
        raise InputError("--domains names residues that the model lacks", found=f"'{clean(part)}'", expected=EXPECTED)
    if np.any(inside & (body >= 0) & (body != k)):
        raise InputError("--domains puts residues into two bodies", found=f"'{clean(part)}'")
    return np.where(inside, k, body)


def _linked(structure: Structure, body: np.ndarray, chain: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Polymer residues of no body take the body before them in their chain (after them, where there is none)."""
    out, atom = body.copy(), 0
    for c in structure.hierarchy[0]:
        own = (chain == c.name) & (body >= 0)
        for r in c:
            rows, atom = slice(atom, atom + len(r)), atom + len(r)
            if not own.any() or body[rows][0] >= 0 or not {"CA", "P"} & {a.name for a in r} or len(r) < 3:
                continue
            before = own & (number <= number[rows][0])
            nearest = np.argmax(np.where(before, number, -(10**6))) if before.any() else np.flatnonzero(own)[0]
            out[rows] = body[nearest]
    return out


def _pivot(k: int, body: np.ndarray, chain: np.ndarray, number: np.ndarray, xyz: np.ndarray) -> np.ndarray:
    """The first atom after the joint to an earlier body of the same chain, or the centre (3,) Å."""
    own = body == k
    for name in dict.fromkeys(chain[own]):
        earlier = (chain == name) & (body < k)
        here = own & (chain == name)
        if earlier.any() and number[earlier].max() < number[here].min():
            return xyz[np.flatnonzero(here & (number == number[here].min()))[0]]
    return xyz[own].mean(axis=0)
