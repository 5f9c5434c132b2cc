"""MACE (mace-torch) as a peer: models, inputs, energies and forces, and its own recipe of training."""

from __future__ import annotations

import mace  # noqa: F401  first: it lets e3nn 0.4.4 read its own constants under a new torch
import numpy as np
import torch
from e3nn import o3
from mace import modules

MODELS = {
    "mace-64": dict(hidden="64x0e + 64x1o", ell=3),
    "mace-32": dict(hidden="32x0e + 32x1o", ell=3),
    "mace-32-l2": dict(hidden="32x0e + 32x1o", ell=2),
}


def build(name: str, elements: list[int], scale: dict) -> torch.nn.Module:
    """Two layers, correlation 3 and every other default of its command line; scales from the training set."""
    chosen = MODELS[name]
    residual = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    return modules.ScaleShiftMACE(
        r_max=scale["cutoff"],
        num_bessel=8,
        num_polynomial_cutoff=5,
        max_ell=chosen["ell"],
        interaction_cls=residual,
        interaction_cls_first=modules.interaction_classes["RealAgnosticInteractionBlock"],
        num_interactions=2,
        num_elements=len(elements),
        hidden_irreps=o3.Irreps(chosen["hidden"]),
        MLP_irreps=o3.Irreps("16x0e"),
        atomic_energies=np.full((1, len(elements)), scale["energy_per_atom"]),
        avg_num_neighbors=scale["neighbours"],
        atomic_numbers=elements,
        correlation=3,
        gate=torch.nn.functional.silu,
        use_reduced_cg=False,
        radial_MLP=[64, 64, 64],
        atomic_inter_scale=scale["force_rms"],
        atomic_inter_shift=0.0,
    )


def inputs(batch, elements: list[int]) -> dict[str, torch.Tensor]:
    kind = torch.tensor(np.searchsorted(elements, batch.z))
    e, m = batch.edges.shape[1], len(batch.sizes)
    return {
        "positions": torch.tensor(batch.x, dtype=torch.float32),
        "node_attrs": torch.nn.functional.one_hot(kind, len(elements)).to(torch.float32),
        "edge_index": torch.tensor(batch.edges),
        "shifts": torch.zeros(e, 3),
        "unit_shifts": torch.zeros(e, 3),
        "cell": torch.zeros(3 * m, 3),
        "batch": torch.tensor(batch.frame),
        "ptr": torch.tensor(np.concatenate([[0], np.cumsum(batch.sizes)])),
        "head": torch.zeros(m, dtype=torch.int64),
    }


def evaluate(model: torch.nn.Module, given: dict, training: bool) -> tuple[torch.Tensor, torch.Tensor]:
    out = model(dict(given), training=training)
    return out["energy"], out["forces"]


def optimiser(model: torch.nn.Module, lr: float) -> torch.optim.Optimizer:
    """Adam with AMSGrad and weight decay on the linear maps of interactions and on products, as in its command line."""
    decayed = [
        p
        for name, p in model.named_parameters()
        if name.startswith("products.")
        or (name.startswith("interactions.") and ("linear.weight" in name or "skip_tp_full.weight" in name))
    ]
    chosen = {id(p) for p in decayed}
    others = [p for p in model.parameters() if id(p) not in chosen]
    groups = [{"params": decayed, "weight_decay": 5e-7}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.Adam(groups, lr=lr, amsgrad=True)


def loss(e, f, e_ref, f_ref, sizes, progress: float) -> torch.Tensor:
    """Its weighted loss, 1 on energies per atom and 100 on forces; in the last fifth 1000 and 100 (stage two)."""
    weight = 1000.0 if progress > 0.8 else 1.0
    return weight * torch.mean(((e - e_ref) / sizes) ** 2) + 100.0 * torch.mean((f - f_ref) ** 2)


RECIPE = dict(batch=5, lr=0.01, ema=0.99, clip=10.0)
