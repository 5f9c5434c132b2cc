"""Steps per CPU second of jax-md, in its environment: python engine_jaxmd.py BEADS STEPS 32|64 all|dense|sparse."""

from __future__ import annotations

import json
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from chain_energy import CUTOFF, bonded, compact, dot, wall


def main() -> None:
    n, steps, bits, form = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    jax.config.update("jax_enable_x64", bits == "64")
    from jax_md import partition, simulate, space

    displacement, shift = space.free()
    number, x0 = np.arange(n), jnp.asarray(compact(n))
    apart = np.abs(number[:, None] - number) >= 2

    def energy(x, neighbor=None, **_):
        if neighbor is None:
            v = x[None] - x[:, None]
            return bonded(x) + 0.5 * jnp.sum(wall(dot(v, v), apart))
        if form == "sparse":
            i, j = neighbor.idx
            v = x[jnp.minimum(i, n - 1)] - x[jnp.minimum(j, n - 1)]
            return bonded(x) + jnp.sum(wall(dot(v, v), (i < n) & (jnp.abs(i - j) >= 2)))
        v = x[jnp.minimum(neighbor.idx, n - 1)] - x[:, None]
        on = (neighbor.idx < n) & (jnp.abs(neighbor.idx - jnp.arange(n)[:, None]) >= 2)
        return bonded(x) + 0.5 * jnp.sum(wall(dot(v, v), on))

    fs = 0.0982269  # in units of Å sqrt(amu/eV)
    init, apply = simulate.nvt_langevin(energy, shift, dt=5 * fs, kT=8.617333e-5 * 300, gamma=1 / (1000 * fs))
    if form == "all":
        state = init(jax.random.PRNGKey(0), x0, mass=110.0)
        run = jax.jit(lambda s: jax.lax.fori_loop(0, steps, lambda i, s: apply(s), s))
    else:
        kind = {"dense": partition.Dense, "sparse": partition.OrderedSparse}[form]
        lists = partition.neighbor_list(
            displacement, 1000.0, CUTOFF, dr_threshold=3.0, disable_cell_list=True, format=kind,
            capacity_multiplier=1.25,
        )  # fmt: skip
        found = lists.allocate(x0)
        state = (init(jax.random.PRNGKey(0), x0, mass=110.0, neighbor=found), found)

        def body(_, carry):
            s, near = carry
            near = near.update(s.position)
            return apply(s, neighbor=near), near

        run = jax.jit(lambda c: jax.lax.fori_loop(0, steps, body, c))
    rates = []
    for turn in range(6):
        began = time.process_time()
        out = jax.block_until_ready(run(state))
        if turn:
            rates.append(steps / (time.process_time() - began))
    listed = {} if form == "all" else {"neighbor": state[1]}
    told = {"energy": float(energy(x0, **listed)), "force": float(jnp.max(jnp.abs(jax.grad(energy)(x0, **listed))))}
    full = bool(out[1].did_buffer_overflow) if form != "all" else False
    print(json.dumps({"steps_per_cpu_s": float(np.median(rates)), "overflow": full, **told}))


if __name__ == "__main__":
    main()
