"""What must hold for every potential, with any weights: true forces, symmetries, size consistency, smoothness.

Each function measures one law on one molecule and returns numbers to be held against tolerances; `prove` runs them all
in float64 on a copy of the potential, and the symmetries in float32 too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from consilience.core.checks import Check
from consilience.forces import forces_from, stress_from
from consilience.neighbours import Neighbours, neighbour_matrix
from consilience.potentials.graph import Graph, single, stacked
from consilience.potentials.potential import Potential
from consilience.potentials.repulsion import COVALENT
from consilience.potentials.weights import cast


def _energy(x, potential: Potential, graph: Graph):
    found = potential(x, graph)
    return found.energy, found


_energy_forces = eqx.filter_jit(forces_from(_energy, has_aux=True))


@dataclass(frozen=True)
class Molecule:
    """What the laws are tested on: numbers (n,), positions (n, 3) Å, total charge e."""

    numbers: np.ndarray
    positions: np.ndarray
    charge: float = 0.0


def evaluate(potential: Potential, molecule: Molecule, slots: int | None = None):
    """(energy (1,), forces (n, 3), prediction) with lists made for these positions. slots: capacity of the lists."""
    x = molecule.positions
    lists = neighbour_matrix(x, potential.cutoff, capacity=slots)
    far = None if potential.coulomb is None else neighbour_matrix(x, potential.coulomb.cutoff, capacity=slots)
    graph = replace_lists(single(molecule.numbers, charge=molecule.charge), lists, far)
    (energy, found), forces = _energy_forces(jnp.asarray(x), potential, graph)
    return np.asarray(energy), np.asarray(forces), jax.device_get(found)


def replace_lists(graph: Graph, neighbours: Neighbours, pairs: Neighbours | None) -> Graph:
    """The graph with other lists."""
    return Graph(graph.numbers, neighbours, graph.molecule, graph.charge, pairs)


def force_error(potential: Potential, molecule: Molecule, seed: int = 0) -> float:
    """Forces against central differences of the energy along random directions, at the best of several steps.

    |F.v + dE/dv| / max |F| for unit steps of all atoms; the energy's constant part does not enter the differences.
    """
    bare = eqx.tree_at(lambda p: p.offsets, potential, np.zeros_like(potential.offsets))
    x = molecule.positions
    n = len(x)
    _, forces, _ = evaluate(bare, molecule, n)
    rng = np.random.default_rng(seed)
    worst = 0.0
    for _ in range(3):
        v = rng.standard_normal((n, 3))
        v /= np.linalg.norm(v)
        errors = []
        for h in (3e-3, 1e-3, 3e-4, 1e-4):
            e = [float(evaluate(bare, replace(molecule, positions=x + k * h * v), n)[0][0]) for k in (1, -1, 2, -2)]
            slope = (8 * (e[0] - e[1]) - (e[2] - e[3])) / (12 * h)
            errors.append(abs(slope + float(np.sum(forces * v))))
        worst = max(worst, min(errors))
    return worst / max(float(np.abs(forces).max()), 1e-8)


@eqx.filter_jit
def _curvature(x, v, potential: Potential, graph: Graph):
    def forces(y):
        return forces_from(_energy, has_aux=True)(y, potential, graph)[1]

    return jax.jvp(forces, (x,), (v,))[1]


def curvature_error(potential: Potential, molecule: Molecule, seed: int = 1) -> float:
    """Hessian times a vector by differentiation against differences of forces, relative to the larger."""
    x = molecule.positions
    n = len(x)
    v = np.random.default_rng(seed).standard_normal((n, 3))
    v /= np.linalg.norm(v)
    far = None if potential.coulomb is None else neighbour_matrix(x, potential.coulomb.cutoff, capacity=n)
    graph = replace_lists(
        single(molecule.numbers, charge=molecule.charge), neighbour_matrix(x, potential.cutoff, capacity=n), far
    )
    exact = np.asarray(_curvature(jnp.asarray(x), jnp.asarray(v), potential, graph))
    errors = []
    for h in (1e-3, 3e-4, 1e-4):
        f = [evaluate(potential, replace(molecule, positions=x + k * h * v), n)[1] for k in (1, -1, 2, -2)]
        errors.append(np.abs((8 * (f[0] - f[1]) - (f[2] - f[3])) / (12 * h) - exact).max())
    return float(min(errors) / max(np.abs(exact).max(), 1e-8))


def symmetry_errors(potential: Potential, molecule: Molecule, seed: int = 2) -> dict[str, float]:
    """Relative errors of energy, forces, dipole and sites under motions, reflection, renumbering and list order."""
    rng = np.random.default_rng(seed)
    x, z = molecule.positions, molecule.numbers
    n = len(x)
    e0, f0, p0 = evaluate(potential, molecule, n)
    size_e = max(abs(float(e0[0] - _offsets(potential, z))), 1.0)
    size_f = max(np.abs(f0).max(), 1e-8)
    rotation = _rotation(rng)
    mirror = rotation @ np.diag([1.0, 1.0, -1.0])

    def moved(matrix: np.ndarray, shift: np.ndarray) -> float:
        e, f, p = evaluate(potential, replace(molecule, positions=x @ matrix.T + shift), n)
        return max(
            abs(float(e[0] - e0[0])) / size_e,
            np.abs(f - f0 @ matrix.T).max() / size_f,
            np.abs(p.sites - (p0.sites @ matrix.T + shift)).max(),
            np.abs(p.site_charges - p0.site_charges).max(),
        )

    out = {
        "translation": moved(np.eye(3), np.array([1.0, -2.0, 0.5])),
        "rotation": moved(rotation, np.zeros(3)),
        "reflection": moved(mirror, np.zeros(3)),
    }
    order = rng.permutation(n)
    e, f, _ = evaluate(potential, replace(molecule, numbers=z[order], positions=x[order]), n)
    out["permutation of atoms"] = max(abs(float(e[0] - e0[0])) / size_e, np.abs(f - f0[order]).max() / size_f)
    lists = neighbour_matrix(x, potential.cutoff, capacity=n)
    shuffled = [rng.permutation(lists.capacity) for _ in range(n)]
    index = np.stack([row[s] for row, s in zip(lists.index, shuffled, strict=True)])
    mask = np.stack([row[s] for row, s in zip(lists.mask, shuffled, strict=True)])
    far = None if potential.coulomb is None else neighbour_matrix(x, potential.coulomb.cutoff, capacity=n)
    graph = replace_lists(single(z, charge=molecule.charge), Neighbours(index, mask), far)
    (e, _), f = _energy_forces(jnp.asarray(x), potential, graph)
    out["order of neighbours"] = max(
        abs(float(e[0] - e0[0])) / size_e, float(np.abs(np.asarray(f) - f0).max()) / size_f
    )
    return {k: float(v) for k, v in out.items()}


def conservation_errors(potential: Potential, molecule: Molecule) -> dict[str, float]:
    """Net force and net torque over the largest force (times the largest distance from the centre)."""
    _, f, _ = evaluate(potential, molecule, len(molecule.positions))
    x = molecule.positions - molecule.positions.mean(0)
    size = max(np.abs(f).max(), 1e-8)
    reach = max(np.abs(x).max(), 1.0)
    return {
        "net force": float(np.abs(f.sum(0)).max() / size),
        "net torque": float(np.abs(np.cross(x, f).sum(0)).max() / (size * reach)),
    }


def batch_errors(potential: Potential, molecule: Molecule) -> dict[str, float]:
    """The molecule with five atoms and slots of padding, in a batch beside a distorted copy, against it alone."""
    x, z = molecule.positions, molecule.numbers
    n = len(x)
    e0, f0, _ = evaluate(potential, molecule, n)
    other = x + 0.1 * np.random.default_rng(3).standard_normal(x.shape)
    size = n + 5
    numbers, positions = np.zeros((2, size), np.int32), np.zeros((2, size, 3))
    numbers[:, :n], positions[0, :n], positions[1, :n] = z, x, other

    def lists(cutoff: float) -> Neighbours:
        index = np.broadcast_to(np.arange(size, dtype=np.int32)[None, :, None], (2, size, size)).copy()
        mask = np.zeros((2, size, size), bool)
        for i, y in enumerate((x, other)):
            one = neighbour_matrix(y, cutoff, capacity=size)
            index[i, :n], mask[i, :n] = one.index, one.mask
        return Neighbours(index, mask, None, np.zeros(2, bool))

    far = None if potential.coulomb is None else lists(potential.coulomb.cutoff)
    graph = stacked(numbers, lists(potential.cutoff), np.full(2, molecule.charge), far)
    (e, _), f = _energy_forces(jnp.asarray(positions.reshape(-1, 3)), potential, graph)
    f = np.asarray(f).reshape(2, size, 3)
    size_f = max(np.abs(f0).max(), 1e-8)
    e_size = max(abs(float(e0[0] - _offsets(potential, z))), 1.0)
    return {
        "padding and batch": float(
            max(abs(float(e[0] - e0[0])) / e_size, np.abs(f[0, :n] - f0).max() / size_f, np.abs(f[0, n:]).max())
        )
    }


def size_errors(potential: Potential, molecule: Molecule) -> dict[str, float]:
    """|E(A + B) - E(A) - E(B)| in eV for two copies beyond every cutoff, and at 1000 Å."""
    x, z = molecule.positions, molecule.numbers
    n = len(x)
    alone = float(evaluate(potential, replace(molecule, charge=0.0), n)[0][0])
    reach = max(potential.cutoff, 0.0 if potential.coulomb is None else potential.coulomb.cutoff)
    extent = float(np.ptp(x, 0).max())
    out = {}
    for name, gap in (
        ("size consistency beyond the cutoff", reach + extent + 0.5),
        ("size consistency at 1000 Å", 1e3),
    ):
        both = Molecule(np.tile(z, 2), np.concatenate([x, x + np.array([gap, 0.0, 0.0])]))
        out[name] = abs(float(evaluate(potential, both, n)[0][0]) - 2 * alone)
    return out


def cutoff_jumps(potential: Potential, cutoff: float) -> dict[str, float]:
    """Largest jumps of energy (eV), force (eV/Å) and its slope (eV/Å²) when a pair crosses a cutoff, over all pairs."""
    worst = np.zeros(3)
    for a, b in combinations_with_replacement(potential.species, 2):
        z = np.array([a, b])

        def at(r: float, z: np.ndarray = z) -> tuple[float, float]:
            e, f, _ = evaluate(potential, Molecule(z, np.array([[0.0, 0, 0], [r, 0, 0]])), 1)
            return float(e[0]) - _offsets(potential, z), float(f[1, 0])

        h = 1e-5
        inside, outside = at(cutoff - h), at(cutoff + h)
        slope_in = (inside[1] - at(cutoff - 3 * h)[1]) / (2 * h)
        slope_out = (at(cutoff + 3 * h)[1] - outside[1]) / (2 * h)
        # what a smooth function would change by between the two points is not a jump
        e_jump = abs(outside[0] - inside[0] + h * (outside[1] + inside[1]))
        f_jump = abs(outside[1] - inside[1] - h * (slope_in + slope_out))
        worst = np.maximum(worst, [e_jump, f_jump, abs(slope_out - slope_in)])
    return dict(zip(("energy", "force", "slope"), worst.tolist(), strict=True))


def charge_errors(potential: Potential, molecule: Molecule) -> dict[str, float]:
    """Sum of charges against the total charge, e, and change of a neutral dipole when the molecule is moved, e Å."""
    n = len(molecule.positions)
    neutral = replace(molecule, charge=0.0)
    here = evaluate(potential, neutral, n)[2]
    moved = evaluate(potential, replace(neutral, positions=molecule.positions + 7.0), n)[2]
    charged = evaluate(potential, replace(molecule, charge=1.0), n)[2]
    return {
        "total charge": max(abs(float(here.site_charges.sum())), abs(float(charged.site_charges.sum()) - 1.0),
                            abs(float(charged.charges.sum()) - 1.0)),
        "dipole of a moved molecule": float(np.abs(here.dipole - moved.dipole).max()),
    }  # fmt: skip


def stress_error(potential: Potential, molecule: Molecule) -> float:
    """Stress against differences of the energy under strain, relative to the largest, in a small periodic box."""
    x = molecule.positions - molecule.positions.min(0) + 0.5
    cell = np.diag(np.ptp(x, 0) + 2.0) + np.triu(np.full((3, 3), 0.2), 1)
    pbc = (True,) * 3
    lists = neighbour_matrix(x, potential.cutoff, cell, pbc)
    far = None if potential.coulomb is None else neighbour_matrix(x, potential.coulomb.cutoff, cell, pbc)
    bare = eqx.tree_at(lambda p: p.offsets, potential, np.zeros_like(potential.offsets))
    graph = single(molecule.numbers)

    @eqx.filter_jit
    def energy(positions, both, potential):
        return potential(positions, replace_lists(graph, both[0], both[1])).energy[0]

    class Both(eqx.Module):
        lists: Neighbours
        far: Neighbours | None

        def deformed(self, deform) -> Any:
            return Both(self.lists.deformed(deform), None if self.far is None else self.far.deformed(deform))

        def __getitem__(self, i: int):
            return (self.lists, self.far)[i]

    both = Both(lists, far)
    run: Callable = eqx.filter_jit(lambda y, b, c, p: stress_from(lambda yy, bb: energy(yy, bb, p))(y, b, c))
    stress = np.asarray(run(jnp.asarray(x), both, jnp.asarray(cell), bare)[2])
    volume = abs(np.linalg.det(cell))
    worst = 0.0
    for i, j in ((0, 0), (1, 2), (0, 1)):
        errors = []
        for h in (1e-3, 3e-4, 1e-4):
            e = []
            for k in (1, -1, 2, -2):
                strain = np.zeros((3, 3))
                strain[i, j] += 0.5 * k * h
                strain[j, i] += 0.5 * k * h
                deform = np.eye(3) + strain
                e.append(float(energy(jnp.asarray(x @ deform), both.deformed(deform), bare)))
            slope = (8 * (e[0] - e[1]) - (e[2] - e[3])) / (12 * h)
            errors.append(abs(slope / volume - stress[i, j]))
        worst = max(worst, min(errors))
    return worst / max(np.abs(stress).max(), 1e-8)


def wall_slope(potential: Potential) -> float:
    """Largest dE/dr, eV/Å, of any pair of elements from 0.3 Å to three quarters of the sum of their covalent radii.

    Negative: nuclei repel at every short distance.
    """
    worst = -np.inf
    for a, b in combinations_with_replacement(potential.species, 2):
        end = min(1.0, 0.75 * float(COVALENT[min(a, 36)] + COVALENT[min(b, 36)]))
        for r in np.linspace(0.3, max(end, 0.35), 15):
            _, f, _ = evaluate(potential, Molecule(np.array([a, b]), np.array([[0.0, 0, 0], [r, 0, 0]])), 1)
            worst = max(worst, -float(f[1, 0]))
    return float(worst)


def force_jump(potential: Potential, molecule: Molecule, step: float = 0.05) -> float:
    """Largest change of a force component, eV/Å, when one atom moves by `step` Å along an axis."""
    n = len(molecule.positions)
    f0 = evaluate(potential, molecule, n)[1]
    worst = 0.0
    for i in range(n):
        for c in range(3):
            x = molecule.positions.copy()
            x[i, c] += step
            worst = max(worst, float(np.abs(evaluate(potential, replace(molecule, positions=x), n)[1] - f0).max()))
    return worst


def _offsets(potential: Potential, numbers: np.ndarray) -> float:
    place = {z: i for i, z in enumerate(potential.species)}
    return float(sum(np.asarray(potential.offsets)[place[int(z)]] for z in numbers))


def _rotation(rng: np.random.Generator) -> np.ndarray:
    q, r = np.linalg.qr(rng.standard_normal((3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.linalg.det(q)


def prove(potential: Potential, molecule: Molecule) -> list[Check]:
    """All laws on one molecule. Float64 must be enabled (`jax.enable_x64`)."""
    double, short = cast(potential, np.float64), cast(potential, np.float32)
    out = [
        Check("forces = -dE/dx", force_error(double, molecule), 1e-7, "central differences, relative to the largest"),
        Check("Hessian = -dF/dx", curvature_error(double, molecule), 1e-6, "differences of forces, relative"),
    ]
    out += [Check(k, v, 1e-11) for k, v in conservation_errors(double, molecule).items()]
    out += [Check(k, v, 1e-10) for k, v in symmetry_errors(double, molecule).items()]
    out += [Check(f"{k} (float32)", v, 1e-5) for k, v in symmetry_errors(short, molecule).items()]
    out += [Check(k, v, 1e-10) for k, v in batch_errors(double, molecule).items()]
    out += [Check(k, v, 1e-9, "eV") for k, v in size_errors(double, molecule).items()]
    out += [Check(k, v, 1e-9) for k, v in charge_errors(double, molecule).items()]
    cutoffs = {"cutoff": potential.cutoff} | (
        {} if potential.coulomb is None else {"Coulomb cutoff": potential.coulomb.cutoff}
    )
    for name, cutoff in cutoffs.items():
        jumps = cutoff_jumps(double, cutoff)
        for what, tolerance in (("energy", 1e-8), ("force", 1e-7), ("slope", 1e-4)):
            out.append(Check(f"jump of the {what} at the {name}", jumps[what], tolerance))
    out += [
        Check("stress = dE/d strain", stress_error(double, molecule), 1e-7, "relative to the largest"),
        Check("slope of the short-range wall", wall_slope(double), -1e-3, "eV/Å, any pair; repulsive: negative"),
        Check("force jump for 0.05 Å", force_jump(double, molecule), 15.0, "eV/Å"),
    ]
    return out
