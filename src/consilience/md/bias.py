"""Collective coordinates of chains, and potentials that act on them, as named terms of an energy."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from consilience.md.observables import Contacts, native_contacts, native_fraction, radius_of_gyration, rmsd


class GyrationRadius(eqx.Module):
    """Radius of gyration, Å, of positions (n, 3); masses (n,) or None."""

    masses: Any = None

    def __call__(self, x):
        return radius_of_gyration(x, self.masses)


class Rmsd(eqx.Module):
    """Distance to a reference (n, 3) after superposition, Å."""

    reference: Any

    def __call__(self, x):
        return rmsd(x, self.reference)


class NativeFraction(eqx.Module):
    """Fraction of native contacts, 0 to 1."""

    contacts: Contacts

    def __call__(self, x):
        return native_fraction(x, self.contacts)


def coordinate(name: str, *, reference: Any = None, number: Any = None, chain: Any = None) -> Any:
    """The coordinate "rg", "rmsd" or "q" of chains; the last two of a reference (n, 3). Raises InputError."""
    if name == "rg":
        return GyrationRadius()
    if name == "rmsd":
        return Rmsd(np.asarray(reference, float))
    return NativeFraction(native_contacts(reference, number=number, chain=chain))


@eqx.filter_jit
def along(coordinate, x):
    """Values (...) of a coordinate of positions (..., n, 3)."""
    return jax.vmap(coordinate)(x.reshape(-1, *x.shape[-2:])).reshape(x.shape[:-2])


class Harmonic(eqx.Module):
    """k/2 (s - centre)², eV; k in eV per squared unit of the coordinate s."""

    coordinate: Any
    centre: Any
    k: Any

    def __call__(self, x):
        return self.of(self.coordinate(x))

    def of(self, s):
        """The bias at values s of the coordinate, eV."""
        return 0.5 * self.k * (s - self.centre) ** 2


class Grid(eqx.Module):
    """A bias on equally spaced points low ... high, values (g,) eV and slopes (g,), cubic between them (Hermite).

    Continuous with its first derivative inside; outside it keeps its last value and a harmonic wall of stiffness
    `wall` (eV per squared unit) holds the coordinate.
    """

    coordinate: Any
    low: Any
    high: Any
    values: Any
    slopes: Any
    wall: Any

    def __call__(self, x):
        return self.of(self.coordinate(x))

    def of(self, s):
        """The bias at values s of the coordinate, eV."""
        g = self.values.shape[0]
        step = (self.high - self.low) / (g - 1)
        inside = jnp.clip(s, self.low, self.high)
        place = (inside - self.low) / step
        i = jnp.clip(jnp.floor(place).astype(jnp.int32), 0, g - 2)
        t = place - i
        values, slopes = jnp.asarray(self.values), jnp.asarray(self.slopes)
        bias = (
            (1 + 2 * t) * (1 - t) ** 2 * values[i]
            + t * (1 - t) ** 2 * slopes[i] * step
            + t**2 * (3 - 2 * t) * values[i + 1]
            + t**2 * (t - 1) * slopes[i + 1] * step
        )
        return bias + 0.5 * self.wall * (s - inside) ** 2


class Biased(eqx.Module):
    """An energy with a bias, which is the term "bias"; whatever else the energy has stays as it is."""

    energy: Any
    bias: Any

    @property
    def cutoff(self):
        """Of the energy, Å."""
        return self.energy.cutoff

    def terms(self, x, neighbours) -> dict[str, Any]:
        """Energies of the parts, eV."""
        if hasattr(self.energy, "terms"):
            return {**self.energy.terms(x, neighbours), "bias": self.bias(x)}
        return {"energy": self.energy(x, neighbours), "bias": self.bias(x)}

    def __call__(self, x, neighbours):
        return self.energy(x, neighbours) + self.bias(x)
