"""Potentials that are wrong in one way each, to see that the suite of laws sees it; and the curve of a pair."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from consilience.neighbours import Neighbours
from consilience.potentials.electrostatics import Coulomb
from consilience.potentials.equivariant import Features
from consilience.potentials.graph import Graph
from consilience.potentials.layers import species_index
from consilience.potentials.potential import Potential
from consilience.potentials.probe import Molecule
from consilience.potentials.radial import envelope
from consilience.potentials.repulsion import ZBL, zbl_pair
from consilience.units import COULOMB

FORMALDEHYDE = Molecule(
    np.array([6, 8, 1, 1]), np.array([[0.0, 0, 0], [1.25, 0.1, 0], [-0.6, 0.95, 0.05], [-0.55, -0.9, 0.2]])
)
SHARES, RATES = (0.18175, 0.50986, 0.28022, 0.02817), (3.1998, 0.94229, 0.4029, 0.20162)


def pair_curve_error(curve: Callable[[Any, Any, Any], Any]) -> float:
    """Largest relative error of the repulsion of two nuclei (r, Z1, Z2) -> eV, against plain numbers."""
    worst = 0.0
    for zi, zj in ((1, 1), (1, 8), (6, 8), (8, 26)):
        for r in (0.05, 0.3, 0.7, 1.0, 1.6, 2.5):
            a = 0.8854 * 0.529177 / (zi**0.23 + zj**0.23)
            phi = sum(c * math.exp(-b * r / a) for c, b in zip(SHARES, RATES, strict=True))
            expected = 14.399645 * zi * zj / r * phi
            worst = max(worst, abs(float(curve(jnp.asarray(r), float(zi), float(zj))) / expected - 1.0))
    return worst


class Springs(eqx.Module):
    """The cheapest network that is one: energies and charges from a sum over neighbours, vectors along them."""

    strength: Any  # (species, 2)
    species: tuple[int, ...] = eqx.field(static=True, default=(1, 6, 8))
    cutoff: float = eqx.field(static=True, default=4.0)

    def __call__(self, vectors, numbers, neighbours: Neighbours):
        r = jnp.sqrt(jnp.sum(vectors**2, -1))
        smooth = jnp.where(neighbours.mask, envelope(r / self.cutoff), 0.0)
        own = jnp.asarray(self.strength)[species_index(numbers, self.species)]
        near = smooth[..., None] * own[neighbours.index]
        density = jnp.sum(near, 1)
        tensors = jnp.stack([jnp.sum(near[..., None, k] * vectors, 1) for k in (0, 1)], -1)
        out = jnp.stack([jnp.tanh(own[:, 0] * density[:, 0]), own[:, 1] + density[:, 1]], -1)
        return out, Features(density, tensors), jnp.zeros((), vectors.dtype)


def springs(coulomb: Coulomb | None = None) -> Potential:
    """A potential of springs and repulsion that obeys all laws."""
    strength = np.array([[0.4, 0.2], [-0.7, -0.1], [0.9, 0.3]], np.float32)
    offsets = np.array([-13.0, -1030.0, -2040.0])
    return Potential(Springs(strength), offsets, np.asarray(1.5), ZBL(), coulomb)


def become(kind: type[Potential], p: Potential) -> Potential:
    """The same potential with the methods of a subclass."""
    return kind(**{f.name: getattr(p, f.name) for f in fields(p)})


class Flipped(Potential):
    """Forces of the wrong sign beside a right energy."""

    def __call__(self, positions, graph):
        return super().__call__(2.0 * jax.lax.stop_gradient(positions) - positions, graph)


class Doubled(Potential):
    """Forces twice too large."""

    def __call__(self, positions, graph):
        return super().__call__(2.0 * positions - jax.lax.stop_gradient(positions), graph)


class Negated(Potential):
    """The energy handed around with the other sign: forces fit it and pull nuclei together."""

    def __call__(self, positions, graph):
        found = super().__call__(positions, graph)
        return replace(found, energy=-found.energy)


class Growing(ZBL):
    """The repulsion of 1/r instead of r."""

    def __call__(self, positions, graph):
        r = jnp.sqrt(jnp.sum(graph.neighbours.vectors(positions) ** 2, -1))
        z = jnp.maximum(graph.numbers, 1).astype(r.dtype)
        pairs = graph.neighbours
        return 0.5 * jnp.sum(jnp.where(pairs.mask, zbl_pair(1.0 / r, z[:, None], z[pairs.index]), 0.0), 1)


class Clipped(ZBL):
    """An energy that is clipped, and has no gradient where it is."""

    def __call__(self, positions, graph):
        return jnp.clip(super().__call__(positions, graph), -2.0, 2.0)


class Shifted(Coulomb):
    """A shift of the pair energy that does not know the charges."""

    def __call__(self, positions, sites, charges, graph):
        r = jnp.sqrt(jnp.sum(graph.pairs.vectors(positions) ** 2, -1))
        shift = jnp.where(graph.pairs.mask, envelope(r / self.cutoff) * r / self.cutoff**2, 0.0)
        return super().__call__(positions, sites, charges, graph) + jnp.sum(shift, 1)


class Abrupt(Coulomb):
    """No switch: the energy of a pair appears where the list ends."""

    def __call__(self, positions, sites, charges, graph):
        wide = Coulomb(self.damping, 1e3)
        return wide(positions, sites, charges, graph)


class ShortList(Potential):
    """Lists that end before the network's own envelope does."""

    @property
    def cutoff(self) -> float:
        return 0.6 * self.network.cutoff


