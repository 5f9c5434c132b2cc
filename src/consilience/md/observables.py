"""What a chain of beads looks like in a frame: size, distance to a reference, contacts, ends, secondary structure.

Functions of positions x (..., n, 3), Å; differentiable, except where they count. Sources with each.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from consilience.core.errors import InputError

HELIX, STRAND, COIL = "H", "E", "C"


def radius_of_gyration(x, masses: Any = None):
    """Radius of gyration (...), Å, mass-weighted where masses (n,) are given."""
    w = jnp.ones(x.shape[-2]) if masses is None else jnp.asarray(masses)
    w = (w / jnp.sum(w))[:, None]
    centred = x - jnp.sum(w * x, -2, keepdims=True)
    return jnp.sqrt(jnp.sum(w * centred**2, (-2, -1)))


def end_to_end(x):
    """Distance (...) from the first to the last bead, Å."""
    return jnp.sqrt(jnp.sum((x[..., -1, :] - x[..., 0, :]) ** 2, -1))


def rmsd(x, reference, *, soft: float = 1e-4):
    """Root mean square distance (...), Å, to reference (n, 3) after the best rotation and shift; mirror images differ.

    From the largest root of the quartic of Horn's quaternion matrix (Theobald 2005, Acta Cryst. A61, 478), so no
    decomposition is differentiated: the gradient is that of the root, exact also for equal singular values of the
    covariance. `soft`: Å, rounds the cusp at zero. Derivatives are of first order only.
    """
    y = jnp.asarray(reference)
    n = y.shape[-2]
    x = x - jnp.mean(x, -2, keepdims=True)
    y = y - jnp.mean(y, -2, keepdims=True)
    size = jnp.sum(x**2, (-2, -1)) + jnp.sum(y**2)
    s = jnp.swapaxes(x, -2, -1) @ y
    m = jnp.swapaxes(s, -2, -1) @ s
    trace, trace2 = jnp.trace(m, axis1=-2, axis2=-1), jnp.sum(m * jnp.swapaxes(m, -2, -1), (-2, -1))
    det = jnp.sum(s[..., 0, :] * jnp.cross(s[..., 1, :], s[..., 2, :]), -1)
    c = (2 * trace, 8 * det, 2 * trace2 - trace**2)
    hard = jax.lax.stop_gradient
    root, fixed = hard(size / 2), [hard(a) for a in c]

    def polynomial(r, c):
        return r**4 - c[0] * r**2 - c[1] * r + c[2]

    def slope(r):
        return 4 * r**3 - 2 * fixed[0] * r - fixed[1]

    def newton(_, r):  # from above, monotone; slow only at a double root, which no gradient could help
        down = slope(r)
        return r - jnp.where(down > 0, polynomial(r, fixed) / jnp.where(down > 0, down, 1.0), 0.0)

    root = jax.lax.fori_loop(0, 30, newton, root)
    down = slope(root)
    root = root - jnp.where(down > 0, polynomial(root, c) / jnp.where(down > 0, down, 1.0), 0.0)
    return jnp.sqrt(jnp.maximum(size - 2 * root, 0.0) / n + soft**2)


class Contacts(eqx.Module):
    """Native contacts: pairs (m, 2) int of beads and their distances (m,) in the native structure, Å."""

    pairs: Any
    distances: Any


def native_contacts(reference, *, cutoff: float = 8.0, separation: int = 4, number=None, chain=None) -> Contacts:
    """Pairs of reference (n, 3) nearer than cutoff (Å) and at least `separation` apart in the chain, or in others.

    number, chain (n,) int: places in chains (None: one chain, as they come). Raises InputError where there is none.
    """
    x = np.asarray(reference, float)
    number = np.arange(len(x)) if number is None else np.asarray(number)
    chain = np.zeros(len(x), int) if chain is None else np.asarray(chain)
    i, j = np.triu_indices(len(x), 1)
    d = np.linalg.norm(x[i] - x[j], axis=1)
    kept = (d < cutoff) & ((np.abs(number[i] - number[j]) >= separation) | (chain[i] != chain[j]))
    if not kept.any():
        found, fix = f"{len(x)} beads", "choose another coordinate or a folded reference"
        raise InputError(f"the reference has no contacts within {cutoff:g} Å", found=found, fix=fix)
    return Contacts(np.stack([i[kept], j[kept]], 1), d[kept])


def native_fraction(x, contacts: Contacts, *, beta: float = 5.0, tolerance: float = 1.2):
    """Fraction Q (...) of native contacts: the mean of 1 / (1 + exp(beta (r - tolerance r0))), beta 1/Å.

    Best, Hummer & Eaton 2013, PNAS 110, 17874, whose `tolerance` is 1.8 for heavy atoms and 1.2 for CA beads.
    """
    i, j = contacts.pairs[:, 0], contacts.pairs[:, 1]
    r = jnp.sqrt(jnp.sum((x[..., i, :] - x[..., j, :]) ** 2, -1))
    return jnp.mean(jax.nn.sigmoid(-beta * (r - tolerance * contacts.distances)), -1)


def contact_overlap(x, reference, *, cutoff: float = 8.0, separation: int = 4) -> np.ndarray:
    """Contacts of both over contacts of either (...), 0 to 1, of x (..., n, 3) and reference (n, 3); NumPy."""
    a, b = (_contact_map(np.asarray(y, float), cutoff, separation) for y in (x, reference))
    either = np.sum(a | b, -1)
    return np.where(either > 0, np.sum(a & b, -1) / np.maximum(either, 1), 1.0)


def _contact_map(x: np.ndarray, cutoff: float, separation: int) -> np.ndarray:
    i, j = np.triu_indices(x.shape[-2], separation)
    return np.linalg.norm(x[..., i, :] - x[..., j, :], axis=-1) < cutoff


def dihedrals(x):
    """Dihedral angles (..., n - 3) of consecutive beads, rad, in (-pi, pi]; IUPAC sign."""
    b = x[..., 1:, :] - x[..., :-1, :]
    b1, b2, b3 = b[..., :-2, :], b[..., 1:-1, :], b[..., 2:, :]
    n1, n2 = jnp.cross(b1, b2), jnp.cross(b2, b3)
    length = jnp.sqrt(jnp.sum(b2**2, -1))
    return jnp.arctan2(length * jnp.sum(b1 * n2, -1), jnp.sum(n1 * n2, -1))


def secondary_structure(x) -> np.ndarray:
    """A letter for each bead of CA positions x (..., n, 3), one unbroken chain: H helix, E strand, C neither; NumPy.

    Distances i, i+2 and i, i+3 and the dihedral of four beads lie in the ranges of P-SEA (Labesse et al. 1997, CABIOS
    13, 291): helix 5.5 and 5.3 Å, 50 degrees; strand 6.7 and 9.9 Å, -170 degrees; a run needs 5 helical beads or 4
    extended ones. No hydrogen bonds: an isolated strand counts.
    """
    x = np.asarray(x, float)
    n = x.shape[-2]
    out = np.full(x.shape[:-1], COIL)
    if n < 4:
        return out
    d2 = np.linalg.norm(x[..., 2:, :] - x[..., :-2, :], axis=-1)[..., :-1]
    d3 = np.linalg.norm(x[..., 3:, :] - x[..., :-3, :], axis=-1)
    turn = np.degrees(np.asarray(dihedrals(jnp.asarray(x))))
    helix = (np.abs(d2 - 5.5) < 0.5) & (np.abs(d3 - 5.3) < 0.5) & (np.abs(turn - 50) < 20)
    strand = (np.abs(d2 - 6.7) < 0.6) & (np.abs(d3 - 9.9) < 0.9) & (np.abs((turn + 170 + 180) % 360 - 180) < 45)
    for letter, windows, least in ((STRAND, strand, 1), (HELIX, helix, 2)):
        run = windows.copy()
        for k in range(1, least):
            run[..., :-k] &= windows[..., k:]
            run[..., -k:] = False
        for first in range(run.shape[-1]):
            beads = out[..., first : first + 3 + least]
            beads[...] = np.where(run[..., first, None], letter, beads)
    return out
