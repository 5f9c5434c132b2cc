"""The networks of this project as the benchmarks call them: the only file here that knows their names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

# network, features, layers, l_max; the first one is of the kind and size of a PaiNN with 128 features
MODELS: dict[str, dict[str, Any]] = {
    "consil-128": {"network": "equivariant", "features": 128, "layers": 3, "l_max": 1},
    "consil-64": {"network": "equivariant", "features": 64, "layers": 3, "l_max": 1},
    "consil-physnet": {"network": "physnet", "features": 128, "layers": 5, "radial_size": 64},
}
NAMES = tuple(MODELS)


def network(name: str, z: np.ndarray, cutoff: float, **known: Any) -> Any:
    """A potential with random weights for the elements of z."""
    from consilience.potentials.build import Architecture, build

    return build(Architecture(species=tuple(sorted({int(i) for i in z})), cutoff=cutoff, **MODELS[name]), **known)


def ours(name: str, z: np.ndarray, frames: np.ndarray, cutoff: float) -> tuple[Any, Any, Any]:
    """(potential, positions (m n, 3) float32, graph) of frames (m, n, 3) of one molecule z (n,)."""
    from consilience.neighbours import neighbour_matrix
    from consilience.potentials.graph import padded, stacked

    m, n = frames.shape[:2]
    lists = padded([neighbour_matrix(x, cutoff) for x in frames], n)
    graph = stacked(np.tile(np.asarray(z, np.int32), (m, 1)), lists, np.zeros(m))
    return network(name, z, cutoff), frames.reshape(-1, 3).astype(np.float32), graph


def calculator(name: str, z: np.ndarray, cutoff: float) -> Any:
    """An ASE calculator of a network with random weights; all atoms of a small molecule are neighbours."""
    import equinox as eqx
    from ase_loop import ArrayCalculator

    from consilience.forces import forces_from
    from consilience.neighbours import all_pairs
    from consilience.potentials.molecule import molecule_energy

    energy, lists = molecule_energy(network(name, z, cutoff), z), all_pairs(len(z))
    call = eqx.filter_jit(forces_from(lambda x, energy, lists: energy(x, lists)))

    def evaluate(positions: np.ndarray) -> tuple[float, np.ndarray]:
        e, f = call(positions, energy, lists)
        return float(e), np.asarray(f, float)

    return ArrayCalculator(evaluate)


def dynamics(name: str, z: np.ndarray, x: np.ndarray, dt_fs: float, steps: int, cutoff: float) -> Callable[[], Any]:
    """A call that does `steps` NVE steps in the graph from rest; x (n, 3), or (replicas, n, 3) that move at once."""
    from ase.data import atomic_masses

    from consilience.md.simulate import simulate
    from consilience.potentials.molecule import molecule_energy

    energy, masses = molecule_energy(network(name, z, cutoff), z), atomic_masses[z]
    replicas = len(x) if x.ndim == 3 else 1

    def run() -> Any:
        still = np.zeros_like(x)
        done = simulate(
            energy, x, masses, steps=steps, dt=dt_fs, every=steps, block=steps, replicas=replicas, velocities=still
        )
        return done.trajectory.positions

    return run


def train(name: str, problem: dict[str, np.ndarray], options: dict, cutoff: float, checkpoint: Path) -> dict:
    """Our training with its defaults for options["budget_s"] seconds of CPU on problem (see cases.ethanol)."""
    from types import SimpleNamespace

    from timing import cpu_seconds

    from consilience.core import pace
    from consilience.frames.frames import Frames
    from consilience.potentials import training
    from consilience.potentials.dataset import batch_of, element_offsets, energy_scale
    from consilience.potentials.scores import predicted, score_row
    from consilience.potentials.weights import named, split

    pace.time = SimpleNamespace(monotonic=cpu_seconds)  # the clock of all contestants
    z, n = np.asarray(problem["z"]), len(problem["z"])

    def frames(which: str) -> Frames:
        x, e, f = (problem[f"{which}_{k}"] for k in "xef")
        return Frames(np.tile(z, (len(x), 1)), x, energy=e, forces=f)

    known = frames("train")
    species = tuple(sorted({int(i) for i in z}))
    potential = network(name, z, cutoff, offsets=element_offsets(known, species), scale=energy_scale(known))
    work, steer, free = (batch_of(frames(k), potential, ("energy", "forces")) for k in ("train", "valid", "test"))
    chosen = {k: v for k, v in options.items() if k in ("batch", "learning_rate", "average", "optimiser", "weights")}
    schedule = training.Schedule(epochs=5000, minutes=options["budget_s"] / 60, **chosen).settled(len(work), n)
    began = cpu_seconds()
    done = training.train(potential, work, steer, schedule, checkpoint=checkpoint, resume=checkpoint.exists())
    spent = cpu_seconds() - began
    row = score_row(predicted(done.potential, free), free)
    epochs = len(done.fit.history)
    return {
        "energy_mae_mev": n * row["energy_mae_mev_atom"],
        "force_mae_mev_A": row["force_mae_mev_A"],
        "epochs": epochs,
        "steps": epochs * (len(work) // schedule.batch),
        "parameters": sum(a.size for a in named(split(done.potential)[0]).values()),
        "cpu_s": spent,
        "budget_s": options["budget_s"],
    }