class Hidden(Coulomb):
    """In the energy, not in the forces."""

    def __call__(self, positions, sites, charges, graph):
        held = jax.lax.stop_gradient((positions, sites, charges))
        return super().__call__(*held, graph)


class Diagonal(Coulomb):
    """All sites against all sites, the distance of a site from itself masked after its root was taken."""

    def __call__(self, positions, sites, charges, graph):
        flat, q = sites.reshape(-1, 3), charges.reshape(-1)
        r = jnp.sqrt(jnp.sum((flat[:, None] - flat[None]) ** 2, -1))
        energy = jnp.where(jnp.eye(len(q), dtype=bool), 0.0, COULOMB * q[:, None] * q / r)
        return 0.5 * jnp.sum(energy.reshape(*charges.shape, -1), (1, 2))


class Uncorrected(Potential):
    """Charges whose sum is nearly the total charge, as a term of the loss leaves them."""

    def __call__(self, positions, graph):
        found = super().__call__(positions, graph)
        off = jnp.where(graph.real, 1e-4, 0.0)
        dipole = found.dipole + graph.per_molecule(off[:, None] * positions)
        return replace(
            found, charges=found.charges + off, site_charges=found.site_charges + off[:, None], dipole=dipole
        )


class HardSites(eqx.Module):
    """Vectors gated by a hard tanh of a scalar: not bounded in length."""

    reach: float = eqx.field(static=True, default=0.175)

    def __call__(self, positions, charges, features, graph):
        gate = self.reach * jnp.clip(features.scalars[:, :1], -1.0, 1.0)
        return (positions + 20.0 * gate * features.vectors[..., 0])[:, None], charges[:, None]


class UprightSites(eqx.Module):
    """A quadrupole along z on each atom: energy, forces and dipole turn with the molecule, the potential does not."""

    def __call__(self, positions, charges, features, graph):
        along = 0.2 * jnp.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
        return positions[:, None] + along, charges[:, None] / 3 + 1e-3 * jnp.array([-2.0, 1.0, 1.0])


class HardGate(Potential):
    """A gate with a kink, which the molecule of the test is just beside."""

    def __call__(self, positions, graph):
        found = super().__call__(positions, graph)
        r = jnp.sqrt(jnp.sum(graph.neighbours.vectors(positions) ** 2, -1))
        gate = jnp.clip(r - 1.2540 - 0.0, -1.0, 0.0)  # the bond is 1.25400 Å
        return replace(found, energy=found.energy + graph.per_molecule(jnp.sum(gate, 1)))


class Repeated(Potential):
    """Empty slots of a list filled with its first neighbour again."""

    def __call__(self, positions, graph):
        pairs = graph.neighbours
        some = pairs.mask[:, :1]
        index = jnp.where(pairs.mask, pairs.index, jnp.where(some, pairs.index[:, :1], pairs.index))
        filled = Neighbours(index, pairs.mask | some)
        return super().__call__(positions, Graph(graph.numbers, filled, graph.molecule, graph.charge, graph.pairs))


class Extra(Potential):
    """One more energy, a function of positions and graph -> (n,) eV."""

    def more(self, x, graph: Graph):
        raise NotImplementedError

    def __call__(self, positions, graph):
        found = super().__call__(positions, graph)
        more = graph.per_molecule(jnp.where(graph.real, self.more(positions, graph), 0.0))
        return replace(found, energy=found.energy + more)


