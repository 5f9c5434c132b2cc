"""Partial occupancies as parameters: conformers of a residue that sum to one, and ligands or waters present in part."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from consilience.core.params import Bijector
from consilience.structure.atoms import Structure

RANGE = (0.02, 0.98)  # where a share starts: its logit must be finite


class Shares(Bijector):
    """Occupancies (n,) from logits (p,): a softmax over the states of each group, whose last state has logit 0.

    `group` (p,) group of each logit; `states` (n,) which state an atom belongs to: below p that logit's, p + g the last
    of group g, -1 none (the atom keeps `fixed`). A group present in part has one logit and no atom in its last state.
    """

    group: Any
    states: Any
    fixed: Any
    groups: int = eqx.field(static=True)

    def forward(self, raw):
        top = jnp.zeros(self.groups).at[self.group].max(raw)
        rest = jnp.exp(-top)
        up = jnp.exp(raw - top[self.group])
        total = rest.at[self.group].add(up)
        share = jnp.concatenate([up / total[self.group], rest / total])
        return jnp.where(self.states < 0, self.fixed, share[self.states])

    def inverse(self, value):
        """Logits of the mean occupancies of the states."""
        value, p = np.asarray(value, float), len(self.group)
        share = np.full(p + self.groups, np.nan)
        for state in range(len(share)):
            own = value[self.states == state]
            if len(own):
                share[state] = np.clip(own.mean(), *RANGE)
        last = share[p:][self.group]
        return np.log(share[:p]) - np.log(np.where(np.isnan(last), 1 - share[:p], last))

    def pull(self, diagonal, raw):
        """Curvature (p,) in the logits from that in the occupancies (n,); the states of a group taken apart."""
        share = np.asarray(self.forward(raw))
        out = np.zeros(len(self.group))
        for k, g in enumerate(self.group):
            first = share[self.states == k][0]
            own = np.where(self.states == k, first * (1 - first), -share * first)
            same = np.isin(self.states, [*np.nonzero(self.group == g)[0], len(self.group) + g])
            out[k] = np.sum(np.where(same, diagonal * own**2, 0.0))
        return out


def partial_occupancies(structure: Structure, whole: np.ndarray) -> Shares | None:
    """Groups of one structure; None where there is nothing to refine.

    Alternative conformers of a residue: one share for each altloc, together one. A single altloc, and the atoms of a
    residue that are partial without one: present in part. `whole` (n,) bool atoms to leave alone, as on special
    positions, where a fraction stands for the whole atom; likewise all atoms with occupancy 0, and 1 without an altloc.
    """
    states = np.full(len(structure), -1)
    group: list[int] = []
    last: dict[int, list[int]] = {}
    number, i = 0, 0
    residues: dict[tuple[str, str], list[int]] = {}
    for chain in structure.hierarchy[0]:
        for r in chain:
            residues.setdefault((chain.name, str(r.seqid)), []).extend(range(i, i + len(r)))
            i += len(r)
    movable = ~whole & (structure.occ > 0)
    for members in residues.values():
        atoms = np.array(members)
        atoms = atoms[movable[atoms]]
        labels = [a for a in dict.fromkeys(structure.altloc[atoms]) if a]
        sets = [atoms[structure.altloc[atoms] == a] for a in labels]
        plain = atoms[(structure.altloc[atoms] == "") & (structure.occ[atoms] < 0.995)]
        if len(sets) > 1:
            for own in sets[:-1]:
                states[own] = len(group)
                group.append(number)
            last[number] = list(sets[-1])
            number += 1
        elif sets and structure.occ[sets[0]].mean() < 0.995:
            plain = np.r_[plain, sets[0]]
        if len(plain):
            states[plain] = len(group)
            group.append(number)
            number += 1
    for g, own in last.items():
        states[own] = len(group) + g
    return Shares(np.array(group), states, structure.occ.copy(), number) if group else None
