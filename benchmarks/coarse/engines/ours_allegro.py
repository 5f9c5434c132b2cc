"""Our Allegro: CPU time of energy and forces, and of the first call with and without a cached program.

ours_allegro.py PROBLEM.npz OUT.json SECONDS; one thread, float32.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import equinox as eqx
import jax
import numpy as np

from consilience.forces import forces_from
from consilience.neighbours import neighbour_matrix
from consilience.potentials.beads.chains import chains_of
from consilience.potentials.beads.energy import bead_energy
from consilience.potentials.beads.model import NetworkShape

SHAPES = {"l1, 1 layer": (1, 1), "l2, 2 layers": (2, 2)}


def main() -> None:
    problem, out, seconds = np.load(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    names = [str(t) for t in problem["names"]]
    rows: dict[str, dict[str, float]] = {}
    for name, (l_max, layers) in SHAPES.items():
        shape = NetworkShape(float(problem["cutoff"]), 64, 16, layers, l_max)
        rng = np.random.default_rng(0)  # no zeros, as after training: compilers leave out what is multiplied by them
        network = jax.tree.map(
            lambda a, rng=rng: np.asarray(a + 0.05 * rng.normal(size=np.shape(a)), a.dtype), shape.build()
        )
        count = sum(a.size for a in jax.tree.leaves(eqx.filter(network, eqx.is_inexact_array)))
        rows[name] = {"parameters": int(count)}
        for n in problem["sizes"]:
            x = np.asarray(problem[f"x{n}"], np.float32)
            residues = [names[t] for t in problem[f"t{n}"]]
            energy = bead_energy(chains_of(residues, np.zeros(n), np.arange(n)), None, network)
            lists = jax.tree.map(jax.numpy.asarray, neighbour_matrix(x, shape.cutoff).counted())
            x = jax.numpy.asarray(x)
            evaluate = jax.jit(forces_from(energy))
            began = time.perf_counter()
            _, forces = jax.block_until_ready(evaluate(x, lists))
            rows[name][f"first {n}"] = time.perf_counter() - began
            rows[name][f"edges {n}"] = int(np.sum(lists.mask))
            rows[name][f"least force {n}"] = float(np.linalg.norm(forces, axis=1).min())
            times: list[float] = []
            while len(times) < 5 or (sum(times) < seconds and len(times) < 300):
                began = time.process_time()
                jax.block_until_ready(evaluate(x, lists))
                times.append(time.process_time() - began)
            rows[name][str(n)] = 1e3 * float(np.median(times))
    out.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
