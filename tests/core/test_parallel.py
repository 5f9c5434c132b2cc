"""Two processes train as one does: the same weights after an epoch of data-parallel minibatches."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

PROGRAM = """
import json
from consilience.core.parallel import join_processes
import jax
jax.config.update("jax_enable_x64", True)
join_processes()
import equinox as eqx, jax.numpy as jnp, numpy as np
from consilience.core.descent import optimiser
from consilience.core.epochs import Epochs
from consilience.core.objective import Objective
from consilience.core.params import Block, Model
from consilience.core.terms import Score

class Line(eqx.Module):
    name: str = "line"
    reads = frozenset({"net"})
    def __call__(self, model, obs):
        x, y = obs
        w = model["net"]
        return Score(jnp.mean((jnp.tanh(x @ w["a"]) @ w["b"] - y) ** 2), {})

rng = np.random.default_rng(0)
x = rng.normal(size=(24, 3))
model = Model.of(net=Block({"a": rng.normal(size=(3, 4)), "b": rng.normal(size=4)}))
objective = Objective({"line": Line()}, {"line": (x, np.sin(x).sum(1))}, {"line": 1.0})
solver = Epochs(optimiser("adam", 0.01), 8)
carry = {"progress": np.array([0.1, 0.1])}
for epoch in range(3):
    raw, kept, value = solver.run(objective, model, ("net",), carry, epoch)
    model, carry = model.with_raw(raw), {**carry, **kept}
if jax.process_index() == 0:
    print(json.dumps([value, np.concatenate([np.ravel(v) for v in jax.tree.leaves(raw)]).tolist()]))
"""


def run(count: int) -> list[float]:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    started = []
    for rank in range(count):
        env = dict(os.environ)
        if count > 1:
            env |= {
                "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
                "JAX_NUM_PROCESSES": str(count),
                "JAX_PROCESS_ID": str(rank),
            }
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", PROGRAM], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )
    outputs = [p.communicate(timeout=240) for p in started]
    assert all(p.returncode == 0 for p in started), outputs
    value, raw = json.loads(outputs[0][0].splitlines()[-1])
    return [value, *raw]


def test_two_processes_give_the_weights_of_one() -> None:
    alone, together = run(1), run(2)
    assert len(alone) == len(together) == 17
    assert max(abs(a - b) for a, b in zip(alone, together, strict=True)) < 1e-12
