"""What must hold for every potential, with any weights: true forces, symmetries, size consistency, smoothness.

Each function measures one law on one molecule and returns numbers; `laws` holds them against tolerances.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations_with_replacement
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from consilience.core.compiled import brief_filter_jit
from consilience.forces import forces_from, stress_from
from consilience.neighbours import Neighbours, neighbour_matrix
from consilience.potentials.electrostatics import potential_at
from consilience.potentials.graph import Graph, single
from consilience.potentials.potential import Potential, Prediction
from consilience.potentials.probe import (
    Molecule,
    energy_forces,
    energy_of,
    evaluate,
    graph_of,
    largest,
    offset_energy,
    replace_lists,
    sample,
)
from consilience.potentials.repulsion import COVALENT


def force_error(potential: Potential, molecule: Molecule, seed: int = 0) -> float:
    """Forces against central differences of the energy along random directions, at the best of several steps.

    |F.v + dE/dv| / max |F| for unit steps of all atoms; the energy's constant part does not enter the differences.
    """
    bare = eqx.tree_at(lambda p: p.offsets, potential, np.zeros_like(potential.offsets))
    x = molecule.positions
    n = len(x)
    _, forces, _ = evaluate(bare, molecule)
    rng = np.random.default_rng(seed)
    worst = 0.0
    for _ in range(3):
        v = rng.standard_normal((n, 3))
        v /= np.linalg.norm(v)
        errors = []
        for h in (3e-3, 1e-3, 3e-4, 1e-4):
            e = [float(evaluate(bare, replace(molecule, positions=x + k * h * v))[0][0]) for k in (1, -1, 2, -2)]
            slope = (8 * (e[0] - e[1]) - (e[2] - e[3])) / (12 * h)
            errors.append(abs(slope + float(np.sum(forces * v))))
        worst = largest(worst, np.min(errors))
    return worst / largest(np.abs(forces), 1e-8)


@brief_filter_jit
def _curvature(x, v, potential: Potential, graph: Graph):
    def forces(y):
        return forces_from(energy_of, has_aux=True)(y, potential, graph)[1]

    return jax.jvp(forces, (x,), (v,))[1]


def curvature_error(potential: Potential, molecule: Molecule, seed: int = 1) -> float:
    """Hessian times a vector by differentiation against differences of forces, relative to the larger."""
    x = molecule.positions
    v = np.random.default_rng(seed).standard_normal(x.shape)
    v /= np.linalg.norm(v)
    graph, padded = graph_of(potential, molecule)
    direction = np.zeros_like(padded)
    direction[: len(x)] = v
    exact = np.asarray(_curvature(jnp.asarray(padded), jnp.asarray(direction), potential, graph))[: len(x)]
    errors = []
    for h in (1e-3, 3e-4, 1e-4):
        f = [evaluate(potential, replace(molecule, positions=x + k * h * v))[1] for k in (1, -1, 2, -2)]
        errors.append(np.abs((8 * (f[0] - f[1]) - (f[2] - f[3])) / (12 * h) - exact).max())
    return float(np.min(errors)) / largest(np.abs(exact), 1e-8)


def symmetry_errors(potential: Potential, molecule: Molecule, seed: int = 2) -> dict[str, float]:
    """Errors of energy, forces, dipole and sites under motions, reflection, renumbering and list order.

    Relative, but to 1 eV, 1 eV/Å, 1 e Å and 1 V at least; of a dipole to the sum of |q| |r|.
    """
    rng = np.random.default_rng(seed)
    x, z = molecule.positions, molecule.numbers
    n = len(x)
    e0, f0, p0 = evaluate(potential, molecule)
    size_e = max(abs(float(e0[0] - offset_energy(potential, z))), 1.0)
    size_f = largest(np.abs(f0), 1.0)  # near a minimum large forces cancel, and their rounding stays
    size_d = largest(np.sum(np.abs(p0.site_charges.ravel()) * np.linalg.norm(p0.sites.reshape(-1, 3), axis=1)), 1.0)
    rotation = _rotation(rng)
    mirror = rotation @ np.diag([1.0, 1.0, -1.0])

    # sites may change places, not their potential; near a charge it would magnify the rounding of the charge's place
    away = rng.standard_normal((8, 3))
    reach = np.linalg.norm(x - x.mean(0), axis=1).max() + 2.0
    points = x.mean(0) + reach * away / np.linalg.norm(away, axis=1, keepdims=True)
    v0 = np.asarray(_potential(points, p0))

    def moved(matrix: np.ndarray, shift: np.ndarray) -> float:
        e, f, p = evaluate(potential, replace(molecule, positions=x @ matrix.T + shift))
        v = np.asarray(_potential(points @ matrix.T + shift, p))
        return largest(
            np.abs(e - e0) / size_e,
            np.abs(f - f0 @ matrix.T) / size_f,
            np.abs(p.dipole[0] - (p0.dipole[0] @ matrix.T + p0.charges.sum() * shift)) / size_d,
            np.abs(v - v0) / largest(np.abs(v0), 1.0),
        )

    out = {
        "translation": moved(np.eye(3), np.array([1.0, -2.0, 0.5])),
        "rotation": moved(rotation, np.zeros(3)),
        "reflection": moved(mirror, np.zeros(3)),
    }
    order = np.roll(np.arange(n), 1)  # a random order of few atoms may be the one they have
    e, f, _ = evaluate(potential, replace(molecule, numbers=z[order], positions=x[order]))
    out["permutation of atoms"] = largest(np.abs(e - e0) / size_e, np.abs(f - f0[order]) / size_f)
    graph, padded = graph_of(potential, molecule)
    slots = np.stack([rng.permutation(graph.neighbours.capacity) for _ in padded])
    index, mask = (np.take_along_axis(a, slots, 1) for a in (graph.neighbours.index, graph.neighbours.mask))
    lists = Neighbours(index, mask)
    (e, _), f = energy_forces(jnp.asarray(padded), potential, replace_lists(graph, lists, graph.pairs))
    f = np.asarray(f)[:n]
    out["order of neighbours"] = largest(np.abs(e - e0) / size_e, np.abs(f - f0) / size_f)
    return out


def _potential(points: np.ndarray, found: Prediction) -> Any:
    return potential_at(points, found.sites.reshape(-1, 3), found.site_charges.ravel())


def conservation_errors(potential: Potential, molecule: Molecule) -> dict[str, float]:
    """Net force and net torque over the largest force (times the largest distance from the centre)."""
    _, f, _ = evaluate(potential, molecule)
    x = molecule.positions - molecule.positions.mean(0)
    size = largest(np.abs(f), 1e-8)
    reach = max(np.abs(x).max(), 1.0)
    return {
        "net force": float(np.abs(f.sum(0)).max() / size),
        "net torque": float(np.abs(np.cross(x, f).sum(0)).max() / (size * reach)),
    }


def batch_errors(potential: Potential, molecule: Molecule) -> dict[str, float]:
    """The molecule in a padded batch beside a distorted copy, against it alone without padding."""
    x, z = molecule.positions, molecule.numbers
    n = len(x)
    alone = replace_lists(
        single(z, charge=molecule.charge),
        neighbour_matrix(x, potential.cutoff),
        None if potential.coulomb is None else neighbour_matrix(x, potential.coulomb.cutoff),
    )
    (e0, _), f0 = energy_forces(jnp.asarray(x), potential, alone)
    f0 = np.asarray(f0)
    other = replace(molecule, positions=x + 0.1 * np.random.default_rng(3).standard_normal(x.shape))
    e, f, _ = evaluate(potential, molecule, other)
    size_e = max(abs(float(e0[0]) - offset_energy(potential, z)), 1.0)
    return {"padding and batch": largest(abs(e[0] - e0[0]) / size_e, np.abs(f[:n] - f0) / largest(np.abs(f0), 1e-8))}


def size_errors(potential: Potential, molecule: Molecule) -> dict[str, float]:
    """|E(A + B) - E(A) - E(B)| in eV for two copies beyond every cutoff, and at 1000 Å."""
    x, z = molecule.positions, molecule.numbers
    alone = float(evaluate(potential, replace(molecule, charge=0.0))[0][0])
    reach = max(potential.cutoff, 0.0 if potential.coulomb is None else potential.coulomb.cutoff)
    extent = float(np.ptp(x, 0).max())
    out = {}
    for name, gap in (
        ("size consistency beyond the cutoff", reach + extent + 0.5),
        ("size consistency at 1000 Å", 1e3),
    ):
        both = Molecule(np.tile(z, 2), np.concatenate([x, x + np.array([gap, 0.0, 0.0])]))
        out[name] = abs(float(evaluate(potential, both)[0][0]) - 2 * alone)
    return out


def cutoff_jumps(potential: Potential, cutoff: float) -> dict[str, float]:
    """Largest jumps of energy (eV), force (eV/Å) and its slope (eV/Å²) when a pair crosses a cutoff, over all pairs."""
    worst = np.zeros(3)
    for a, b in combinations_with_replacement(potential.species, 2):
        z = np.array([a, b])

        def at(r: float, z: np.ndarray = z) -> tuple[float, float]:
            # with a total charge, so that two atoms of one element have charges too
            e, f, _ = evaluate(potential, Molecule(z, np.array([[0.0, 0, 0], [r, 0, 0]]), 1.0))
            return float(e[0]) - offset_energy(potential, z), float(f[1, 0])

        h = 1e-5
        inside, outside = at(cutoff - h), at(cutoff + h)
        slope_in = (inside[1] - at(cutoff - 3 * h)[1]) / (2 * h)
        slope_out = (at(cutoff + 3 * h)[1] - outside[1]) / (2 * h)
        # what a smooth function would change by between the two points is not a jump
        e_jump = abs(outside[0] - inside[0] + h * (outside[1] + inside[1]))
        f_jump = abs(outside[1] - inside[1] - h * (slope_in + slope_out))
        worst = np.maximum(worst, [e_jump, f_jump, abs(slope_out - slope_in)])
    return dict(zip(("energy", "force", "slope"), worst.tolist(), strict=True))


@brief_filter_jit
def _energy_alone(x, graph: Graph, potential: Potential):
    return potential(x, graph).energy[0]


@brief_filter_jit
def _energy_forces_stress(x, graph: Graph, cell, potential: Potential):
    return stress_from(lambda y, g: potential(y, g).energy[0])(x, graph, cell)


def stress_error(potential: Potential, molecule: Molecule) -> float:
    """Stress against differences of the energy under strain, relative to the largest, in a small periodic box."""
    x = molecule.positions - molecule.positions.min(0) + 0.5
    cell = np.diag(np.ptp(x, 0) + 3.0) + np.triu(np.full((3, 3), 0.2), 1)
    pbc = (True,) * 3
    lists = neighbour_matrix(x, potential.cutoff, cell, pbc)
    far = None if potential.coulomb is None else neighbour_matrix(x, potential.coulomb.cutoff, cell, pbc)
    bare = eqx.tree_at(lambda p: p.offsets, potential, np.zeros_like(potential.offsets))
    graph = replace_lists(single(molecule.numbers), lists, far)

    stress = np.asarray(_energy_forces_stress(jnp.asarray(x), graph, jnp.asarray(cell), bare)[2])
    volume = abs(np.linalg.det(cell))
    worst = 0.0
    for i, j in ((0, 0), (1, 2), (0, 1)):
        errors = []
        for h in (1e-3, 1e-4, 1e-5):  # in a small box some potentials are stiff
            e = []
            for k in (1, -1, 2, -2):
                strain = np.zeros((3, 3))
                strain[i, j] += 0.5 * k * h
                strain[j, i] += 0.5 * k * h
                deform = np.eye(3) + strain
                e.append(float(_energy_alone(jnp.asarray(x @ deform), graph.deformed(deform), bare)))
            slope = (8 * (e[0] - e[1]) - (e[2] - e[3])) / (12 * h)
            errors.append(abs(slope / volume - stress[i, j]))
        worst = largest(worst, np.min(errors))
    return worst / largest(np.abs(stress), 1e-8)


def wall_slope(potential: Potential) -> float:
    """Largest dE/dr, eV/Å, of any pair of elements from 0.3 Å to three quarters of the sum of their covalent radii.

    Negative: nuclei repel at every short distance.
    """
    worst = -np.inf
    for a, b in combinations_with_replacement(potential.species, 2):
        end = min(1.0, 0.75 * float(COVALENT[min(a, 36)] + COVALENT[min(b, 36)]))
        for r in np.linspace(0.3, max(end, 0.35), 15):
            _, f, _ = evaluate(potential, Molecule(np.array([a, b]), np.array([[0.0, 0, 0], [r, 0, 0]])))
            worst = largest(worst, -f[1, 0])
    return worst


def force_jump(potential: Potential, molecule: Molecule, step: float = 0.05) -> float:
    """Largest change of a force component, eV/Å, when one atom of a `sample` moves by `step` Å along an axis."""
    f0 = evaluate(potential, molecule)[1]
    worst = 0.0
    for i in sample(len(molecule.positions)):
        for c in range(3):
            x = molecule.positions.copy()
            x[i, c] += step
            worst = largest(worst, np.abs(evaluate(potential, replace(molecule, positions=x))[1] - f0))
    return worst


def _rotation(rng: np.random.Generator) -> np.ndarray:
    q, r = np.linalg.qr(rng.standard_normal((3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.linalg.det(q)
