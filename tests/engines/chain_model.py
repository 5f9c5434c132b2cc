"""A model of chains of beads for the tests of engines: classical terms in JAX and as terms of LAMMPS, and a network."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from consilience.core.compiled import light_jit
from consilience.engines.lammps.forms import Form
from consilience.engines.lammps.terms import BeadSystem, DihedralGroup, Group, PairGroup, Terms

NAMES = ("ALA", "GLY", "TRP")
FAR, NEAR = 99, 5
BOND = Form("bond", "r", ("a", "k", "r0", "wall"),
            "a * (r - r0) + k * power<2>(r - r0) + wall * power<3>(positive(r - 4.0))")  # fmt: skip
ANGLE = Form("wave", "c", ("a1", "a2", "a3", "wall", "low"), "a1 * c + a2 * multiple<2>(c) + a3 * multiple<3>(c)"
             " + wall * power<3>(positive(low - c))")  # fmt: skip
CORE = Form("core", "r", ("e", "s"), "e * power<8>(s / r) * power<3>(positive(1.0 - r * r / 49.0))")
BUMP = Form("bump", "r", ("h", "m"), "h * exp(0.0 - power<2>(r - m)) * power<3>(positive(1.0 - r * r / 64.0))")


class Toy(eqx.Module):
    """Many-body and one hop: a density of neighbours, weighed by types and separation, through a hyperbolic tangent."""

    weights: Any
    cutoff: float = eqx.field(static=True, default=9.0)

    def energies(self, vectors, types_i, types_j, separation, mask):
        r2 = jnp.sum(vectors**2, -1)
        near = mask & (r2 < self.cutoff**2)
        r2 = jnp.where(near, r2, 1.0)
        s = jnp.where(near, jnp.maximum(1.0 - r2 / self.cutoff**2, 0.0) ** 3, 0.0)
        w = jnp.asarray(self.weights)[types_i[:, None], types_j] * (1.0 + 1.0 / jnp.maximum(separation, 1))
        density = jnp.sum(w * s, -1)
        moment = jnp.sum((w * s)[..., None] * vectors / jnp.sqrt(r2)[..., None], -2)
        return 0.1 * jnp.tanh(density) + 0.02 * jnp.sum(moment**2, -1) + 0.01 * types_i


def toy() -> Toy:
    return Toy(np.random.default_rng(3).normal(0.3, 0.4, (3, 3)))


def system(lengths: tuple[int, ...] = (9, 7), seed: int = 0) -> BeadSystem:
    """Helices of beads side by side, the first with a break."""
    rng = np.random.default_rng(seed)
    x, chain, number = [], [], []
    for k, n in enumerate(lengths):
        t = np.arange(n)
        turn = np.radians(95.0) * t
        x.append(np.stack([2.3 * np.cos(turn) + 8.0 * k, 2.3 * np.sin(turn), 1.55 * t], 1))
        chain += [k] * n
        number += [int(i) + (3 if k == 0 and i > n // 2 else 0) for i in t]
    n = sum(lengths)
    positions = np.concatenate(x) + rng.normal(0, 0.15, (n, 3))
    return BeadSystem(NAMES, np.array([71.0, 57.0, 186.0]), rng.integers(0, 3, n), np.array(chain), np.array(number),
                      positions)  # fmt: skip


class Model:
    """Numbers of the classical terms, as terms of LAMMPS and as a function in JAX (kcal/mol)."""

    def __init__(self, beads: BeadSystem, seed: int = 1, *, power: int = 2):
        rng = np.random.default_rng(seed)
        n, self.beads = len(beads), beads

        def linked(count: int) -> np.ndarray:
            rows = np.arange(n - count + 1)[:, None] + np.arange(count)
            same = (beads.chain[rows] == beads.chain[rows[:, :1]]).all(1)
            return rows[same & (beads.number[rows[:, -1]] - beads.number[rows[:, 0]] == count - 1)]

        self.bonds, self.angles, self.dihedrals = linked(2), linked(3), linked(4)
        count = len(self.bonds)
        self.bond = np.stack([rng.normal(0, 1, count), rng.uniform(20, 40, count), np.full(count, 3.8),
                              np.full(count, 50.0)], 1)  # fmt: skip
        self.angle = np.concatenate([rng.normal(0, 1.5, (len(self.angles), 3)),
                                     np.tile([40.0, -0.2], (len(self.angles), 1))], 1)  # fmt: skip
        self.cos, self.sin = rng.normal(0, 0.5, (2, len(self.dihedrals), 4))
        self.power = power
        self.types = np.array([(a, b) for a in range(3) for b in range(a, 3)])
        self.bump = np.stack([rng.normal(0, 1, 6), rng.uniform(4.5, 6.5, 6)], 1)
        self.core = np.stack([rng.uniform(0.2, 0.8, (NEAR + 2, 6)), np.full((NEAR + 2, 6), 4.1)], 2)

    def terms(self) -> Terms:
        dihedrals = DihedralGroup(self.dihedrals, self.cos, self.sin, self.power)
        cores = [PairGroup(CORE, self.types, k, self.core[k], 7.0) for k in range(2, NEAR + 2)]
        return Terms(
            (Group(BOND, self.bonds, self.bond),),
            (Group(ANGLE, self.angles, self.angle),),
            (dihedrals,),
            (*cores, PairGroup(BUMP, self.types, NEAR + 1, self.bump, 8.0)),
            NEAR + 1,
        )

    def energy(self, x: Any) -> Any:
        """kcal/mol, of positions (n, 3), without the network."""
        b = self.beads
        d = jnp.linalg.norm(x[self.bonds[:, 1]] - x[self.bonds[:, 0]], axis=1)
        a, k, r0, wall = self.bond.T
        out = jnp.sum(a * (d - r0) + k * (d - r0) ** 2 + wall * jnp.maximum(d - 4.0, 0.0) ** 3)
        cosine = _cosine(x, self.angles)
        theta = jnp.arccos(cosine)
        a1, a2, a3, wall, low = self.angle.T
        out += jnp.sum(a1 * cosine + a2 * jnp.cos(2 * theta) + a3 * jnp.cos(3 * theta))
        out += jnp.sum(wall * jnp.maximum(low - cosine, 0.0) ** 3)
        phi = _dihedral(x, self.dihedrals)
        sines = [jnp.sin(jnp.arccos(_cosine(x, self.dihedrals[:, i : i + 3]))) ** self.power for i in (0, 1)]
        series = sum(self.cos[:, m] * jnp.cos(m * phi) + self.sin[:, m] * jnp.sin(m * phi) for m in range(4))
        out += jnp.sum(series * sines[0] * sines[1])
        i, j = np.triu_indices(len(b), 1)
        apart = np.where(b.chain[i] == b.chain[j], np.abs(b.number[i] - b.number[j]), FAR)
        i, j, apart = i[apart > 1], j[apart > 1], np.minimum(apart[apart > 1], NEAR + 1)
        d = jnp.linalg.norm(x[j] - x[i], axis=1)
        kind = np.array([[0, 1, 2], [1, 3, 4], [2, 4, 5]])[b.types[i], b.types[j]]
        e, s = self.core[apart, kind].T
        h, m = self.bump[kind].T
        out += jnp.sum(e * (s / d) ** 8 * jnp.maximum(1 - d**2 / 49.0, 0.0) ** 3)
        bump = h * jnp.exp(-((d - m) ** 2)) * jnp.maximum(1 - d**2 / 64.0, 0.0) ** 3
        return out + jnp.sum(jnp.where(apart > NEAR, bump, 0.0))


def network_energy(network: Any, beads: BeadSystem, x: Any) -> Any:
    """Sum of the network over all beads, all pairs as neighbours."""
    n = len(beads)
    index = np.array([[j for j in range(n) if j != i] for i in range(n)])
    separation = np.where(beads.chain[index] == beads.chain[:, None],
                          np.abs(beads.number[index] - beads.number[:, None]), FAR)  # fmt: skip
    vectors = x[index] - x[:, None]
    mask = np.ones(index.shape, bool)
    types = jnp.asarray(beads.types)
    return jnp.sum(network.energies(vectors, types, types[index], jnp.asarray(separation), jnp.asarray(mask)))


def frames(beads: BeadSystem, count: int = 4, shake: float = 0.2, seed: int = 5) -> np.ndarray:
    """Frames (f, n, 3): shaken, moved and turned."""
    rng = np.random.default_rng(seed)
    out = beads.positions + rng.normal(0, shake, (count, *beads.positions.shape))
    turn = np.linalg.qr(rng.normal(size=(count, 3, 3)))[0]
    return np.einsum("fij,fnj->fni", turn, out) + rng.normal(0, 20, (count, 1, 3))


def reference(energy: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Energies (f,) and forces (f, n, 3) by JAX."""
    one = light_jit(jax.value_and_grad(energy))
    found = [one(y) for y in x]
    return np.array([float(e) for e, _ in found]), -np.array([np.asarray(g) for _, g in found])


def _cosine(x, atoms):
    a, b = x[atoms[:, 0]] - x[atoms[:, 1]], x[atoms[:, 2]] - x[atoms[:, 1]]
    return jnp.sum(a * b, 1) / jnp.linalg.norm(a, axis=1) / jnp.linalg.norm(b, axis=1)


def _dihedral(x, atoms):
    b1, b2, b3 = (x[atoms[:, i + 1]] - x[atoms[:, i]] for i in range(3))
    m, n = jnp.cross(b1, b2), jnp.cross(b2, b3)
    return jnp.arctan2(jnp.sum(jnp.cross(m, n) * b2, 1) / jnp.linalg.norm(b2, axis=1), jnp.sum(m * n, 1))
