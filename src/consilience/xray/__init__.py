"""Diffraction: reflections, structure factors, solvent and scale, likelihood, maps, displacement parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from consilience.xray.calculate import structure_factors

__all__ = ["structure_factors"]


def __getattr__(name: str) -> Any:
    if name == "structure_factors":
        from consilience.xray.calculate import structure_factors

        return structure_factors
    raise AttributeError(f"module 'consilience.xray' has no attribute '{name}'")
