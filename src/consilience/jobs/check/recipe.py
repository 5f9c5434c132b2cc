"""What can be said of a training configuration before anything runs: keys, types, ranges, pairs without repulsion."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consilience.core.errors import Finding, clean
from consilience.jobs.train.recipe import NETWORK, SECTIONS, TRAINING


@dataclass(frozen=True)
class Number:
    """A number (whole where `whole`) between low and high, both allowed."""

    low: float
    high: float
    whole: bool = False

    def problem(self, value: object) -> str:
        """Why a value is not this, or ""."""
        number = _number(value)
        kind = "a whole number" if self.whole else "a number"
        if number is None or (self.whole and number != int(number)):
            return f"{kind}, {self.low:g} to {self.high:g}"
        return "" if self.low <= number <= self.high else f"{kind} from {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Recipe:
    """A configuration as read, and what was found in it."""

    said: Mapping[str, Any]
    findings: tuple[Finding, ...]

    @property
    def cutoff(self) -> float | None:
        """Cutoff of the network, Å, where it is given."""
        model = self.said.get("model")
        network = model.get("network") if isinstance(model, Mapping) else None
        if not isinstance(network, Mapping):
            return None
        return _number(network.get("r_max", network.get("cutoff")))


_ANY = object()
_POSITIVE = Number(1e-6, 1e6)
_SCHEMA: dict[str, Any] = {
    "schema_version": Number(1, 1, True),
    "data": {"train": _ANY, "val": _ANY, "valid": _ANY, "free": _ANY, "val_fraction": Number(0, 0.9),
             "valid_fraction": Number(0, 0.9), "seed": Number(0, 2**53, True), "stride": Number(1, 1e9, True),
             "fractions": _ANY, "weights": _ANY},
    "model": {
        "network": {**{k: _ANY for k in NETWORK}, "r_max": Number(0.1, 100), "cutoff": Number(0.1, 100),
                    "layers": Number(0, 16, True), "l_max": Number(0, 6, True), "features": Number(1, 4096, True),
                    "radial_basis": Number(1, 256, True), "radial_size": Number(1, 256, True), "latent": _ANY,
                    "channels": Number(1, 4096, True), "embedding": Number(1, 4096, True), "hidden": _ANY,
                    "envelope": Number(2, 24, True), "parity": _ANY, "temperature": _ANY},
        "prior": {
            "by": ("types", "sites"), "frames": Number(10, 1e7, True), "populations": (True, False),
            "population_steps": Number(1000, 1e8, True),
            "bond": {"r0": Number(2.0, 6.0), "k": Number(120.0, 1e5)},
            "angle": _ANY, "dihedral": _ANY, "pair": _ANY,
            "excluded_volume": {"epsilon": Number(1e-6, 1e4), "sigma": Number(2.0, 6.0),
                                "min_separation": Number(1, 100, True)},
        },
    },
    "training": {**{k: _ANY for k in TRAINING}, "epochs": Number(1, 1e5, True), "minutes": Number(0.01, 1e5),
                 "batch_size": Number(1, 1e5, True), "batch": Number(1, 1e5, True), "learning_rate": Number(1e-8, 1),
                 "average": Number(0, 0.99999), "clip": _POSITIVE, "weight_decay": Number(0, 1),
                 "penalty": Number(0, 1e3), "patience": Number(1, 1e5, True), "stages": _ANY, "noise": Number(0, 10),
                 "force_cap": Number(1e-3, 1e6), "smoothness": Number(1e-6, 10), "ema": Number(0, 0.99999),
                 "prior": ("frozen", "trained")},
    "simulation": {"dt_fs": Number(1e-3, 100), "steps": Number(1, 1e12, True), "temperature_k": Number(0, 1e5),
                   "friction": Number(0, 1e4), "friction_ps": Number(0, 1e4), "replicas": Number(1, 1e6, True),
                   "every": Number(1, 1e9, True), "ensemble": ("nve", "nvt"), "method": _ANY},
    "output": {"directory": _ANY},
}  # fmt: skip
_FITTED = ("angle", "dihedral", "pair")  # terms of the prior whose numbers all come from the fit
OPTIMISERS = ("adabelief", "yogi", "adam", "adabelief-yogi")


def is_recipe(said: Mapping[str, Any]) -> bool:
    """Whether a mapping is meant as a training configuration."""
    return any(k in said for k in SECTIONS if k != "schema_version") and not ({"verb", "terms", "protocol"} & set(said))


def check_recipe(said: Mapping[str, Any], path: str) -> Recipe:
    """All findings on a training configuration: every unknown key and bad value, and gaps in the repulsion."""
    findings = _walk(said, _SCHEMA, "", path)
    findings += _choices(said, path) + _repulsion(said, path) + _files(said, path)
    return Recipe(said, tuple(findings))


def _number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if abs(value) < float("inf") else None
    try:
        return float(value) if isinstance(value, str) else None  # YAML reads 1e-3 as text
    except ValueError:
        return None


def _walk(said: Mapping[str, Any], schema: Mapping[str, Any], prefix: str, path: str) -> list[Finding]:
    out = []
    for key, value in said.items():
        name = f"{prefix}{clean(key)}"
        if key not in schema:
            close = difflib.get_close_matches(str(key), list(schema), n=1, cutoff=0.5)
            fix = f"did you mean {prefix}{close[0]}?" if close else f"known: {', '.join(schema)}"
            out.append(Finding("error", f"unknown key {name} in the configuration", path, fix=fix))
            continue
        expected = schema[key]
        if isinstance(expected, Mapping):
            if isinstance(value, Mapping):
                out += _walk(value, expected, f"{name}.", path)
            elif not (value is None or (prefix.startswith("model.") and isinstance(value, bool))):
                found = clean(value)[:60]
                out.append(Finding("error", f"{name} is not a mapping", path, found, "keys with values"))
        elif isinstance(expected, Number) and value is not None and (wanted := expected.problem(value)):
            out.append(Finding("error", f"{name} is out of range or no number", path, f"'{clean(value)[:60]}'", wanted))
        elif isinstance(expected, tuple) and value not in expected:
            out.append(Finding("error", f"unknown {name}", path, clean(value)[:60], " or ".join(expected)))
        elif key in _FITTED and value not in (None, True, {}) and not (key == "pair" and value is False):
            fix = "false leaves pairs out; else remove it" if key == "pair" else "remove it"
            what = f"{name} takes no values: all its numbers are fitted to the forces"
            out.append(Finding("error", what, path, f"'{clean(value)[:60]}'", fix=fix))
    return out


def _choices(said: Mapping[str, Any], path: str) -> list[Finding]:
    training = said.get("training")
    name = training.get("optimizer") if isinstance(training, Mapping) else None
    if name is None or name in OPTIMISERS:
        return []
    close = difflib.get_close_matches(str(name), OPTIMISERS, n=1)
    fix = f"did you mean {close[0]}?" if close else ""
    return [Finding("error", "unknown training.optimizer", path, clean(name)[:60], ", ".join(OPTIMISERS), fix)]


def _repulsion(said: Mapping[str, Any], path: str) -> list[Finding]:
    """Pairs of beads that nothing would keep apart in dynamics: no prior is trained like that."""
    model = said.get("model")
    prior = model.get("prior") if isinstance(model, Mapping) else None
    if not isinstance(prior, Mapping) or "excluded_volume" not in prior:
        return []
    volume = prior["excluded_volume"]
    fix = "set model.prior.excluded_volume.min_separation to 2"
    if volume in (False, None):
        what = "the prior has no excluded volume: nothing keeps beads apart where there are no data"
        return [Finding("error", what, path, fix="keep model.prior.excluded_volume; --ablation shows what comes of it")]
    least = _number(volume.get("min_separation", 2)) if isinstance(volume, Mapping) else None
    if least is None or least <= 2:
        return []
    gap = "2" if least == 3 else f"2 to {least - 1:g}"
    what = f"pairs of sequence separation {gap} have no repulsion (excluded volume): chains collapse in dynamics"
    return [Finding("error", what, path, f"model.prior.excluded_volume.min_separation: {least:g}", "2", fix)]


def _files(said: Mapping[str, Any], path: str) -> list[Finding]:
    data = said.get("data")
    if not isinstance(data, Mapping):
        return []
    out = []
    for key in ("train", "val", "valid", "free"):
        value = data.get(key)
        names = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        for name in names:
            here = [Path(str(name)), Path(path).parent / str(name)]
            if not any(p.exists() for p in here) and (key == "train" or "/" in str(name) or "." in str(name)):
                out.append(Finding("warn", f"data.{key}: no such file", path, clean(name)[:200]))
    return out
