"""Checkpoints: arrays in safetensors and a JSON header, in one file that appears all at once or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from consilience.errors import InputError


def write_atomic(path: Path, data: bytes) -> None:
    """Write to a temporary file beside `path`, flush to the disk, rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with open(temporary, "wb") as f:
        f.write(data)
        f.flush()
        os.fsync(f.fileno())
    os.replace(temporary, path)


def save_checkpoint(path: Path, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> None:
    """Named arrays (any shape, float64/int/bool) and a JSON header to one file."""
    tensors = {k: np.ascontiguousarray(v) for k, v in arrays.items()}
    write_atomic(path, save(tensors, {"header": json.dumps(header)}))


def load_checkpoint(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What `save_checkpoint` wrote. Raises InputError for a damaged file."""
    try:
        with safe_open(path, "numpy") as f:
            header = json.loads((f.metadata() or {})["header"])
            return {k: f.get_tensor(k) for k in f.keys()}, header  # noqa: SIM118 - not a dict
    except (SafetensorError, KeyError, ValueError, OSError) as err:
        raise InputError("the checkpoint cannot be read", str(path), fix="start anew with --overwrite") from err
