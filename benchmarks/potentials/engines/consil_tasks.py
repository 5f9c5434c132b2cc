"""What our networks do here: time a call, a training step, steps of dynamics, or train; the twin of torch_tasks.py.

consil_tasks.py consil MODEL TASK PROBLEM.npz OUT.json [OPTIONS as JSON]; one thread, float32.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from pathlib import Path

import numpy as np

import consilience  # noqa: F401  first, so that XLA starts with its guard
from consilience._xla import guard

guard()

import equinox as eqx  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import optax  # noqa: E402
from ase_loop import per_step  # noqa: E402
from timing import milliseconds, summary  # noqa: E402

from consilience.forces import forces_from  # noqa: E402
from consilience.potentials.weights import named, split  # noqa: E402

CUTOFF = 5.0


def adapter():
    """ours.py of the folder above."""
    found = importlib.util.spec_from_file_location("ours", Path(__file__).resolve().parents[1] / "ours.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def energy(x, potential, graph):
    return potential(x, graph).energy


def weights(potential) -> int:
    return sum(a.size for a in named(split(potential)[0]).values())


def speed(ours, name: str, problem: dict, options: dict) -> dict:
    """One energy and force call for each structure of the problem."""
    call = eqx.filter_jit(forces_from(energy))
    rows = {}
    for n in options["sizes"]:
        potential, x, graph = ours.ours(name, problem[f"z{n}"], problem[f"x{n}"][None], CUTOFF)
        began = time.perf_counter()
        _, force = jax.block_until_ready(call(x, potential, graph))
        first = time.perf_counter() - began
        times = milliseconds(lambda x=x, p=potential, g=graph: jax.block_until_ready(call(x, p, g)), options["seconds"])
        edges = int(np.sum(graph.neighbours.mask))
        rows[str(n)] = {**summary(times), "edges": edges, "warm_up_s": first}
        if not np.isfinite(force).all():
            raise SystemExit(f"{name}: forces of {n} atoms are not finite")
    return {"rows": rows, "parameters": weights(potential)}


def step(ours, name: str, problem: dict, options: dict) -> dict:
    """One training step (energy and force loss, Adam) on one batch."""
    m = options["batch"]
    potential, x, graph = ours.ours(name, problem["z"], problem["x"][:m], CUTOFF)
    e_ref, f_ref = (jnp.asarray(problem[k][:m], jnp.float32) for k in ("e", "f"))
    n, optimiser = len(problem["z"]), optax.adam(1e-4)
    learned, rest = split(potential)
    state = optimiser.init(learned)

    @eqx.filter_jit
    def update(learned, state, rest, x, graph, e_ref, f_ref):
        def loss(learned):
            e, f = forces_from(energy)(x, eqx.combine(learned, rest), graph)
            return jnp.mean(((e - e_ref) / n) ** 2) + jnp.mean((f - f_ref.reshape(-1, 3)) ** 2)

        change, state = optimiser.update(jax.grad(loss)(learned), state)
        return optax.apply_updates(learned, change), state

    def one() -> None:
        nonlocal learned, state
        learned, state = jax.block_until_ready(update(learned, state, rest, x, graph, e_ref, f_ref))

    def error() -> float:
        _, f = eqx.filter_jit(forces_from(energy))(x, eqx.combine(learned, rest), graph)
        return float(jnp.sqrt(jnp.mean((f - f_ref.reshape(-1, 3)) ** 2)))

    before, began = error(), time.perf_counter()
    one()
    first = time.perf_counter() - began
    timed = summary(milliseconds(one, options["seconds"]))
    return {**timed, "warm_up_s": first, "force_rms": [before, error()]}


def md(ours, name: str, problem: dict, options: dict) -> dict:
    """NVE steps of one molecule by ASE around our calculator, and in the graph for one and for many replicas."""
    z, x, steps = problem["z"], problem["x"], options["steps"]
    result = {"ase": per_step(z, x, ours.calculator(name, z, CUTOFF), options)}
    for replicas in (1, options["replicas"]):
        start = x if replicas == 1 else np.repeat(x[None], replicas, 0)
        call = ours.dynamics(name, z, start, options["dt_fs"], steps, CUTOFF)
        moved = float(np.abs(np.asarray(call())[:, -1] - x).max())
        times = milliseconds(lambda c=call: jax.block_until_ready(c()), options["seconds"])
        result[f"graph_{replicas}"] = {"moved": moved} | summary([t / (steps * replicas) for t in times])
    return result


def main(_: str, name: str, task: str, problem: str, out: str, options: str = "{}") -> None:
    jax.config.update("jax_enable_x64", True)  # as in the commands; networks and positions are float32
    ours, given, chosen = adapter(), dict(np.load(problem)), json.loads(options)
    if task == "train":
        result = ours.train(name, given, chosen, CUTOFF, Path(out).with_suffix(".checkpoint"))
    else:
        result = {"speed": speed, "step": step, "md": md}[task](ours, name, given, chosen)
    Path(out).write_text(json.dumps({"model": name, "jax": jax.__version__, **result}, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
