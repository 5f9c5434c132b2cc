"""Training of a peer's network within a budget of CPU seconds on one core, with checkpoints.

The recipe (batch, optimiser, loss, EMA) is the peer's own. The rate falls by a cosine that ends with the budget; the
weights that are kept are the averaged ones with the least force error on the validation frames.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import torch
from graphs import edges_within, join
from timing import cpu_seconds


def statistics(e: np.ndarray, f: np.ndarray, n: int, edges: list[np.ndarray], cutoff: float) -> dict[str, float]:
    """What networks are scaled with: mean energy per atom (eV), rms force (eV/Å), mean number of neighbours."""
    neighbours = float(np.mean([k.shape[1] for k in edges])) / n
    rms = float(np.sqrt(np.mean(f**2)))
    return dict(cutoff=cutoff, energy_per_atom=float(np.mean(e)) / n, force_rms=rms, neighbours=neighbours)


def errors(peer, model, frames: list[tuple], offset: float) -> dict[str, float]:
    """Mean absolute errors over batches, meV and meV/Å."""
    e_sum = f_sum = m = k = 0
    for given, e_ref, f_ref in frames:
        e, f = peer.evaluate(model, given, False)
        e_sum += float((e.detach() - e_ref).abs().sum())
        f_sum += float((f.detach() - f_ref).abs().sum())
        m, k = m + len(e_ref), k + f_ref.numel()
    return {"energy_mae_mev": 1e3 * e_sum / m, "force_mae_mev_A": 1e3 * f_sum / k}


def swap(model: torch.nn.Module, values: list[torch.Tensor]) -> list[torch.Tensor]:
    """Put values into the parameters and return what was there."""
    with torch.no_grad():
        old = [p.detach().clone() for p in model.parameters()]
        for p, v in zip(model.parameters(), values, strict=True):
            p.copy_(v)
    return old


def train(peer, name: str, data: dict, options: dict, cutoff: float, out: Path) -> dict:
    """data: z (n,), {train,valid,test}_{x,e,f} in Å, eV. options: budget_s, and any key of the recipe.

    An interrupted run goes on from its checkpoint beside `out`.
    """
    recipe = {**peer.RECIPE, **{k: v for k, v in options.items() if k in peer.RECIPE}}
    budget, size = float(options["budget_s"]), int(recipe["batch"])
    z, n = data["z"], len(data["z"])
    elements = sorted({int(i) for i in z})
    offset = float(np.mean(data["train_e"]))  # taken away in float64; networks see energies of order one
    part = {k: [edges_within(x, cutoff) for x in data[f"{k}_x"]] for k in ("train", "valid", "test")}
    scale = statistics(data["train_e"] - offset, data["train_f"], n, part["train"], cutoff)
    seed = int(options.get("seed", 1))
    torch.manual_seed(seed)
    model = peer.build(name, elements, scale)
    optimiser = peer.optimiser(model, recipe["lr"])
    average = [p.detach().clone() for p in model.parameters()]

    def batch(which: str, chosen: np.ndarray) -> tuple:
        given = peer.inputs(join(z, data[f"{which}_x"][chosen], [part[which][i] for i in chosen]), elements)
        e_ref = torch.tensor(data[f"{which}_e"][chosen] - offset, dtype=torch.float32)
        return given, e_ref, torch.tensor(data[f"{which}_f"][chosen].reshape(-1, 3), dtype=torch.float32)

    def batches(which: str, at_once: int) -> list[tuple]:
        count = len(part[which])
        return [batch(which, np.arange(i, min(i + at_once, count))) for i in range(0, count, at_once)]

    valid = batches("valid", 25)
    state = dict(spent=0.0, wall=0.0, epoch=0, steps=0, best=float("inf"), checked=0.0)
    best, history = [a.clone() for a in average], []
    checkpoint = out.with_suffix(".checkpoint")
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        state, history = saved["state"], saved["history"]
        swap(model, saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        average, best = saved["average"], saved["best"]
    began, wall_began, spent, wall = cpu_seconds(), time.perf_counter(), state["spent"], state["wall"]

    def clock() -> float:
        return spent + cpu_seconds() - began

    while clock() < budget:
        order = np.random.default_rng([seed, state["epoch"]]).permutation(len(part["train"]))
        for i in range(0, len(order) - size + 1, size):
            progress = clock() / budget
            if progress >= 1:
                break
            for group in optimiser.param_groups:
                group["lr"] = float(recipe["lr"] * (0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * progress))))
            given, e_ref, f_ref = batch("train", order[i : i + size])
            optimiser.zero_grad(set_to_none=True)
            e, f = peer.evaluate(model, given, True)
            peer.loss(e, f, e_ref, f_ref, n, progress).backward()
            if recipe["clip"]:
                torch.nn.utils.clip_grad_norm_(model.parameters(), recipe["clip"])
            optimiser.step()
            state["steps"] += 1
            decay = min(recipe["ema"], (1 + state["steps"]) / (10 + state["steps"]))
            with torch.no_grad():
                for a, p in zip(average, model.parameters(), strict=True):
                    a.lerp_(p, 1 - decay)
        state["epoch"] += 1
        if clock() - state["checked"] < 0.02 * budget and clock() < budget:
            continue
        raw = swap(model, average)
        score = errors(peer, model, valid, offset)
        swap(model, raw)
        state["checked"], state["spent"] = clock(), clock()
        state["wall"] = wall + time.perf_counter() - wall_began
        history.append([state["spent"], state["epoch"], score["force_mae_mev_A"], score["energy_mae_mev"]])
        print(f"{state['spent']:7.1f} s  epoch {state['epoch']:4d}  valid {score}", flush=True)
        if score["force_mae_mev_A"] < state["best"]:
            state["best"], best = score["force_mae_mev_A"], [a.clone() for a in average]
        kept = dict(state=state, history=history, average=average, best=best)
        kept |= dict(model=[p.detach() for p in model.parameters()], optimiser=optimiser.state_dict())
        torch.save(kept, checkpoint.with_suffix(".new"))
        os.replace(checkpoint.with_suffix(".new"), checkpoint)
    swap(model, best)
    return {
        **errors(peer, model, batches("test", 50), offset),
        "valid_force_mae_mev_A": state["best"],
        "epochs": state["steps"] * size / len(part["train"]),
        "steps": state["steps"],
        "parameters": sum(p.numel() for p in model.parameters()),
        "cpu_s": state["spent"],
        "wall_s": state["wall"],
        "recipe": recipe,
        "budget_s": budget,
        "history": history,
    }
