"""The recipe of a training on beads: defaults, over them the configuration file, --set, and options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from consilience.core.errors import InputError, clean, raise_errors
from consilience.jobs.check.recipe import check_recipe
from consilience.jobs.common.config import load_config
from consilience.jobs.common.options import TrainOptions
from consilience.jobs.train.recipe import put
from consilience.units import KCAL_MOL

BEAD_MODELS = ("prior", "allegro", "hybrid")
_NETWORK = {"r_max": "cutoff", "radial_basis": "radial_size"}
_TRAINING = {
    "optimizer": "optimiser", "batch_size": "batch", "ema": "average", "epochs": "epochs", "minutes": "minutes",
    "batch": "batch", "learning_rate": "learning_rate", "average": "average", "clip": "clip",
    "weight_decay": "weight_decay", "patience": "patience", "force_cap": "force_cap", "smoothness": "smoothness",
}  # fmt: skip
_WHOLE = ("epochs", "batch", "patience")
_TRIAL = {"dt_fs": "dt", "steps": "steps", "temperature_k": "temperature", "replicas": "replicas"}


@dataclass(frozen=True)
class PriorRecipe:
    """by: coefficients of residue types, or of the sites of one sequence. frames: of each protein, evenly chosen.

    What the fit starts from and is drawn to: bonds of `length` Å and `stiffness` eV/Å²; excluded volume of `epsilon` eV
    (None: of its default) at `sigma` Å. populations: angles and dihedrals follow those of the data in dynamics as well,
    in rounds of `population_steps`.
    """

    by: Literal["types", "sites"] = "types"
    pair: bool = True
    length: float = 3.8
    stiffness: float = 200.0 * KCAL_MOL
    epsilon: float | None = None
    sigma: float = 4.0
    frames: int = 10_000
    populations: bool = False
    population_steps: int = 100_000


@dataclass(frozen=True)
class BeadRecipe:
    """Everything that says how a model of beads is trained.

    fractions: share of the frames by label (temperature, source) or None; weights: of proteins in the loss; noise: Å,
    added to positions; prior_trains: the prior moves with the network. trial: arguments of the trial in dynamics.
    files, valid, free, directory: what a configuration says of data and output; order: seed of the order of frames.
    """

    prior: PriorRecipe
    network: dict[str, Any]
    schedule: dict[str, Any]
    fractions: Mapping[str, float] | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    noise: float = 0.0
    prior_trains: bool = False
    stride: int = 1
    order: int | None = None
    trial: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    valid: str | None = None
    free: str | None = None
    directory: str | None = None


def bead_recipe(options: TrainOptions) -> BeadRecipe:
    """The recipe of `options`. Raises InputError for every key that is not known and every bad value at once."""
    said: dict[str, Any] = dict(load_config(options.config)) if options.config else {}
    for setting in options.settings:
        put(said, setting)
    where = str(options.config or "--set")
    raise_errors(list(check_recipe(said, where).findings))
    model, training, data, dynamics, output = (
        _mapping(said, key) for key in ("model", "training", "data", "simulation", "output")
    )
    given = {"epochs": options.epochs, "minutes": options.minutes, "batch": options.batch}
    schedule = _schedule(training, where) | {k: v for k, v in given.items() if v is not None}
    return BeadRecipe(
        _prior(_mapping(model, "prior")),
        _network(_mapping(model, "network"), where),
        schedule,
        _shares(data.get("fractions"), "data.fractions", where),
        _shares(data.get("weights"), "data.weights", where) or {},
        float(training.get("noise", 0.0)),
        training.get("prior", "frozen") == "trained",
        int(float(data.get("stride", 1))),
        int(float(data["seed"])) if "seed" in data else None,
        _trial(dynamics, where),
        tuple(_names(data.get("train"), "data.train", where)),
        _valid(data, where),
        _free(data, where),
        _directory(output, where),
    )


def with_recipe(options: TrainOptions, files: Sequence[str | Path], recipe: BeadRecipe) -> TrainOptions:
    """Options with what the recipe says of data where the command says nothing.

    Raises InputError where a configuration names other files to train on than the command.
    """
    here, there = {Path(f).name for f in files}, {Path(f).name for f in recipe.files}
    if there and here != there:
        raise InputError("data.train names other files than the command", str(options.config or "--set"),
                         clean(", ".join(sorted(there))), ", ".join(sorted(here)), "remove data.train")  # fmt: skip
    return replace(options, valid=options.valid or recipe.valid, free=options.free or recipe.free)


def _schedule(training: Mapping[str, Any], where: str) -> dict[str, Any]:
    schedule: dict[str, Any] = {}
    for key, value in training.items():
        if key in ("noise", "prior") or value is None:
            continue
        if key not in _TRAINING:
            raise InputError(f"training.{key} is not for beads", where, fix="remove it")
        name = _TRAINING[key]
        if name in schedule:
            raise InputError(f"training.{key} is given twice, under two names", where, fix="keep one of them")
        number = value if name == "optimiser" else float(value)  # YAML reads 1e-3 as text
        schedule[name] = int(number) if name in _WHOLE else number
    if "force_cap" in schedule:
        schedule["force_cap"] *= KCAL_MOL
    return schedule


def _network(said: Mapping[str, Any], where: str) -> dict[str, Any]:
    from consilience.potentials.beads.model import checked_shape

    network: dict[str, Any] = {}
    for key, value in said.items():
        name = _NETWORK.get(key, key)
        if name in network:
            raise InputError(f"model.network.{key} is given twice, under two names", where, fix="keep one of them")
        network[name] = _number(value)
    name = network.pop("name", "allegro")
    if name != "allegro":
        raise InputError("beads take another network", where, clean(name), "allegro")
    try:
        checked_shape(network)
    except (ValueError, TypeError) as err:
        raise InputError("the network cannot be built", f"{where}, model.network", clean(err)[:200]) from None
    return network


def _number(value: Any) -> Any:
    """Text that is a number as one."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _prior(said: Mapping[str, Any]) -> PriorRecipe:
    bond, volume = _mapping(said, "bond"), _mapping(said, "excluded_volume")
    return PriorRecipe(
        said.get("by", "types"),
        said.get("pair", True) is not False,
        float(bond.get("r0", 3.8)),
        float(bond.get("k", 200.0)) * KCAL_MOL,
        float(volume["epsilon"]) * KCAL_MOL if "epsilon" in volume else None,
        float(volume.get("sigma", 4.0)),
        int(float(said.get("frames", PriorRecipe.frames))),
        bool(said.get("populations", said.get("by") == "sites")),
        int(float(said.get("population_steps", PriorRecipe.population_steps))),
    )