class Field(Extra):
    """Atoms in a field: not the same everywhere."""

    def more(self, x, graph):
        return 1e-6 * x[:, 0]


class Chiral(Extra):
    """A triple product: another energy for the mirror image."""

    def more(self, x, graph):
        d = graph.neighbours.vectors(x)[:, :3]
        mask = graph.neighbours.mask[:, :3]
        d = jnp.where(mask[..., None], d, 0.0)
        # of the first three neighbours by atomic number and distance, hence the same for any order of the list
        key = graph.numbers[graph.neighbours.index[:, :3]] + 0.1 * jnp.sum(d * d, -1)
        d = jnp.take_along_axis(d, jnp.argsort(key, 1)[..., None], 1)
        return 1e-3 * jnp.sum(d[:, 0] * jnp.cross(d[:, 1], d[:, 2]), -1)


class Anisotropic(Extra):
    """Bonds along x are better."""

    def more(self, x, graph):
        d = graph.neighbours.vectors(x)
        smooth = jnp.where(graph.neighbours.mask, envelope(jnp.sqrt(jnp.sum(d * d, -1)) / self.cutoff), 0.0)
        return 1e-6 * jnp.sum(d[..., 0] ** 2 * smooth, 1)


class Ranked(Extra):
    """The number of an atom in the file counts."""

    def more(self, x, graph):
        d = graph.neighbours.vectors(x)
        smooth = jnp.where(graph.neighbours.mask, envelope(jnp.sqrt(jnp.sum(d * d, -1)) / self.cutoff), 0.0)
        return 1e-4 * jnp.arange(len(x)) * jnp.sum(smooth, 1)


class Slots(Extra):
    """The place of a neighbour in its list counts."""

    def more(self, x, graph):
        d = graph.neighbours.vectors(x)
        smooth = jnp.where(graph.neighbours.mask, envelope(jnp.sqrt(jnp.sum(d * d, -1)) / self.cutoff), 0.0)
        return 1e-4 * jnp.sum(jnp.arange(d.shape[1]) * smooth, 1)


class Collective(Extra):
    """The size of the whole system counts."""

    def more(self, x, graph):
        return 1e-6 * graph.per_molecule(jnp.ones(len(x)))[graph.molecule]


class Angular(Extra):
    """A force along the position vector's normal: a torque, no net force on the whole."""

    def more(self, x, graph):
        held = jax.lax.stop_gradient(x)
        turned = jnp.stack([-held[:, 1], held[:, 0], 0.0 * held[:, 0]], -1)
        return 1e-3 * jnp.sum((turned - jnp.mean(turned, 0)) * x, -1)


class Kinked(Extra):
    """A pair energy with the smoothness of a quadratic at the cutoff: its slope jumps, nothing else."""

    def more(self, x, graph):
        r = jnp.sqrt(jnp.sum(graph.neighbours.vectors(x) ** 2, -1))
        return jnp.sum(jnp.where(graph.neighbours.mask, (r - self.cutoff) ** 2, 0.0), 1)


class Stiff(Extra):
    """What training on noise may leave: forces that change at once."""

    def more(self, x, graph):
        r = jnp.sqrt(jnp.sum(graph.neighbours.vectors(x) ** 2, -1))
        smooth = jnp.where(graph.neighbours.mask, envelope(r / self.cutoff), 0.0)
        return jnp.sum(smooth * jnp.sin(60.0 * r) / 60.0, 1) * 10.0


class Unstrained(Potential):
    """Periodic shifts are no part of the strain."""

    def __call__(self, positions, graph):
        n = graph.neighbours
        if n.shift is not None:
            n = Neighbours(n.index, n.mask, jax.lax.stop_gradient(n.shift), n.overflow)
        return super().__call__(positions, Graph(graph.numbers, n, graph.molecule, graph.charge, graph.pairs))


class RoundedOff(Potential):
    """A Hessian that is not that of the forces: curvature hidden from the second derivative."""

    def __call__(self, positions, graph):
        found = super().__call__(positions, graph)
        return replace(found, energy=found.energy + graph.per_molecule(_held_slope(positions)))


@jax.custom_jvp
def _held_slope(x):
    return 0.05 * jnp.sum(x**2, -1)


@_held_slope.defjvp
def _(primals, tangents):
    (x,), (dx,) = primals, tangents
    return _held_slope(x), 0.1 * jnp.sum(jax.lax.stop_gradient(x) * dx, -1)
