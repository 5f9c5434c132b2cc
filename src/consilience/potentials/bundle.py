"""A trained model on disk: model.json says what it is and how far to trust it, model.safetensors holds the weights.

No pickle, nothing that runs when loaded; the hash of the weights stands in model.json.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import equinox as eqx
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from consilience.core.checkpoint import write_atomic
from consilience.core.errors import InputError, clean
from consilience.potentials.build import Architecture, build
from consilience.potentials.potential import Potential
from consilience.potentials.weights import from_named, named, split

FORMAT = "consilience-potential"
VERSION = 1
WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"


@dataclass(frozen=True)
class TrainedModel:
    """Potentials of one architecture trained from different seeds (one or more), and what is known about them.

    `info`: provenance, errors and the conservation card, as in model.json.
    """

    architecture: Architecture
    members: tuple[Potential, ...]
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def potential(self) -> Potential:
        """The first member."""
        return self.members[0]


def save_model(folder: Path, model: TrainedModel) -> None:
    """Write model.safetensors and model.json into `folder`, the description last."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {
        f"{i}.{name}": np.ascontiguousarray(array)
        for i, member in enumerate(model.members)
        for name, array in named(split(member)[0]).items()
    }
    data = save(arrays)
    write_atomic(folder / WEIGHTS, data)
    first = model.members[0]
    description = {
        "format": FORMAT,
        "format_version": VERSION,
        "architecture": asdict(model.architecture),
        "members": len(model.members),
        "units": {"energy": "eV", "length": "Å", "charge": "e"},
        "offsets_eV": [np.asarray(m.offsets, float).tolist() for m in model.members],
        "scale_eV": float(first.scale),
        "sha256": hashlib.sha256(data).hexdigest(),
        **dict(model.info),
    }
    text = json.dumps(description, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    write_atomic(folder / DESCRIPTION, text.encode())


def weights_of(place: Path, said: Mapping[str, Any]) -> bytes:
    """The weight file of a model folder whose model.json is `said`. Raises InputError where it is not that file."""
    weights = place / WEIGHTS
    try:
        data = weights.read_bytes()
    except OSError as err:
        raise InputError("the weights of the model cannot be read", str(weights), err.strerror or str(err)) from None
    if hashlib.sha256(data).hexdigest() != said.get("sha256"):
        fix = "copy the model folder again; both files belong together"
        raise InputError("the weights do not match the hash in model.json: they are damaged or of another model",
                         str(weights), fix=fix)  # fmt: skip
    return data


def load_bundle(folder: str | Path) -> TrainedModel:
    """The model in a folder that `save_model` wrote (or in its parent, as model/).

    Raises InputError where something is missing, damaged, of another format, or does not match its hash.
    """
    place = Path(folder)
    if not (place / DESCRIPTION).is_file() and (place / "model" / DESCRIPTION).is_file():
        place = place / "model"
    said = _description(place)
    architecture = _architecture(said.get("architecture"), place / DESCRIPTION)
    data = weights_of(place, said)
    try:
        arrays = load(data)
        members = []
        scale, count = said["scale_eV"], said["members"]
        if not (isinstance(scale, int | float) and 0.0 < scale < np.inf):
            raise ValueError(f"scale_eV is {scale!r}, expected a number above zero")
        if not isinstance(count, int):
            raise ValueError(f"members is {count!r}, expected a whole number")
        if count < 1:
            raise InputError("the model has no members", str(place / DESCRIPTION))
        offsets = np.asarray(said["offsets_eV"], float)  # of each member; one row for all in older models
        if offsets.ndim == 1:
            offsets = np.broadcast_to(offsets, (count, len(offsets)))
        if offsets.shape != (count, len(architecture.species)) or not np.isfinite(offsets).all():
            raise ValueError("offsets_eV does not hold one finite number for each element and member")
        for i in range(count):
            like, rest = split(build(architecture, offsets[i], float(scale)))
            own = {k.removeprefix(f"{i}."): v for k, v in arrays.items() if k.startswith(f"{i}.")}
            if not all(v.dtype.kind == "f" and np.isfinite(v).all() for v in own.values()):
                raise ValueError("weights are not finite numbers (nan or inf, or of another type)")
            members.append(eqx.combine(from_named(like, own), rest))
    except (SafetensorError, KeyError, ValueError, TypeError, OverflowError) as err:
        raise InputError("the model cannot be loaded", str(place), clean(err)[:300]) from None
    info = {k: v for k, v in said.items() if k not in _OWN}
    return TrainedModel(architecture, tuple(members), info)


_OWN = {"format", "format_version", "architecture", "members", "units", "offsets_eV", "scale_eV", "sha256"}


def _description(place: Path) -> dict[str, Any]:
    where = place / DESCRIPTION
    try:
        said = json.loads(where.read_text(encoding="utf-8"))
    except OSError as err:
        raise InputError("this is not a model folder", str(place), err.strerror or str(err), DESCRIPTION) from None
    except (ValueError, RecursionError) as err:
        raise InputError("model.json cannot be parsed", str(where), clean(err)[:200]) from None
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        found = clean(said.get("format")) if isinstance(said, dict) else type(said).__name__
        raise InputError("model.json does not describe a model of ours", str(where), found, FORMAT)
    if said.get("format_version") != VERSION:
        raise InputError("the model was written by another version", str(where), clean(said.get("format_version")),
                         str(VERSION), "use the version of consilience that wrote it")  # fmt: skip
    return said


def _architecture(said: Any, where: Path) -> Architecture:
    known = {f.name: f for f in fields(Architecture)}
    if not isinstance(said, dict) or set(said) - set(known):
        odd = ", ".join(sorted(set(said) - set(known))) if isinstance(said, dict) else type(said).__name__
        raise InputError("the architecture in model.json is not understood", str(where), clean(odd))
    try:
        values = {"bounded": False, **said, "species": tuple(said["species"])}  # older models do not say
        made = Architecture(**values)
        checked_architecture(made)
    except (KeyError, TypeError, ValueError) as err:
        raise InputError("the architecture in model.json is not understood", str(where), clean(err)[:200]) from None
    return made


LIMITS = {
    "cutoff": (1.0, 20.0), "features": (4, 1024), "layers": (1, 12), "l_max": (1, 3), "radial_size": (4, 256),
    "sites": (0, 12), "site_pairs": (0, 12), "reach": (0.0, 2.0), "coulomb_cutoff": (2.0, 1e3),
}  # fmt: skip


def checked_architecture(a: Architecture) -> Architecture:
    """The architecture, if every number is in a range that makes sense. Raises ValueError."""
    for name, (low, high) in LIMITS.items():
        value = getattr(a, name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise ValueError(f"{name} is {value!r}, expected {low} to {high}")
        if isinstance(low, int) and not isinstance(value, int):
            raise ValueError(f"{name} is {value!r}, expected a whole number")
    for name in ("repulsion", "electrostatics", "bounded"):
        if not isinstance(getattr(a, name), bool):
            raise ValueError(f"{name} is {getattr(a, name)!r}, expected true or false")
    whole = all(type(z) is int and 1 <= z <= 118 for z in a.species)
    if not a.species or not whole or list(a.species) != sorted(set(a.species)):
        raise ValueError(f"species are {a.species!r}, expected atomic numbers in rising order")
    if a.network not in ("physnet", "equivariant"):
        raise ValueError(f"network is {a.network!r}, expected physnet or equivariant")
    if a.radial not in ("bessel", "exponential"):
        raise ValueError(f"radial is {a.radial!r}, expected bessel or exponential")
    return a
