"""How ASE finds the calculator, by its entry point `ase.plugins`; only ASE imports this file, which imports no JAX."""

from __future__ import annotations

from typing import Any

__ase_plugins__: set[Any] = set()
try:
    from ase._4.plugins.plugin import CalculatorPlugin
except ImportError:
    pass  # ASE before 3.29, or one that has moved it: the calculator is there by import all the same
else:
    __ase_plugins__.add(
        CalculatorPlugin(
            name="consilience",
            citation="The consilience developers",
            implementation="consilience.ase.Consilience",
        )
    )
