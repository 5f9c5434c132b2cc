"""The recipe of a training on beads: defaults, over them the configuration file, --set, and options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from consilience.core.errors import InputError, clean, raise_errors
from consilience.jobs.check_recipe import check_recipe
from consilience.jobs.config import load_config
from consilience.jobs.options import TrainOptions
from consilience.jobs.train_recipe import put
from consilience.units import KCAL_MOL

BEAD_MODELS = ("prior", "allegro", "hybrid")
_NETWORK = {"r_max": "cutoff", "radial_basis": "radial_size"}
_TRAINING = {
    "optimizer": "optimiser", "batch_size": "batch", "ema": "average", "epochs": "epochs", "minutes": "minutes",
    "batch": "batch", "learning_rate": "learning_rate", "average": "average", "clip": "clip",
    "weight_decay": "weight_decay", "patience": "patience", "force_cap": "force_cap", "smoothness": "smoothness",
}  # fmt: skip


@dataclass(frozen=True)
class PriorRecipe:
    """by: coefficients of residue types, or of the sites of one sequence. stiffness eV/Å², excluded volume eV.

    frames: of each protein at most, evenly chosen. near: whether separations 2..5 repel (without: for comparison).
    """

    by: Literal["types", "sites"] = "types"
    pair: bool = True
    stiffness: float = 200.0 * KCAL_MOL
    excluded_volume: float | None = None
    frames: int = 3000
    near: bool = True


@dataclass(frozen=True)
class BeadRecipe:
    """Everything that says how a model of beads is trained.

    fractions: share of the frames by label (temperature, source) or None; weights: of proteins in the loss; noise: Å,
    added to positions; prior_trains: the prior moves with the network.
    """

    prior: PriorRecipe
    network: dict[str, Any]
    schedule: dict[str, Any]
    fractions: Mapping[str, float] | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    noise: float = 0.0
    prior_trains: bool = False
    stride: int = 1


def bead_recipe(options: TrainOptions) -> BeadRecipe:
    """The recipe of `options`. Raises InputError for every key that is not known and every bad value at once."""
    said: dict[str, Any] = dict(load_config(options.config)) if options.config else {}
    for setting in options.settings:
        put(said, setting)
    where = str(options.config or "--set")
    prior_said = said.get("model", {}).get("prior") if isinstance(said.get("model"), Mapping) else None
    own = {}
    if isinstance(prior_said, Mapping):  # our own words beside those of the terms
        own = {k: v for k, v in prior_said.items() if k in ("by", "frames")}
        said = {**said, "model": {**said["model"], "prior": {k: v for k, v in prior_said.items() if k not in own}}}
    raise_errors(list(check_recipe(said, where).findings))
    model, training, data = (_mapping(said, key) for key in ("model", "training", "data"))
    network = {_NETWORK.get(k, k): v for k, v in _mapping(model, "network").items()}
    name = network.pop("name", "allegro")
    if name != "allegro":
        raise InputError("beads take another network", where, clean(name), "allegro")
    schedule = {}
    for key, value in training.items():
        if key in _TRAINING:
            schedule[_TRAINING[key]] = value
        elif key not in ("noise", "prior", "ensemble"):
            raise InputError(f"training.{key} is not for beads", where, fix="remove it")
    given = {"epochs": options.epochs, "minutes": options.minutes, "batch": options.batch}
    schedule |= {k: v for k, v in given.items() if v is not None}
    trains = training.get("prior", "frozen")
    if trains not in ("frozen", "trained"):
        raise InputError("training.prior is not understood", where, clean(trains), "frozen or trained")
    return BeadRecipe(
        _prior(_mapping(model, "prior"), own, where),
        {k: float(v) if isinstance(v, str) else v for k, v in network.items()},
        schedule,
        _shares(data.get("fractions"), "data.fractions", where),
        _shares(data.get("weights"), "data.weights", where) or {},
        float(training.get("noise", 0.0)),
        trains == "trained",
        int(data.get("stride", 1)),
    )


def _prior(said: Mapping[str, Any], own: Mapping[str, Any], where: str) -> PriorRecipe:
    by, frames = own.get("by", "types"), own.get("frames", 3000)
    if by not in ("types", "sites"):
        raise InputError("model.prior.by is not understood", where, clean(by), "types or sites")
    if isinstance(frames, bool) or not isinstance(frames, int | float) or not 10 <= frames <= 1e7:
        raise InputError("model.prior.frames is out of range", where, clean(frames), "10 to 1e7")
    bond, volume = _mapping(said, "bond"), said.get("excluded_volume", {})
    stiffness = float(bond.get("k", 200.0)) * KCAL_MOL
    near, epsilon = True, None
    if volume is False:
        raise InputError("a prior of beads has an excluded volume", where, fix="remove excluded_volume: false")
    if isinstance(volume, Mapping):
        near = float(volume.get("min_separation", 2)) <= 2
        epsilon = float(volume["epsilon"]) * KCAL_MOL if "epsilon" in volume else None
    pair = said.get("pair", True)
    return PriorRecipe(by, pair is not False, stiffness, epsilon, int(frames), near)


def _mapping(said: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = said.get(key)
    return dict(value) if isinstance(value, Mapping) else {}


def _shares(value: Any, name: str, where: str) -> dict[str, float] | None:
    if value is None:
        return None
    ok = isinstance(value, Mapping) and all(
        isinstance(v, int | float) and not isinstance(v, bool) and 0 <= v < 1e6 for v in value.values()
    )
    if not ok:
        raise InputError(f"{name} is not understood", where, clean(value)[:80], "LABEL: NUMBER, ...")
    return {str(k): float(v) for k, v in value.items()}
