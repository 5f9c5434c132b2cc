"""Frames of chains of any size in packs of one shape, for training: many short chains beside few long ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from consilience.neighbours import Neighbours, neighbour_matrix
from consilience.potentials.beads.chains import Chains


@dataclass(frozen=True)
class Sample:
    """Frames of a protein to learn from: positions (f, n, 3) Å, forces (f, n, 3) eV/Å, weight (f,), temperature (f,) K.

    `forces` are what the network shall explain: those of the prior are taken off where it does not train.
    """

    chains: Chains
    positions: np.ndarray
    forces: np.ndarray
    weight: np.ndarray
    temperature: np.ndarray


class Packs(eqx.Module):
    """p packs of n beads, some of them padding: each holds frames that do not see one another.

    positions, forces (p, n, 3); types, chain, number (p, n), chain -1 for padding, another for every frame and chain;
    index, mask (p, n, K): neighbours within the cutoff; weight (p, n), 0 for padding; warmth (p, n): T / 300 - 1.
    """

    positions: Any
    forces: Any
    types: Any
    chain: Any
    number: Any
    index: Any
    mask: Any
    weight: Any
    warmth: Any
    room: int | None = eqx.field(static=True, default=None)  # pairs in any pack, at most

    def __len__(self) -> int:
        return self.positions.shape[0]

    @property
    def chains(self) -> Chains:
        """All beads of all packs as chains of one system (p n)."""
        p, n = self.types.shape
        apart = jnp.arange(p)[:, None] * n
        chain = jnp.where(self.chain >= 0, self.chain + apart, -1)
        return Chains(*(a.reshape(p * n) for a in (self.types, chain, self.number)))

    @property
    def neighbours(self) -> Neighbours:
        """Lists of that system."""
        p, n, k = self.index.shape
        index = self.index + (jnp.arange(p) * n)[:, None, None]
        alone = jax.device_count() == 1  # packs divided among devices must not be counted together
        room = p * self.room if self.room is not None and alone else None
        return Neighbours(index.reshape(p * n, k), self.mask.reshape(p * n, k), room=room)


def packed(samples: Sequence[Sample], cutoff: float, *, size: int | None = None, seed: int = 0) -> Packs:
    """Frames of all samples in random order, put into packs of `size` beads (None: some 40, or the longest protein).

    First fit: a frame goes into the first pack with room for it. Deterministic in `seed`.
    """
    longest = max(len(s.chains.types) for s in samples)
    size = max(longest, 40) if size is None else size
    frames = [(s, f) for s in range(len(samples)) for f in range(len(samples[s].positions))]
    order = np.random.default_rng(seed).permutation(len(frames))
    packs: list[list[tuple[int, int]]] = []
    room: list[int] = []
    open_from = 0
    for which in order:
        s, f = frames[which]
        n = len(samples[s].chains.types)
        place = next((p for p in range(open_from, len(packs)) if room[p] >= n), None)
        if place is None:
            packs.append([])
            room.append(size)
            place = len(packs) - 1
        packs[place].append((s, f))
        room[place] -= n
        open_from = max(open_from, len(packs) - 64)
    return _filled(samples, packs, size, cutoff)


def _filled(samples: Sequence[Sample], packs: list[list[tuple[int, int]]], size: int, cutoff: float) -> Packs:
    p = len(packs)
    lists = [[neighbour_matrix(x, cutoff, None, None) for x in s.positions] for s in samples]
    k = max(n.capacity for many in lists for n in many)
    positions = np.zeros((p, size, 3))
    forces, weight, warmth = np.zeros((p, size, 3)), np.zeros((p, size)), np.zeros((p, size))
    types, chain, number = (
        np.zeros((p, size), np.int32),
        np.full((p, size), -1, np.int32),
        np.zeros((p, size), np.int32),
    )
    index = np.broadcast_to(np.arange(size, dtype=np.int32)[None, :, None], (p, size, k)).copy()
    mask = np.zeros((p, size, k), bool)
    for a, pack in enumerate(packs):
        start = 0
        for s, f in pack:
            sample = samples[s]
            n = len(sample.chains.types)
            here = slice(start, start + n)
            positions[a, here], forces[a, here] = sample.positions[f], sample.forces[f]
            types[a, here], number[a, here] = sample.chains.types, sample.chains.number
            chain[a, here] = start + np.unique(sample.chains.chain, return_inverse=True)[1]
            weight[a, here], warmth[a, here] = sample.weight[f], sample.temperature[f] / 300.0 - 1.0
            found = lists[s][f]
            index[a, here, : found.capacity] = np.asarray(found.index) + start
            mask[a, here, : found.capacity] = found.mask
            start += n
    most = int(mask.sum((1, 2)).max(initial=1))
    return Packs(positions, forces, types, chain, number, index, mask, weight, warmth, most)
