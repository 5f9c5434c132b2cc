"""NequIP as a peer: models, inputs, energies and forces, and its own recipe of training."""

from __future__ import annotations

import tempfile

import numpy as np
import torch
from nequip.model import NequIPGNNModel
from nequip.model.inference_models import load_compiled_model
from nequip.scripts._compile_utils import ASE_OUTPUTS, PAIR_NEQUIP_INPUTS
from nequip.utils.aot import aot_export_model
from nequip.utils.global_state import set_global_state

MODELS = {
    "nequip-l1": dict(num_layers=3, l_max=1, num_features=32, parity=True),
    "nequip-l1-compiled": dict(num_layers=3, l_max=1, num_features=32, parity=True, compile_mode="compile"),
    "nequip-4x32": dict(num_layers=4, l_max=1, num_features=32, parity=False),
    "nequip-3x64": dict(num_layers=3, l_max=1, num_features=64, parity=False),
    "nequip-4x32-compiled": dict(num_layers=4, l_max=1, num_features=32, parity=False, compile_mode="compile"),
}
SYMBOLS = {1: "H", 6: "C", 7: "N", 8: "O"}


def build(name: str, elements: list[int], scale: dict, **changed) -> torch.nn.Module:
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
        **MODELS[name] | changed,
    )


def for_inference(name: str, elements: list[int], scale: dict, given: dict) -> torch.nn.Module:
    """The network as its users run it; "-compiled" ahead of time by Inductor for any number of atoms, as for ASE."""
    model = build(name, elements, scale, compile_mode="eager").eval()
    if not name.endswith("-compiled"):
        return model
    dynamic = torch.export.dynamic_shapes.Dim
    sizes = {
        "graph": torch.export.Dim.STATIC,
        "node": dynamic("num_nodes", min=2, max=torch.inf),
        "edge": dynamic("num_edges", min=2, max=torch.inf),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/model.nequip.pt2"
        metadata = {k: str(int(v)) if isinstance(v, bool) else str(v) for k, v in model.metadata.items()}
        aot_export_model(
            model=model,
            device="cpu",
            input_fields=PAIR_NEQUIP_INPUTS,
            output_fields=ASE_OUTPUTS,
            data=single(given),
            batch_map=sizes,
            output_path=path,
            inductor_configs={"aot_inductor.metadata": metadata | {"allow_tf32": "0"}},
            seed=1,
        )
        return load_compiled_model(path, "cpu", PAIR_NEQUIP_INPUTS, ASE_OUTPUTS)[0]


def single(given: dict) -> dict[str, torch.Tensor]:
    """One molecule in a large cell without images, the input of compiled networks."""
    kept = {k: given[k] for k in ("pos", "atom_types", "edge_index")}
    images = torch.zeros(given["edge_index"].shape[1], 3)
    return kept | {"cell": 1e3 * torch.eye(3)[None], "edge_cell_shift": images}


def inputs(batch, elements: list[int]) -> dict[str, torch.Tensor]:
    return {
        "pos": torch.tensor(batch.x, dtype=torch.float32),
        "atom_types": torch.tensor(np.searchsorted(elements, batch.z)),
        "edge_index": torch.tensor(batch.edges),
        "batch": torch.tensor(batch.frame),
        "num_atoms": torch.tensor(batch.sizes),
    }


def evaluate(model: torch.nn.Module, given: dict, training: bool) -> tuple[torch.Tensor, torch.Tensor]:
    if hasattr(model, "input_keys"):  # compiled ahead of time
        given = single(given)
    else:
        model.train(training)
        given = given | {"pos": given["pos"].clone()}
    out = model(given)
    return out["total_energy"].reshape(-1), out["forces"]


def optimiser(model: torch.nn.Module, lr: float) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=lr, amsgrad=True)


def loss(e, f, e_ref, f_ref, sizes, progress: float) -> torch.Tensor:
    """Equal weights on energies per atom and on force components, the setting of its tutorials."""
    return torch.mean(((e - e_ref) / sizes) ** 2) + torch.mean((f - f_ref) ** 2)


RECIPE = dict(batch=5, lr=0.01, ema=0.999, clip=None)
