"""What a peer does: time a call, a training step or steps of dynamics, or train; runs in the peer's own environment.

torch_tasks.py PEER MODEL TASK PROBLEM.npz OUT.json [OPTIONS as JSON]; one thread, float32.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from ase_loop import ArrayCalculator, per_step
from graphs import edges_within, join
from timing import milliseconds, summary
from torch_train import statistics, train

CUTOFF = 5.0


def for_inference(peer, name: str, elements: list[int], scale: dict, given: dict):
    """The network ready for energies and forces only, with the seed of all timings."""
    torch.manual_seed(0)
    if hasattr(peer, "for_inference"):
        return peer.for_inference(name, elements, scale, given)
    return peer.build(name, elements, scale).eval()


def speed(peer, name: str, problem: dict, options: dict) -> dict:
    """One energy and force call for each structure of the problem."""
    elements = sorted({int(z) for key in problem if key.startswith("z") for z in problem[key]})
    scale = dict(cutoff=CUTOFF, energy_per_atom=0.0, force_rms=1.0, neighbours=20.0)
    rows, model, build_s = {}, None, 0.0
    for n in options["sizes"]:
        z, x = problem[f"z{n}"], problem[f"x{n}"]
        edges = edges_within(x, CUTOFF)
        given = peer.inputs(join(z, x[None], [edges]), elements)
        if model is None:
            began = time.perf_counter()
            model = for_inference(peer, name, elements, scale, given)
            build_s = time.perf_counter() - began
        began = time.perf_counter()
        for _ in range(3):
            _, force = peer.evaluate(model, given, False)
        first = time.perf_counter() - began
        times = milliseconds(lambda m=model, g=given: peer.evaluate(m, g, False), options["seconds"])
        rows[str(n)] = {**summary(times), "edges": int(edges.shape[1]), "warm_up_s": first}
        if not torch.isfinite(force).all():
            raise SystemExit(f"{name}: forces of {n} atoms are not finite")
    return {"rows": rows, "build_s": build_s}


def step(peer, name: str, problem: dict, options: dict) -> dict:
    """One training step (energy and force loss, the peer's optimiser) on one batch."""
    z, x = problem["z"], problem["x"][: options["batch"]]
    e_ref, f_ref = (torch.tensor(problem[k][: options["batch"]], dtype=torch.float32) for k in ("e", "f"))
    elements = sorted({int(i) for i in z})
    edges = [edges_within(frame, CUTOFF) for frame in x]
    torch.manual_seed(0)
    scale = statistics(problem["e"], problem["f"], len(z), edges, CUTOFF)
    model = peer.build(name, elements, scale)
    given = peer.inputs(join(z, x, edges), elements)
    optimiser = peer.optimiser(model, 1e-4)

    def one() -> None:
        optimiser.zero_grad(set_to_none=True)
        e, f = peer.evaluate(model, given, True)
        peer.loss(e, f, e_ref, f_ref.reshape(-1, 3), len(z), 0.0).backward()
        optimiser.step()

    def error() -> float:
        f = peer.evaluate(model, given, True)[1].detach()
        return float(torch.sqrt(torch.mean((f - f_ref.reshape(-1, 3)) ** 2)))

    before, began = error(), time.perf_counter()
    for _ in range(3):
        one()
    first = time.perf_counter() - began
    timed = summary(milliseconds(one, options["seconds"]))
    return {**timed, "warm_up_s": first, "force_rms": [before, error()]}


def md(peer, name: str, problem: dict, options: dict) -> dict:
    """NVE steps of one molecule by ASE around the peer's network; its edges are all pairs and stay."""
    z, x = problem["z"], problem["x"]
    elements = sorted({int(i) for i in z})
    edges = edges_within(x, 1e3)
    scale = dict(cutoff=CUTOFF, energy_per_atom=0.0, force_rms=0.1, neighbours=edges.shape[1] / len(z))
    given = peer.inputs(join(z, x[None], [edges]), elements)
    model = for_inference(peer, name, elements, scale, given)

    def evaluate(positions: np.ndarray) -> tuple[float, np.ndarray]:
        e, f = peer.evaluate(model, peer.inputs(join(z, positions[None], [edges]), elements), False)
        return float(e.detach()), f.detach().numpy().astype(float)

    return {"ase": per_step(z, x, ArrayCalculator(evaluate), options)}


def main(peer: str, name: str, task: str, problem: str, out: str, options: str = "{}") -> None:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float32)
    given = dict(np.load(problem))
    module, chosen = importlib.import_module(f"peer_{peer}"), json.loads(options)
    if task == "train":
        result = train(module, name, given, chosen, CUTOFF, Path(out))
    else:
        result = {"speed": speed, "step": step, "md": md}[task](module, name, given, chosen)
    Path(out).write_text(json.dumps({"model": name, "torch": torch.__version__, **result}, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
