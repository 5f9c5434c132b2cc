"""NequIP as a peer: models, inputs, energies and forces, and its own recipe of training."""

from __future__ import annotations

import numpy as np
import torch
from nequip.model import NequIPGNNModel
from nequip.utils.global_state import set_global_state

MODELS = {
    "nequip-l1": dict(num_layers=3, l_max=1, num_features=32, parity=True),
    "nequip-l1-compiled": dict(num_layers=3, l_max=1, num_features=32, parity=True, compile_mode="compile"),
    "nequip-4x32": dict(num_layers=4, l_max=1, num_features=32, parity=False),
    "nequip-3x64": dict(num_layers=3, l_max=1, num_features=64, parity=False),
    "nequip-4x32-compiled": dict(num_layers=4, l_max=1, num_features=32, parity=False, compile_mode="compile"),
}
SYMBOLS = {1: "H", 6: "C", 7: "N", 8: "O"}


def build(name: str, elements: list[int], scale: dict) -> torch.nn.Module:
    """Its defaults but for layers, degree and features; scales from the training set."""
    set_global_state()
    return NequIPGNNModel(
        seed=1,
        model_dtype="float32",
        type_names=[SYMBOLS[z] for z in elements],
        r_max=scale["cutoff"],
        avg_num_neighbors=scale["neighbours"],
        per_type_energy_scales=scale["force_rms"],
        per_type_energy_shifts=scale["energy_per_atom"],
        **MODELS[name],
    )


def inputs(batch, elements: list[int]) -> dict[str, torch.Tensor]:
    return {
        "pos": torch.tensor(batch.x, dtype=torch.float32),
        "atom_types": torch.tensor(np.searchsorted(elements, batch.z)),
        "edge_index": torch.tensor(batch.edges),
        "batch": torch.tensor(batch.frame),
        "num_atoms": torch.tensor(batch.sizes),
    }


def evaluate(model: torch.nn.Module, given: dict, training: bool) -> tuple[torch.Tensor, torch.Tensor]:
    model.train(training)
    out = model({k: v.clone() if k == "pos" else v for k, v in given.items()})
    return out["total_energy"].reshape(-1), out["forces"]


def optimiser(model: torch.nn.Module, lr: float) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=lr, amsgrad=True)


def loss(e, f, e_ref, f_ref, sizes, progress: float) -> torch.Tensor:
    """Equal weights on energies per atom and on force components, the setting of its tutorials."""
    return torch.mean(((e - e_ref) / sizes) ** 2) + torch.mean((f - f_ref) ** 2)


RECIPE = dict(batch=5, lr=0.01, ema=0.999, clip=None)
