"""The recipe of a training: presets of the models, over them the configuration file, --set, and options."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from consilience.core.errors import InputError, clean
from consilience.frames.frames import CHANNELS
from consilience.jobs.common.config import load_config
from consilience.jobs.common.options import TrainOptions

# configuration key -> field, in the words of the contract
NETWORK = {
    "name": "network", "r_max": "cutoff", "cutoff": "cutoff", "features": "features", "layers": "layers",
    "l_max": "l_max", "radial_basis": "radial_size", "radial_size": "radial_size", "radial": "radial",
    "sites": "sites", "site_pairs": "site_pairs", "reach": "reach", "repulsion": "repulsion",
    "electrostatics": "electrostatics", "coulomb_cutoff": "coulomb_cutoff",
}  # fmt: skip
TRAINING = {
    "optimizer": "optimiser", "epochs": "epochs", "minutes": "minutes", "batch_size": "batch", "batch": "batch",
    "learning_rate": "learning_rate", "average": "average", "clip": "clip", "weight_decay": "weight_decay",
    "weights": "weights", "penalty": "penalty", "patience": "patience", "scale": "scale",
}  # fmt: skip
FEW = 6  # atoms, mean of all frames
FOR_FEW = {"radial": "exponential"}, {"scale": "likely"}  # of the architecture, of the schedule
SECTIONS = ("schema_version", "data", "model", "training", "simulation", "output")


@dataclass(frozen=True)
class Recipe:
    """Values that differ from the defaults of `Architecture` and `Schedule`, by field name."""

    architecture: dict[str, Any]
    schedule: dict[str, Any]


def recipe(options: TrainOptions) -> Recipe:
    """The recipe of `options`. Raises InputError for a key that is not known, with the nearest one, and bad values."""
    from consilience.potentials.build import PRESETS

    said = dict(load_config(options.config)) if options.config else {}
    where = str(options.config or "--set")
    for setting in options.settings:
        put(said, setting)
    _known(said, SECTIONS, where, "")
    if said.get("schema_version", 1) != 1:
        raise InputError("the configuration is of another version", where, clean(said["schema_version"]), "1")
    model = _mapping(said, "model", where)
    _known(model, ("network", "prior"), where, "model.")
    if model.get("prior") is not None:
        raise InputError("a prior belongs to models of beads", where, "model.prior", fix="remove it")
    network = _renamed(_mapping(model, "network", where), NETWORK, where, "model.network.")
    training = _renamed(_mapping(said, "training", where), TRAINING, where, "training.")
    if "network" in network and network["network"] not in (options.model, options.model.split("+")[0]):
        found, expected = clean(network["network"]), options.model
        raise InputError("the configuration names another network than --model", where, found, expected)
    network.pop("network", None)
    weights = training.get("weights", {})
    _known(weights if isinstance(weights, Mapping) else {}, CHANNELS, where, "training.weights.")
    given = {"epochs": options.epochs, "minutes": options.minutes, "batch": options.batch}
    training |= {k: v for k, v in given.items() if v is not None}
    return Recipe({**PRESETS[options.model], **network}, _checked_schedule(training, where))


def for_molecules(made: Recipe, atoms: float) -> Recipe:
    """The recipe with what serves molecules of so many atoms, in the mean, where it says nothing of its own.

    The equivariant network learns those of a few atoms better by exponential functions and the likely scale.
    """
    if made.architecture["network"] != "equivariant" or atoms > FEW:
        return made
    architecture, schedule = FOR_FEW
    return Recipe(architecture | made.architecture, schedule | made.schedule)


def architecture_of(made: Recipe, species: tuple[int, ...], where: str = "the recipe") -> Any:
    """The architecture for some elements. Raises InputError for numbers out of range."""
    from consilience.potentials.build import Architecture
    from consilience.potentials.bundle import checked_architecture

    try:
        return checked_architecture(replace(Architecture("equivariant", species), **made.architecture))
    except (ValueError, TypeError) as err:
        raise InputError("the network cannot be built", where, clean(err)) from None


def _checked_schedule(training: dict[str, Any], where: str) -> dict[str, Any]:
    from consilience.potentials.training import Schedule

    kinds = {f.name: f.type for f in fields(Schedule)}
    ranges = {
        "epochs": (1, 100_000), "minutes": (0.01, 1e5), "batch": (1, 100_000), "learning_rate": (1e-8, 1.0),
        "average": (0.0, 0.99999), "clip": (1e-6, 1e9), "weight_decay": (0.0, 1.0), "penalty": (0.0, 1e3),
        "patience": (1, 100_000),
    }  # fmt: skip
    out: dict[str, Any] = {}
    for key, value in training.items():
        if key == "optimiser":
            if value not in ("adabelief-yogi", "adabelief", "yogi", "adam"):
                expected = "adabelief-yogi, adabelief, yogi or adam"
                raise InputError("unknown optimizer", f"{where}, training.optimizer", clean(value), expected)
            out[key] = value
        elif key == "scale":
            if value not in ("rms", "likely"):
                raise InputError("unknown scale", f"{where}, training.scale", clean(value), "rms or likely")
            out[key] = value
        elif key == "weights":
            ok = isinstance(value, Mapping) and all(
                isinstance(v, int | float) and not isinstance(v, bool) and 0 <= v < 1e9 for v in value.values()
            )
            if not ok:
                raise InputError("weights are not understood", where, clean(value)[:80], "energy: X, forces: X, ...")
            out[key] = {k: float(v) for k, v in value.items()}
        else:
            low, high = ranges[key]
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not low <= value <= high or ("int" in str(kinds[key]) and value != int(value)):
                raise InputError(f"training.{key} is out of range", where, clean(value)[:80], f"{low:g} to {high:g}")
            out[key] = int(value) if "int" in str(kinds[key]) else float(value)
    return out


def put(said: dict[str, Any], setting: str) -> None:
    """Put key.sub=value into nested mappings."""
    import yaml

    name, equals, text = setting.partition("=")
    path = [p for p in name.strip().split(".") if p]
    if not equals or not path:
        raise InputError("--set is not understood", found=clean(setting), expected="section.key=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise InputError("--set holds a value that cannot be parsed", found=clean(setting)) from None
    if isinstance(value, str):
        try:
            value = float(value)  # YAML reads 1e-3 as text
        except ValueError:
            pass
    if path[0] in NETWORK and path[0] not in SECTIONS:
        path = ["model", "network", *path]
    elif path[0] in TRAINING:
        path = ["training", *path]
    for part in path[:-1]:
        inner = said.setdefault(part, {})
        if not isinstance(inner, dict):
            raise InputError("--set names a key inside a value", found=clean(setting))
        said = inner
    said[path[-1]] = value


def _mapping(said: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    value = said.get(key, {})
    if not isinstance(value, Mapping):
        raise InputError(f"{key} is not a mapping", where, type(value).__name__, "keys with values")
    return dict(value)


def _known(said: Mapping[str, Any], known: Any, where: str, prefix: str) -> None:
    for key in said:
        if key not in known:
            close = difflib.get_close_matches(str(key), list(known), n=1)
            fix = f"did you mean {prefix}{close[0]}?" if close else f"known: {', '.join(known)}"
            raise InputError(f"unknown key {prefix}{clean(key)} in the configuration", where, fix=fix)


def _renamed(said: Mapping[str, Any], names: Mapping[str, str], where: str, prefix: str) -> dict[str, Any]:
    _known(said, names, where, prefix)
    out: dict[str, Any] = {}
    for key, value in said.items():
        if names[key] in out:
            raise InputError(f"{prefix}{key} is given twice, under two names", where, fix="keep one of them")
        if isinstance(value, str) and key not in ("name", "optimizer"):
            try:
                value = float(value)
            except ValueError:
                pass
        out[names[key]] = value
    return out
