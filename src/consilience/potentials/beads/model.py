"""A model of beads: a prior, networks of one shape trained from different seeds, or both; and its files.

No pickle, nothing that runs when loaded; the hash of the arrays stands in model.json.
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
from consilience.potentials.beads.allegro import Allegro, allegro
from consilience.potentials.beads.chains import Chains
from consilience.potentials.beads.energy import BeadEnergy, bead_energy
from consilience.potentials.beads.prior import Prior, empty_prior, walls
from consilience.potentials.bundle import DESCRIPTION, WEIGHTS, weights_of
from consilience.potentials.weights import cast, from_named, named
from consilience.residues import RESIDUES

FORMAT, VERSION = "consilience-beads", 1


@dataclass(frozen=True)
class NetworkShape:
    """What an Allegro network is made of; `scale`: eV, the size of its energies at the start."""

    cutoff: float = 10.0
    features: int = 32
    channels: int = 8
    layers: int = 1
    l_max: int = 1
    radial_size: int = 8
    parity: bool = True
    temperature: bool = False
    scale: float = 0.3

    def build(self, seed: int = 0) -> Allegro:
        """A network with random weights."""
        return allegro(np.random.default_rng(seed), **asdict(self))


LIMITS = {
    "cutoff": (4.0, 25.0), "features": (4, 512), "channels": (1, 256), "layers": (1, 6), "l_max": (1, 3),
    "radial_size": (4, 64), "scale": (1e-6, 1e3),
}  # fmt: skip


def checked_shape(said: Mapping[str, Any]) -> NetworkShape:
    """The shape of those values. Raises ValueError for one out of range or unknown."""
    kinds = {f.name: f.type for f in fields(NetworkShape)}
    for name, value in said.items():
        if name not in kinds:
            raise ValueError(f"{name} is unknown; there are {', '.join(kinds)}")
        if kinds[name] == "bool":
            if not isinstance(value, bool):
                raise ValueError(f"{name} is {value!r}, expected true or false")
            continue
        low, high = LIMITS[name]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not low <= value <= high or (kinds[name] == "int" and value != int(value)):
            raise ValueError(f"{name} is {value!r}, expected {low:g} to {high:g}")
    values: dict[str, Any] = {k: int(v) if kinds[k] == "int" else v for k, v in said.items()}
    return NetworkShape(**values)


@dataclass(frozen=True)
class BeadModel:
    """prior, networks (members of an ensemble) or both. `info`: provenance, errors and card, as in model.json."""

    prior: Prior | None
    networks: tuple[Allegro, ...] = ()
    shape: NetworkShape | None = None
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def cutoff(self) -> float:
        """How far lists must reach, Å."""
        return max([p.cutoff for p in (self.prior, *self.networks[:1]) if p is not None])

    def energy(self, chains: Chains, *, member: int = 0, temperature: float = 300.0) -> BeadEnergy:
        """The energy of chains. Raises InputError for a sequence that a prior with sites is not for."""
        sites = None if self.prior is None else self.prior.sequence
        if sites is not None and sites != tuple(int(t) for t in chains.types):
            found = " ".join(RESIDUES[int(t)] for t in chains.types[:40])
            raise InputError("this prior is for another sequence: its coefficients belong to sites", found=found,
                             expected=" ".join(RESIDUES[t] for t in sites[:40]),
                             fix="train with --set prior.by=types for a prior of residue types")  # fmt: skip
        network = self.networks[member].at(temperature) if self.networks else None
        return bead_energy(chains, self.prior, network)

    def cast(self, bits: int) -> BeadModel:
        """The same model with its networks in float32 or float64."""
        kind = np.float64 if bits == 64 else np.float32
        done = tuple(cast(n, kind) for n in self.networks)
        return BeadModel(self.prior, done, self.shape, self.info)


def save_beads(folder: Path, model: BeadModel) -> None:
    """Write model.safetensors and model.json into `folder`, the description last."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {} if model.prior is None else _own(model.prior, "prior")
    for i, network in enumerate(model.networks):
        arrays |= _own(network, f"network.{i}")
    data = save(arrays)
    write_atomic(folder / WEIGHTS, data)
    prior = model.prior
    description = {
        "format": FORMAT,
        "format_version": VERSION,
        "prior": None
        if prior is None
        else {"pair": prior.pair is not None, "sequence": None if prior.sequence is None else list(prior.sequence)},
        "network": None if model.shape is None else {"name": "allegro", **asdict(model.shape)},
        "members": len(model.networks),
        "bead_types": list(RESIDUES),
        "units": {"energy": "eV", "length": "Å"},
        "sha256": hashlib.sha256(data).hexdigest(),
        **dict(model.info),
    }
    text = json.dumps(description, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    write_atomic(folder / DESCRIPTION, text.encode())


_KEYS = {"format", "format_version", "prior", "network", "members", "bead_types", "units", "sha256"}


def load_beads(place: Path, said: Mapping[str, Any]) -> BeadModel:
    """The model of the folder `place` whose model.json is `said`. Raises InputError where it is damaged."""
    data = weights_of(place, said)
    if said.get("format_version") != VERSION:
        raise InputError("the model was written by another version", str(place / DESCRIPTION),
                         clean(said.get("format_version")), str(VERSION))  # fmt: skip
    try:
        arrays = load(data)
        if not all(a.dtype.kind == "f" and np.isfinite(a).all() for a in arrays.values()):
            raise ValueError("weights are not finite numbers (nan or inf, or of another type)")
        if said["bead_types"] != list(RESIDUES):
            raise ValueError("bead_types are not the 20 amino acids in our order")
        prior = None
        if said["prior"] is not None:
            sequence = said["prior"]["sequence"]
            sites = None if sequence is None else tuple(int(t) for t in sequence)
            prior = _filled(
                empty_prior(walls(2.7, 1.3), pair=bool(said["prior"]["pair"]), sites=sites), "prior", arrays
            )
        shape, networks = None, ()
        if said["network"] is not None:
            shape = checked_shape({k: v for k, v in said["network"].items() if k != "name"})
            networks = tuple(_filled(shape.build(), f"network.{i}", arrays) for i in range(int(said["members"])))
    except (SafetensorError, KeyError, ValueError, TypeError, OverflowError) as err:
        raise InputError("the model cannot be loaded", str(place), clean(err)[:300]) from None
    if prior is None and not networks:
        raise InputError("the model has neither a prior nor a network", str(place / DESCRIPTION))
    return BeadModel(prior, networks, shape, {k: v for k, v in said.items() if k not in _KEYS})


def _own(part: Any, name: str) -> dict[str, np.ndarray]:
    found = named(eqx.filter(part, eqx.is_array_like))
    return {f"{name}.{k}": np.array(v, order="C") for k, v in found.items()}  # keeps numbers without axes


def _filled(like: Any, name: str, arrays: Mapping[str, np.ndarray]) -> Any:
    values, rest = eqx.partition(like, eqx.is_array_like)
    own = {k.removeprefix(f"{name}."): v for k, v in arrays.items() if k.startswith(f"{name}.")}
    return eqx.combine(from_named(values, own), rest)
