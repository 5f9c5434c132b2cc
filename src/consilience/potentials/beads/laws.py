"""What every energy of beads must obey, measured in float64: forces, symmetry, lists, cutoff, walls, stiffness."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from consilience.core.checks import Check
from consilience.core.compiled import brief_filter_jit
from consilience.forces import forces_from
from consilience.neighbours import Neighbours, all_pairs, neighbour_matrix
from consilience.potentials.beads import prior_basis as basis
from consilience.potentials.beads.chains import FAR, NEAR, Chains
from consilience.potentials.beads.energy import BeadEnergy, bead_energy
from consilience.potentials.beads.prior import SOFTEST, Prior
from consilience.residues import RESIDUES
from consilience.units import BOLTZMANN, KCAL_MOL

CLOSE = np.arange(2.6, 3.31, 0.05)  # Å, where every two beads must repel
WEAK = np.array([0.0, 0.0, 0.0, 0.0, 0.02])  # of the excluded volume, where a prior is made as bad as its origin
HEIGHT = 10.0  # kT at 300 K, that a wall must have at 3 Å


@brief_filter_jit
def _evaluate(energy: BeadEnergy, x: Any, neighbours: Neighbours):
    return forces_from(energy)(x, neighbours)


def prove_beads(energy: BeadEnergy, positions: np.ndarray) -> list[Check]:
    """Checks of an energy (weights float64) at a frame (n, 3) Å of its chains."""
    x = np.asarray(positions, float)
    n = len(x)
    rng = np.random.default_rng(0)
    pairs = all_pairs(n)
    value, forces = (np.asarray(a) for a in _evaluate(energy, x, pairs))
    size = float(np.sqrt((forces**2).mean())) + 1e-12
    out = []
    errors = []
    for _ in range(5):
        d = rng.normal(size=x.shape)
        h = 1e-4
        e = [float(_evaluate(energy, x + k * h * d, pairs)[0]) for k in (-2, -1, 1, 2)]
        numerical = (e[0] - 8 * e[1] + 8 * e[2] - e[3]) / (12 * h)
        errors.append(abs(numerical + (forces * d).sum()) / (np.linalg.norm(forces) * np.linalg.norm(d) + 1e-12))
    out.append(Check("forces = -gradient of the energy", max(errors), 1e-7, "relative, central differences"))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    moved = x @ turn.T + rng.normal(size=3) * 10
    e2, f2 = (np.asarray(a) for a in _evaluate(energy, moved, pairs))
    out.append(Check("rotation and translation", abs(float(e2 - value)) / (abs(float(value)) + 1), 1e-10, "energy"))
    out.append(Check("forces turn with the beads", float(np.abs(f2 - forces @ turn.T).max()) / size, 1e-8, "relative"))
    out.append(Check("sum of the forces", float(np.abs(forces.sum(0)).max()) / size, 1e-9, "relative"))
    centred = x - x.mean(0)
    torque = float(np.abs(np.cross(centred, forces).sum(0)).max()) / (size * float(np.abs(centred).max()))
    out.append(Check("torque", torque, 1e-8, "relative"))
    lists = neighbour_matrix(x, energy.cutoff, None, None)
    sparse = eqx.tree_at(lambda e: e.dense, energy, None, is_leaf=lambda a: a is None)
    short = _evaluate(sparse, x, lists)
    wide = _evaluate(sparse, x, neighbour_matrix(x, energy.cutoff + 3.0, None, None))
    off = max(float(np.abs(np.asarray(a[1]) - forces).max()) for a in (short, wide)) / size
    out.append(Check("any list that reaches the cutoff", off, 1e-8, "relative, forces"))
    if n > 1:
        out.append(_shuffled(energy, x, wide_list=neighbour_matrix(x, energy.cutoff + 3.0, None, None), forces=forces))
    out += _pair_laws(energy)
    return out


def _shuffled(energy: BeadEnergy, x: np.ndarray, *, wide_list: Neighbours, forces: np.ndarray) -> Check:
    """The order of neighbours in a list means nothing."""
    sparse = eqx.tree_at(lambda e: e.dense, energy, None, is_leaf=lambda a: a is None)
    turned = Neighbours(np.asarray(wide_list.index)[:, ::-1], np.asarray(wide_list.mask)[:, ::-1])
    found = np.asarray(_evaluate(sparse, x, turned)[1])
    size = float(np.sqrt((forces**2).mean())) + 1e-12
    return Check("order of neighbours", float(np.abs(found - forces).max()) / size, 1e-8, "relative, forces")


def pair_energies(energy: BeadEnergy, r: np.ndarray) -> np.ndarray:
    """Energies (20, 20, s, k), eV, of two beads at distances r (k,), Å, for separations 2..5 and none (s = 5).

    Two beads alone: what many bodies say is not in it. Positive and falling: they repel.
    """
    separations = np.array([*range(2, NEAR + 1), FAR])
    a, b, s = (g.ravel() for g in np.meshgrid(np.arange(20), np.arange(20), np.arange(5), indexing="ij"))
    found = np.asarray(_two(energy, a, b, separations[s], np.asarray(r, float)))
    return found.T.reshape(20, 20, 5, len(r))


@brief_filter_jit
def _two(energy: BeadEnergy, first, second, separation, r):
    def at(r):
        total = jnp.zeros(first.shape)
        if energy.prior is not None:
            terms = energy.prior.pair_terms(first, second, separation, jnp.ones(first.shape, bool))
            r2 = jnp.full(first.shape, r * r)
            parts = [terms.strength * basis.core(r2, terms.hard)]
            if terms.bumps is not None:
                parts.append(jnp.sum(terms.bumps * basis.bumps(r2), -1))
            total = total + 2.0 * sum(parts)
        if energy.network is not None:
            for i, j in ((first, second), (second, first)):
                v = jnp.broadcast_to(jnp.stack([r, 0.0 * r, 0.0 * r]), (len(first), 1, 3))
                on = jnp.ones((len(first), 1), bool)
                total = total + energy.network.energies(v, i, j[:, None], separation[:, None], on)
        return total

    return jax.lax.map(at, r)


def _pair_laws(energy: BeadEnergy) -> list[Check]:
    """Every two beads that are not bonded repel below 3.3 Å, by a wall; bonds are stiff."""
    e = pair_energies(energy, CLOSE)
    rising = float(np.diff(e, axis=-1).max())
    at3 = int(np.argmin(np.abs(CLOSE - 3.0)))
    far = pair_energies(energy, np.array([12.0]))[..., 0]
    height = float((e[..., at3] - far).min() / (BOLTZMANN * 300.0))
    out = [
        Check(
            "beads repel below 3.3 Å", rising, 0.0, "eV, largest rise of the energy by 0.05 Å; all types, separations"
        ),
        Check(
            "height of the walls at 3 Å", height, np.inf if np.isfinite(height) else 0.0, "kT at 300 K", least=HEIGHT
        ),
    ]
    if energy.prior is not None:
        softest = float(np.min(np.asarray(energy.prior.prior.stiffness))) / KCAL_MOL
        about = "kcal/mol/Å², softest"
        out.append(Check("stiffness of bonds", softest, 1e6, about, least=0.99 * SOFTEST / KCAL_MOL))
    return out


def attraction(energy: BeadEnergy) -> list[dict[str, Any]]:
    """The depth and distance of the minimum of two beads of each pair of types, far apart in the chain; deepest first.

    kcal/mol and Å; beads alone, no other neighbours.
    """
    r = np.arange(4.0, 12.01, 0.1)
    e = pair_energies(energy, r)[:, :, 4] / KCAL_MOL
    rows = []
    for i in range(20):
        for j in range(i, 20):
            k = int(np.argmin(e[i, j]))
            rows.append({"first": RESIDUES[i], "second": RESIDUES[j], "depth": float(-e[i, j, k]), "r": float(r[k])})
    return sorted(rows, key=lambda row: -row["depth"])


def without_volume(prior: Prior, chains: Chains) -> BeadEnergy:
    """The prior as its origin had it: no repulsion for separations 2 to 5, and a weak one beyond; for comparison."""
    return bead_energy(
        chains, eqx.tree_at(lambda p: p.excluded_volume, prior, WEAK * np.asarray(prior.excluded_volume))
    )
