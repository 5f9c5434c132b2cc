"""How well a potential explains reference data: energies, forces, stress, dipoles, charges, potentials around it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from consilience.core.params import Model
from consilience.core.terms import Score
from consilience.forces import deformation, forces_and_strain_from, forces_from
from consilience.neighbours import Neighbours
from consilience.potentials.electrostatics import potential_at
from consilience.potentials.graph import Graph, stacked
from consilience.potentials.potential import Potential

ESP_DATA = 9  # points around one molecule are not independent: they count as multipoles up to l = 2


class Batch(eqx.Module):
    """Frames padded to one size: numbers (b, n), positions (b, n, 3) Å, lists and labels with a leading axis b.

    labels: energy (b,) eV, forces (b, n, 3) eV/Å, stress (b, 3, 3) eV/Å³, dipole (b, 3) e Å, charges (b, n) e,
    esp (b, p) V; NaN: not known. esp_points (b, p, 3) Å or None. charge (b,): total charges, e. volume (b,) Å³ of the
    cells, infinite where there is none; None: no stress is asked for.
    """

    numbers: Any
    positions: Any
    neighbours: Neighbours
    charge: Any
    labels: Mapping[str, Any]
    esp_points: Any = None
    pairs: Neighbours | None = None
    volume: Any = None

    @property
    def graph(self) -> Graph:
        return stacked(self.numbers, self.neighbours, self.charge, self.pairs)

    def __len__(self) -> int:
        return self.numbers.shape[0]

    def at(self, index) -> Batch:
        """Some of the frames."""
        return jax.tree.map(lambda x: x[index], self)


def predict(potential: Potential, batch: Batch, *, forces: bool = True) -> dict[str, Any]:
    """What the potential says on every channel, shaped as the labels, "penalty", "sites" and "site_charges"."""
    b, n = batch.numbers.shape
    graph = batch.graph

    def energy(x, graph):
        found = potential(x, graph)
        return found.energy, found

    x = batch.positions.reshape(b * n, 3)
    out, f = {}, None
    if batch.volume is not None:

        def strained(x, strain, graph):
            deform = jnp.repeat(deformation(strain), n, 0, total_repeat_length=b * n)
            return energy(jnp.einsum("ai,aij->aj", x, deform), graph.deformed(deform))

        (_, found), f, slope = forces_and_strain_from(strained)(x, jnp.zeros((b, 3, 3), x.dtype), graph)
        out["stress"] = slope / batch.volume[:, None, None]
    elif forces:
        (_, found), f = forces_from(energy, has_aux=True)(x, graph)
    else:
        found = energy(x, graph)[1]
    out |= {"energy": found.energy, "dipole": found.dipole, "charges": found.charges.reshape(b, n)}
    if forces and f is not None:
        out["forces"] = f.reshape(b, n, 3)
    sites, charges = found.sites.reshape(b, -1, 3), found.site_charges.reshape(b, -1)
    if batch.esp_points is not None:
        out["esp"] = potential_at(batch.esp_points, sites, charges)
    return {**out, "sites": sites, "site_charges": charges, "penalty": found.penalty}


def residuals(found: Mapping[str, Any], batch: Batch, channel: str) -> tuple[Any, Any]:
    """Prediction minus label and a mask of what is known; energies per atom. Unknown entries are 0."""
    label = batch.labels[channel]
    known = jnp.isfinite(label)
    if channel in ("forces", "charges"):
        real = batch.numbers > 0
        known &= real[..., None] if channel == "forces" else real
    difference = found[channel] - jnp.where(known, label, 0.0)
    if channel == "energy":
        difference = difference / jnp.maximum(jnp.sum(batch.numbers > 0, -1), 1)
    return jnp.where(known, difference, 0.0), known


class ReferenceData(eqx.Module):
    """The term of reference data: a likelihood with a heavy tail and one scale for each channel.

    Of each datum with residual r and scale s it takes sqrt(1 + (r/s)²) - 1 nats: Gaussian near zero, and a frame that
    is far off pulls no harder than one that is off by its scale. A frame has 1 energy, 3 n forces, 6 components of
    stress, 3 of the dipole, n charges, and 9 independent data of its electrostatic potential. The value is the mean
    over all data. `sigma`: channel -> scale in the unit of the residual; `extra`: a factor for a channel (default 1).
    Reads the block "net".
    """

    rest: Any  # the potential without its weights
    sigma: Mapping[str, Any]
    extra: Mapping[str, Any]
    penalty: Any = 0.0
    name: str = eqx.field(static=True, default="molecules")

    @property
    def reads(self) -> frozenset[str]:
        return frozenset({"net"})

    def __call__(self, model: Model, obs: Batch) -> Score:
        potential = eqx.combine(model["net"], self.rest)
        found = predict(potential, obs, forces="forces" in self.sigma)
        total, parts, count = jnp.zeros(()), {}, 0.0
        for channel, sigma in self.sigma.items():
            r, known = residuals(found, obs, channel)
            x = r / sigma
            nats = jnp.where(known, x * x / (jnp.sqrt(1.0 + x * x) + 1.0), 0.0)
            data = _data_of(obs, channel)
            parts[channel] = jnp.sum(nats) / jnp.maximum(jnp.sum(known), 1) * data
            total = total + self.extra.get(channel, 1.0) * parts[channel]
            count = count + data
        return Score(total / count + self.penalty * found["penalty"], parts)


def _data_of(obs: Batch, channel: str):
    """Independent data of one channel in a frame, on average."""
    atoms = jnp.sum(obs.numbers > 0) / obs.numbers.shape[0]
    return data_of(atoms)[channel]


def data_of(atoms: Any) -> dict[str, Any]:
    """Independent data of each channel in a frame of so many atoms."""
    return {
        "energy": 1.0, "forces": 3.0 * atoms, "stress": 6.0, "dipole": 3.0, "charges": atoms, "esp": float(ESP_DATA)
    }  # fmt: skip
