"""Maps of one's own: a list of rules, each making beads of some atoms of every residue, or one bead of many residues.

    beads:
      - {atoms: CA}                                          # one bead for each residue, called after it
      - {atoms: side chain, residues: "A:1-40", name: SC}    # a second one, in some residues
      - {domain: "A:41-120", atoms: heavy, name: D1}         # one bead of many residues
    weights: mass                                            # centres of mass (the default), or equal

`atoms`: a list of names, or CA, backbone, side chain, heavy, all. `residues`, `domain`: CHAIN:FIRST-LAST,... as
numbered in the topology (without CHAIN: any chain), or names of residues. Beads stand in the order of the chain.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from consilience.coarse.beadmap import BeadMap
from consilience.coarse.topology import Topology
from consilience.core.errors import InputError, clean

_RULE = ("atoms", "residues", "domain", "name")
_BACKBONE = ("N", "CA", "C", "O", "OXT", "OT1", "OT2")
_SETS = ("CA", "backbone", "side chain", "heavy", "all")


def bead_map_of(said: Mapping[str, Any], topology: Topology, masses: np.ndarray, where: str) -> BeadMap:
    """The beads that the rules make of a molecule; masses (n,) amu of its atoms.

    Raises InputError for rules that are not understood, that match nothing, and for atoms in two beads.
    """
    _known(said, ("beads", "weights", "schema_version"), where, "")
    rules = said.get("beads")
    if not isinstance(rules, list) or not rules or not all(isinstance(r, Mapping) for r in rules):
        raise InputError("the map has no list of rules", where, clean(rules)[:60], "beads: [{atoms: CA}, ...]")
    if said.get("weights", "mass") not in ("mass", "equal"):
        raise InputError("weights of the map are not understood", where, clean(said["weights"])[:60], "mass or equal")
    made: list[tuple[int, int, str, np.ndarray]] = []  # first residue, rule, name, atoms
    for k, rule in enumerate(rules):
        place = f"{where}, rule {k + 1}"
        found = _beads_of(rule, topology, place)
        if not found:
            raise InputError("a rule of the map matches no atoms", place, clean(dict(rule))[:120])
        made += [(r, k, name, atoms) for r, name, atoms in found]
    made.sort(key=lambda b: (b[0], b[1]))
    weights = np.zeros((len(made), len(topology)))
    for i, (_, _, _, atoms) in enumerate(made):
        weights[i, atoms] = masses[atoms] if said.get("weights", "mass") == "mass" else 1.0
    shared = np.flatnonzero((weights > 0).sum(0) > 1)
    if len(shared):
        a = shared[0]
        found = f"{topology.names[a]} of {topology.residue_names[topology.residue[a]]} {topology.seqid[a]}"
        raise InputError(f"{len(shared)} atom(s) stand in two beads", where, found, "each atom in one bead at most")
    empty = np.flatnonzero(weights.sum(1) <= 0)
    if len(empty):
        raise InputError("a bead has no mass", where, made[int(empty[0])][2])
    residue = np.array([r for r, *_ in made])
    return BeadMap(
        weights / weights.sum(1, keepdims=True),
        tuple(name for _, _, name, _ in made),
        topology.chain[residue],
        _numbers(topology, made),
        residue,
    )


def _numbers(topology: Topology, made: list[tuple[int, int, str, np.ndarray]]) -> np.ndarray:
    """Place of each bead in its chain: consecutive, with a gap wherever the chain has one between two beads."""
    out: list[int] = []
    last: tuple[int, int] | None = None  # chain and number of the last residue of the bead before
    for first, _, _, atoms in made:
        chain, number = int(topology.chain[first]), int(topology.number[first])
        if last is None or chain != last[0]:
            out.append(0)
        else:
            out.append(out[-1] + max(1, number - last[1]))
        last = chain, int(topology.number[topology.residue[atoms].max()])
    return np.array(out, int)


def _beads_of(rule: Mapping[str, Any], topology: Topology, where: str) -> list[tuple[int, str, np.ndarray]]:
    """(first residue, name, atoms) of every bead that a rule makes."""
    _known(rule, _RULE, where, "")
    if "residues" in rule and "domain" in rule:
        raise InputError(
            "a rule has both residues and domain", where, fix="residues: a bead for each; domain: one bead"
        )
    atoms = _atoms(rule.get("atoms", "CA"), topology, where)
    chosen = _residues(rule.get("domain", rule.get("residues")), topology, where)
    name = rule.get("name")
    if name is not None and (not isinstance(name, str) or not re.fullmatch(r"[\w+'*-]{1,12}", name)):
        raise InputError("the name of a bead is not understood", where, clean(name)[:40], "up to 12 letters and digits")
    if "domain" in rule:
        inside = np.flatnonzero(atoms & chosen[topology.residue])
        return [(int(topology.residue[inside[0]]), name or "DOM", inside)] if len(inside) else []
    out = []
    for r in np.flatnonzero(chosen):
        inside = np.flatnonzero(atoms & (topology.residue == r))
        if len(inside):
            out.append((int(r), name or str(topology.residue_names[r]), inside))
    return out


def _atoms(said: object, topology: Topology, where: str) -> np.ndarray:
    heavy = ~np.isin(topology.elements, ("H", "D"))
    backbone = np.isin(topology.names, _BACKBONE)
    if isinstance(said, list):
        return np.isin(topology.names, [str(s) for s in said])
    word = str(said).strip()
    if word.lower().replace("-", " ").replace("sidechain", "side chain") == "side chain":
        return heavy & ~backbone
    known = {"backbone": heavy & backbone, "heavy": heavy, "all": np.ones(len(topology), bool)}
    if word.lower() in known:
        return known[word.lower()]
    if word in topology.names:
        return topology.names == word
    raise InputError("atoms of a rule are not understood", where, clean(word)[:40], f"names, or {', '.join(_SETS)}")


def _residues(said: object, topology: Topology, where: str) -> np.ndarray:
    """(r,) bool: residues chosen by ranges, by names, or all."""
    everything = np.ones(len(topology.residue_names), bool)
    if said is None or said in ("*", "all"):
        return everything
    words = said if isinstance(said, list) else re.split(r"\s*,\s*", str(said).strip())
    out = ~everything
    seqid = topology.residue_seqid
    for word in map(str, words):
        match = re.fullmatch(r"(?:(\w+):)?(-?\d+)(?:(?:-|\.\.)(-?\d+))?", word)
        if match:
            first, last = int(match[2]), int(match[3] or match[2])
            chain = np.array([match[1] in (None, topology.chain_names[c]) for c in topology.chain])
            out |= chain & (seqid >= first) & (seqid <= last)
        elif (topology.residue_names == word.upper()).any():
            out |= topology.residue_names == word.upper()
        elif (chain := np.array([topology.chain_names[c] == word.rstrip(":") for c in topology.chain])).any():
            out |= chain
        else:
            raise InputError("residues of a rule are not there", where, clean(word)[:40], "A:1-40, 5-9, ALA or a chain")
    return out


def _known(said: Mapping[str, Any], known: tuple[str, ...], where: str, prefix: str) -> None:
    for key in said:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            fix = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
            raise InputError(f"unknown key {prefix}{clean(key)} in the map", where, fix=fix)
