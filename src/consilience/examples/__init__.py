"""Built-in examples with known truth, and where their files are."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from consilience.core.errors import InputError


def example_path(name: str) -> Path:
    """Path of an example file or folder, e.g. "crystal" or "crystal/data.mtz".

    Raises InputError where there is no such example.
    """
    root = Path(str(files(__name__)))
    path = (root / name).resolve()
    if not path.exists() or root.resolve() not in path.parents:
        known = sorted(str(p.relative_to(root)) for p in root.glob("*/*") if not p.name.startswith("_"))
        raise InputError("there is no such example", where="examples", found=name, expected=", ".join(known))
    return path