def _trial(said: Mapping[str, Any], where: str) -> dict[str, Any]:
    for key in said:
        if key not in _TRIAL:
            raise InputError(f"simulation.{key} is not for training", where, expected=", ".join(_TRIAL),
                             fix="the trial of a trained model is Langevin dynamics")  # fmt: skip
    out = {_TRIAL[k]: float(v) for k, v in said.items()}
    return {k: int(v) if k in ("steps", "replicas") else v for k, v in out.items()}


def _names(value: Any, name: str, where: str) -> list[str]:
    values = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(v, str) for v in values):
        raise InputError(f"{name} is not understood", where, clean(value)[:80], "a name, or a list of names")
    return values


def _valid(data: Mapping[str, Any], where: str) -> str | None:
    said = [k for k in ("val", "valid", "val_fraction", "valid_fraction") if data.get(k) is not None]
    if len(said) > 1:
        raise InputError(f"data.{said[0]} and data.{said[1]} are given both", where, fix="keep one of them")
    if not said:
        return None
    if said[0].endswith("fraction"):
        return f"{float(data[said[0]]):g}"
    names = _names(data[said[0]], f"data.{said[0]}", where)
    if len(names) != 1:
        raise InputError(f"data.{said[0]} names several files", where, clean(names)[:80], "one file")
    return _found(names[0], where)


def _free(data: Mapping[str, Any], where: str) -> str | None:
    names = _names(data.get("free"), "data.free", where)
    return _found(names[0], where) if len(names) == 1 else ",".join(names) or None


def _found(name: str, where: str) -> str:
    """A file as it is named, or beside the configuration."""
    beside = Path(where).parent / name
    return str(beside) if not Path(name).exists() and beside.is_file() else name


def _directory(output: Mapping[str, Any], where: str) -> str | None:
    value = output.get("directory")
    if value is None:
        return None
    if not isinstance(value, str) or not value or Path(value).is_absolute() or ".." in Path(value).parts:
        raise InputError("output.directory is not possible", where, clean(value)[:80], "inside the working folder")
    return value


def _mapping(said: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = said.get(key)
    return {k: v for k, v in value.items() if v is not None} if isinstance(value, Mapping) else {}


def _shares(value: Any, name: str, where: str) -> dict[str, float] | None:
    if value is None:
        return None
    ok = isinstance(value, Mapping) and all(
        isinstance(v, int | float) and not isinstance(v, bool) and 0 <= v < 1e6 for v in value.values()
    )
    if not ok or not sum(value.values()):
        raise InputError(f"{name} is not understood", where, clean(value)[:80], "LABEL: NUMBER, ..., not all 0")
    return {str(k): float(v) for k, v in value.items()}
