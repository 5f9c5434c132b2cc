"""SchNetPack (PaiNN and SchNet) as a peer: models, inputs, energies and forces, and its own recipe of training."""

from __future__ import annotations

import numpy as np
import torch
import torch.utils.data.dataloader as dataloader

if not hasattr(dataloader, "T_co"):  # a type name that torch took away; SchNetPack 2.1.1 imports it
    dataloader.T_co = dataloader._T_co if hasattr(dataloader, "_T_co") else object

from schnetpack.atomistic import Atomwise, Forces, PairwiseDistances
from schnetpack.model import NeuralNetworkPotential
from schnetpack.nn import CosineCutoff, GaussianRBF
from schnetpack.representation import PaiNN, SchNet

MODELS = {"painn-128": (PaiNN, 128), "painn-64": (PaiNN, 64), "schnet-128": (SchNet, 128), "schnet-64": (SchNet, 64)}
KCAL = 0.0433641  # eV; its configurations for MD17 work in kcal/mol


class Shifted(torch.nn.Module):
    """The network learns E - mean in kcal/mol; energies (m,) and forces (n, 3) leave in eV."""

    def __init__(self, network: torch.nn.Module, energy_per_atom: float):
        super().__init__()
        self.network, self.energy_per_atom = network, energy_per_atom

    def forward(self, given: dict) -> tuple[torch.Tensor, torch.Tensor]:
        out = self.network(given)
        return out["energy"] * KCAL + self.energy_per_atom * given["_n_atoms"], out["forces"] * KCAL


def build(name: str, elements: list[int], scale: dict) -> torch.nn.Module:
    """Three interactions, 20 Gaussians, cosine cutoff: its configuration for MD17."""
    kind, features = MODELS[name]
    basis, cutoff = GaussianRBF(n_rbf=20, cutoff=scale["cutoff"]), CosineCutoff(scale["cutoff"])
    network = NeuralNetworkPotential(
        representation=kind(n_atom_basis=features, n_interactions=3, radial_basis=basis, cutoff_fn=cutoff),
        input_modules=[PairwiseDistances()],
        output_modules=[Atomwise(n_in=features, output_key="energy"), Forces()],
    )
    return Shifted(network, scale["energy_per_atom"])


def inputs(batch, elements: list[int]) -> dict[str, torch.Tensor]:
    return {
        "_atomic_numbers": torch.tensor(batch.z.astype(np.int64)),
        "_positions": torch.tensor(batch.x, dtype=torch.float32),
        "_idx_i": torch.tensor(batch.edges[0]),
        "_idx_j": torch.tensor(batch.edges[1]),
        "_offsets": torch.zeros(batch.edges.shape[1], 3),
        "_idx_m": torch.tensor(batch.frame),
        "_n_atoms": torch.tensor(batch.sizes),
    }


def evaluate(model: torch.nn.Module, given: dict, training: bool) -> tuple[torch.Tensor, torch.Tensor]:
    model.train(training)
    given = dict(given)
    given["_positions"] = given["_positions"].detach().clone()
    return model(given)


def optimiser(model: torch.nn.Module, lr: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.0)


def loss(e, f, e_ref, f_ref, sizes, progress: float) -> torch.Tensor:
    """0.01 on energies and 0.99 on forces, in kcal/mol and Å."""
    return (0.01 * torch.mean((e - e_ref) ** 2) + 0.99 * torch.mean((f - f_ref) ** 2)) / KCAL**2


RECIPE = dict(batch=10, lr=1e-3, ema=0.995, clip=None)
