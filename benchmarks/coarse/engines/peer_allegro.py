"""nequip-allegro as a peer: CPU time of energy and forces; runs in the peer's own environment.

peer_allegro.py PROBLEM.npz OUT.json SECONDS; one thread, float32, eager.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from allegro.model import AllegroModel
from nequip.utils.global_state import set_global_state

SHAPES = {"l1, 1 layer": (1, 1), "l2, 2 layers": (2, 2)}


def build(l_max: int, layers: int, types: list[str], cutoff: float) -> torch.nn.Module:
    """64 scalar and 16 tensor features, as ours; everything else by its defaults."""
    set_global_state()
    return AllegroModel(
        seed=1,
        model_dtype="float32",
        type_names=types,
        r_max=cutoff,
        radial_chemical_embed={"_target_": "allegro.nn.TwoBodyBesselScalarEmbed", "num_bessels": 8},
        l_max=l_max,
        parity=False,
        num_layers=layers,
        num_scalar_features=64,
        num_tensor_features=16,
        avg_num_neighbors=12.0,
        compile_mode="eager",
    ).eval()


def main() -> None:
    torch.set_num_threads(1)
    problem, out, seconds = np.load(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    rows: dict[str, dict[str, float]] = {}
    for name, (l_max, layers) in SHAPES.items():
        model = build(l_max, layers, [str(t) for t in problem["names"]], float(problem["cutoff"]))
        count = sum(p.numel() for p in model.parameters())
        rows[name] = {"parameters": count}
        for n in problem["sizes"]:
            given = {
                "pos": torch.tensor(problem[f"x{n}"], dtype=torch.float32),
                "atom_types": torch.tensor(problem[f"t{n}"]),
                "edge_index": torch.tensor(problem[f"e{n}"]),
                "batch": torch.zeros(int(n), dtype=torch.long),
                "num_atoms": torch.tensor([int(n)]),
            }

            def call(m=model, g=given):
                return m(g | {"pos": g["pos"].clone()})["forces"]

            for _ in range(3):
                force = call()
            rows[name][f"edges {n}"] = given["edge_index"].shape[1]
            rows[name][f"least force {n}"] = float(force.norm(dim=1).min())
            times: list[float] = []
            while len(times) < 5 or (sum(times) < seconds and len(times) < 300):
                began = time.process_time()
                call()
                times.append(time.process_time() - began)
            rows[name][str(n)] = 1e3 * float(np.median(times))
    out.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
