"""Ready inputs of other programs for an exported model: templates that lie beside this file, with {fields} to fill."""

from __future__ import annotations

from importlib.resources import files


def template(name: str) -> str:
    """The text of templates/NAME.txt, for `str.format`; names: ase.py, openmm.py, readme."""
    return (files("consilience.jobs.export") / "templates" / f"{name}.txt").read_text(encoding="utf-8")
