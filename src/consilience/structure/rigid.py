"""Rigid bodies: which atoms move as one, and bijectors that turn and shift them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from consilience.core.params import Bijector
from consilience.structure.atoms import Structure

FEWEST_ATOMS = 10  # of a chain that is a body of its own


class RigidBodies(Bijector):
    """xyz (n, 3) from raw (k, 6): turn and shift of each body, in Å (a turn at the body's radius of gyration).

    `body` (n,) numbers the bodies; `centre` (k, 3), `radius` (k,) Å, `place` (n, 3) where they start.
    """

    body: Any
    centre: Any
    radius: Any
    place: Any

    def forward(self, raw):
        turn = jax.vmap(rotation)(raw[:, :3] / self.radius[:, None])
        moved = jnp.einsum("nij,nj->ni", turn[self.body], self.place - self.centre[self.body])
        return moved + self.centre[self.body] + raw[self.body, 3:]

    def inverse(self, value):
        return np.zeros((len(self.centre), 6))


class Turns(Bijector):
    """xyz (n, 3) from raw (k - 1, 3): each body but the first turns about its pivot by the vector raw, in rad.

    `body` (n,) numbers the k bodies; `pivot` (k, 3) Å stays where it is; `place` (n, 3) Å where the atoms start.
    """

    body: Any
    pivot: Any
    place: Any

    def forward(self, raw):
        turn = jax.vmap(rotation)(jnp.concatenate([jnp.zeros((1, 3), raw.dtype), raw]))
        pivot = self.pivot[self.body]
        return jnp.einsum("nij,nj->ni", turn[self.body], self.place - pivot) + pivot

    def inverse(self, value):
        return np.zeros((len(self.pivot) - 1, 3))


def rotation(w: jax.Array) -> jax.Array:
    """Matrix of the unit quaternion (1, w / 2) / |(1, w / 2)|: a turn by about |w| radians, smooth at zero."""
    x, y, z = w / 2
    s = 2 / (1 + x * x + y * y + z * z)
    return jnp.array(
        [
            [1 - s * (y * y + z * z), s * (x * y - z), s * (x * z + y)],
            [s * (x * y + z), 1 - s * (x * x + z * z), s * (y * z - x)],
            [s * (x * z - y), s * (y * z + x), 1 - s * (x * x + y * y)],
        ]
    )


def bodies_of(structure: Structure) -> np.ndarray:
    """(n,) chain number of each atom; waters and chains of fewer than ten atoms go with the nearest other."""
    chain = np.array([k for k, c in enumerate(structure.hierarchy[0]) for r in c for _ in r])
    water = np.array([r.is_water() for c in structure.hierarchy[0] for r in c for _ in r], bool)
    large = [k for k in np.unique(chain) if np.sum((chain == k) & ~water) >= FEWEST_ATOMS]
    if not large:
        return np.zeros(len(structure), int)
    body = np.full(len(structure), -1)
    for number, k in enumerate(large):
        body[(chain == k) & ~water] = number
    return with_nearest(body, structure.xyz)


def with_nearest(body: np.ndarray, xyz: np.ndarray) -> np.ndarray:
    """(n,) body numbers; atoms of none (-1) get that of the nearest atom that has one; xyz (n, 3) Å."""
    out, anchored = body.copy(), np.flatnonzero(body >= 0)
    for i in np.flatnonzero(body < 0):
        out[i] = body[anchored[np.argmin(np.sum((xyz[anchored] - xyz[i]) ** 2, axis=1))]]
    return out
