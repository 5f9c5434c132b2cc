"""NMR relaxation: spectral densities, rates, diffusion tensors, model-free dynamics, NMR-STAR and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from consilience.nmr.posterior import sample_posterior
    from consilience.nmr.predict import predict_rates
    from consilience.nmr.read import read_relaxation

__all__ = ["predict_rates", "read_relaxation", "sample_posterior"]
_HOMES = {"predict_rates": "predict", "read_relaxation": "read", "sample_posterior": "posterior"}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _HOMES:
        return getattr(import_module(f"consilience.nmr.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'consilience.nmr' has no attribute '{name}'")
