"""One molecular model, fitted to every experiment and simulation that speaks about it: public names, loaded on use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from consilience import core, nmr, structure, xray
    from consilience.core.conformance import check_term
    from consilience.core.errors import InputError, RunError
    from consilience.core.gradcheck import check_gradients
    from consilience.forces import forces_from
    from consilience.frames.read import read_frames
    from consilience.model import load_model
    from consilience.structure.read import read_structure
    from consilience.verbs import (
        check,
        coarsen,
        evaluate,
        export,
        fit,
        learn,
        optimize,
        predict,
        refine,
        relaxation,
        simulate,
        spectrum,
        tour,
        train,
    )
    from consilience.xray.read import read_reflections

_HOMES = {
    "check_term": "core.conformance",
    "check_gradients": "core.gradcheck",
    "InputError": "core.errors",
    "RunError": "core.errors",
    "read_frames": "frames.read",
    "read_structure": "structure.read",
    "read_reflections": "xray.read",
    "check": "verbs",
    "coarsen": "verbs",
    "refine": "verbs",
    "relaxation": "verbs",
    "train": "verbs",
    "learn": "verbs",
    "evaluate": "verbs",
    "predict": "verbs",
    "simulate": "verbs",
    "optimize": "verbs",
    "spectrum": "verbs",
    "export": "verbs",
    "fit": "verbs",
    "tour": "verbs",
    "load_model": "model",
    "forces_from": "forces",
}
_PARTS = ("core", "nmr", "structure", "xray")
__all__ = [
    "InputError",
    "RunError",
    "check",
    "check_gradients",
    "check_term",
    "coarsen",
    "core",
    "evaluate",
    "export",
    "fit",
    "forces_from",
    "learn",
    "load_model",
    "nmr",
    "optimize",
    "predict",
    "read_frames",
    "read_reflections",
    "read_structure",
    "refine",
    "relaxation",
    "simulate",
    "spectrum",
    "structure",
    "tour",
    "train",
    "xray",
]


def __getattr__(name: str) -> Any:
    if name in _PARTS:
        return import_module(f"consilience.{name}")
    if name in _HOMES:
        return getattr(import_module(f"consilience.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'consilience' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES, *_PARTS])
