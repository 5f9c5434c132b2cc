"""Steps per CPU second of our engine with the energy of chain_energy.py: python engine_ours.py BEADS STEPS."""

from __future__ import annotations

import json
import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from chain_energy import CUTOFF, bonded, compact, wall

from consilience.forces import forces_from
from consilience.md.simulate import simulate
from consilience.neighbours import neighbour_matrix
from consilience.pair_sum import pair_sum


class Chain(eqx.Module):
    """The energy as our dynamics takes it; number (n,): place in the chain."""

    number: np.ndarray

    def __call__(self, x, neighbours):
        apart = jnp.abs(self.number[neighbours.index] - self.number[:, None]) >= 2
        return bonded(x) + pair_sum(lambda r2, on: 0.5 * wall(r2, on), x, neighbours, neighbours.mask & apart)


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    n, steps = int(sys.argv[1]), int(sys.argv[2])
    rates = []
    for turn in range(6):  # the first one compiles
        began = time.process_time()
        run = simulate(
            Chain(np.arange(n)), compact(n), np.full(n, 110.0), steps=steps, dt=5.0, ensemble="nvt", friction=1.0,
            every=200, block=steps, cutoff=CUTOFF, skin=3.0,
        )  # fmt: skip
        assert run.status == "ok"
        if turn:
            rates.append(steps / (time.process_time() - began))
    energy, forces = forces_from(Chain(np.arange(n)))(jnp.asarray(compact(n)), neighbour_matrix(compact(n), CUTOFF))
    told = {"energy": float(energy), "force": float(jnp.max(jnp.abs(forces)))}
    print(json.dumps({"steps_per_cpu_s": float(np.median(rates)), "lists": run.lists, **told}))


if __name__ == "__main__":
    main()
