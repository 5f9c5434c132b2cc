"""Relaxes a model against dictionary geometry and non-bonded repulsion, symmetry images included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import gemmi
import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize

# Shortest comfortable distances, Å, by element pair; polar pairs may be hydrogen bonds.
_RADII = {"H": 1.15, "C": 1.72, "N": 1.58, "O": 1.52, "S": 1.80, "CL": 1.80}
_HYDROGEN_BOND = {("H", "N"): 1.95, ("H", "O"): 1.85, ("N", "N"): 2.90, ("N", "O"): 2.75, ("O", "O"): 2.65}
_MAX_PAIR_DISTANCE = 4.2


class Geometry(NamedTuple):
    """Restraints as arrays: indices (r, k), then ideal value and sigma per restraint."""

    bonds: tuple[np.ndarray, np.ndarray, np.ndarray]
    angles: tuple[np.ndarray, np.ndarray, np.ndarray]
    torsions: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
    chirs: tuple[np.ndarray, np.ndarray]
    planes: tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Contacts:
    """Non-bonded pairs (p, 2), operator (p, 3, 3), (p, 3) on the second atom, shortest distance (p,)."""

    index: np.ndarray
    rotation: np.ndarray
    shift: np.ndarray
    shortest: np.ndarray


def atoms_of(st: gemmi.Structure) -> list[gemmi.Atom]:
    """All atoms of the first model, in order."""
    return [a for chain in st[0] for res in chain for a in res]


def coordinates(st: gemmi.Structure) -> np.ndarray:
    """(n, 3) Å."""
    return np.array([a.pos.tolist() for a in atoms_of(st)])


def set_coordinates(st: gemmi.Structure, xyz: np.ndarray) -> None:
    """Writes (n, 3) Å into the atoms, in order."""
    for a, x in zip(atoms_of(st), xyz, strict=True):
        a.pos = gemmi.Position(*x)


def _number_atoms(st: gemmi.Structure) -> None:
    for i, a in enumerate(atoms_of(st)):
        a.serial = i


def geometry(topo: gemmi.Topo) -> Geometry:
    """The restraints of a topology; atoms are known by their serial number, which must be their index."""

    def ids(t: object) -> list[int]:
        return [a.serial for a in t.atoms]  # type: ignore[attr-defined]

    bonds = [(ids(t), t.restr.value, t.restr.esd) for t in topo.bonds]
    angles = [(ids(t), np.radians(t.restr.value), np.radians(t.restr.esd)) for t in topo.angles]
    torsions = [
        (ids(t), np.radians(t.restr.value), np.radians(t.restr.esd), max(t.restr.period, 1))
        for t in topo.torsions
        if t.restr.esd > 0 and t.restr.label.lower() not in ("phi", "psi")
    ]
    chirs = []
    for t in topo.chirs:
        sign = {gemmi.ChiralityType.Positive: 1.0, gemmi.ChiralityType.Negative: -1.0}.get(t.restr.sign)
        if sign is not None:
            chirs.append((ids(t), sign * topo.ideal_chiral_abs_volume(t)))
    longest = max((len(t.atoms) for t in topo.planes), default=1)
    planes = []
    for t in topo.planes:
        pad = longest - len(t.atoms)
        planes.append((ids(t) + [0] * pad, [1.0] * len(t.atoms) + [0.0] * pad, t.restr.esd))
    columns = [tuple(np.array(c) for c in zip(*rows, strict=True)) for rows in (bonds, angles, torsions, chirs, planes)]
    return Geometry(*columns)  # type: ignore[arg-type]


def _spread(geo: Geometry, hydrogen: np.ndarray, spread: float, seed: int) -> Geometry:
    """Geometry with ideal bonds and angles drawn from a normal distribution of `spread` sigmas; not for hydrogens."""
    rng = np.random.default_rng(seed)

    def draw(term: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        index, value, esd = term
        heavy = ~hydrogen[index].any(axis=1)
        return index, value + spread * esd * heavy * rng.normal(size=len(value)), esd

    return geo._replace(bonds=draw(geo.bonds), angles=draw(geo.angles))


def _excluded(topo: gemmi.Topo) -> set[tuple[int, int]]:
    """Pairs one, two or three bonds apart, and pairs within a plane."""
    near: dict[int, set[int]] = {}
    for t in topo.bonds:
        i, j = (a.serial for a in t.atoms)
        near.setdefault(i, set()).add(j)
        near.setdefault(j, set()).add(i)
    out = {(i, k) for t in topo.planes for i in (a.serial for a in t.atoms) for k in (a.serial for a in t.atoms)}
    for i, first in near.items():
        reach = set(first)
        for _ in range(2):
            reach |= {k for j in reach for k in near[j]}
        out |= {(i, k) for k in reach}
    return out


def shortest_distance(a: str, b: str) -> float:
    """Shortest comfortable non-bonded distance of two elements, Å."""
    key = (min(a, b), max(a, b))
    return _HYDROGEN_BOND.get(key, _RADII[a] + _RADII[b])


def find_contacts(st: gemmi.Structure, topo: gemmi.Topo) -> Contacts:
    """Non-bonded pairs closer than 4.2 Å, symmetry images included; each symmetry pair appears from both sides."""
    atoms = atoms_of(st)
    excluded = _excluded(topo)
    ns = gemmi.NeighborSearch(st[0], st.cell, _MAX_PAIR_DISTANCE).populate(include_h=True)
    orth, frac = np.array(st.cell.orth.mat), np.array(st.cell.frac.mat)
    images = [np.eye(3), *(orth @ np.array(t.mat.tolist()) @ frac for t in st.cell.images)]
    index, rot, shift, shortest = [], [], [], []
    for i, a in enumerate(atoms):
        for mark in ns.find_neighbors(a, 0.1, _MAX_PAIR_DISTANCE):
            b = mark.to_cra(st[0]).atom
            j = b.serial
            r = images[mark.image_idx]
            there = np.array(st.cell.find_nearest_pbc_position(a.pos, b.pos, mark.image_idx).tolist())
            moved = there - r @ np.array(b.pos.tolist())
            if mark.image_idx == 0 and np.abs(moved).max() < 0.1 and (j <= i or (i, j) in excluded):
                continue
            index.append((i, j))
            rot.append(r)
            shift.append(moved)
            shortest.append(shortest_distance(a.element.name.upper(), b.element.name.upper()))
    return Contacts(
        np.array(index, int).reshape(-1, 2),
        np.array(rot).reshape(-1, 3, 3),
        np.array(shift).reshape(-1, 3),
        np.array(shortest),
    )


def _pad(c: Contacts, step: int = 8192) -> Contacts:
    """Same contacts with the number of rows rounded up, so that fewer shapes are compiled; padding is inactive."""
    extra = -len(c.index) % step
    return Contacts(
        np.concatenate([c.index, np.tile([0, 1], (extra, 1))]),
        np.concatenate([c.rotation, np.tile(np.eye(3), (extra, 1, 1))]),
        np.concatenate([c.shift, np.full((extra, 3), 1000.0)]),
        np.concatenate([c.shortest, np.ones(extra)]),
    )


def _torsion(x: jax.Array) -> jax.Array:
    b1, b2, b3 = x[:, 1] - x[:, 0], x[:, 2] - x[:, 1], x[:, 3] - x[:, 2]
    n1, n2 = jnp.cross(b1, b2), jnp.cross(b2, b3)
    y = jnp.sum(jnp.cross(n1, n2) * b2, -1) / jnp.linalg.norm(b2, axis=-1)
    return jnp.arctan2(y, jnp.sum(n1 * n2, -1))


def _energy(x: jax.Array, start: jax.Array, geo: Geometry, extra: tuple, contacts: tuple, tether: float) -> jax.Array:
    def bond_energy(index: jax.Array, value: jax.Array, esd: jax.Array) -> jax.Array:
        d = jnp.linalg.norm(x[index[:, 0]] - x[index[:, 1]], axis=-1)
        return jnp.sum(((d - value) / esd) ** 2)

    index, value, esd = geo.angles
    u, v = x[index[:, 0]] - x[index[:, 1]], x[index[:, 2]] - x[index[:, 1]]
    angle = jnp.arctan2(jnp.linalg.norm(jnp.cross(u, v), axis=-1), jnp.sum(u * v, -1))
    e = bond_energy(*geo.bonds) + bond_energy(*extra) + jnp.sum(((angle - value) / esd) ** 2)
    index, value, esd, period = geo.torsions
    t = _torsion(x[index])
    e += jnp.sum(2.0 * (1.0 - jnp.cos(period * (t - value))) / (period * esd) ** 2)
    index, volume = geo.chirs
    v1, v2, v3 = (x[index[:, k]] - x[index[:, 0]] for k in (1, 2, 3))
    e += jnp.sum(((jnp.sum(v1 * jnp.cross(v2, v3), -1) - volume) / 0.1) ** 2)
    index, w, esd = geo.planes
    y = x[index]
    y = (y - jnp.sum(w[..., None] * y, 1, keepdims=True) / jnp.sum(w, 1)[:, None, None]) * w[..., None]
    # the least eigenvalue of the scatter matrix is the sum of squared distances from the best plane
    e += jnp.sum(jnp.linalg.eigvalsh(jnp.einsum("pai,paj->pij", y, y))[:, 0] / esd**2)
    index, rot, shift, shortest = contacts
    image = jnp.einsum("pij,pj->pi", rot, x[index[:, 1]]) + shift
    d2 = jnp.sum((x[index[:, 0]] - image) ** 2, -1)
    d = jnp.sqrt(jnp.where(d2 < 1e-6, 1e-6, d2))
    e += jnp.sum((jnp.maximum(shortest - d, 0.0) / 0.1) ** 2)
    return e + tether * jnp.sum((x - start) ** 2)


_value_and_grad = jax.jit(jax.value_and_grad(_energy))


def relax(
    st: gemmi.Structure,
    topo: gemmi.Topo,
    *,
    distances: Sequence[tuple[int, int, float, float]] = (),
    torsions: Sequence[tuple[list[int], float, float]] = (),
    rounds: int = 6,
    iterations: int = 150,
    tether: float = 0.5,
    spread: float = 0.0,
    seed: int = 0,
) -> float:
    """Moves the atoms of `st` in place to low restraint energy; returns that energy.

    `distances`: extra (i, j, Å, sigma) restraints; `torsions`: extra (four indices, degrees, sigma) restraints.
    `tether`: pull (per Å^2) to where a round began. `spread`: target bonds and angles between heavy atoms are drawn
    about the ideal values with this many sigmas. `topo` must be that of `st`.
    """
    _number_atoms(st)
    geo = geometry(topo)
    if spread:
        geo = _spread(geo, np.array([a.is_hydrogen() for a in atoms_of(st)]), spread, seed)
    if torsions:
        more = [(i, np.radians(v), np.radians(s), 1) for i, v, s in torsions]
        joined = [np.concatenate([a, b]) for a, b in zip(geo.torsions, zip(*more, strict=True), strict=True)]
        geo = geo._replace(torsions=tuple(joined))
    extra = (
        np.array([d[:2] for d in distances], int).reshape(-1, 2),
        np.array([d[2] for d in distances], float),
        np.array([d[3] for d in distances], float),
    )
    energy = np.inf
    for _ in range(rounds):
        c = _pad(find_contacts(st, topo))
        start = coordinates(st)
        args = (start, geo, extra, (c.index, c.rotation, c.shift, c.shortest), tether)

        def fun(flat: np.ndarray, args: tuple = args) -> tuple[float, np.ndarray]:
            e, g = _value_and_grad(flat.reshape(-1, 3), *args)
            return float(e), np.asarray(g, float).ravel()

        out = minimize(fun, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": iterations, "maxcor": 20})
        energy = float(out.fun)
        set_coordinates(st, out.x.reshape(-1, 3))
    return energy
